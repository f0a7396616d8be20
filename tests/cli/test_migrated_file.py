"""`migrate`: what it prints and writes, and when it writes nothing."""

import json
import os
from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import SPEC, Folder

from dllm_run.cli import migrate

OLD = SPEC.replace("version: 1\n", "# Small.\n").replace("{learning_rate", "{lr").replace("duration: 100 steps", "max_steps: 100  # short")
NEW = SPEC.replace("version: 1\n", "# Small.\nversion: 1\n").replace("100 steps", "100 steps  # short")


def test_the_difference_is_printed_and_written(folder: Folder, golden: Callable[[str, str], None]) -> None:
    folder.write(OLD)
    code, out = folder.said("migrate", "spec.yaml")
    assert code == 0
    assert Path("spec.yaml").read_text(encoding="utf-8") == NEW
    golden("migrate/old.diff", out)
    assert folder.said("migrate", "spec.yaml") == (0, "spec.yaml: version 1, nothing to change\n")
    assert sorted(path.name for path in Path().iterdir()) == ["docs.txt", "spec.yaml"]


def test_check_writes_nothing(folder: Folder) -> None:
    folder.write(OLD)
    code, out = folder.said("migrate", "spec.yaml", "--check")
    assert code == 4
    assert out.endswith("spec.yaml: version 1, 3 changes to make (--check wrote nothing)\n")
    assert Path("spec.yaml").read_text(encoding="utf-8") == OLD
    folder.write(NEW)
    assert folder.said("migrate", "spec.yaml", "--check")[0] == 0


def test_what_remains_is_told_by_the_new_places(folder: Folder, golden: Callable[[str, str], None]) -> None:
    folder.write(OLD.replace("steps: 32", "steps: 33, guidance_scale: 1.0").rstrip("\n"))
    code, out = folder.said("migrate", "spec.yaml")
    assert code == 0
    golden("migrate/remaining.diff", out)


def test_a_newer_version_is_refused_and_nothing_is_changed(folder: Folder) -> None:
    text = OLD.replace("name:", "version: 2\nname:")
    folder.write(text)
    code, out = folder.said("migrate", "spec.yaml")
    assert code == 3
    assert "error[E103] version must be 1, not 2" in out and "update dllm-run" in out and "unknown key" not in out
    assert Path("spec.yaml").read_text(encoding="utf-8") == text


def test_the_document_says_what_changed_and_what_remains(folder: Folder) -> None:
    folder.write(OLD.replace("steps: 32", "steps: 33"))
    code, out = folder.said("migrate", "spec.yaml", "--json", "--check")
    found = json.loads(out)
    assert code == 4
    assert (found["schema"], found["file"]) == ("dllm-run/migrate/1", "spec.yaml")
    assert found["changed"] == [
        {"path": "version", "line": 2, "old": "", "new": "version: 1"},
        {"path": "stages.train.optimizer.learning_rate", "line": 13, "old": "lr", "new": "learning_rate"},
        {"path": "stages.train.duration", "line": 14, "old": "max_steps: 100", "new": "duration: 100 steps"},
    ]
    assert [(item["code"], item["severity"], item["line"]) for item in found["remaining"] if item["severity"] == "error"] != []


def test_a_file_that_changed_meanwhile_is_left_alone(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(OLD)
    real = migrate._remaining

    def slow(*arguments: migrate.Named | migrate.Migrated) -> object:
        Path("spec.yaml").write_text("mine\n")
        return real(*arguments)  # type: ignore[arg-type]  # passed on as it came

    monkeypatch.setattr(migrate, "_remaining", slow)
    code, out = folder.said("migrate", "spec.yaml")
    assert (code, "was changed while" in out) == (6, True)
    assert Path("spec.yaml").read_text() == "mine\n"
    assert sorted(path.name for path in Path().iterdir()) == ["docs.txt", "spec.yaml"]


def test_line_ends_mode_and_links_stay(folder: Folder) -> None:
    Path("real").mkdir()
    target = Path("real/spec.yaml")
    target.write_bytes(OLD.replace("\n", "\r\n").encode())
    target.chmod(0o640)
    Path("spec.yaml").unlink()
    Path("spec.yaml").symlink_to("real/spec.yaml")
    assert folder.said("migrate", "spec.yaml")[0] == 0
    assert Path("spec.yaml").is_symlink() and target.read_bytes() == NEW.replace("\n", "\r\n").encode()
    assert target.stat().st_mode & 0o777 == 0o640


def test_a_folder_that_cannot_be_written_is_an_environment_problem(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(OLD)

    def full(_: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full)
    code, out = folder.said("migrate", "spec.yaml")
    assert (code, out.splitlines()[-1]) == (
        6,
        "dllm-run: spec.yaml cannot be written: the disk is full; make room, and what is done goes on from where it is",
    )
    assert Path("spec.yaml").read_text(encoding="utf-8") == OLD
    assert sorted(path.name for path in Path().iterdir()) == ["docs.txt", "spec.yaml"]


@pytest.mark.parametrize(("name", "code"), [("recipe:sudoku", 6), ("nothing.yaml", 5), (".", 5)])
def test_what_is_no_file_of_the_user_is_refused(folder: Folder, name: str, code: int) -> None:
    assert folder.said("migrate", name)[0] == code


def test_a_text_that_is_no_yaml_is_refused(folder: Folder) -> None:
    folder.write("name: [x\n")
    code, out = folder.said("migrate", "spec.yaml")
    assert code == 3 and "E101" in out
