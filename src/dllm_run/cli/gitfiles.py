"""Files of a git revision: specs, what they extend, and the data beside them, read without a checkout."""

import errno
import hashlib
import re
import subprocess
import tempfile
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from dllm_run.compiler.lock import Lock, parse_lock
from dllm_run.compiler.suggest import nearest
from dllm_run.specs.errors import EnvironmentProblem, NotFound
from dllm_run.specs.locator import kind_of, located_files
from dllm_run.specs.plan import InputRecord

from .specs import RECIPE, read_beside

_POINTER = re.compile(rb"\Aversion https://git-lfs\.github\.com/spec/v1\n(?:.*\n)*?oid sha256:([0-9a-f]{64})\n")


@dataclass(slots=True)
class Revision:
    """The files of one commit."""

    name: str
    """As the user wrote it."""
    top: Path
    """The working folder of the repository."""
    commit: str
    _files: dict[str, str] = field(default_factory=dict)

    @classmethod
    def find(cls, name: str, here: Path) -> "Revision":
        """The revision of that name in the repository around `here`. Raises NotFound."""
        top = _git(here, "rev-parse", "--show-toplevel")
        if top is None:
            raise NotFound(f"{name}: this folder is in no git repository")
        commit = None if name.startswith("-") else _git(here, "rev-parse", "--verify", "--quiet", f"{name}^{{commit}}")
        if commit is None:
            refs = (_git(here, "for-each-ref", "--format=%(refname:short)", "refs/heads", "refs/tags") or b"").decode().split()
            guess = nearest(name, refs)
            known = f"did you mean {guess}?" if guess else f"branches and tags: {', '.join(refs[:10]) or 'none'}"
            raise NotFound(f"this git repository has no revision {name!r}: {known}")
        return cls(name, Path(top.decode().rstrip("\n")), commit.decode().strip())

    @property
    def files(self) -> dict[str, str]:
        """Every file, by its path from the top of the repository, with the id of its content."""
        if not self._files:
            listed = _git(self.top, "ls-tree", "-r", "-z", "--full-tree", self.commit) or b""
            for line in filter(None, listed.split(b"\0")):
                about, _, path = line.partition(b"\t")
                kind, blob = about.split()[1:3]
                if kind == b"blob":
                    self._files[path.decode("utf-8", "surrogateescape")] = blob.decode()
        return self._files

    def read(self, path: str) -> bytes:
        """The bytes of a file, by its path from the top of the repository. Raises NotFound, with the nearest that exists."""
        if path not in self.files:
            raise self.missing(path)
        found = _git(self.top, "cat-file", "blob", self.files[path])
        if found is None:
            raise EnvironmentProblem(f"{self.name}:{path} cannot be read: git does not give its content")
        return found

    def missing(self, path: str) -> NotFound:
        """That a file is not there, with the nearest that is."""
        specs = [other for other in self.files if other.endswith((".yaml", ".yml"))]
        guess = next((other for other in specs if other.endswith("/" + path)), None) or nearest(path, specs)
        known = f"did you mean {guess}?" if guess else f"YAML files there: {', '.join(specs[:10]) or 'none'}"
        return NotFound(f"{self.name} has no file {path}: {known}")

    def path_of(self, written: str, here: Path) -> str:
        """A path as git has it: from the top of the repository, else from the current folder."""
        folder = here.resolve()
        inside = folder.relative_to(self.top).as_posix() if folder.is_relative_to(self.top) else "."
        beside = _normal(PurePosixPath(inside) / written)
        if beside is not None and (written.startswith(("./", "../")) or (written not in self.files and beside in self.files)):
            return beside
        return written


