"""Filling many requests: batched, in order, shown and traced."""

from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from .canvas import Request, lay_out
from .decode import decode
from .models import Loaded
from .noise import Stream
from .samplers import Choices
from .shown import Show, trace

Note = Callable[[int, list[int]], str | None]
"""(index of the request, its tokens when full) -> what to say of it."""


@dataclass(frozen=True, slots=True)
class Filled:
    """One request, full."""

    tokens: list[int]
    trace: dict[str, list[Any]]
    passes: int
    """Forward passes of the batch that it was in."""


@dataclass(frozen=True, slots=True)
class Generator:
    """A model with a sampler and a stream of its own."""

    loaded: Loaded
    choices: Choices
    stream: Stream
    batch: int
    precision: Callable[[], AbstractContextManager[Any]]

    def fill(
        self,
        requests: Sequence[Request],
        titles: Sequence[str],
        *,
        show: Show,
        note: Note,
        progress: Callable[[int, int], None],
    ) -> list[Filled]:
        """Fill every request; results are in the order of the requests."""
        out: list[Filled] = []
        denoiser = self.loaded.denoiser.eval()
        device = next(denoiser.parameters()).device
        for start in range(0, len(requests), self.batch):
            part = list(requests[start : start + self.batch])
            canvas = lay_out(part, mask_token=self.loaded.tokens.mask, pad=self.loaded.tokens.pad, device=device)
            show.begin(part, titles[start : start + self.batch])
            watch = show.watch(canvas.tokens_BL.shape[1], part)
            with self.precision():
                decoded = decode(denoiser, canvas, self.choices, self.stream, forbidden=self.loaded.tokens.forbidden, watch=watch)
            for row, request in enumerate(part):
                length = len(request.tokens)
                out.append(Filled(decoded.tokens_BL[row, -length:].tolist(), trace(decoded, row, length), decoded.passes))
            show.end([note(start + row, out[start + row].tokens) for row in range(len(part))])
            progress(len(out), len(requests))
        return out
