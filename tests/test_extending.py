"""docs/extending.md: its diffs apply to this checkout and do what they say, and so does its file of words."""

import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
TEXT = (ROOT / "docs" / "extending.md").read_text(encoding="utf-8")
PARTS = ("specs", "compiler", "runtime", "launchers", "src", "tests", "pyproject.toml", "docs", "README.md")


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", TEXT, re.DOTALL)


def run(command: list[str], folder: Path) -> subprocess.CompletedProcess[str]:
    environment = {"PYTHONPATH": str(folder / "src"), "PATH": str(Path(sys.executable).parent) + ":/usr/bin:/bin", "HOME": str(folder)}
    return subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, check=False)


def added(diff: str) -> list[str]:
    """The files that a diff makes; it changes none that is there."""
    assert "\n--- a/" not in diff
    return re.findall(r"^\+\+\+ b/(.*)$", diff, re.MULTILINE)


def test_each_addition_is_one_class_one_implementation_and_one_test() -> None:
    objective, family = (added(diff) for diff in blocks("diff"))
    assert objective == ["runtime/objectives/any_order.py", "specs/vocabulary/objectives/any_order.py", "tests/runtime/test_any_order.py"]
    assert family == ["specs/vocabulary/families/olmo2.py", "tests/runtime/test_olmo2.py"], "its implementation is that of all stock ones"


@pytest.mark.slow
def test_the_diffs_apply_and_what_they_bring_passes_its_tests_and_those_of_the_house(tmp_path: Path) -> None:
    for name in PARTS:
        source = ROOT / name
        if source.is_dir():
            shutil.copytree(source, tmp_path / name, symlinks=True, ignore=shutil.ignore_patterns("__pycache__", "golden", "benchmarks"))
        else:
            shutil.copy(source, tmp_path / name)
    for index, diff in enumerate(blocks("diff")):
        (tmp_path / f"{index}.diff").write_text(diff, encoding="utf-8")
        applied = run(["git", "apply", f"{index}.diff"], tmp_path)
        assert applied.returncode == 0, applied.stderr
    tests = [name for diff in blocks("diff") for name in added(diff) if name.startswith("tests/")]
    done = run([sys.executable, "-m", "pytest", "-q", *tests, "tests/test_house.py"], tmp_path)
    assert done.returncode == 0, done.stdout
    spec = (tmp_path / "src" / "dllm_run" / "specs" / "recipes" / "sudoku.yaml").read_text(encoding="utf-8")
    changed = re.sub(r"objective: .*", "objective: {type: any_order, fewest: 0}", spec).replace("family: llama", "family: olmo2")
    (tmp_path / "spec.yaml").write_text(changed, encoding="utf-8")
    told = run([sys.executable, "-m", "dllm_run.cli.main", "validate", "spec.yaml"], tmp_path)
    assert told.returncode == 3 and "fewest" in told.stdout + told.stderr


def test_words_of_a_file_beside_the_spec_train_a_model(tmp_path: Path) -> None:
    (words,), (spec,) = blocks("python"), blocks("yaml")
    (tmp_path / "my_words.py").write_text(words, encoding="utf-8")
    (tmp_path / "spec.yaml").write_text(spec, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "dllm_run.cli.main", "spec.yaml", "-q"], cwd=tmp_path, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr
    (model,) = tmp_path.glob("runs/store/*/model/config.json")
    assert '"model_type": "olmo2"' in model.read_text(encoding="utf-8")
