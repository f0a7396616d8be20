"""What stays of a training: the best weights and those of the kept steps, each a model that other stages start from."""

import json
import shutil
from pathlib import Path

import pytest
import torch
from runtime_toys import compiled, context_of, run_stage, stage_id
from safetensors.torch import load_file
from torch import Tensor

from dllm_run.runtime.context import Context
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.history import history
from dllm_run.runtime.kept import best_of, is_best, keep_best
from dllm_run.runtime.models import load
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Entry

SPEC = """
version: 1
name: toy
data: {rows: {sources: [{generate: sudoku}], limit: 40, holdout: 8 rows, max_length: 32}}
stages:
  base:
    kind: pretrain
    model: {scratch: {family: llama, layers: 1, width: 32, heads: 2}, tokenizer: characters}
    data: ${data.rows}
    objective: mdlm
    batch: 4
    optimizer: {learning_rate: 1e-2}
    duration: 1 steps
  train:
    kind: pretrain
    model: {from: "${stages.base}"}
    data: ${data.rows}
    objective: mdlm
    batch: 4
    optimizer: {learning_rate: 2e-1, max_grad_norm: 0}
    duration: 6 steps
    evaluate: {every: 1 steps}
    checkpoint: {every: 2 steps, keep: all, best: true}
  look:
    kind: sample
    model: {from: "${stages.train}"}
    prompts: ["12"]
    max_new_tokens: 4
    sampler: {type: llada, steps: 2}
compute: {threads: 1}
"""


def ran(folder: Path, *flags: str) -> Plan:
    plan = compiled(folder, SPEC, *flags)
    for name in ("base.data", "base", "train"):
        run_stage(plan, name, folder)
    return plan


def entry_of(plan: Plan, folder: Path) -> Entry:
    return context_of(plan, "train", folder).entry


def loaded(folder: Path, checkpoint: str, *flags: str) -> dict[str, Tensor]:
    """The weights that a stage starts from which asks for this checkpoint of the same training."""
    plan = compiled(folder, SPEC, f"stages.look.model.checkpoint={checkpoint}", *flags)
    context = context_of(plan, "look", folder)
    return {name: value.clone() for name, value in load(context, context.stage.body.model).denoiser.network.state_dict().items()}  # type: ignore[attr-defined]


def equal(one: dict[str, Tensor], other: dict[str, Tensor]) -> bool:
    return all(torch.equal(value, one[name]) for name, value in other.items() if "inv_freq" not in name)


def test_a_stage_takes_the_last_the_best_or_any_kept_weights(tmp_path: Path) -> None:
    plan = ran(tmp_path)
    entry = entry_of(plan, tmp_path)
    held_out = dict(history(entry).held_out)
    best = min(held_out, key=lambda step: held_out[step])
    assert best not in (4, 6), "the toy is meant to get worse, between two checkpoints"
    steps = {step: load_file(str(entry.checkpoints / f"step-{step}" / "model.safetensors")) for step in (2, 4, 6)}
    for step, weights in steps.items():
        assert equal(loaded(tmp_path, f"step {step}"), weights)
    assert equal(loaded(tmp_path, "last"), steps[6])
    assert not equal(loaded(tmp_path, "step 2"), steps[4])
    again = ran(tmp_path / "again", f"stages.train.duration={best} steps", "stages.train.checkpoint={every: 1 steps}")
    reached = load_file(str(entry_of(again, tmp_path / "again").output("model") / "model.safetensors"))
    assert equal(loaded(tmp_path, "best"), reached)
    results = entry.results()
    assert results is not None
    assert (results["kept_steps"], results["best_step"], results["best_held_out"]) == ([2, 4, 6], best, held_out[best])


def test_kept_weights_are_outputs_and_hold_nothing_of_the_optimizer(tmp_path: Path) -> None:
    entry = entry_of(ran(tmp_path), tmp_path)
    files = json.loads(entry.done_file.read_text(encoding="utf-8"))["files"]
    folders = {str(Path(name).parent) for name in files}
    assert {"model", "best", "steps/step-2", "steps/step-4"} <= folders and "steps/step-6" not in folders
    assert {Path(name).name for name in files if name.startswith("steps/step-2/")} == {
        Path(name).name for name in files if name.startswith("model/")
    }
    shutil.rmtree(entry.checkpoints)  # nothing reads them any more
    assert loaded(tmp_path, "best") and loaded(tmp_path, "step 4")


@pytest.mark.parametrize("adapter", [False, True], ids=["weights", "adapter"])
def test_kept_weights_are_the_averages_where_there_is_one(adapter: bool, tmp_path: Path) -> None:
    flags = ["stages.train.ema=0.5", *(["stages.train.model.lora={r: 4, targets: [q_proj]}"] if adapter else [])]
    plan = ran(tmp_path, *flags)
    entry = entry_of(plan, tmp_path)
    for step in (2, 4):
        averages = load_file(str(entry.checkpoints / f"step-{step}" / "ema.safetensors"))
        found = loaded(tmp_path, f"step {step}", *flags)
        assert averages and all(torch.equal(found[name], value) for name, value in averages.items())
    held_out = dict(history(entry).held_out)
    best = min(held_out, key=lambda step: held_out[step])
    assert best_of(entry) == (held_out[best], best, entry.checkpoints / f"best-{best}")


