"""The sampling stage: prompts as conversations, what a cache changes, and what is kept of edits."""

import json
from pathlib import Path
from typing import Any

import pytest
from runtime_toys import compiled, context_of, run_stage, stage_id

from dllm_run.cli.replay import Kept, replayed
from dllm_run.runtime.line import Waiting
from dllm_run.runtime.models import load
from dllm_run.runtime.prompts import prompts_of
from dllm_run.runtime.serving import server_of
from dllm_run.specs.store import Runs
from dllm_run.specs.vocabulary.stages.sample import Sample

SPEC = """
version: 1
name: toy
model: {scratch: {family: llama, layers: 3, width: 16, heads: 2, positions: 256}, tokenizer: bytes}
data:
  talk: {sources: [./talk.jsonl], holdout: 1 rows, max_length: 128, columns: {messages: messages}, chat_template: "TEMPLATE"}
stages:
  train: {kind: sft, data: "${data.talk}", objective: mdlm, batch: 2, optimizer: {learning_rate: 1e-3}, duration: 1 steps}
  look:
    kind: sample
    model: ${stages.train}
    prompts: ["Hello?", "And you?"]
    max_new_tokens: 16
    sampler: {type: fast_dllm, steps: 16, block_size: 8, cache: prefix}
compute: {device: cpu, precision: fp32, threads: 1}
"""
TEMPLATE = "{% for m in messages %}<{{ m.role }}>{{ m.content }}\\n{% endfor %}{% if add_generation_prompt %}<assistant>{% endif %}"


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sampled")
    turns = [
        {"messages": [{"role": "user", "content": f"Say {index}"}, {"role": "assistant", "content": f"{index} it is"}]}
        for index in range(5)
    ]
    (folder / "talk.jsonl").write_text("".join(json.dumps(row) + "\n" for row in turns), encoding="utf-8")
    plan = compiled(folder, spec())
    for name in ("train.data", "train"):
        run_stage(plan, name, folder)
    return folder


def spec() -> str:
    return SPEC.replace("TEMPLATE", TEMPLATE)


def sampled(place: Path, *flags: str) -> tuple[dict[str, Any], list[dict[str, Any]]]:
    context = run_stage(compiled(place, spec(), *flags), "look", place)
    lines = (context.entry.output("samples") / "samples.jsonl").read_text(encoding="utf-8").splitlines()
    return json.loads(context.entry.results_file.read_text(encoding="utf-8")), [json.loads(line) for line in lines]


def test_a_prompt_is_put_as_the_conversation_that_was_trained_on(place: Path) -> None:
    context = context_of(compiled(place, spec(), "stages.look.chat_template=true"), "look", place)
    body = context.stage.body
    assert isinstance(body, Sample)
    loaded = load(context, body.model)
    put = prompts_of(context, body, loaded.tokens)
    said = [loaded.tokens.decode(request.tokens[: request.prompt]) for request in put.requests]
    assert said == ["<user>Hello?\n<assistant>", "<user>And you?\n<assistant>"]
    plain = context_of(compiled(place, spec()), "look", place)
    requests = prompts_of(plain, plain.stage.body, loaded.tokens).requests  # type: ignore[arg-type]
    assert [loaded.tokens.decode(request.tokens[: request.prompt]) for request in requests] == ["Hello?", "And you?"]


def test_what_a_cache_changes_is_told_beside_the_samples(place: Path) -> None:
    results, rows = sampled(place, "stages.look.verify=2")
    table = {row["name"]: row for row in results["tasks"]["what the cache changes"]["table"]}
    assert 0 < table["tokens saved"]["value"] < 100 and table["divergence"]["value"] > 0
    assert 0 <= table["same tokens"]["value"] <= 100 and table["passes"]["value"] >= 16
    exact, fresh = sampled(place, "stages.look.verify=2", "stages.look.sampler.refresh=1")
    table = {row["name"]: row["value"] for row in exact["tasks"]["what the cache changes"]["table"]}
    assert (table["same tokens"], table["same texts"], table["tokens saved"]) == (100, 100, 0) and table["divergence"] < 1e-8
    plain, without = sampled(place)
    assert "tasks" not in plain and [row["tokens"] for row in without] == [row["tokens"] for row in rows] and len(fresh) == 2


def test_edits_that_are_kept_are_replayed_to_the_kept_text() -> None:
    row = {
        "text": "bXd",
        "start_cells": ["", "a", "b", "\ufffc"],
        "edits": {
            "step": [3, 3, 5],
            "edit": ["delete", "substitute", "insert"],
            "position": [1, 3, 1],
            "cell": ["", "d", "X"],
        },
    }  # fmt: skip
    from dllm_run.cli.edits import edit
    from dllm_run.cli.reveals import Canvas

    kept = Kept("look", "train", None, [row], {})  # type: ignore[arg-type]
    first, *others, last = list(_replayed(kept))
    canvas = Canvas(first["title"], list(first["cells"]), list(first["given"]), None, first["mask"])
    for event in others:
        canvas = edit(canvas, event["edits"])
    assert [event["step"] for event in others] == [3, 5] and last["event"] == "canvas_done"
    assert "".join(canvas.cells) == row["text"] and canvas.edits == {"delete": 1, "substitute": 1, "insert": 1}


def _replayed(kept: Kept) -> list[dict[str, Any]]:
    class NoAttempts:
        def attempts(self) -> list[Any]:
            return []

    return list(replayed(Kept(kept.name, kept.source, NoAttempts(), kept.rows, kept.results), None))  # type: ignore[arg-type]


def test_prompts_that_are_asked_of_a_served_stage_are_put_as_it_puts_its_own(place: Path) -> None:
    """`sample --prompt` of a stage with `chat_template`: the same question gives the same row as in the stage."""
    plan = compiled(place, spec(), "stages.look.chat_template=true")
    told: list[tuple[str, dict[str, Any]]] = []

    def tell(event: str, fields: Any) -> None:
        told.append((event, dict(fields)))

    served = server_of(plan, stage_id(plan, "look"), Runs(place / "runs"), place, place, 1, tell, Waiting())  # type: ignore[arg-type]
    served.answer({"ask": "texts", "number": 1, "texts": ["Hello?"]})
    served.answer({"ask": "own", "number": 2})
    rows = [(fields["number"], fields["masked"]) for event, fields in told if event == "filled"]
    assert rows[0][1] == rows[1][1] and rows[0][1].startswith("<user>Hello?\n<assistant>")
