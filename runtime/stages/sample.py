"""Generating text, or restoring masked spans, with a trace of the order."""

import json
from collections import Counter
from typing import Any

from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.stages.sample import HeldOut, Sample

from ..align import BLANK, align
from ..build import build
from ..canvas import Request
from ..context import Context
from ..failure import Failure
from ..generate import Filled, Generator
from ..models import load
from ..noise import Stream
from ..precision import precision_of
from ..prepare import mask_spans
from ..prepared import HELD_OUT, Split
from ..shown import Show
from ..tokenizers import Tokens


def run(context: Context) -> dict[str, Any]:
    """Fill every prompt and write the samples with their traces."""
    body = context.stage.body
    assert isinstance(body, Sample)
    loaded = load(context, body.model)
    restored = _realigned if body.sampler.edits else _restored
    held_out = body.prompts if isinstance(body.prompts, HeldOut) else None
    if held_out is not None:
        requests, truths = _restorations(context, held_out, loaded.tokens)
        titles = [f"held-out text {index + 1}, restored" for index in range(len(requests))]
    else:
        requests, truths = _continuations(body, loaded.tokens), []
        titles = [f"sample {index + 1}" for index in range(len(requests))]
    seed = body.seed if body.seed is not None else 0
    generator = Generator(loaded, build(body.sampler), Stream(seed, "sample"), body.batch, precision_of(body.compute))

    def note(index: int, tokens: list[int]) -> str | None:
        if not truths:
            return None
        right, masked = restored(tokens, truths[index], requests[index], loaded.tokens)
        return f"{right} of {masked} masked tokens as in the original"

    filled = generator.fill(
        requests,
        titles,
        show=Show(context, loaded.tokens),
        note=note,
        progress=lambda done, total: context.progress("requests", done, total),
    )
    _write(context, requests, filled, loaded.tokens)
    results: dict[str, Any] = {"samples": len(filled), "passes": generator.ledger.passes, "ledger": generator.results()}
    if body.sampler.edits:
        results["edits"] = dict(Counter(edit for item in filled for edit in item.trace["edits"]["edit"]))
        results["masks_left"] = sum(item.tokens.count(loaded.tokens.mask) for item in filled)
    if truths:
        counts = [
            restored(item.tokens, truth, request, loaded.tokens) for item, truth, request in zip(filled, truths, requests, strict=True)
        ]
        results["restored"] = sum(right for right, _ in counts) / sum(masked for _, masked in counts)
    return results


def _continuations(body: Sample, tokens: Tokens) -> list[Request]:
    assert isinstance(body.prompts, tuple) and body.max_new_tokens is not None
    out = []
    for index, text in enumerate(body.prompts):
        given = [*tokens.begin, *tokens.encode(text, specials=True)]
        out.append(Request(tokens=[*given, *[tokens.mask] * body.max_new_tokens], id=index, prompt=len(given), ends=True))
    return out


def _restorations(context: Context, prompts: HeldOut, tokens: Tokens) -> tuple[list[Request], list[list[int]]]:
    assert isinstance(prompts.data, Reference)
    split = Split.open(context.output_of(prompts.data), HELD_OUT)
    stream = Stream(context.seed, "spans")
    requests, truths = [], []
    # Another row of the hold-out each time, from anywhere in it, always the same ones.
    for index in stream.permutation(len(split), 0).tolist()[: prompts.limit]:
        sequence = split.sequence(index)
        truth = sequence.tokens[: prompts.length] if prompts.length is not None else sequence.tokens
        given = max(sequence.prompt, len(tokens.begin))
        hidden = mask_spans(len(truth), given, ratio=prompts.mask.ratio, span=prompts.mask.span, stream=stream, sample=index)
        if any(hidden):
            masked = [tokens.mask if hide else token for token, hide in zip(truth, hidden, strict=True)]
            requests.append(Request(tokens=masked, id=index))
            truths.append(truth)
    if not requests:
        raise Failure("the hold-out has no sequence with anything to mask")
    return requests, truths


def _restored(tokens: list[int], truth: list[int], request: Request, known: Tokens) -> tuple[int, int]:
    masked = [index for index, token in enumerate(request.tokens) if token == known.mask]
    return sum(tokens[index] == truth[index] for index in masked), len(masked)


def _realigned(tokens: list[int], truth: list[int], request: Request, known: Tokens) -> tuple[int, int]:
    """The same of a row that did not keep its length: what the alignment with the fewest edits matches."""
    matched = align(tokens, truth)
    column = matched.goal != BLANK
    right = (matched.source == matched.goal)[column]
    masked = [index for index, token in enumerate(request.tokens) if token == known.mask]
    return int(right[masked].sum()), len(masked)


def _write(context: Context, requests: list[Request], filled: list[Filled], tokens: Tokens) -> None:
    path = context.entry.output("samples") / "samples.jsonl"
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf-8") as stream:
        for request, item in zip(requests, filled, strict=True):
            masked = "".join(
                "_" if token == tokens.mask else piece for token, piece in zip(request.tokens, tokens.pieces(request.tokens), strict=True)
            )
            row = {"masked": masked, "text": tokens.decode(item.tokens), "tokens": item.tokens, **item.trace}
            stream.write(json.dumps(row, ensure_ascii=False) + "\n")
