"""What tests of the command line share."""

from pathlib import Path

import pytest
from made_runs import Folder

from dllm_run.cli.main import main
from dllm_run.specs.store import Runs


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Folder:
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "200")
    monkeypatch.setenv("NO_COLOR", "1")

    def said(*words: str) -> tuple[int, str]:
        capsys.readouterr()
        code = main(words)
        out = capsys.readouterr()
        return code, out.out + out.err

    (tmp_path / "docs.txt").write_text("A text.\nAnother text.\nA third.\n", encoding="utf-8")
    found = Folder(tmp_path, Runs(Path("runs")), said)
    found.write()
    return found
