"""Fetching from a hub: the real client against a small hub of our own."""

import hashlib
import json
import os
import random
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from hub_server import Hub, Repository, serving

SPEC = """\
version: 1
name: borrowed
model: {from: acme/tiny}
stages:
  look: {kind: sample, prompts: [A], max_new_tokens: 8, sampler: {type: llada, steps: 8}}
"""
WEIGHTS = random.Random(5).randbytes(300_000)
READ = {
    "config.json": b'{"model_type": "llama"}\n',
    "model.safetensors": WEIGHTS,
    "tokenizer.json": b"{}\n",
    "tokenizer.model": b"pieces",
    "merges.txt": b"a b\n",
    "chat_template.jinja": b"{{ messages }}",
}
NOT_READ = {
    "modeling_tiny.py": b"raise SystemExit\n",
    "README.md": b"# tiny\n",
    "pytorch_model.bin": b"pickled",
    "training_args.bin": b"pickled",
    "consolidated.safetensors": b"the same weights once more",
    "model.onnx": b"onnx",
    "tf_model.h5": b"h5",
    "flax_model.msgpack": b"msgpack",
    "original/params.json": b"{}",
}


class Place(NamedTuple):
    """A folder with a spec, a hub, and the command between them."""

    path: Path
    hub: Hub
    tiny: Repository

    def call(self, *words: str, **environment: str) -> subprocess.CompletedProcess[str]:
        """The command in a process of its own: the client reads its environment once, when it is loaded."""
        kept = {key: value for key, value in os.environ.items() if not key.startswith(("HF_", "HUGGING", "XDG_")) and "proxy" not in key}
        ours = {"HF_ENDPOINT": self.hub.url, "HF_HOME": str(self.path / "home"), "HF_HUB_DISABLE_XET": "1", "HF_HUB_DISABLE_TELEMETRY": "1"}
        return subprocess.run(
            [sys.executable, "-m", "dllm_run.cli.main", *words],
            cwd=self.path, capture_output=True, text=True, env={**kept, **ours, "NO_COLOR": "1", "COLUMNS": "300", **environment},
        )  # fmt: skip

    def fetch(self, *words: str, **environment: str) -> dict[str, Any]:
        """The document of a fetch that went well."""
        done = self.call("fetch", "spec.yaml", "--json", *words, **environment)
        assert done.returncode == 0, done.stdout + done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return found

    def refused(self, *words: str, **environment: str) -> str:
        """What a fetch says that goes wrong here, not by a mistake of ours."""
        done = self.call("fetch", "spec.yaml", *words, **environment)
        assert done.returncode == 6, done.stdout + done.stderr
        assert "Traceback" not in done.stderr
        return done.stderr

    @property
    def locked(self) -> dict[str, Any]:
        """What the lock beside the spec holds."""
        found: dict[str, Any] = json.loads((self.path / "spec.lock.json").read_text())["inputs"]
        return found

    def stage_ids(self, *words: str) -> list[str]:
        """As a plan has them."""
        done = self.call("plan", "spec.yaml", "--json", *words)
        return [stage["id"] for stage in json.loads(done.stdout)["stages"]]


@pytest.fixture
def place(tmp_path: Path) -> Iterator[Place]:
    (tmp_path / "spec.yaml").write_text(SPEC)
    tiny = Repository()
    tiny.commit({**READ, **NOT_READ})
    with serving(Hub(repositories={"models/acme/tiny": tiny})) as hub:
        yield Place(tmp_path, hub, tiny)


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


# --- what is fetched, and what is written down of it


def test_weights_in_one_format_configuration_and_tokenizer_are_fetched_and_code_never(place: Place) -> None:
    (found,) = place.fetch()["inputs"]
    commit = place.tiny.branches["main"]
    assert found["files"] == sorted(READ) and sorted(place.hub.downloads) == sorted(READ)
    assert (found["locator"], found["revision"], found["bytes"]) == ("acme/tiny", commit, sum(map(len, READ.values())))
    assert place.locked["acme/tiny"] == {
        "kind": "hub", "locator": "acme/tiny", "revision": commit, "files": {name: sha256(data) for name, data in sorted(READ.items())},
        "model_type": "llama",
    }  # fmt: skip
    folder = place.path / "home" / "hub" / "models--acme--tiny" / "snapshots" / commit
    assert Path(found["folder"]) == folder and (folder / "model.safetensors").read_bytes() == WEIGHTS


