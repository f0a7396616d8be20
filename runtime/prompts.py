"""What a sampling stage fills in: canvases of its prompts, or held-out rows with masked spans; and what is kept of each."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.stages.sample import HeldOut, Sample

from .align import BLANK, align
from .build import build
from .canvas import Request
from .chat import opened
from .context import Context
from .conversing import conversation_template
from .edit_log import NO_TOKEN
from .failure import Failure
from .generate import Filled, Generator
from .models import Loaded
from .noise import Stream
from .precision import precision_of
from .prepare import mask_spans
from .prepared import HELD_OUT, Split
from .shown import cells_of
from .tokenizers import Tokens


@dataclass(frozen=True, slots=True)
class Prompts:
    """Requests with their titles, and of held-out rows what they were."""

    requests: list[Request]
    titles: list[str]
    truths: list[list[int]]
    mask: int
    edited: bool
    """Whether rows are edited, and need not keep their length."""

    def note(self, index: int, tokens: list[int]) -> str | None:
        """What to say of a request that is full."""
        if not self.truths:
            return None
        right, masked = self._restored(index, tokens)
        return f"{right} of {masked} masked tokens as in the original"

    def restored(self, filled: Sequence[Filled]) -> float | None:
        """The share of masked tokens that are as they were; None where nothing was to be restored."""
        if not self.truths:
            return None
        counts = [self._restored(index, item.tokens) for index, item in enumerate(filled)]
        return sum(right for right, _ in counts) / sum(masked for _, masked in counts)

    def _restored(self, index: int, tokens: list[int]) -> tuple[int, int]:
        truth = self.truths[index]
        masked = [place for place, token in enumerate(self.requests[index].tokens) if token == self.mask]
        right = _matched(tokens, truth) if self.edited else [token == true for token, true in zip(tokens, truth, strict=True)]
        return sum(right[place] for place in masked), len(masked)


def _matched(tokens: list[int], truth: list[int]) -> list[bool]:
    """For each token of the truth whether the alignment with the fewest edits matches it."""
    aligned = align(tokens, truth)
    column = aligned.goal != BLANK
    found: list[bool] = (aligned.source == aligned.goal)[column].tolist()
    return found


def prompts_of(context: Context, body: Sample, tokens: Tokens) -> Prompts:
    """What the stage itself asks for. Raises Failure where there is nothing to mask."""
    if isinstance(body.prompts, HeldOut):
        return _restorations(context, body.prompts, tokens, edited=body.sampler.edits)
    return continuations(body, body.prompts, tokens, conversation_template(context, body.model, tokens) if body.chat_template else None)


def continuations(body: Sample, texts: Sequence[str], tokens: Tokens, template: str | None = None) -> Prompts:
    """Texts to go on from, or, with a template, to answer. Raises Failure for a text that the tokenizer cannot spell."""
    assert body.max_new_tokens is not None
    out = []
    for index, text in enumerate(texts):
        if template is None:
            given = [*tokens.begin, *tokens.encode(text, specials=True)]
        else:
            given = opened(tokens.fast, template, [{"role": "user", "content": text}]).tokens
        until = (tokens.turn_text,) if template is not None and tokens.turn_text is not None else ()
        row = [*given, *[tokens.mask] * body.max_new_tokens]
        out.append(Request(tokens=row, id=index, prompt=len(given), ends=True, until=until))
    return Prompts(out, [f"sample {index + 1}" for index in range(len(out))], [], tokens.mask, body.sampler.edits)


def _restorations(context: Context, prompts: HeldOut, tokens: Tokens, *, edited: bool) -> Prompts:
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
    titles = [f"held-out text {index + 1}, restored" for index in range(len(requests))]
    return Prompts(requests, titles, truths, tokens.mask, edited)


def generator_of(body: Sample, loaded: Loaded) -> Generator:
    """What fills the requests of a stage."""
    seed = body.seed if body.seed is not None else 0
    return Generator(loaded, build(body.sampler), Stream(seed, "sample"), body.batch, precision_of(body.compute))


def sample_of(request: Request, item: Filled, tokens: Tokens) -> dict[str, Any]:
    """What is kept of a sample, as a JSON object; the pieces are there for readers without the tokenizer."""
    given = zip(request.tokens, tokens.pieces(request.tokens), strict=True)
    masked = "".join("_" if token == tokens.mask else piece for token, piece in given)
    pieces = tokens.silent_pieces(item.tokens)
    return {"masked": masked, "text": tokens.decode(item.tokens), "tokens": item.tokens, "pieces": pieces, **_readable(item.trace, tokens)}


def _readable(trace: Mapping[str, Any], tokens: Tokens) -> dict[str, Any]:
    """A trace in which edits have the text of their tokens beside them, and the row that they began with."""
    if "edits" not in trace:
        return dict(trace)
    edits = trace["edits"]
    cells = cells_of([tokens.pad if token == NO_TOKEN else token for token in edits["token"]], tokens)
    texts = ["" if token == NO_TOKEN else cell for token, cell in zip(edits["token"], cells, strict=True)]
    return {**trace, "start_cells": cells_of(trace["start"], tokens), "edits": {**edits, "cell": texts}}


def answer_of(full: Sequence[int], request: Request, tokens: Tokens, until: Sequence[str] = ()) -> str:
    """What stands behind a prompt, up to the first end of a text or message, or text that ends it."""
    answer = list(full[request.prompt :])
    for token in tokens.stops:
        if token in answer:
            answer = answer[: answer.index(token)]
    text = tokens.decode(answer)
    for stop in (*until, tokens.turn_text):
        if stop and stop in text:
            text = text[: text.index(stop)]
    return text
