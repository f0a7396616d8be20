"""The compiled tree on disk: the same bytes everywhere, a manifest that others can check, no mixing with other things, no half tree."""

import json
import os
import shutil
import stat
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run import __version__
from dllm_run.cli import write as writing
from dllm_run.cli.specs import Named, find, recipes
from dllm_run.cli.tree import tree
from dllm_run.cli.write import differences, replace, write
from dllm_run.compiler.compile import Compiled
from dllm_run.specs.errors import EnvironmentProblem

FILES = {
    "MANIFEST.sha256": b"a" * 64 + b"  a.txt\n" + b"b" * 64 + b"  sub/run.sh\n",
    "a.txt": b"one\n",
    "sub/run.sh": b"#!/bin/sh\n",
}
MORE = {**FILES, "MANIFEST.sha256": FILES["MANIFEST.sha256"] + b"c" * 64 + b"  sub/b.txt\n", "sub/b.txt": b"two\n"}


def call(folder: Path, *words: str, umask: int = -1, **environment: str) -> subprocess.CompletedProcess[str]:
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "PYTHONPATH", "VIRTUAL_ENV")}
    command = [sys.executable, "-m", "dllm_run.cli.main", *words]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, umask=umask, env={**kept, **environment}, check=False)


def on_disk(folder: Path) -> dict[str, bytes]:
    return {path.relative_to(folder).as_posix(): path.read_bytes() for path in sorted(folder.rglob("*")) if path.is_file()}


# --- the same bytes


@pytest.mark.parametrize("recipe", recipes())
def test_a_recipe_compiles_to_the_same_bytes_in_any_surroundings(recipe: str, tmp_path: Path) -> None:
    """As recipe, and as a file under two absolute paths; folder, time zone, locale, hash seed, umask and home are others each time."""
    text = recipes()[recipe].read_bytes()
    specs = [tmp_path / "one" / "spec.yaml", tmp_path / "an other" / "place" / "spec.yaml"]
    for path in specs:
        path.parent.mkdir(parents=True)
        path.write_bytes(text)
    surroundings = [
        {"PYTHONHASHSEED": "1", "TZ": "UTC", "LC_ALL": "C", "HOME": str(tmp_path)},
        {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "LC_ALL": "tr_TR.UTF-8", "PYTHONUTF8": "0", "PYTHONCOERCECLOCALE": "0", "USER": "x"},
    ]
    for launch, flags in {"local": ("launch=local", "compute.nodes=1"), "slurm": ("launch=slurm",)}.items():
        found = []
        for number, (spec, environment) in enumerate(zip(specs, surroundings, strict=True)):
            here = tmp_path / f"{launch} {number}"
            here.mkdir()
            given = [word for flag in flags for word in ("-s", flag)]
            done = call(here, "compile", str(spec), *given, "-o", "out", umask=(0o077, 0o002)[number], **environment)
            assert done.returncode == 0, done.stderr
            found.append(on_disk(here / "out"))
        assert found[0] == found[1]
        # The folder that a spec lies in changes nothing; what it is called is in sources.json alone, and the recipe is called recipe:NAME.
        as_recipe = tree(*named(f"recipe:{recipe}", *flags))
        assert {name for name in as_recipe if as_recipe[name] != found[0].get(name)} == {"sources.json", "MANIFEST.sha256"}


def named(spec: str, *flags: str) -> tuple[Named, Compiled]:
    found = find(spec, flags)
    return found, found.compile()


@pytest.mark.parametrize(("umask", "mode"), [(0o022, 0o755), (0o077, 0o700), (0o002, 0o775)])
def test_scripts_are_executable_for_whoever_may_read_them(umask: int, mode: int, tmp_path: Path) -> None:
    assert call(tmp_path, "compile", "recipe:sudoku", "-s", "launch=slurm", "-o", "out", umask=umask).returncode == 0
    modes = {path.name: stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "out").rglob("*") if path.is_file()}
    scripts = {name for name in modes if name.endswith((".sh", ".sbatch"))}
    assert len(scripts) > 3
    assert all(found == (mode if name in scripts else mode & 0o666) for name, found in modes.items())


# --- what the tree says of itself


@pytest.fixture
def compiled(tmp_path: Path) -> Path:
    replace(tree(*named("recipe:sudoku", "launch=slurm")), tmp_path / "out")
    return tmp_path / "out"


