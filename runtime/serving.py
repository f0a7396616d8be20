"""A loaded model that answers: what its stage asks for, texts to go on from, conversations."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Attempt, Runs
from dllm_run.specs.vocabulary.stages.sample import Sample

from .canvas import Request
from .context import Context
from .conversing import conversation_template, turn_to_answer
from .decode import Reveal
from .edit_log import Happened
from .failure import Failure
from .generate import Generator
from .ledger import Ledger
from .line import Asked, Told, Waiting
from .models import Loaded, load
from .prompts import Prompts, answer_of, continuations, generator_of, prompts_of, sample_of
from .shown import Show

_EVERY = 1 << 30


class Cancelled(Exception):
    """Nobody wants any more what is being filled."""


@dataclass(slots=True, kw_only=True)
class Served(Context):
    """A stage that tells what it does over a pipe, and leaves nothing in the store."""

    told: Told

    def emit(self, event: str, fields: Mapping[str, Any]) -> None:
        """Tell whoever asks."""
        self.told(event, fields)


@dataclass(slots=True, kw_only=True)
class WatchedShow(Show):
    """Every canvas, until nobody looks."""

    gone: Callable[[], bool]

    def reveal(self, found: Reveal) -> None:
        """Between two steps is where it can end. Raises Cancelled."""
        if self.gone():
            raise Cancelled
        Show.reveal(self, found)

    def edit(self, found: Happened) -> None:
        """The same of edits. Raises Cancelled."""
        if self.gone():
            raise Cancelled
        Show.edit(self, found)


def server_of(plan: Plan, stage_id: str, runs: Runs, base: Path, folder: Path, threads: int, told: Told, waiting: Waiting) -> "Server":
    """The server of a sampling stage, its model loaded. Raises Failure where it cannot be."""
    torch.set_num_threads(threads)
    context = Served(plan=plan, stage_id=stage_id, runs=runs, base=base, attempt=Attempt(folder / "1"), told=told)
    body = context.stage.body
    assert isinstance(body, Sample)
    torch.use_deterministic_algorithms(True, warn_only=not (body.compute.deterministic or body.compute.device == "cpu"))
    loaded = load(context, body.model)
    template, why = None, None
    try:
        template = conversation_template(context, body.model, loaded.tokens)
    except Failure as failure:
        why = str(failure)
    told("ready", {"no_chat": why, "threads": threads})
    return Server(context, body, loaded, generator_of(body, loaded), template, told, waiting)


@dataclass(frozen=True, slots=True)
class Server:
    """What answers."""

    context: Context
    body: Sample
    loaded: Loaded
    generator: Generator
    template: str | None
    told: Told
    waiting: Waiting

    def answer(self, asked: Asked) -> None:
        """Answer one thing; what cannot be answered is refused, and the next one is waited for."""
        number = asked["number"]
        try:
            self._answers()[asked["ask"]](asked)
        except Failure as failure:
            self.told("refused", {"number": number, "message": str(failure)})
        except Cancelled:
            self.told("cancelled", {"number": number})

    def _answers(self) -> dict[str, Callable[[Asked], None]]:
        return {"own": self._own, "texts": self._texts, "answer": self._answer}

    def _own(self, asked: Asked) -> None:
        self._samples(asked, prompts_of(self.context, self.body, self.loaded.tokens))

    def _texts(self, asked: Asked) -> None:
        if self.body.chat_template and self.template is None:
            raise Failure("the stage puts prompts as conversations (`chat_template`), and the model was not trained on any")
        template = self.template if self.body.chat_template else None
        prompts = continuations(self.body, asked["texts"], self.loaded.tokens, template)
        for index, request in enumerate(prompts.requests):
            if len(request.tokens) > self._positions:
                text = f"prompt {index + 1} has {request.prompt} tokens, and with {len(request.tokens) - request.prompt} new ones"
                raise Failure(f"{text} it does not fit the model's {self._positions}")
        self._samples(asked, prompts)

    @property
    def _positions(self) -> int:
        """The longest sequence that the model is built for."""
        return int(self.loaded.denoiser.network.config.max_position_embeddings)

    def _samples(self, asked: Asked, prompts: Prompts) -> None:
        # What a request costs is told with it.
        generator, number = replace(self.generator, ledger=Ledger()), asked["number"]
        filled = generator.fill(
            prompts.requests,
            prompts.titles,
            show=self._show(number),
            note=prompts.note,
            progress=lambda done, total: self.context.progress("requests", done, total),
        )
        for index, (request, item) in enumerate(zip(prompts.requests, filled, strict=True)):
            note = prompts.note(index, item.tokens)
            sample = sample_of(request, item, self.loaded.tokens)
            self.told("filled", {"number": number, "title": prompts.titles[index], "note": note, **sample})
        restored = prompts.restored(filled)
        more = {} if restored is None else {"restored": restored}
        results = {"samples": len(filled), "passes": generator.ledger.passes, "ledger": generator.results(), **more}
        self.told("finished", {"number": number, "results": results})

    def _answer(self, asked: Asked) -> None:
        if self.template is None:
            raise Failure("the model was not trained on conversations")
        body, tokens, number = self.body, self.loaded.tokens, asked["number"]
        assert body.max_new_tokens is not None
        messages, positions = asked["messages"], self._positions
        request = turn_to_answer(messages, self.template, tokens, id=number, answer=body.max_new_tokens, positions=positions)
        [item] = self._one(request, number)
        self.told("filled", {"number": number, "text": answer_of(item.tokens, request, tokens)})
        self.told("finished", {"number": number, "results": {"samples": 1, "passes": item.passes}})

    def _one(self, request: Request, number: int) -> Any:
        generator, show = replace(self.generator, ledger=Ledger()), self._show(number, answers_only=True)
        return generator.fill([request], ["answer"], show=show, note=lambda index, full: None, progress=lambda done, total: None)

    def _show(self, number: int, *, answers_only: bool = False) -> WatchedShow:
        def gone() -> bool:
            return self.waiting.is_cancelled(number)

        return WatchedShow(self.context, self.loaded.tokens, most=_EVERY, answers_only=answers_only, gone=gone)
