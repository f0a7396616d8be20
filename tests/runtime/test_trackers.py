"""Trackers: what they hold is what the JSON lines hold, and an attempt that goes on belongs to the same run."""

import importlib.util
import json
from pathlib import Path
from typing import Any

import pytest
from runtime_toys import compiled, context_of, run_stage

from dllm_run.runtime.context import Context
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.trackers import Tracked
from dllm_run.runtime.trackers.wandb import build
from dllm_run.runtime.tracking import tracked
from dllm_run.runtime.train import train
from dllm_run.runtime.world import World
from dllm_run.specs.plan import Plan
from dllm_run.specs.vocabulary.trackers.wandb import Wandb

SPEC = """
version: 1
name: toy
model: {scratch: {family: llama, layers: 1, width: 32, heads: 2, positions: 64}, tokenizer: characters}
stages:
  train:
    kind: pretrain
    data: {sources: [./texts.jsonl], holdout: 2 rows, max_length: 20}
    objective: mdlm
    batch: 2
    optimizer: {learning_rate: 1e-2}
    duration: 4 steps
    evaluate: {every: 2 steps}
    checkpoint: {every: 2 steps}
compute: {threads: 1}
"""


def here(package: str) -> pytest.MarkDecorator:
    return pytest.mark.skipif(importlib.util.find_spec(package) is None, reason=f"{package} is not here: pip install 'dllm-run[{package}]'")


TENSORBOARD, WANDB = here("tensorboard"), here("wandb")


def prepared(folder: Path, log: str) -> Plan:
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": f"some words {index}"}) + "\n" for index in range(8)), encoding="utf-8")
    plan = compiled(folder, SPEC + f"log: {log}\n")
    run_stage(plan, "train.data", folder)
    return plan


def stopped_and_resumed(plan: Plan, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Context:
    """Killed in the third step, after a checkpoint in the second; what the third told first was another loss."""
    first = context_of(plan, "train", folder)
    told = Context.metric

    def dying(self: Context, step: int, values: dict[str, float]) -> None:
        told(self, step, {**values, "loss": 99.0} if step == 3 else values)
        if step == 3:
            raise KeyboardInterrupt

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(Context, "metric", dying)
        train(first)
    second = context_of(plan, "train", folder)
    train(second)
    return second


def lines(context: Context) -> list[dict[str, Any]]:
    return [json.loads(line) for line in context.attempt.metrics.read_text(encoding="utf-8").splitlines()]


@TENSORBOARD
def test_event_files_hold_what_the_json_lines_hold_each_step_once(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = prepared(tmp_path, "[tensorboard]")
    context = stopped_and_resumed(plan, tmp_path, monkeypatch)
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    folder = context.entry.path / "attempts" / "tensorboard"
    assert len(list(folder.glob("events.out.tfevents.*"))) == 2
    read = EventAccumulator(str(folder)).Reload()
    losses = [(event.step, event.value) for event in read.Scalars("loss")]
    known = {line["step"]: line["loss"] for attempt in (1, 2) for line in _of(context, attempt) if "loss" in line}
    assert [step for step, _ in losses] == [1, 2, 3, 4]
    assert [value for _, value in losses] == pytest.approx([known[step] for step in range(1, 5)])
    assert [event.step for event in read.Scalars("bound")] == [2, 4]
    assert {"loss", "bound", "learning_rate", "grad_norm", "tokens_per_second"} <= set(read.Tags()["scalars"])


def _of(context: Context, attempt: int) -> list[dict[str, Any]]:
    text = context.entry.attempt(attempt).metrics.read_text(encoding="utf-8")
    return [json.loads(line) for line in text.splitlines()]


@WANDB
@pytest.mark.slow
def test_an_offline_run_of_wandb_has_one_id_whatever_interrupts_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("WANDB_DATA_DIR", "WANDB_CACHE_DIR", "WANDB_CONFIG_DIR"):
        monkeypatch.setenv(name, str(tmp_path / "wandb-own"))
    monkeypatch.setenv("WANDB_MODE", "online")  # the spec says offline
    plan = prepared(tmp_path, "[{type: wandb, project: mine}]")
    context = stopped_and_resumed(plan, tmp_path, monkeypatch)
    runs = sorted((context.entry.path / "attempts" / "wandb").glob("offline-run-*"))
    assert [folder.name.rpartition("-")[2] for folder in runs] == 2 * [context.stage_id]
    files = [next(folder.glob("*.wandb")) for folder in runs]
    assert [file.name for file in files] == 2 * [f"run-{context.stage_id}.wandb"]
    for file in files:
        content = file.read_bytes()
        assert plan.run_id.encode() in content and b"mine" in content and b"tokens_per_second" in content


class _Refusing:
    """Stands for the library, whose own error is what a login that is missing gives."""

    class errors:  # named as there
        class Error(Exception):
            pass

    @staticmethod
    def Settings(**settings: Any) -> dict[str, Any]:  # named as there
        return settings

    def __init__(self) -> None:
        self.asked: dict[str, Any] = {}

    def init(self, **asked: Any) -> Any:
        self.asked = asked
        raise self.errors.Error("api_key not configured (no-tty).\nCall wandb.login")


def test_what_wandb_refuses_is_a_sentence_and_it_is_asked_for_the_same_run(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    library = _Refusing()
    monkeypatch.setattr("dllm_run.runtime.trackers.wandb.importlib.import_module", lambda name: library)
    stage = Tracked(id="abc", name="train", group="run", experiment="toy", folder=tmp_path, step=0, settings={"x": 1})
    with pytest.raises(Failure, match=r"api_key not configured.*`mode: offline`"):
        build(Wandb(mode="online"))(stage)
    known = {"id": "abc", "resume": "allow", "group": "run", "name": "train", "project": "toy", "mode": "online", "config": {"x": 1}}
    assert library.asked.items() >= known.items()


def test_trackers_are_told_by_the_first_process_alone_and_closed_whatever_happens(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Told:
        def __init__(self, stage: Tracked) -> None:
            self.stage, self.numbers, self.closed = stage, dict[int, Any](), False
            made.append(self)

        def log(self, step: int, values: dict[str, float]) -> None:
            self.numbers[step] = values

        def close(self) -> None:
            self.closed = True

    made: list[Told] = []
    monkeypatch.setattr("dllm_run.runtime.tracking.build", lambda word: Told)
    plan = prepared(tmp_path, "[tensorboard, wandb]")
    context = context_of(plan, "train", tmp_path)
    with pytest.raises(ZeroDivisionError), tracked(context):
        context.metric(1, {"loss": 2.0})
        raise ZeroDivisionError
    assert [told.closed for told in made] == [True, True] and made[0].numbers == {1: {"loss": 2.0}}
    assert made[0].stage.id == context.stage_id and made[0].stage.group == plan.run_id and made[0].stage.name == "train"
    assert lines(context) == [{"step": 1, "loss": 2.0}]
    context.metric(2, {"loss": 1.0})
    assert 2 not in made[0].numbers, "it is closed"
    context.world = World(rank=1, size=2, local_rank=1, local_size=2)
    with tracked(context):
        assert len(made) == 2
