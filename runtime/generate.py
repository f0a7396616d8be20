"""Filling many requests: a place in the batch that becomes free is taken by who waits; results in order, shown and traced."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field
from typing import Any

import torch

from dllm_run.specs.geometry import Geometry

from .canvas import Request, lay_out
from .decode import Engine, Finished
from .ledger import Ledger
from .marked import marked_of
from .models import Loaded
from .noise import Stream
from .samplers import Choices
from .shown import Show

Note = Callable[[int, list[int]], str | None]
"""(index of the request, its tokens when full) -> what to say of it."""


@dataclass(frozen=True, slots=True)
class Filled:
    """One request, full."""

    tokens: list[int]
    """Behind the end of an answer stands the end of text, again and again."""
    trace: dict[str, list[Any]]
    """`step` and `probability` of each token."""
    passes: int
    """Its own steps."""
    ties: int = 0
    """Choices that rounding could have turned."""


@dataclass(frozen=True, slots=True)
class Generator:
    """A model with a sampler and a stream of its own."""

    loaded: Loaded
    choices: Choices
    stream: Stream
    batch: int
    """Rows in one forward pass."""
    precision: Callable[[], AbstractContextManager[Any]]
    ledger: Ledger = field(default_factory=Ledger)
    """What everything that it filled has cost."""

    @torch.inference_mode()
    def fill(
        self,
        requests: Sequence[Request],
        titles: Sequence[str],
        *,
        show: Show,
        note: Note,
        progress: Callable[[int, int], None],
    ) -> list[Filled]:
        """Fill every request; results are in the order of the requests. Raises Failure where the sampler names a token there is not."""
        denoiser, tokens = self.loaded.denoiser.eval(), self.loaded.tokens
        device = next(denoiser.parameters()).device
        engine = Engine(
            denoiser,
            self.choices,
            self.stream,
            marked=marked_of(self.choices, tokens, device),
            ledger=self.ledger,
            slots=self.batch,
            watch=show.reveal,
            over=self._over(requests) if any(request.until for request in requests) else None,
        )
        # The longest first: who comes later never needs a wider batch, and the last ones are soon done.
        waiting = deque(sorted(range(len(requests)), key=lambda index: -len(requests[index].tokens)))
        found: dict[int, Filled] = {}
        while waiting or len(engine):
            entering = [waiting.popleft() for _ in range(min(self.batch - len(engine), len(waiting)))]
            for index in entering:
                show.begin(index, requests[index], titles[index])
            with self.precision():
                if entering:
                    canvas = lay_out([requests[index] for index in entering], mask_token=tokens.mask, pad=tokens.pad, device=device)
                    engine.enter(canvas, entering)
                done = engine.step()
            for row in done:
                found[row.request] = _filled(row)
                show.end(row.request, note(row.request, row.tokens))
                progress(len(found), len(requests))
        return [found[index] for index in range(len(requests))]

    def results(self) -> dict[str, Any]:
        """What it has cost, as a JSON object."""
        return self.ledger.results(Geometry.from_config(self.loaded.denoiser.network.config.to_dict()))

    def _over(self, requests: Sequence[Request]) -> Callable[[int, list[int]], bool]:
        """Whether one of the texts that end a request is in what is known of its answer."""

        def over(index: int, known: list[int]) -> bool:
            request = requests[index]
            if not request.until:
                return False
            text = self.loaded.tokens.decode(known[request.prompt :])
            return any(stop in text for stop in request.until)

        return over


def _filled(row: Finished) -> Filled:
    probability = [round(value, 4) for value in row.probability]
    return Filled(row.tokens, {"step": row.step, "probability": probability}, row.passes, row.ties)
