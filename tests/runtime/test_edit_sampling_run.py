"""Edit Flows from end to end: a model learns to edit, a sample stage edits with that, and runs that cannot work are refused."""

import json
import shutil
from pathlib import Path
from typing import Any

import pytest
from runtime_toys import compiled, context_of, run_stage, stage_id

from dllm_run.runtime.build import module_of
from dllm_run.runtime.context import Context
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.models import load
from dllm_run.specs.plan import Plan
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.kappas.cubic import CubicKappa
from dllm_run.specs.vocabulary.starts.masks import Masks

SPEC = """
version: 1
name: edits
data: {short: {sources: [./texts.jsonl], holdout: 4 rows, max_length: 24}}
stages:
  train:
    kind: pretrain
    model: {scratch: {family: llama, layers: 2, width: 32}, tokenizer: characters}
    data: ${data.short}
    objective: {type: edit_flow, start: {type: masks, length: 6}, schedule: {type: cubic, a: 0.5}}
    batch: {global: 20, micro: 20}
    optimizer: {learning_rate: 1e-2}
    duration: 60 steps
  say: {kind: sample, model: "${stages.train}", prompts: ["", "1"], max_new_tokens: 14, sampler: {type: edit_flow, steps: 40}}
  mend:
    kind: sample
    model: ${stages.train}
    prompts: {data: "${data.short}", limit: 3, mask: {ratio: 0.3, span: 2}}
    sampler: {type: edit_flow, steps: 20, temperature: 0}
compute: {device: cpu}
"""
ASK = """
version: 1
name: ask
stages:
  say: {kind: sample, model: ./model, prompts: ["1"], max_new_tokens: 14, sampler: {type: edit_flow, steps: 40}}
compute: {device: cpu}
"""


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Plan]:
    folder = tmp_path_factory.mktemp("edits")
    rows = [{"text": f"{index} plus {index + 1}"} for index in range(24)]
    (folder / "texts.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    plan = compiled(folder, SPEC)
    run_stage(plan, "train.data", folder)
    run_stage(plan, "train", folder)
    return folder, plan


def samples(context: Context) -> list[dict[str, Any]]:
    lines = (context.entry.output("samples") / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return [json.loads(line) for line in lines]


def events(context: Context, kind: str) -> list[dict[str, Any]]:
    lines = context.attempt.events.read_text(encoding="utf-8").splitlines()
    return [event for event in map(json.loads, lines) if event["event"] == kind]


def test_what_was_learned_is_written(trained: tuple[Path, Plan]) -> None:
    folder, plan = trained
    context = run_stage(plan, "say", folder)
    found = samples(context)
    assert found[1]["text"].startswith("1")
    written = "".join(row["text"] for row in found)
    # Of 95 characters that there are the texts have 15: who had learned nothing would hit them once in six times.
    assert len(written) > 8 and sum(character in "0123456789 plus" for character in written) > 0.8 * len(written), written
    results = context.entry.results()
    assert results is not None and results["edits"]["substitute"] + results["edits"]["insert"] > 5
    assert results["ledger"]["head_rows"] == results["edits"]["substitute"] + results["edits"]["insert"]


def test_what_is_shown_are_edits_that_lead_to_the_text(trained: tuple[Path, Plan]) -> None:
    folder, plan = trained
    context = run_stage(plan, "say", folder)
    found = samples(context)
    for canvas in events(context, "canvas"):
        number, row = canvas["request"], found[int(canvas["title"].removeprefix("sample ")) - 1]
        cells = list(canvas["cells"])
        assert canvas["mask"] in cells, "the masks of the start are there"
        for event in events(context, "edits"):
            for edit in reversed(event["edits"] if event["request"] == number else []):
                if edit["op"] == "insert":
                    cells.insert(edit["position"] + 1, edit["cell"])
                elif edit["op"] == "substitute":
                    cells[edit["position"]] = edit["cell"]
                else:
                    del cells[edit["position"]]
        assert "".join(cell for cell in cells if cell != canvas["mask"]) == row["text"]


def test_held_out_rows_are_mended_and_what_is_given_stays(trained: tuple[Path, Plan]) -> None:
    folder, plan = trained
    assert stage_id(plan, "mend.data") == stage_id(plan, "train.data"), "they are laid out as in training, once"
    context = run_stage(plan, "mend", folder)
    for row in samples(context):
        masked = row["masked"].replace("<eos>", "#")
        kept = [token for token, step in zip(row["tokens"], row["step"], strict=True) if step == -1]
        assert len(kept) == len(masked) - masked.count("_") and len(row["tokens"]) <= len(masked)
        assert len(row["start"]) == len(masked), "a hole begins as masks"
    results = context.entry.results()
    assert results is not None and 0 <= results["restored"] <= 1


def test_a_model_remembers_with_what_it_was_trained(trained: tuple[Path, Plan], tmp_path: Path) -> None:
    folder, plan = trained
    source = context_of(plan, "train", folder).entry.output("model")
    shutil.copytree(source, tmp_path / "model")
    outside = compiled(tmp_path, ASK)
    loaded = load(context_of(outside, "say", tmp_path), outside.stages[stage_id(outside, "say")].body.model)
    assert loaded.edits is not None
    assert (loaded.edits.schedule, loaded.edits.start) == (CubicKappa(a=0.5), Masks(length=6))
    # Both ways lead to the same texts.
    inside = samples(run_stage(plan, "say", folder))[1]
    (row,) = samples(run_stage(compiled(tmp_path, ASK.replace('["1"]', '["", "1"]').replace("say", "say")), "say", tmp_path))[1:]
    assert row["tokens"] == inside["tokens"]


def test_weights_that_do_not_say_it_are_told_by_the_sampler_and_never_contradicted(trained: tuple[Path, Plan], tmp_path: Path) -> None:
    folder, plan = trained
    source = context_of(plan, "train", folder).entry.output("model")
    shutil.copytree(source, tmp_path / "model")

    def refused(*flags: str) -> str:
        other = compiled(tmp_path, ASK, *flags)
        context = context_of(other, "say", tmp_path)
        with pytest.raises(Failure) as told:
            module_of(type(context.stage.body)).run(context)
        return str(told.value)

    assert "trained with {'a': 0.5" in refused("stages.say.sampler.schedule=linear").replace("'type': 'cubic', ", "")
    config = tmp_path / "model" / "config.json"
    said = json.loads(config.read_text(encoding="utf-8"))
    del said["edit_flow"]
    config.write_text(json.dumps(said), encoding="utf-8")
    assert "do not say with which schedule" in refused()
    assert "do not say with which start" in refused("stages.say.sampler.schedule=linear")
    run_stage(compiled(tmp_path, ASK, "stages.say.sampler.schedule=linear", "stages.say.sampler.start=empty"), "say", tmp_path)


def test_weights_without_heads_are_refused(trained: tuple[Path, Plan], tmp_path: Path) -> None:
    folder, _ = trained
    plain = SPEC.replace("{type: edit_flow, start: {type: masks, length: 6}, schedule: {type: cubic, a: 0.5}}", "mdlm")
    plain = plain.replace("60 steps", "1 steps").partition("  say:")[0] + "compute: {device: cpu}\n"
    (tmp_path / "texts.jsonl").write_bytes((folder / "texts.jsonl").read_bytes())
    masked = compiled(tmp_path, plain)
    run_stage(masked, "train.data", tmp_path)
    shutil.copytree(run_stage(masked, "train", tmp_path).entry.output("model"), tmp_path / "model")
    context = context_of(compiled(tmp_path, ASK), "say", tmp_path)
    with pytest.raises(Failure, match="needs a model with heads for edits"):
        module_of(type(context.stage.body)).run(context)


def test_a_model_that_was_trained_to_do_something_else_since_remembers_nothing(trained: tuple[Path, Plan]) -> None:
    folder, _ = trained
    more = SPEC.partition("  say:")[0] + (
        '  more: {kind: pretrain, model: "${stages.train}", data: "${data.short}", objective: mdlm, batch: 4, '
        "optimizer: {learning_rate: 1e-3}, duration: 1 steps}\ncompute: {device: cpu}\n"
    )
    plan = compiled(folder, more)
    run_stage(plan, "more.data", folder)
    context = run_stage(plan, "more", folder)
    said = json.loads((context.entry.output("model") / "config.json").read_text(encoding="utf-8"))
    assert "edit_flow" not in said
    assert load(context, Reference(stage_id(plan, "train"), "model")).edits is not None
    assert load(context, Reference(stage_id(plan, "more"), "model")).edits is None