def test_pickled_weights_are_fetched_only_where_there_are_no_others(place: Place) -> None:
    place.tiny.commit({name: data for name, data in {**READ, **NOT_READ}.items() if not name.endswith(".safetensors")})
    (found,) = place.fetch()["inputs"]
    assert "pytorch_model.bin" in found["files"] and "training_args.bin" not in found["files"]


def test_a_second_fetch_asks_nothing_and_says_so(place: Place) -> None:
    place.fetch()
    asked = len(place.hub.requests)
    done = place.call("fetch", "spec.yaml")
    assert done.returncode == 0 and "nothing to download" in done.stdout
    assert len(place.hub.requests) == asked


def test_a_file_that_broke_on_this_disk_is_fetched_anew(place: Place) -> None:
    (found,) = place.fetch()["inputs"]
    weights = Path(found["folder"]) / "model.safetensors"
    weights.resolve().write_bytes(b"x" * len(WEIGHTS))
    asked = len(place.hub.downloads)
    place.fetch()
    assert weights.read_bytes() == WEIGHTS and place.hub.downloads[asked:] == ["model.safetensors"]


def test_validate_plan_and_compile_never_ask_a_hub(place: Place) -> None:
    before = place.stage_ids()
    for words in (
        ["validate", "spec.yaml"],
        ["plan", "spec.yaml"],
        ["compile", "spec.yaml", "-o", "out"],
        ["diff", "spec.yaml", "spec.yaml"],
    ):
        assert place.call(*words).returncode == 0
    assert place.hub.requests == []
    place.fetch()
    asked = len(place.hub.requests)
    assert place.stage_ids() != before, "with a lock the content counts"
    assert len(place.hub.requests) == asked


ROWS = """\
version: 1
name: rows
data:
  rows: {sources: [{path: acme/rows, split: test}, {path: acme/rows, config: two}], max_length: 16}
stages:
  train:
    kind: pretrain
    model: {scratch: {family: llama, layers: 1, width: 8}, tokenizer: bytes}
    data: ${data.rows}
    objective: mdlm
    batch: 2
    optimizer: {learning_rate: 1e-3}
    duration: 1 steps
    compute: {threads: 1}
"""
README = b"""---
configs:
- config_name: one
  default: true
  data_files:
  - {split: train, path: one/train.jsonl}
  - {split: test, path: "one/te*.jsonl"}
- config_name: two
  data_files: "two/*.csv"
---
# Rows
"""


def test_a_data_set_is_fetched_without_its_code_and_read_as_its_description_says(place: Place) -> None:
    rows = {
        "README.md": README,
        "one/train.jsonl": b'{"text": "never read"}\n',
        "one/test.jsonl": b'{"text": "of test"}\n',
        "two/a.csv": b"text\nof two\n",
        "load.py": b"raise SystemExit\n",
    }
    place.hub.repositories["datasets/acme/rows"] = Repository()
    place.hub.repositories["datasets/acme/rows"].commit(rows)
    (place.path / "spec.yaml").write_text(ROWS)
    done = place.call("run", "spec.yaml", "-q")
    assert done.returncode == 0, done.stdout + done.stderr
    assert sorted(place.hub.downloads) == sorted(set(rows) - {"load.py"})
    read = {name: sha256(data) for name, data in sorted(rows.items()) if name != "load.py"}
    assert place.locked["acme/rows"]["files"] == read
    (table,) = place.path.glob("runs/store/*/data/train.arrow")
    assert b"".join(bytes([ord(letter), 0, 0, 0]) for letter in "of test") in table.read_bytes()
    assert b"".join(bytes([ord(letter), 0, 0, 0]) for letter in "of two") in table.read_bytes()
    assert b"".join(bytes([ord(letter), 0, 0, 0]) for letter in "never") not in table.read_bytes()