@pytest.mark.skipif(shutil.which("sha256sum") is None, reason="no sha256sum here")
def test_sha256sum_checks_the_manifest(compiled: Path) -> None:
    def check() -> int:
        return subprocess.run(["sha256sum", "-c", "--strict", "--quiet", "MANIFEST.sha256"], cwd=compiled, capture_output=True).returncode

    assert check() == 0
    (compiled / "plan.json").write_text("{}", encoding="utf-8")
    assert check() == 1


def test_the_manifest_names_every_file_but_itself(compiled: Path) -> None:
    lines = (compiled / "MANIFEST.sha256").read_text(encoding="utf-8").splitlines()
    names = [line.split("  ", 1)[1] for line in lines]
    assert names == sorted(on_disk(compiled).keys() - {"MANIFEST.sha256"})


@pytest.mark.parametrize("launch", ["local", "slurm"])
def test_the_readme_is_the_golden_one(launch: str, golden: Callable[[str, str], None]) -> None:
    files = tree(*named("recipe:sudoku", f"launch={launch}"))
    golden(f"tree/README-{launch}.txt", files["README.txt"].decode().replace(__version__, "VERSION"))


def test_the_readme_names_nothing_that_is_not_there_and_leaves_nothing_out(compiled: Path) -> None:
    text = (compiled / "README.txt").read_text(encoding="utf-8")
    files = on_disk(compiled)
    for name in files.keys() - {"README.txt"}:
        assert name.split("/")[0] in text, name
    assert "inputs/" not in text and "artefacts/submit.sh" in text


# --- comparing


def test_check_names_every_differing_missing_and_superfluous_file(tmp_path: Path) -> None:
    out = tmp_path / "out"
    assert call(tmp_path, "compile", "recipe:sudoku", "-o", "out").returncode == 0
    assert call(tmp_path, "compile", "recipe:sudoku", "-o", "out", "--check").stdout == "out: identical\n"
    (out / "plan.json").write_text("{}", encoding="utf-8")
    (out / "artefacts" / "run.sh").unlink()
    (out / "artefacts" / "mine.sh").write_text("", encoding="utf-8")
    (out / ".hidden").symlink_to("nowhere")
    before = on_disk(out)
    found = call(tmp_path, "compile", "recipe:sudoku", "-o", "out", "--check")
    assert found.returncode == 4
    assert [line.strip() for line in found.stderr.splitlines()[1:]] == [
        "differs: plan.json", "missing: artefacts/run.sh", "superfluous: .hidden", "superfluous: artefacts/mine.sh",
    ]  # fmt: skip
    document = json.loads(call(tmp_path, "compile", "recipe:sudoku", "-o", "out", "--check", "--json").stdout)
    assert (document["differs"], document["missing"]) == (["plan.json"], ["artefacts/run.sh"])
    assert document["superfluous"] == [".hidden", "artefacts/mine.sh"]
    assert on_disk(out) == before


def test_of_a_folder_that_is_not_there_everything_is_missing(tmp_path: Path) -> None:
    found = differences(FILES, tmp_path / "none")
    assert (found.differing, found.missing, found.superfluous) == ((), tuple(sorted(FILES)), ())


# --- writing


def test_a_tree_takes_the_place_of_an_earlier_one(tmp_path: Path) -> None:
    replace(MORE, tmp_path / "out")
    replace(FILES, tmp_path / "out")
    assert not differences(FILES, tmp_path / "out").lines()
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["MANIFEST.sha256", "a.txt", "sub"]


def test_folders_that_an_earlier_tree_leaves_empty_go(tmp_path: Path) -> None:
    replace(FILES, tmp_path / "out")
    replace({"MANIFEST.sha256": b"a" * 64 + b"  a.txt\n", "a.txt": b"one\n"}, tmp_path / "out")
    assert sorted(path.name for path in (tmp_path / "out").iterdir()) == ["MANIFEST.sha256", "a.txt"]


@pytest.mark.parametrize("foreign", ["notes.txt", "sub/mine.sh", "runs/store/x", "a.txt/inside"])
def test_a_folder_that_holds_other_things_is_refused_and_left_as_it_is(foreign: str, tmp_path: Path) -> None:
    (tmp_path / foreign).parent.mkdir(parents=True, exist_ok=True)
    (tmp_path / foreign).write_text("mine", encoding="utf-8")
    before = on_disk(tmp_path)
    with pytest.raises(EnvironmentProblem) as raised:
        replace(FILES, tmp_path)
    assert foreign in str(raised.value) and "give an empty or a new folder with -o" in str(raised.value)
    assert on_disk(tmp_path) == before


