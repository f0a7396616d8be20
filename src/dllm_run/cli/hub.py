"""The hub's own client: what a repository holds at a revision, and its files brought to this disk and checked."""

import hashlib
import shutil
import warnings
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from huggingface_hub import HfApi, hf_hub_download
from huggingface_hub.errors import HfHubHTTPError, HTTPError
from huggingface_hub.utils import disable_progress_bars
from huggingface_hub.utils import logging as hub_logging
from rich.filesize import decimal

from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.hub import cache_folder, hub_id, snapshot
from dllm_run.specs.inputs import model_type_in
from dllm_run.specs.locator import TABLE_SUFFIXES, sha256_of
from dllm_run.specs.plan import InputRecord

from .hub_problems import CLIENT_ERRORS, TYPES, problem_text

# The client talks in bars, log lines and warnings of its own; ours say the same once.
disable_progress_bars()
hub_logging.set_verbosity_error()
warnings.filterwarnings("ignore", module="huggingface_hub")

_TIMEOUT = 30.0
"""Seconds that the hub has for an answer; without it the client waits for ever."""
_ATTEMPTS = 2
"""The client itself goes on five times where a connection breaks, and begins anew where it is reset."""
_MODEL = "a model has *.safetensors or *.bin, and *.json beside them"
_READ = {".json", ".model", ".txt", ".jinja", ".tiktoken"}
_FOLDERS = {".", "additional_chat_templates"}
"""Of a model nothing else is read: other folders hold the same weights for other programs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class RemoteFile:
    """A file as the hub describes it."""

    name: str
    size: int
    sha256: str | None
    """Of large files."""
    blob: str | None
    """The id that git gives its content, of small ones."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What is needed of a repository at one commit."""

    locator: str
    what: str
    commit: str
    files: tuple[RemoteFile, ...]

    @property
    def size(self) -> int:
        """Bytes of all files."""
        return sum(file.size for file in self.files)

    @property
    def missing(self) -> tuple[RemoteFile, ...]:
        """Files that are not on this disk."""
        folder = snapshot(self.locator, self.commit)
        return tuple(file for file in self.files if folder is None or not (folder / file.name).is_file())


def look(locator: str, what: str, locked: InputRecord) -> Found:
    """What is needed of an input: that of the locked commit, or of the one that its revision is now. Raises EnvironmentProblem."""
    name, revision = hub_id(locator)
    commit = locked.revision if locked.resolved else None
    with _told(locator, what):
        info: Any = HfApi().repo_info(name, repo_type=TYPES[what], revision=commit or revision, files_metadata=True, timeout=_TIMEOUT)
    there = [_remote(sibling) for sibling in info.siblings or ()]
    chosen = [file for file in there if file.name in locked.files] if locked.resolved else needed(there, what)
    if not chosen:
        wanted = {"data": "a data set has *.parquet, *.jsonl, *.json, *.csv or *.txt", "model": _MODEL}[what]
        raise EnvironmentProblem(f"{locator} holds nothing that is read here: {wanted}")
    return Found(locator=locator, what=what, commit=info.sha, files=tuple(sorted(chosen, key=lambda file: file.name)))


def needed(files: Sequence[RemoteFile], what: str) -> list[RemoteFile]:
    """The files that are read: tables of a data set and its description; of a model weights in one format, configuration and tokenizer.

    Never code.
    """
    if what == "data":
        return [file for file in files if file.name == "README.md" or PurePosixPath(file.name).suffix.lower() in TABLE_SUFFIXES]
    near = [file for file in files if str(PurePosixPath(file.name).parent) in _FOLDERS]
    names = [PurePosixPath(file.name) for file in near]
    safe = [path.suffix == ".safetensors" and not path.name.startswith("consolidated") for path in names]
    # Weights in another format only where there are none that cannot hold code; other .bin files are states of a training.
    weights = safe if any(safe) else [path.suffix == ".bin" and path.name.startswith(("pytorch_model", "adapter_model")) for path in names]
    if not any(weights):
        return []
    return [file for file, path, wanted in zip(near, names, weights, strict=True) if wanted or path.suffix in _READ]


