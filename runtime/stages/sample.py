"""Generating text, or restoring masked spans, with a trace of the order."""

import json
from collections import Counter
from typing import Any

from dllm_run.specs.vocabulary.stages.sample import Sample

from ..context import Context
from ..generate import Filled
from ..models import load
from ..prompts import Prompts, generator_of, prompts_of, sample_of
from ..shown import Show
from ..tokenizers import Tokens
from ..verify import cache_table


def run(context: Context) -> dict[str, Any]:
    """Fill every prompt and write the samples with their traces."""
    body = context.stage.body
    assert isinstance(body, Sample)
    loaded = load(context, body.model)
    prompts = prompts_of(context, body, loaded.tokens)
    generator = generator_of(body, loaded)
    filled = generator.fill(
        prompts.requests,
        prompts.titles,
        show=Show(context, loaded.tokens),
        note=prompts.note,
        progress=lambda done, total: context.progress("requests", done, total),
    )
    _write(context, prompts, filled, loaded.tokens)
    results: dict[str, Any] = {"samples": len(filled), "passes": generator.ledger.passes, "ledger": generator.results()}
    if body.sampler.edits:
        results["edits"] = dict(Counter(edit for item in filled for edit in item.trace["edits"]["edit"]))
        results["masks_left"] = sum(item.tokens.count(loaded.tokens.mask) for item in filled)
    if body.verify:
        rows = cache_table(body, loaded, prompts.requests[: body.verify], generator)
        results["tasks"] = {"what the cache changes": {"table": rows}}
        context.emit("result", {"title": "what the cache changes", "rows": rows})
    restored = prompts.restored(filled)
    return results if restored is None else {**results, "restored": restored}


def _write(context: Context, prompts: Prompts, filled: list[Filled], tokens: Tokens) -> None:
    path = context.entry.output("samples") / "samples.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        for request, item in zip(prompts.requests, filled, strict=True):
            stream.write(json.dumps(sample_of(request, item, tokens), ensure_ascii=False) + "\n")
