"""Names on a hub, and where the hub's client keeps what it downloaded: in the places where that client itself looks."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from dllm_run.specs.hub import HubId, cache_folder, hub_id, revised, snapshot
from dllm_run.specs.inputs import input_files, is_downloaded
from dllm_run.specs.plan import InputRecord

COMMIT = "0123456789abcdef0123456789abcdef01234567"
VARIABLES = ("HF_HUB_CACHE", "HUGGINGFACE_HUB_CACHE", "HF_HOME", "XDG_CACHE_HOME")


@pytest.mark.parametrize(
    ("locator", "parts"),
    [
        pytest.param("acme/tiny", HubId("acme/tiny", None), id="default branch"),
        pytest.param("acme/tiny@v1", HubId("acme/tiny", "v1"), id="tag"),
        pytest.param("acme/tiny@refs/pr/3", HubId("acme/tiny", "refs/pr/3"), id="pull request"),
        pytest.param("gpt2", HubId("gpt2", None), id="without an owner"),
    ],
)
def test_a_locator_is_a_name_and_a_revision(locator: str, parts: HubId) -> None:
    assert hub_id(locator) == parts
    assert revised(parts.name, parts.revision, "model") == locator


def test_only_what_is_on_a_hub_takes_a_revision() -> None:
    assert revised("./folder", "v1", "model") == "./folder"
    assert revised("rows.jsonl", "v1", "data") == "rows.jsonl"


@pytest.mark.parametrize(
    "environment",
    [
        pytest.param({}, id="nothing set"),
        pytest.param({"XDG_CACHE_HOME": "/x"}, id="cache"),
        pytest.param({"XDG_CACHE_HOME": "/x", "HF_HOME": "~/h"}, id="home"),
        pytest.param({"HF_HOME": "/h", "HUGGINGFACE_HUB_CACHE": "/old"}, id="old name"),
        pytest.param({"HF_HOME": "/h", "HUGGINGFACE_HUB_CACHE": "/old", "HF_HUB_CACHE": "$HOME/new"}, id="hub"),
    ],
)
def test_downloads_are_where_the_client_puts_them(environment: dict[str, str], monkeypatch: pytest.MonkeyPatch) -> None:
    for name in VARIABLES:
        monkeypatch.delenv(name, raising=False)
    for name, value in environment.items():
        monkeypatch.setenv(name, value)
    code = "from huggingface_hub.constants import HF_HUB_CACHE; print(HF_HUB_CACHE)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, env=dict(os.environ), check=True)
    assert str(cache_folder()) == done.stdout.strip()


@pytest.mark.parametrize("kind", ["models", "datasets"])
def test_the_files_of_a_record_are_those_that_it_names(kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    record = InputRecord(kind="hub", locator="acme/tiny@v1", revision=COMMIT, files={"sub/a.txt": "x", "b.txt": "y"})
    assert snapshot("acme/tiny@v1", COMMIT) is None and input_files(record, tmp_path) == []
    folder = tmp_path / f"{kind}--acme--tiny" / "snapshots" / COMMIT
    (folder / "sub").mkdir(parents=True)
    for name in ("b.txt", "code.py"):
        (folder / name).write_text(name)
    assert snapshot("acme/tiny@v1", COMMIT) == folder
    assert [file.name for file in input_files(record, tmp_path)] == ["b.txt"] and not is_downloaded(record, tmp_path)
    (folder / "sub" / "a.txt").write_text("a")
    assert [file.name for file in input_files(record, tmp_path)] == ["b.txt", "sub/a.txt"] and is_downloaded(record, tmp_path)
    assert not is_downloaded(InputRecord(kind="hub", locator="acme/tiny", revision=None, files={}), tmp_path)