# --- revisions


def test_a_branch_is_locked_as_the_commit_that_it_was_until_an_update_takes_the_new_one(place: Place) -> None:
    old = place.tiny.commit(READ, "v1")
    (found,) = place.fetch("-s", "model.revision=v1")["inputs"]
    assert (found["locator"], found["revision"]) == ("acme/tiny@v1", old)
    ids = place.stage_ids("-s", "model.revision=v1")
    new = place.tiny.commit({**READ, "model.safetensors": WEIGHTS[::-1]}, "v1")
    (found,) = place.fetch("-s", "model.revision=v1")["inputs"]
    assert (found["revision"], found["downloaded"]) == (old, 0) and place.stage_ids("-s", "model.revision=v1") == ids
    done = place.call("lock", "spec.yaml", "--update", "-s", "model.revision=v1")
    assert done.returncode == 0, done.stderr
    assert place.locked["acme/tiny@v1"]["revision"] == new
    assert place.locked["acme/tiny@v1"]["files"]["model.safetensors"] == sha256(WEIGHTS[::-1])
    assert place.stage_ids("-s", "model.revision=v1") != ids


def test_a_locked_commit_is_fetched_where_it_is_not_though_its_branch_moved(place: Place) -> None:
    place.fetch()
    before = place.locked
    place.tiny.commit({**READ, "model.safetensors": b"others"})
    (found,) = place.fetch(HF_HOME=str(place.path / "elsewhere"))["inputs"]
    assert place.locked == before and found["revision"] == before["acme/tiny"]["revision"] and found["downloaded"] == found["bytes"]


def test_the_same_content_is_the_same_stage_by_whatever_revision_it_was_named(place: Place) -> None:
    commit = place.tiny.branches["main"]
    place.fetch("-s", f"model.revision={commit}")
    place.fetch()
    assert place.stage_ids("-s", f"model.revision={commit}") == place.stage_ids()
    assert set(place.locked) == {"acme/tiny", f"acme/tiny@{commit}"}, "what other flags have locked stays locked"


def test_what_finished_stages_alone_read_is_not_fetched(place: Place) -> None:
    (stage,) = place.stage_ids()
    entry = place.path / "runs" / "store" / stage
    (entry / "attempts" / "1").mkdir(parents=True)
    (entry / "DONE").write_text("{}")
    assert place.fetch()["inputs"] == [] and place.hub.requests == []
    assert len(place.fetch("--runs", "others")["inputs"]) == 1


# --- what goes wrong


def test_a_name_that_is_nowhere_is_answered_with_the_nearest_of_the_hub_and_of_what_is_published(place: Place) -> None:
    said = place.refused("-s", "model.from=acme/tinny")
    assert f"there is no model acme/tinny on {place.hub.url}" in said and "hf auth login" in said
    place.hub.repositories["models/acme/tinny-base"] = place.tiny
    assert "did you mean acme/tinny-base?" in place.refused("-s", "model.from=acme/tinny")
    assert "did you mean GSAI-ML/LLaDA-8B-Base" in place.refused("-s", "model.from=GSAI-ML/LLaDA-8B-Bas")


def test_gated_weights_say_where_to_accept_and_how_to_log_in(place: Place) -> None:
    place.tiny.gated = True
    said = place.refused()
    assert f"{place.hub.url}/acme/tiny" in said and "`hf auth login`" in said
    said = place.refused(HF_TOKEN="hf_another")
    assert "your token has no access" in said and "hf_another" not in said
    place.fetch(HF_TOKEN=place.hub.token)


def test_a_revision_that_is_not_there_is_answered_with_the_nearest_or_with_all(place: Place) -> None:
    place.tiny.tags["v1.0"] = place.tiny.branches["main"]
    assert "acme/tiny has no revision v1.O: did you mean v1.0?" in place.refused("-s", "model.revision=v1.O")
    assert "branches and tags are main, v1.0" in place.refused("-s", "model.revision=quantised")