def test_other_things_beside_an_earlier_tree_are_refused_too(tmp_path: Path) -> None:
    replace(FILES, tmp_path)
    (tmp_path / "sub" / "mine.sh").write_text("mine", encoding="utf-8")
    with pytest.raises(EnvironmentProblem, match=r"sub/mine\.sh"):
        replace(MORE, tmp_path)
    assert not (tmp_path / "sub" / "b.txt").exists()


def test_a_manifest_of_somebody_else_claims_nothing(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "outside.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "out" / "MANIFEST.sha256").write_text("0" * 64 + "  ../outside.txt\n", encoding="utf-8")
    replace(FILES, tmp_path / "out")
    assert (tmp_path / "outside.txt").read_text(encoding="utf-8") == "mine"
    (tmp_path / "out" / "MANIFEST.sha256").write_bytes(b"\xff a list of my own\n")
    with pytest.raises(EnvironmentProblem):
        replace(FILES, tmp_path / "out")


def test_refusing_is_exit_6_without_a_traceback(tmp_path: Path) -> None:
    (tmp_path / "out").mkdir()
    (tmp_path / "out" / "mine.txt").write_text("mine", encoding="utf-8")
    (tmp_path / "file").write_text("mine", encoding="utf-8")
    for folder, said in (("out", "mine.txt"), ("file", "file is a file"), ("file/below", "cannot be written")):
        found = call(tmp_path, "compile", "recipe:sudoku", "-o", folder)
        assert found.returncode == 6 and said in found.stderr and "Traceback" not in found.stderr, found.stderr
    assert call(tmp_path, "compile", "recipe:sudoku", "-o", "file", "--check").returncode == 6


class PowerCut(BaseException):
    """What nobody can catch."""


@pytest.mark.parametrize(
    ("earlier", "new", "other"),
    [pytest.param(None, MORE, FILES, id="new"), pytest.param(FILES, MORE, FILES, id="more"), pytest.param(MORE, FILES, MORE, id="less")],
)
def test_a_write_that_is_cut_at_any_place_leaves_no_tree_that_counts_as_whole_and_the_next_one_mends_it(
    earlier: dict[str, bytes] | None, new: dict[str, bytes], other: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Cut before each change that a write makes to the folder: to the disk a kill at that moment looks the same."""
    cut_everywhere = 0
    for step in range(60):
        out = tmp_path / str(step)
        left = step // 2
        if earlier is not None:
            replace(earlier, out)

        def counted(name: str, original: Callable[..., object]) -> Callable[..., object]:
            def counting(*arguments: object, **more: object) -> object:
                nonlocal left
                left -= 1
                if left < 0:
                    raise PowerCut
                return original(*arguments, **more)

            return counting

        with monkeypatch.context() as patch:
            for owner, name in [(Path, "replace"), (Path, "unlink"), (Path, "rmdir"), (os, "fsync"), (writing.tempfile, "mkdtemp")]:
                patch.setattr(owner, name, counted(name, getattr(owner, name)))
            try:
                replace(new, out)
            except PowerCut:
                cut_everywhere += 1
            else:
                break
        assert differences(new, out).lines()
        manifest = out / "MANIFEST.sha256"
        if manifest.is_file() and manifest.read_bytes() == new["MANIFEST.sha256"]:
            # `sha256sum -c` would call it whole: then it is, but for what tells that the write did not end.
            assert all((out / name).read_bytes() == data for name, data in new.items())
        replace((new, other)[step % 2], out)
        assert not differences((new, other)[step % 2], out).lines()
    assert cut_everywhere > 16


def test_two_writes_at_once_do_not_disturb_each_other(tmp_path: Path) -> None:
    """What two `run`s of one plan do: the folder may also hold other things."""
    (tmp_path / "points").mkdir()
    (tmp_path / "points" / "x").write_text("mine", encoding="utf-8")
    children = []
    for _ in range(4):
        child = os.fork()
        if child == 0:
            try:
                for _ in range(20):
                    write(MORE, tmp_path)
                os._exit(0)
            finally:
                os._exit(1)
        children.append(child)
    assert [os.waitpid(child, 0)[1] for child in children] == [0] * 4
    found = differences(MORE, tmp_path)
    assert found.lines() == ["superfluous: points/x"]
