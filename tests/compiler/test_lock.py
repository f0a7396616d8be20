"""The lock: what inputs were, whether or not they are here, and what happened to them since."""

import hashlib
import json
from pathlib import Path

import pytest

from dllm_run.compiler.compile import Source, compile_spec
from dllm_run.compiler.lock import SCHEMA, Lock, fingerprint, lock_text, read_lock
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.plan import InputRecord

TEXT = b"""\
version: 1
name: locked
stages:
  words: {kind: tokenizer, vocab_size: 512, data: {sources: [./docs.txt]}}
"""


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    path = tmp_path / "docs.txt"
    path.write_text("one\n", encoding="utf-8")
    return path


def sha256(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def stage_ids(lock: Lock) -> list[str]:
    return list(compile_spec(Source(file="spec.yaml", data=TEXT), lock).plan.stages)


def test_a_record_holds_the_content_of_every_file(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "sub/c.txt", "sub/__pycache__/x.pyc", ".hidden"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).write_text(name, encoding="utf-8")
    folder = fingerprint("./in", "model", tmp_path)
    assert (folder.kind, folder.locator, folder.revision) == ("file", "./in", None)
    assert list(folder.files.items()) == [(name, sha256(name)) for name in ("a.txt", "b.txt", "sub/c.txt")]
    assert fingerprint("./in/*.txt", "data", tmp_path).files == {name: sha256(name) for name in ("a.txt", "b.txt")}
    assert fingerprint("./in/a.txt", "data", tmp_path).files == {"a.txt": sha256("a.txt")}


@pytest.mark.parametrize(
    ("locator", "what", "kind"),
    [
        pytest.param("./docs.txt", "data", "file", id="relative"),
        pytest.param("/data/docs", "data", "file", id="absolute"),
        pytest.param("docs.txt", "data", "file", id="by-its-ending"),
        pytest.param("docs/*.gz", "data", "file", id="glob"),
        pytest.param("allenai/tulu-3-sft-mixture", "data", "hub", id="hub-data"),
        pytest.param("GSAI-ML/LLaDA-8B-Base", "model", "hub", id="hub-model"),
        pytest.param("model.txt", "model", "hub", id="a-model-is-no-file-by-its-ending"),
        pytest.param("package:nowhere/x", "data", "package", id="package"),
    ],
)
def test_what_is_not_here_is_unresolved_and_its_kind_is_that_of_its_text(locator: str, what: str, kind: str, tmp_path: Path) -> None:
    record = fingerprint(locator, what, tmp_path)
    assert (record.kind, record.resolved, record.files) == (kind, False, {})


def test_a_package_input_has_a_version_where_its_distribution_has_one(tmp_path: Path) -> None:
    assert fingerprint("package:pytest/__init__.py", "data", tmp_path).revision == pytest.__version__
    assert fingerprint("package:json/decoder", "data", tmp_path).resolved
    assert fingerprint("package:json/decoder", "data", tmp_path).revision is None


def test_a_lock_file_reads_back_as_what_was_written(docs: Path, tmp_path: Path) -> None:
    records = [fingerprint("./docs.txt", "data", tmp_path), fingerprint("org/name", "data", tmp_path)]
    path = tmp_path / "spec.lock.json"
    path.write_text(lock_text(records), encoding="utf-8")
    assert read_lock(path) == {"./docs.txt": records[0]}, "what is unresolved is not locked"
    assert json.loads(lock_text(records))["schema"] == SCHEMA


def test_no_lock_file_locks_nothing(tmp_path: Path) -> None:
    assert read_lock(tmp_path / "none.lock.json") == {}


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("", "is not a lock file", id="empty"),
        pytest.param("{", "is not a lock file", id="no-json"),
        pytest.param("[]", "is not a lock file", id="a-list"),
        pytest.param("3", "is not a lock file", id="a-number"),
        pytest.param("{}", "is not a lock file", id="no-schema"),
        pytest.param('{"schema": "dllm-run/lock/9", "inputs": {}}', "this version reads dllm-run/lock/1", id="another-schema"),
        pytest.param('{"schema": "dllm-run/lock/1"}', "is not a lock file", id="no-inputs"),
        pytest.param('{"schema": "dllm-run/lock/1", "inputs": []}', "is not a lock file", id="inputs-no-map"),
        pytest.param('{"schema": "dllm-run/lock/1", "inputs": {"a": 3}}', "is not a lock file", id="record-no-map"),
        pytest.param('{"schema": "dllm-run/lock/1", "inputs": {"a": {"kind": "file"}}}', "is not a lock file", id="record-incomplete"),
        pytest.param(
            '{"schema": "dllm-run/lock/1", "inputs": {"a": {"kind": "file", "locator": "a", "revision": null, "files": 3}}}',
            "is not a lock file",
            id="files-no-map",
        ),
        pytest.param(
            '{"schema": "dllm-run/lock/1", "inputs": {"a": '
            '{"kind": "file", "locator": "a", "revision": null, "files": {}, "model_type": 3}}}',
            "is not a lock file",
            id="type-no-text",
        ),
        pytest.param("\udcff", "is not a lock file", id="no-text"),
    ],
)
def test_a_broken_lock_file_is_told_with_its_cure(text: str, says: str, tmp_path: Path) -> None:
    path = tmp_path / "spec.lock.json"
    path.write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(EnvironmentProblem, match=says) as caught:
        read_lock(path)
    assert "spec.lock.json" in str(caught.value) and "lock --update" in str(caught.value)