def test_an_adapter_is_kept_alone(tmp_path: Path) -> None:
    flag = "stages.train.model.lora={r: 4, targets: [q_proj]}"
    entry = entry_of(ran(tmp_path, flag), tmp_path)
    assert not (entry.weights("step 2") / "model.safetensors").exists()
    one, two = loaded(tmp_path, "step 2", flag), loaded(tmp_path, "step 4", flag)
    differ = [name for name in one if not torch.equal(one[name], two[name])]
    assert differ and all(".lora_" in name for name in differ)


def test_only_what_keep_says_stays(tmp_path: Path) -> None:
    plan = ran(tmp_path, "stages.train.checkpoint={every: 1 steps, keep: 3, best: false}")
    entry = entry_of(plan, tmp_path)
    assert sorted(path.name for path in (entry.path / "steps").iterdir()) == ["step-4", "step-5"]
    assert not (entry.path / "best").exists()


def test_a_result_that_was_made_with_another_keep_says_what_it_has(tmp_path: Path) -> None:
    ran(tmp_path, "stages.train.checkpoint={keep: 1, best: false}")
    flags = ("stages.train.checkpoint={best: false}", "stages.look.model.checkpoint=step 4")
    plan = compiled(tmp_path, SPEC, *flags)
    context = context_of(plan, "look", tmp_path)
    with pytest.raises(Failure, match=r"stage train has kept step 6, not step 4: it was trained when its `checkpoint` said otherwise"):
        load(context, context.stage.body.model)  # type: ignore[attr-defined]


def test_the_best_is_replaced_by_what_is_lower_and_by_nothing_else(tmp_path: Path) -> None:
    entry = Entry(tmp_path)

    def write(folder: Path) -> None:
        folder.mkdir(parents=True)

    for value, step in ((2.0, 1), (2.0, 2), (float("nan"), 3), (1.5, 4), (1.7, 5)):
        if is_best(entry, value):
            keep_best(entry, value, step, write)
    found = best_of(entry)
    assert found is not None and found[:2] == (1.5, 4)
    assert [path.name for path in entry.checkpoints.iterdir()] == ["best-4"]
    (entry.checkpoints / "best-9").mkdir()
    (entry.checkpoints / "best-9" / "measure.json").write_text('{"value": 0.1, "step": 9}', encoding="utf-8")
    found = best_of(entry)
    assert found is not None and found.step == 4, "what was not written to the end does not count"


def test_a_run_that_was_killed_keeps_the_best_of_before(tmp_path: Path) -> None:
    whole = entry_of(ran(tmp_path / "whole"), tmp_path / "whole")
    plan = compiled(tmp_path, SPEC)
    for name in ("base.data", "base"):
        run_stage(plan, name, tmp_path)
    context: Context = context_of(plan, "train", tmp_path)
    from transformers import TrainerCallback

    class Killed(Exception):
        pass

    class Kill(TrainerCallback):  # type: ignore[misc]
        def on_save(self, args: object, state: object, control: object, **kwargs: object) -> None:
            raise Killed

    from dllm_run.runtime import train as training

    original = training.DiffusionTrainer

    def killed(**arguments: object) -> object:
        return original(**{**arguments, "callbacks": [*arguments["callbacks"], Kill()]})  # type: ignore[arg-type, misc]

    training.DiffusionTrainer = killed  # type: ignore[assignment, misc]
    try:
        with pytest.raises(Killed):
            training.train(context)
    finally:
        training.DiffusionTrainer = original  # type: ignore[misc]
    assert [step for step, _ in context.entry.complete_checkpoints()] == [2]
    run_stage(plan, "train", tmp_path)
    for name in ("best", "model", "steps/step-2", "steps/step-4"):
        assert (context.entry.path / name / "model.safetensors").read_bytes() == (whole.path / name / "model.safetensors").read_bytes()


def test_the_id_of_a_training_depends_on_evaluation_only_where_the_best_is_kept(tmp_path: Path) -> None:
    def found(*flags: str) -> str:
        return stage_id(compiled(tmp_path, SPEC, *flags), "train")

    kept, plain = "stages.train.checkpoint.best=true", "stages.train.checkpoint.best=false"
    rarer, fewer = "stages.train.evaluate.every=2 steps", "stages.train.evaluate.limit=4"
    assert found(plain) == found(plain, rarer) == found(plain, fewer)
    assert len({found(plain), found(kept), found(kept, rarer), found(kept, fewer)}) == 4
    assert found(kept) == found(kept, "stages.train.checkpoint={keep: 2, every: 3 steps}")