def check_space(found: Sequence[Found]) -> None:
    """Raises EnvironmentProblem where the disk has no room for what is missing."""
    folder = cache_folder()
    size = sum(file.size for item in found for file in item.missing)
    place = next(path for path in (folder, *folder.absolute().parents) if path.is_dir())
    free = shutil.disk_usage(place).free
    if size > free:
        cure = "make room, or set HF_HOME to a folder on another disk"
        raise EnvironmentProblem(
            f"the disk is too small: {decimal(size)} are to be downloaded to {folder}, {decimal(free)} are free: {cure}"
        )


def download(found: Found, locked: InputRecord, told: Callable[[int], None]) -> InputRecord:
    """The record of an input whose files are here now and are those of the hub. `told` hears of every byte. Raises EnvironmentProblem."""
    files, missing = {}, set(found.missing)
    with _told(found.locator, found.what):
        for file in found.files:
            fresh = file in missing
            path = _downloaded(found, file, told)
            if not fresh:
                told(file.size)
            if not fresh and not _is_right(path, file):
                # Broken on this disk, not on the way: once more.
                _discard(path)
                path, fresh = _downloaded(found, file, lambda count: None), True
            if not _is_right(path, file):
                _discard(path)
                text = f"{found.locator}: {file.name} is not what the hub says it is (its checksum differs), and was thrown away"
                raise EnvironmentProblem(f"{text}: fetch it once more; if it stays so, something between here and the hub changes files")
            files[file.name] = sha256_of(path)
            if locked.resolved and locked.files[file.name] != files[file.name]:
                text = f"{found.locator}: {file.name} of commit {found.commit[:12]} is not the file that is locked"
                raise EnvironmentProblem(f"{text}: `dllm-run lock --update` accepts it")
    model_type = model_type_in(snapshot(found.locator, found.commit)) if found.what == "model" else None
    return InputRecord(kind="hub", locator=found.locator, revision=found.commit, files=files, model_type=model_type)


def _downloaded(found: Found, file: RemoteFile, told: Callable[[int], None]) -> Path:
    bar: Any = type("Bar", (_Bar,), {"told": staticmethod(told)})
    for attempt in range(1, _ATTEMPTS + 1):
        try:
            return Path(
                hf_hub_download(
                    hub_id(found.locator).name,
                    file.name,
                    repo_type=TYPES[found.what],
                    revision=found.commit,
                    cache_dir=cache_folder(),
                    tqdm_class=bar,
                )
            )
        except HTTPError as error:
            if isinstance(error, HfHubHTTPError) or attempt == _ATTEMPTS:
                raise
    raise AssertionError("the last attempt returns or raises")


def _is_right(path: Path, file: RemoteFile) -> bool:
    if path.stat().st_size != file.size:
        return False
    if file.sha256 is not None:
        return sha256_of(path) == file.sha256
    return file.blob is None or hashlib.sha1(b"blob %d\0" % file.size + path.read_bytes(), usedforsecurity=False).hexdigest() == file.blob


def _discard(path: Path) -> None:
    """Take a file out of the cache, so that the next time it is downloaded."""
    content = path.resolve()
    path.unlink(missing_ok=True)
    content.unlink(missing_ok=True)


def _remote(sibling: Any) -> RemoteFile:
    large = sibling.lfs
    size = sibling.size if large is None else large.size
    return RemoteFile(
        name=sibling.rfilename, size=size or 0, sha256=None if large is None else large.sha256, blob=None if large else sibling.blob_id
    )


@contextmanager
def _told(locator: str, what: str) -> Iterator[None]:
    """Turns what the client raises into a sentence with a cure."""
    try:
        yield
    except CLIENT_ERRORS as error:
        raise EnvironmentProblem(problem_text(error, locator, what)) from None


class _Bar:
    """What the client takes for a bar of tqdm."""

    told: Callable[[int], None]

    def __init__(self, *words: Any, **settings: Any) -> None:
        self.n = settings.get("initial") or 0
        self.total = settings.get("total")

    def __enter__(self) -> "_Bar":
        return self

    def __exit__(self, *words: Any) -> None:
        pass

    def update(self, count: float | None = 1) -> None:
        self.n += count or 0
        self.told(int(count or 0))

    def update_transfer(self, count: float | None = 1) -> None:
        # That this is here tells the client not to open a second bar for the same bytes.
        pass

    def _quiet(self, *words: Any, **settings: Any) -> None:
        pass

    set_postfix_str = set_transfer_postfix_str = set_description = set_description_str = refresh = close = _quiet