def test_what_is_locked_counts_even_where_the_input_is_not_here(docs: Path, tmp_path: Path) -> None:
    here = stage_ids(Lock(tmp_path))
    locked = {"./docs.txt": fingerprint("./docs.txt", "data", tmp_path)}
    docs.unlink()
    assert stage_ids(Lock(tmp_path, locked)) == here
    assert stage_ids(Lock(tmp_path)) != here


def test_what_is_locked_counts_even_where_the_input_changed(docs: Path, tmp_path: Path) -> None:
    here = stage_ids(Lock(tmp_path))
    locked = {"./docs.txt": fingerprint("./docs.txt", "data", tmp_path)}
    docs.write_text("two\n", encoding="utf-8")
    assert stage_ids(Lock(tmp_path, locked)) == here
    assert stage_ids(Lock(tmp_path)) != here


def test_drift_says_what_changed_and_what_is_gone(docs: Path, tmp_path: Path) -> None:
    record = fingerprint("./docs.txt", "data", tmp_path)
    lock = Lock(tmp_path, {"./docs.txt": record})
    assert lock.drift([record]) == []
    docs.write_text("two\n", encoding="utf-8")
    assert lock.drift([record]) == ["./docs.txt changed since the lock was written"]
    docs.unlink()
    assert lock.drift([record]) == ["./docs.txt is gone since the lock was written"]


def test_an_input_that_is_not_locked_cannot_drift(docs: Path, tmp_path: Path) -> None:
    record = fingerprint("./docs.txt", "data", tmp_path)
    docs.unlink()
    assert Lock(tmp_path).drift([record]) == []


def test_what_came_from_a_hub_drifts_where_it_is_not_or_is_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HF_HUB_CACHE", str(tmp_path))
    names = {"small.json": sha256("small"), "large.bin": sha256("large")}
    record = InputRecord(kind="hub", locator="acme/tiny", revision="0" * 40, files=names)
    lock = Lock(tmp_path, {"acme/tiny": record})
    assert lock.drift([record]) == ["acme/tiny is not downloaded here: `dllm-run fetch` does it"]
    folder = tmp_path / "models--acme--tiny" / "snapshots" / ("0" * 40)
    folder.mkdir(parents=True)
    for name in ("small", "large"):
        (folder / name).with_suffix(".json" if name == "small" else ".bin").write_text(name)
    assert lock.drift([record]) == []
    (folder / "small.json").write_text("other")
    assert lock.drift([record]) == ["acme/tiny: small.json is not what was downloaded: `dllm-run fetch` brings it anew"]
    assert Lock(tmp_path).drift([record]) == [], "what is not locked cannot drift"


HUB = b"""\
version: 1
name: borrowed
stages:
  look: {kind: sample, model: {from: acme/tiny, revision: v1}, prompts: [A], max_new_tokens: 8, sampler: llada}
"""


def test_a_revision_on_a_hub_is_an_input_of_its_own_and_its_content_is_what_counts(tmp_path: Path) -> None:
    def planned(records: list[InputRecord], *flags: str) -> tuple[list[str], list[str]]:
        lock = Lock(tmp_path, {record.locator: record for record in records})
        plan = compile_spec(Source(file="spec.yaml", data=HUB, flags=flags), lock).plan
        return list(plan.inputs), list(plan.stages)

    def record(locator: str, content: str) -> InputRecord:
        return InputRecord(kind="hub", locator=locator, revision=sha256(locator)[:40], files={"model.safetensors": sha256(content)})

    other = "stages.look.model.revision=v2"
    assert planned([])[0] == ["acme/tiny@v1"] and planned([], other)[0] == ["acme/tiny@v2"]
    assert planned([])[1] != planned([], other)[1], "unresolved, the name stands for the content"
    same, changed = [record("acme/tiny@v2", "weights")], [record("acme/tiny@v2", "other weights")]
    first = planned([record("acme/tiny@v1", "weights")])[1]
    assert planned(same, other)[1] == first != planned(changed, other)[1]


def test_an_input_is_read_once_a_compilation(docs: Path, tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    assert lock.record("./docs.txt", "data") is lock.record("./docs.txt", "data")


def test_an_input_that_cannot_be_read_is_told(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "docs.txt").write_text("one\n", encoding="utf-8")

    def refuse(path: Path) -> str:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("dllm_run.compiler.lock.sha256_of", refuse)
    with pytest.raises(EnvironmentProblem, match=r"docs\.txt cannot be read: Permission denied"):
        fingerprint("./docs.txt", "data", tmp_path)
