"""The one model class that lm-eval sees: likelihoods by the bound, answers by the sampler, settings from the plan."""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from .canvas import Request
from .context import Context
from .failure import Failure
from .generate import Generator
from .likelihood import Bound, Scored, elbo
from .models import Loaded
from .noise import Stream
from .shown import Show

Note = Callable[[str], str | None]


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the plan says about an evaluation."""

    max_length: int
    max_new_tokens: int
    samples: int | None
    """Masks for a likelihood; None: the plan has no `likelihood`."""
    batch: int
    greedy_tasks: frozenset[str]
    """Tasks that ask whether the greedy answer is the right one."""


@register_model("dllm_run")
class DiffusionLM(LM):  # type: ignore[misc]  # lm-eval has no types
    """A masked diffusion model as lm-eval's three questions."""

    def __init__(self, context: Context, loaded: Loaded, settings: Settings, generator: Generator | None, greedy: Generator) -> None:
        super().__init__()
        self.context = context
        self.loaded = loaded
        self.settings = settings
        self.generator = generator
        self.greedy = greedy
        self.bounds: dict[str, list[Bound]] = {}
        """By task: of every request, for standard errors."""
        self.notes: dict[str, Note] = {}
        """By task: what to say of a filled canvas."""
        self.columns: dict[str, int] = {}
        """By task: cells of a line."""
        self.passes = 0

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """Bound on log p(continuation | context), and whether the most confident decoding gives just that."""
        scored = [self._scored(*request.args) for request in requests]
        bounds = self._bounds(scored)
        for request, bound in zip(requests, bounds, strict=True):
            self.bounds.setdefault(request.task_name, []).append(bound)
        return [(-bound.nll, self._is_greedy(request, item)) for request, item, bound in zip(requests, scored, bounds, strict=True)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """Bound on log p(text), in windows of the length that the model was trained on."""
        windows = [self._windows(request.args[0]) for request in requests]
        flat = self._bounds([window for group in windows for window in group])
        out, start = [], 0
        for request, group in zip(requests, windows, strict=True):
            mine = flat[start : start + len(group)]
            start += len(group)
            self.bounds.setdefault(request.task_name, []).extend(mine)
            out.append(-sum(bound.nll for bound in mine))
        return out

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Answers; with `infill: true` among a task's settings the context is a canvas whose mask tokens are filled."""
        if self.generator is None:
            raise Failure(f"task {requests[0].task_name} generates, and the evaluation has no `sampler`")
        tokens, wanted = self.loaded.tokens, []
        for request in requests:
            text, arguments = request.args
            infill = bool(arguments.get("infill", False))
            ids = [*tokens.begin, *tokens.encode(text, specials=infill)]
            # A canvas ends as the rows that the model was trained on do, or it would write the end of the text into the last place.
            ids = [*ids, *tokens.end] if infill else ids
            tail = [] if infill else [tokens.mask] * self.settings.max_new_tokens
            room = self.settings.max_length - len(tail)
            if room < 1 or (infill and len(ids) > room):
                what = f"a canvas of {len(ids)} tokens does" if infill else f"a prompt with an answer of {len(tail)} tokens does"
                raise Failure(f"task {request.task_name}: {what} not fit the model's {self.settings.max_length}")
            ids = ids[-room:]
            wanted.append(Request(tokens=[*ids, *tail], id=_identity(text), prompt=0 if infill else len(ids)))
        task = requests[0].task_name
        note = self.notes.get(task)
        texts: dict[int, str] = {}

        def say(index: int, full: list[int]) -> str | None:
            texts[index] = self._answer(full, wanted[index], requests[index].args[1])
            return note(texts[index]) if note is not None else None

        self.generator.fill(
            wanted,
            [f"{task} {index + 1}" for index in range(len(wanted))],
            show=Show(self.context, tokens, self.columns.get(task)),
            note=say,
            progress=lambda done, total: self.context.progress("requests", done, total),
        )
        self.passes = self.generator.ledger.passes
        return [texts[index] for index in range(len(requests))]

    def _answer(self, full: list[int], request: Request, arguments: dict[str, Any]) -> str:
        if arguments.get("infill", False):
            return self.loaded.tokens.decode(full)
        answer = full[request.prompt :]
        for token in self.loaded.tokens.stops:
            if token in answer:
                answer = answer[: answer.index(token)]
        text = self.loaded.tokens.decode(answer)
        until = arguments.get("until") or []
        for stop in [*([until] if isinstance(until, str) else until), self.loaded.tokens.turn_text]:
            if stop and stop in text:
                text = text[: text.index(stop)]
        return text

    def _scored(self, context: str, continuation: str) -> Scored:
        # A space belongs to the word after it: tokenisers that join the two would else never see it so in training.
        stripped = context.rstrip()
        continuation = context[len(stripped) :] + continuation
        tokens = self.loaded.tokens
        whole = [*tokens.begin, *tokens.encode(stripped + continuation)]
        prompt = min(len(tokens.begin) + len(tokens.encode(stripped)), len(whole) - 1)
        extra = max(0, len(whole) - self.settings.max_length)
        if extra > prompt:
            raise Failure(f"an answer of {len(whole) - prompt} tokens is longer than the model's {self.settings.max_length}")
        return Scored(tokens=whole[extra:], id=_identity(stripped, continuation), prompt=prompt - extra)

    def _windows(self, text: str) -> list[Scored]:
        tokens = self.loaded.tokens
        ids = tokens.encode(text)
        step = self.settings.max_length - len(tokens.begin)
        return [
            Scored(tokens=[*tokens.begin, *ids[start : start + step]], id=_identity(text, str(start)), prompt=len(tokens.begin))
            for start in range(0, len(ids), step)
        ]

    def _bounds(self, scored: Sequence[Scored]) -> list[Bound]:
        if self.settings.samples is None:
            raise Failure("a task asks for likelihoods, and the evaluation has no `likelihood`")
        with self.greedy.precision():
            return elbo(
                self.loaded.denoiser.eval(),
                list(scored),
                stream=Stream(self.context.seed, "likelihood"),
                samples=self.settings.samples,
                batch=self.settings.batch,
                progress=lambda done, total: self.context.progress("masks", done, total),
            )

    def _is_greedy(self, request: Instance, item: Scored) -> bool:
        if request.task_name not in self.settings.greedy_tasks:
            return False
        canvas = [*item.tokens[: item.prompt], *[self.loaded.tokens.mask] * (len(item.tokens) - item.prompt)]
        show = Show(self.context, self.loaded.tokens, shown=1 << 30)
        wanted = [Request(tokens=canvas, id=item.id, prompt=item.prompt)]
        full = self.greedy.fill(wanted, [""], show=show, note=lambda *_: None, progress=lambda *_: None)
        return full[0].tokens == item.tokens


def _identity(*texts: str) -> int:
    """63 bits of a text: the same question has the same noise in any batch, order or task."""
    joined = "\x1f".join(texts).encode()
    return int.from_bytes(hashlib.sha256(joined).digest()[:8], "big") >> 1
