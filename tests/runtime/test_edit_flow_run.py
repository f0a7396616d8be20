"""Edit Flows from end to end: a model from scratch learns, heads are added to a trained one, and runs that cannot work are refused."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from runtime_toys import compiled, context_of, run_stage, stage_id
from safetensors.torch import load_file

from dllm_run.runtime.build import module_of
from dllm_run.runtime.context import Context
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.held_out import held_out_loss
from dllm_run.runtime.history import history
from dllm_run.runtime.models import load
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.objectives.edit_flow import EditFlowObjective
from dllm_run.runtime.prepared import HELD_OUT, Split
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.objectives.edit_flow import EditFlow

SPEC = """
version: 1
name: edits
data: {short: {sources: [./texts.jsonl], holdout: 4 rows, max_length: 32}}
stages:
  train:
    kind: pretrain
    model: {scratch: {family: llama, layers: 2, width: 32}, tokenizer: characters}
    data: ${data.short}
    objective: {type: edit_flow, start: empty}
    batch: {global: 20, micro: 10}
    optimizer: {learning_rate: 1e-2}
    duration: 30 steps
    evaluate: {every: 10 steps}
compute: {device: cpu}
"""
CHAIN = """
version: 1
name: chain
data: {short: {sources: [./texts.jsonl], holdout: 4 rows, max_length: 32}}
stages:
  base:
    kind: pretrain
    model: {scratch: {family: llama, layers: 1, width: 32, tie_embeddings: false}, tokenizer: characters}
    data: ${data.short}
    objective: mdlm
    batch: 4
    optimizer: {learning_rate: 1e-2}
    duration: 2 steps
  heads: {kind: convert, model: "${stages.base}", to: edit_flow}
  edits:
    kind: pretrain
    model: ${stages.heads}
    data: ${data.short}
    objective: {type: edit_flow, start: {type: masks, length: 4}}
    batch: 4
    optimizer: {learning_rate: 1e-2}
    duration: 2 steps
  again:
    kind: pretrain
    model: ${stages.edits}
    data: ${data.short}
    objective: {type: edit_flow, start: {type: masks, length: 4}}
    batch: 4
    optimizer: {learning_rate: 1e-2}
    duration: 1 steps
compute: {device: cpu}
"""


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    rows = [{"text": f"{index} plus {index + 1}"} for index in range(24)]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return tmp_path


def weights(context: Context) -> dict[str, torch.Tensor]:
    return load_file(str(context.entry.output("model") / "model.safetensors"))


def test_a_model_from_scratch_learns_to_write_from_nothing(folder: Path) -> None:
    plan = compiled(folder, SPEC)
    data = run_stage(plan, "train.data", folder)
    context = run_stage(plan, "train", folder)
    found = history(context.entry, "edit_loss")
    losses = [loss for _, loss in found.train]
    assert sum(losses[-5:]) < sum(losses[:5]) / 2
    assert [step for step, _ in found.held_out] == [10, 20, 30]
    results = context.entry.results()
    assert results is not None and results["held_out_edit_loss"] == found.held_out[-1][1] < found.held_out[0][1]
    word = context.stage.body.model.scratch
    assert results["parameters"] == replace(word.geometry(98), edit_heads=True).parameters()
    # What was told is the loss of the saved weights, whatever the batch.
    loaded = load(context, Reference(stage_id(plan, "train"), "model"))
    objective, split = EditFlowObjective(context.stage.body.objective), Split.open(data.entry.output("data"), HELD_OUT)
    for batch in (1, 4):
        again = held_out_loss(objective, loaded.denoiser.eval(), split, count=4, batch=batch, stream=Stream(context.seed, "evaluate"))
        assert again == pytest.approx(found.held_out[-1][1], rel=1e-5)


def test_heads_are_added_to_a_trained_model_and_then_trained(folder: Path) -> None:
    plan = compiled(folder, CHAIN)
    for name in ("base.data", "edits.data"):
        run_stage(plan, name, folder)
    base, heads = (run_stage(plan, name, folder) for name in ("base", "heads"))
    before, after = weights(base), weights(heads)
    assert set(after) - set(before) == {"sub_logits.weight", "ins_logits.weight", "rate_heads.0.weight", "rate_heads.0.bias"}
    assert all(torch.equal(after[name], value) for name, value in before.items())
    assert torch.equal(after["sub_logits.weight"], before["lm_head.weight"])
    results = heads.entry.results()
    assert results is not None and results["added"] == sum(after[name].numel() for name in set(after) - set(before))
    edits = weights(run_stage(plan, "edits", folder))
    assert all(not torch.equal(edits[name], after[name]) for name in ("sub_logits.weight", "rate_heads.0.weight", "model.norm.weight"))
    # The head of the language model, which no edit reads, is as it was.
    assert torch.equal(edits["lm_head.weight"], after["lm_head.weight"])
    again = weights(run_stage(plan, "again", folder))
    assert set(again) == set(edits) and not torch.equal(again["ins_logits.weight"], edits["ins_logits.weight"])


def test_a_killed_run_goes_on_with_the_same_heads(folder: Path) -> None:
    """Stopped after step 2 and started again, against a run that was never stopped."""
    spec = SPEC.replace("duration: 30 steps", "duration: 4 steps\n    checkpoint: {every: 2 steps, keep: 2}").replace(
        "10 steps}", "2 steps}"
    )
    plan = compiled(folder, spec)
    run_stage(plan, "train.data", folder)
    whole = run_stage(plan, "train", folder)
    expected = weights(whole)
    for checkpoint in whole.entry.complete_checkpoints()[1:]:
        (checkpoint[1] / "COMPLETE").unlink()
    (whole.entry.path / "DONE").unlink()
    resumed = weights(run_stage(plan, "train", folder))
    assert all(torch.equal(resumed[name], value) for name, value in expected.items())


def test_a_second_set_of_heads_is_refused(folder: Path) -> None:
    plan = compiled(folder, CHAIN + "\n", "stages.again=null", 'stages.twice={kind: convert, model: "${stages.heads}", to: edit_flow}')
    for name in ("base.data", "base", "heads"):
        run_stage(plan, name, folder)
    with pytest.raises(Failure, match="has heads for edits already"):
        run_stage(plan, "twice", folder)


def test_weights_without_heads_are_refused_where_only_the_run_can_know(folder: Path) -> None:
    plan = compiled(folder, CHAIN)
    run_stage(plan, "base.data", folder)
    base = run_stage(plan, "base", folder)
    base.entry.output("model").rename(folder / "model")
    plain = SPEC.replace("{scratch: {family: llama, layers: 2, width: 32}, tokenizer: characters}", "./model")
    plan = compiled(folder, plain)
    run_stage(plan, "train.data", folder)
    context = context_of(plan, "train", folder)
    with pytest.raises(Failure, match=r"needs a model with heads for edits; a stage of kind convert adds them"):
        module_of(type(context.stage.body)).run(context)


def test_the_objective_of_the_spec_is_the_default_of_its_words() -> None:
    found = EditFlowObjective(EditFlow())
    assert (found.max_weight, found.normalise, found.epsilon, found.stratified) == (20.0, "sequence", 1e-3, False)