@dataclass(frozen=True, slots=True)
class RevisionFolder:
    """Reads the files that a spec of a revision builds on, by their path from its folder. Raises OSError, KeyError for a recipe."""

    revision: Revision
    folder: str
    """From the top of the repository; empty for the top itself."""

    def __call__(self, path: str) -> bytes:
        if path.startswith((RECIPE, "/", "~")):
            return read_beside(Path(), path)
        whole = _normal(PurePosixPath(self.folder) / path)
        if whole is None:
            raise FileNotFoundError(errno.ENOENT, "it lies outside of the repository")
        try:
            return self.revision.read(whole)
        except NotFound as error:
            raise FileNotFoundError(errno.ENOENT, str(error)) from None


@dataclass(slots=True)
class RevisionLock(Lock):
    """Inputs as a revision has them; what it has nothing of, such as data that git does not keep, as the disk has it."""

    revision: Revision | None = None
    folder: str = ""

    def record(self, locator: str, what: str) -> InputRecord:
        """The record of an input: the locked one, or the revision's, or the disk's."""
        if locator not in self.locked and locator not in self.seen and kind_of(locator, what) == "file":
            files = self._files(locator)
            if files:
                self.seen[locator] = InputRecord(kind="file", locator=locator, revision=None, files=files)
        return Lock.record(self, locator, what)

    def content(self, locator: str) -> bytes | None:
        """The bytes of an input that is one file of the revision, or of the disk where the revision has none."""
        assert self.revision is not None
        whole = None if locator.startswith(("/", "~")) else _normal(PurePosixPath(self.folder) / locator)
        return self.revision.read(whole) if whole in self.revision.files else Lock.content(self, locator)

    def _files(self, locator: str) -> dict[str, str]:
        assert self.revision is not None
        # What stands before a pattern says which files can be meant at all.
        around = _normal(PurePosixPath(self.folder) / re.split(r"[^/]*[*?\[]", locator, maxsplit=1)[0])
        if around is None or locator.startswith(("/", "~")):
            return {}
        near = [path for path in self.revision.files if not around or path == around or path.startswith(around + "/")]
        with tempfile.TemporaryDirectory() as empty:
            # Empty files of these names: patterns and folders then mean what they mean on a disk.
            for path in near:
                (Path(empty) / path).parent.mkdir(parents=True, exist_ok=True)
                (Path(empty) / path).touch()
            base = Path(empty) / self.folder
            found = {name: path.resolve().relative_to(Path(empty).resolve()).as_posix() for name, path in located_files(locator, base)}
        return {name: self._sha256(path) for name, path in found.items()}

    def _sha256(self, path: str) -> str:
        assert self.revision is not None
        data = self.revision.read(path)
        pointer = _POINTER.match(data)
        # git lfs keeps a pointer in place of a large file: it says the hash that the file has on a disk.
        return pointer[1].decode() if pointer is not None else hashlib.sha256(data).hexdigest()


def revision_lock(revision: Revision, path: str) -> RevisionLock:
    """The lock of a spec of a revision: the lock file beside it there, then the files there. Raises EnvironmentProblem if it is broken."""
    folder = PurePosixPath(path).parent.as_posix().removeprefix(".")
    beside = PurePosixPath(path).with_suffix(".lock.json").as_posix()
    locked = parse_lock(revision.read(beside), f"{revision.name}:{beside}") if beside in revision.files else {}
    return RevisionLock(revision.top / folder, locked, revision=revision, folder=folder)


def _normal(path: PurePosixPath) -> str | None:
    """Without `.` and `..`; None where it leads above its start or is absolute."""
    parts: list[str] = []
    for part in path.parts:
        if part == "..":
            if not parts:
                return None
            parts.pop()
        elif part == "/":
            return None
        else:
            parts.append(part)
    return "/".join(parts)


def _git(folder: Path, *words: str) -> bytes | None:
    """What git answers; None where it refuses. Raises EnvironmentProblem where there is no git."""
    try:
        done = subprocess.run(["git", "-C", str(folder), *words], capture_output=True, check=False)
    except OSError:
        raise EnvironmentProblem("git is not installed here: it reads REV:PATH") from None
    return done.stdout if done.returncode == 0 else None
