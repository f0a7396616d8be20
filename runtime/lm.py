"""The one model class that lm-eval sees: likelihoods by the plan's estimator, answers by its sampler, settings from the plan."""

import contextlib
import hashlib
import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from lm_eval.api.instance import Instance
from lm_eval.api.model import LM
from lm_eval.api.registry import register_model

from .asked import Asked, repeats_of
from .canvas import Request
from .chat import Message
from .context import Context
from .failure import Failure
from .gen_kwargs import Wanted, wanted
from .generate import Generator
from .journal import Journal
from .models import Loaded
from .prompts import answer_of
from .scoring import Estimate, Scorer, Text
from .shown import SHOWN, Show

Note = Callable[[str], str | None]
Place = tuple[str | None, int | None, int]
"""Task, question, choice."""
CHUNK = 4
"""Batches of answers between two entries of the journal."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """What the plan says about an evaluation."""

    max_length: int
    max_new_tokens: int
    sampler: Mapping[str, Any]
    """The fields of the plan's sampler."""
    asks_greedy: Callable[[str | None], bool]
    """Whether a task wants to know if the likeliest answer is the right one."""


@register_model("dllm_run")
class DiffusionLM(LM):  # type: ignore[misc]  # lm-eval has no types
    """A masked diffusion model as lm-eval's three questions. Processes share the work, and each then knows all answers."""

    def __init__(
        self,
        context: Context,
        loaded: Loaded,
        settings: Settings,
        *,
        scorer: Scorer | None,
        generator: Generator | None,
        greedy: Generator,
        journal: Journal,
    ) -> None:
        super().__init__()
        self.context = context
        self.loaded = loaded
        self.settings = settings
        self.scorer = scorer
        self.generator = generator
        self.greedy = greedy
        self.journal = journal
        append_end = scorer is not None and scorer.estimator.append_end
        self.asked = Asked(tokens=loaded.tokens, max_length=settings.max_length, append_end=append_end)
        self.estimates: dict[Place, list[Estimate]] = {}
        self.notes: dict[str, Note] = {}
        """By task: what to say of a filled canvas."""
        self.columns: dict[str, int] = {}
        """By task: cells of a line."""
        self.overruled: dict[str, str] = {}
        """By task: what it says of sampling and the plan's sampler does otherwise."""
        self.passes = 0

    @classmethod
    def create_from_arg_obj(cls, arg_dict: dict[str, Any], additional_config: dict[str, Any] | None = None) -> "DiffusionLM":
        """The model of an evaluation of a compiled plan: `plan=FILE,stage=NAME`, with `runs=FOLDER` and `base=FOLDER`."""
        from .lm_arguments import model_of  # which knows this class

        found: DiffusionLM = model_of(arg_dict, additional_config or {})
        return found

    @classmethod
    def create_from_arg_string(cls, arg_string: str, additional_config: dict[str, Any] | None = None) -> "DiffusionLM":
        """The same from `--model_args`."""
        pairs = [part.partition("=") for part in arg_string.split(",") if part]
        return cls.create_from_arg_obj({name: value for name, _, value in pairs}, additional_config)

    @property
    def tokenizer_name(self) -> str:
        """What lm-eval keeps requests of a chat template apart by."""
        return hashlib.sha256((self.loaded.tokens.template or "").encode()).hexdigest()[:16]

    def chat_template(self, chat_template: bool | str = False) -> str:
        """The template that lm-eval writes down beside its results. Raises Failure for one by name."""
        if isinstance(chat_template, str):
            raise Failure(f"the model has one chat template, and none by the name {chat_template!r}")
        return self.loaded.tokens.template or ""

    def apply_chat_template(self, chat_history: list[Message], add_generation_prompt: bool = True) -> str:
        """A conversation as the model was trained on it; without a prompt to answer it goes on from the assistant's last words."""
        return self.asked.chat(chat_history)

    def loglikelihood(self, requests: list[Instance]) -> list[tuple[float, bool]]:
        """log p(continuation | context) by the plan's estimator, and whether the most confident decoding gives just that."""
        texts = []
        for request in requests:
            with _told(request):
                context, continuation = request.args
                texts.append(self.asked.scored(context, continuation, request.doc))
        estimates = self._estimates(texts)
        for request, found in zip(requests, estimates, strict=True):
            self.estimates[_place(request)] = [found]
        greedy = self._greedy(requests, texts)
        return [(-found.nll, index in greedy) for index, found in enumerate(estimates)]

    def loglikelihood_rolling(self, requests: list[Instance]) -> list[float]:
        """A bound on log p(text), in windows of the length that the model was trained on."""
        if self.scorer is not None and self.scorer.estimator.needs_prompt:
            raise Failure(f"task {requests[0].task_name} scores texts without a prompt, which `cfg_scale` has nothing to say of")
        windows = [self.asked.windows(request.args[0]) for request in requests]
        flat = self._estimates([window for group in windows for window in group])
        out, start = [], 0
        for request, group in zip(requests, windows, strict=True):
            mine = flat[start : start + len(group)]
            start += len(group)
            self.estimates[_place(request)] = mine
            out.append(-sum(found.nll for found in mine))
        return out

    def generate_until(self, requests: list[Instance]) -> list[str]:
        """Answers; with `infill: true` among a task's settings the context is a canvas whose mask tokens are filled."""
        if self.generator is None:
            raise Failure(f"task {requests[0].task_name} generates, and the evaluation has no `sampler`")
        settings, canvases = [], []
        for request, repeat in zip(requests, repeats_of(requests), strict=True):
            with _told(request):
                settings.append(self._wanted(request))
                canvases.append(self.asked.prompt(request.args[0], settings[-1], repeat))
        names = [request.task_name or "" for request in requests]

        def answer(index: int, full: list[int]) -> str:
            return self._answer(full, canvases[index], settings[index])

        return self._filled(self.generator, "answer", canvases, names, answer)

    def _wanted(self, request: Instance) -> Wanted:
        found = wanted(request.args[1], most=self.settings.max_new_tokens, sampler=self.settings.sampler)
        if found.overruled is not None and request.task_name not in self.overruled:
            self.overruled[request.task_name] = found.overruled
            self.context.note(f"{request.task_name}: {found.overruled}")
        return found

    def _answer(self, full: list[int], request: Request, settings: Wanted) -> str:
        if settings.infill:
            return self.loaded.tokens.decode(full)
        return answer_of(full, request, self.loaded.tokens, settings.until)

    def _estimates(self, texts: Sequence[Text]) -> list[Estimate]:
        if self.scorer is None:
            raise Failure("a task asks for likelihoods, and the evaluation has no `likelihood`")
        return self.scorer.score(texts)

    def _greedy(self, requests: Sequence[Instance], texts: Sequence[Text]) -> set[int]:
        """The requests whose continuation is what the most confident decoding gives, where their task wants to know."""
        asked = [index for index, request in enumerate(requests) if self.settings.asks_greedy(request.task_name)]
        mask = self.loaded.tokens.mask
        canvases = []
        for index in asked:
            text = texts[index]
            stop = text.prompt + text.scored
            canvases.append(
                Request(tokens=[*text.tokens[: text.prompt], *[mask] * text.scored, *text.tokens[stop:]], id=text.id, prompt=text.prompt)
            )
        found = self._filled(self.greedy, "greedy", canvases, [""] * len(asked), lambda _, full: json.dumps(full))
        return {index for index, full in zip(asked, found, strict=True) if json.loads(full) == list(texts[index].tokens)}

    def _filled(
        self,
        generator: Generator,
        kind: str,
        canvases: Sequence[Request],
        tasks: Sequence[str],
        answer: Callable[[int, list[int]], str],
    ) -> list[str]:
        """What each canvas says when full; what the journal knows is not filled again."""
        keys = [_key(kind, canvas) for canvas in canvases]
        size = CHUNK * generator.batch
        show = Show(self.context, self.loaded.tokens, most=SHOWN if kind == "answer" else 0)
        for number, start in enumerate(range(0, len(canvases), size)):
            part = range(start, min(start + size, len(canvases)))
            # A part is filled whole or not at all: neighbours in a batch are the same in a run that was killed.
            if self.journal.mine(number) and not self.journal.has(keys[index] for index in part):
                self.journal.add(self._fill(generator, show, canvases, tasks, answer, part, keys))
            self.context.progress("requests", part.stop, len(canvases))
        self.journal.gather()
        self.passes += sum(int(self.journal[key][1]) for key in dict.fromkeys(keys))
        return [str(self.journal[key][0]) for key in keys]

    def _fill(
        self,
        generator: Generator,
        show: Show,
        canvases: Sequence[Request],
        tasks: Sequence[str],
        answer: Callable[[int, list[int]], str],
        part: range,
        keys: Sequence[str],
    ) -> dict[str, tuple[str, int]]:
        show.columns = self.columns.get(tasks[part.start])
        texts: dict[int, str] = {}

        def say(place: int, full: list[int]) -> str | None:
            index = part.start + place
            texts[index] = answer(index, full)
            note = self.notes.get(tasks[index])
            return note(texts[index]) if note is not None else None

        before = generator.ledger.passes
        generator.fill(
            [canvases[index] for index in part],
            [f"{tasks[index]} {index + 1}" for index in part],
            show=show,
            note=say,
            progress=lambda done, total: self.context.progress("requests", part.start + done, len(canvases)),
        )
        passes = generator.ledger.passes - before
        # The passes of a part count once, with its first canvas; of equal canvases the first is kept.
        return {keys[index]: (texts[index], passes if index == part.start else 0) for index in reversed(part)}


@contextlib.contextmanager
def _told(request: Instance) -> Iterator[None]:
    """What goes wrong with a request is told with its task."""
    try:
        yield
    except Failure as failure:
        raise Failure(f"task {request.task_name}: {failure}") from None


def _place(request: Instance) -> Place:
    return request.task_name, request.doc_id, request.idx


def _key(kind: str, canvas: Request) -> str:
    """A hash of a canvas, of what its noise hangs on, and of where its answer ends."""
    return hashlib.sha256(json.dumps([kind, canvas.tokens, canvas.prompt, canvas.id, canvas.ends, canvas.until]).encode()).hexdigest()[:24]