def test_two_bad_inputs_are_told_together_and_nothing_is_downloaded(place: Place) -> None:
    other = "stages.again={kind: sample, model: {from: acme/tiny, revision: nope}, prompts: [A], max_new_tokens: 8, sampler: llada}"
    third = "stages.third={kind: sample, model: {from: acme/tiny}, prompts: [A], max_new_tokens: 8, sampler: llada}"
    said = place.refused("-s", "model.from=acme/absent", "-s", other, "-s", third)
    assert "there is no model acme/absent" in said and "acme/tiny has no revision nope" in said
    assert place.hub.downloads == [] and not (place.path / "spec.lock.json").exists()


def test_a_download_that_breaks_goes_on_where_it_broke(place: Place) -> None:
    piece = 10 << 20  # what the client writes at once
    weights = random.Random(6).randbytes(piece * 5 // 2)
    place.tiny.commit({**READ, "model.safetensors": weights})
    place.hub.cut["model.safetensors"] = 1
    (found,) = place.fetch()["inputs"]
    first, second = place.hub.asked("GET", "model.safetensors")
    assert "range" not in first and second["range"] == f"bytes={piece}-"
    assert (Path(found["folder"]) / "model.safetensors").read_bytes() == weights


def test_bytes_that_are_not_those_of_the_hub_are_refused_and_do_not_stay(place: Place) -> None:
    place.hub.altered = {"model.safetensors", "config.json"}
    assert "config.json is not what the hub says it is" in place.refused()
    place.hub.altered = {"model.safetensors"}
    assert "model.safetensors is not what the hub says it is" in place.refused()
    assert not list((place.path / "home").rglob("model.safetensors"))
    place.hub.altered = set()
    place.fetch()


def test_files_that_are_whole_stay_when_a_later_one_fails(place: Place) -> None:
    place.hub.altered = {"tokenizer.json"}
    place.refused()
    place.hub.altered, done = set(), len(place.hub.downloads)
    place.fetch()
    assert "model.safetensors" not in place.hub.downloads[done:] and "tokenizer.json" in place.hub.downloads[done:]


@pytest.mark.parametrize(
    ("status", "says"),
    [
        pytest.param(503, "answers 503", id="down"),
        pytest.param(429, "too many requests", id="too many requests"),
        pytest.param(403, "your token may not read it", id="forbidden"),
    ],
)
def test_a_hub_that_refuses_is_told_with_what_to_do(status: int, says: str, place: Place) -> None:
    place.hub.status = status
    assert says in place.refused()


def test_no_network_and_no_wish_for_it_say_what_to_do(place: Place) -> None:
    said = place.refused(HF_HUB_OFFLINE="1")
    assert "HF_HUB_OFFLINE" in said and "dllm-run fetch SPEC" in said and "give a folder" in said
    assert place.hub.requests == []
    said = place.refused(HF_ENDPOINT="http://127.0.0.1:9")
    assert "the connection to http://127.0.0.1:9 failed" in said and "give a folder" in said
    for verb in ("run", "lock"):
        done = place.call(verb, "spec.yaml", HF_HUB_OFFLINE="1")
        assert done.returncode == 6 and "HF_HUB_OFFLINE" in done.stderr and "Traceback" not in done.stderr


@pytest.mark.parametrize("name", ["a/b/c", "acme/ti ny", "-acme/tiny"])
def test_what_can_be_no_id_is_told_without_asking(name: str, place: Place) -> None:
    assert "is no id that a hub can have" in place.refused("-s", f"model.from={name}")
    assert place.hub.requests == []


def test_a_repository_without_weights_is_refused(place: Place) -> None:
    place.tiny.commit({"README.md": b"# empty\n", "model.gguf": b"GGUF", "config.json": b"{}"})
    assert "holds nothing that is read here" in place.refused()


def test_a_disk_without_room_is_told_before_anything_is_downloaded(place: Place, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("huggingface_hub")
    from dllm_run.cli import hub
    from dllm_run.specs.errors import EnvironmentProblem

    monkeypatch.setattr("shutil.disk_usage", lambda path: type("Usage", (), {"free": 1_000_000_000})())
    monkeypatch.setenv("HF_HOME", str(place.path / "home"))
    file = hub.RemoteFile(name="model.safetensors", size=16_100_000_000, sha256=None, blob=None)
    found = hub.Found(locator="acme/large", what="model", commit="0" * 40, files=(file,))
    with pytest.raises(EnvironmentProblem, match=r"16\.1 GB are to be downloaded .* 1\.0 GB are free: .*HF_HOME"):
        hub.check_space([found])


def test_what_is_on_no_hub_and_not_here_is_told_too(place: Place) -> None:
    other = "stages.grid={kind: sample, model: {from: ./mine}, prompts: [A], max_new_tokens: 8, sampler: llada}"
    done = place.call("fetch", "spec.yaml", "-s", other)
    assert done.returncode == 6 and "./mine: no such file" in done.stderr
    assert "acme/tiny" in done.stdout, "what could be fetched was"


# --- afterwards, without a network


def test_a_run_on_a_machine_without_the_files_says_how_they_come_here(place: Place) -> None:
    place.fetch()
    done = place.call("run", "spec.yaml", HF_HOME=str(place.path / "empty"), HF_HUB_OFFLINE="1")
    assert done.returncode == 6 and "dllm-run fetch SPEC" in done.stderr
    plan = place.call("plan", "spec.yaml", HF_HOME=str(place.path / "empty"))
    assert "needs acme/tiny from a hub: not downloaded here" in plan.stdout and "blocked" not in plan.stdout
    assert place.call("lock", "spec.yaml", HF_HOME=str(place.path / "empty"), HF_HUB_OFFLINE="1").returncode == 0, "it is locked already"


TRAIN = """\
version: 1
name: continued
model: {from: acme/tiny, revision: v1}
stages:
  train:
    kind: pretrain
    data: {sources: [./docs.txt], max_length: 16, packing: cut}
    objective: mdlm
    batch: 2
    optimizer: {learning_rate: 1e-3}
    duration: 2 steps
    compute: {threads: 1}
"""


def made_model(folder: Path) -> dict[str, bytes]:
    """The files of a stock Llama with a tokenizer of bytes."""
    from transformers import LlamaConfig, LlamaForCausalLM

    from dllm_run.runtime.tokenizers import from_word
    from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes

    tokens = from_word(Bytes(), folder)
    tokens.fast.save_pretrained(folder)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 2}
    LlamaForCausalLM(LlamaConfig(vocab_size=tokens.size, max_position_embeddings=64, **sizes)).save_pretrained(folder)
    return {path.name: path.read_bytes() for path in folder.iterdir()}


@pytest.mark.slow
def test_what_was_fetched_is_trained_without_a_network(tmp_path: Path) -> None:
    (tmp_path / "made").mkdir()
    (tmp_path / "spec.yaml").write_text(TRAIN)
    (tmp_path / "docs.txt").write_text("some words, and some more of them. " * 8)
    tiny = Repository()
    tiny.commit(made_model(tmp_path / "made"), "v1")
    with serving(Hub(repositories={"models/acme/tiny": tiny})) as hub:
        place = Place(tmp_path, hub, tiny)
        place.fetch()
    done = place.call("run", "spec.yaml", "-q", HF_HUB_OFFLINE="1")
    assert done.returncode == 0, done.stdout + done.stderr
    assert len(list(tmp_path.glob("runs/store/*/DONE"))) == 2
    # From the tree alone, as a cluster runs it, where the files are not: the runtime says how they come there.
    data = place.stage_ids()[0]
    (plan,) = tmp_path.glob("runs/continued/*/plan.json")
    words = [sys.executable, "-m", "dllm_run.runtime", str(plan), data, "--runs", str(tmp_path / "third"), "--base", str(tmp_path)]
    found = subprocess.run(words, capture_output=True, text=True, env={**os.environ, "HF_HOME": str(tmp_path / "empty")})
    (status,) = tmp_path.glob("third/store/*/attempts/1/status.json")
    assert found.returncode != 0 and "acme/tiny@v1 is not downloaded here: `dllm-run fetch SPEC`" in status.read_text()
