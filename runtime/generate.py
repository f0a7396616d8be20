"""Filling many requests: a place in the batch that becomes free is taken by who waits; results in order, shown and traced."""

from collections import deque
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass, field, replace
from typing import Any

import torch

from dllm_run.specs.geometry import Geometry

from .canvas import Request, lay_out
from .decode import Engine, Finished
from .edit_engine import EditEngine, flow_of
from .edit_log import Edited
from .ledger import Ledger
from .marked import marked_for_edits, marked_of
from .models import Loaded
from .noise import Stream
from .samplers import Choices
from .samplers.edit_flow import EditChoices
from .shown import Show

Note = Callable[[int, list[int]], str | None]
"""(index of the request, its tokens when full) -> what to say of it."""


@dataclass(frozen=True, slots=True)
class Filled:
    """One request, full."""

    tokens: list[int]
    """Behind the end of an answer stands the end of text, again and again, unless the row was edited."""
    trace: dict[str, Any]
    """`step` and `probability` of each token; of edits `start` and `edits` too."""
    passes: int
    """Its own steps."""
    ties: int = 0
    """Choices that rounding could have turned."""


@dataclass(frozen=True, slots=True)
class Generator:
    """A model with a sampler and a stream of its own."""

    loaded: Loaded
    choices: Choices | EditChoices
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
        engine = self._engine(requests, show, device)
        # The longest first: who comes later never needs a wider batch, and the last ones are soon done.
        waiting = deque(sorted(range(len(requests)), key=lambda index: -len(requests[index].tokens)))
        found: dict[int, Filled] = {}
        while waiting or len(engine):
            entering = [waiting.popleft() for _ in range(min(self.batch - len(engine), len(waiting)))]
            with self.precision():
                if entering:
                    canvas = lay_out([requests[index] for index in entering], mask_token=tokens.mask, pad=tokens.pad, device=device)
                    engine.enter(canvas, entering)
                for index in entering:
                    show.begin(index, _at_first(engine, index, requests[index]), titles[index])
                done = engine.step()
            for row in done:
                found[row.request] = _filled(row)
                show.end(row.request, note(row.request, row.tokens))
                progress(len(found), len(requests))
        return [found[index] for index in range(len(requests))]

    def _engine(self, requests: Sequence[Request], show: Show, device: torch.device) -> Engine | EditEngine:
        denoiser, tokens, choices = self.loaded.denoiser, self.loaded.tokens, self.choices
        if isinstance(choices, EditChoices):
            return EditEngine(
                denoiser,
                choices,
                flow_of(self.loaded.edits, tokens),
                self.stream,
                marked=marked_for_edits(choices, tokens, device),
                ledger=self.ledger,
                slots=self.batch,
                watch=show.edit,
            )
        return Engine(
            denoiser,
            choices,
            self.stream,
            marked=marked_of(choices, tokens, device),
            ledger=self.ledger,
            slots=self.batch,
            watch=show.reveal,
            over=self._over(requests) if any(request.until for request in requests) else None,
        )

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


def _at_first(engine: Engine | EditEngine, index: int, request: Request) -> Request:
    """A request as it is before the first step."""
    return replace(request, tokens=engine.begins(index)) if isinstance(engine, EditEngine) else request


def _filled(row: Finished | Edited) -> Filled:
    probability = [round(value, 4) for value in row.probability]
    trace: dict[str, Any] = {"step": row.step, "probability": probability}
    if isinstance(row, Edited):
        trace |= {"start": row.start, "edits": row.edits.as_json()}
    return Filled(row.tokens, trace, row.passes, row.ties)
