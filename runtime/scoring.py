"""The likelihood service: a number with its standard error for every text, batched over texts and draws, shared among processes."""

import hashlib
import json
import math
from collections.abc import Callable, Sequence
from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass
from typing import Any

import torch

from .batching import batched
from .denoiser import Denoiser
from .journal import Journal
from .likelihoods import Estimator
from .noise import Stream
from .rows import Rows, pad_rows


@dataclass(frozen=True, slots=True, kw_only=True)
class Text:
    """Tokens, of which those after the first `prompt` and before the last `tail` are scored."""

    tokens: tuple[int, ...]
    id: int
    """What its masks hang on; texts with one id share theirs."""
    prompt: int = 0
    tail: int = 0

    @property
    def scored(self) -> int:
        """Tokens that are scored."""
        return len(self.tokens) - self.prompt - self.tail

    @property
    def key(self) -> str:
        """A hash of all of it."""
        return hashlib.sha256(json.dumps([self.tokens, self.prompt, self.tail, self.id]).encode()).hexdigest()[:24]


@dataclass(frozen=True, slots=True)
class Estimate:
    """Nats, summed over the scored tokens of one text."""

    nll: float
    error: float | None
    """Standard error over the draws; 0 where the number is exact; None for a single draw."""
    draws: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Scorer:
    """An estimator with a model and a stream of its own."""

    denoiser: Denoiser
    estimator: Estimator
    stream: Stream
    batch: int
    """Rows of the longest text in one pass; of shorter ones, as many as have no more tokens."""
    journal: Journal
    precision: Callable[[], AbstractContextManager[Any]] = nullcontext
    progress: Callable[[int, int], None] = lambda done, total: None

    @torch.inference_mode()
    def score(self, texts: Sequence[Text]) -> list[Estimate]:
        """A number for every text; it hangs on the text alone, never on those beside it, on the batch or on the number of processes."""
        keys = [text.key for text in texts]
        unique = {key: text for key, text in zip(keys, texts, strict=True) if text.scored}
        values: dict[str, list[float]] = {key: [] for key in unique}
        going = list(unique)
        budget = self.batch * max((len(text.tokens) for text in unique.values()), default=1)
        for turn in range(self.estimator.rounds):
            jobs = [_Job(key, unique[key], draw, turn) for key in going for draw in range(self.estimator.draws(unique[key].scored))]
            self._compute(jobs, budget)
            for job in jobs:
                values[job.key].append(self.journal[job.name])
            going = [key for key in going if self._goes_on(unique[key], values[key])]
            if not going:
                break
        return [self._estimate(text, values[key]) if text.scored else Estimate(0.0, 0.0, 0) for key, text in zip(keys, texts, strict=True)]

    def _compute(self, jobs: list["_Job"], budget: int) -> None:
        """Values of all jobs into the journal. Batches are those of one process that was never killed, whoever computes them."""
        batches, done = batched([len(job.text.tokens) for job in jobs], budget=budget), 0
        for number, indices in enumerate(batches):
            part = [jobs[index] for index in indices]
            names = [job.name for job in part]
            if self.journal.mine(number) and not self.journal.has(names):
                with self.precision():
                    found = self.estimator.value(self.denoiser, self._rows(part), self.stream).tolist()
                self.journal.add(dict(zip(names, found, strict=True)))
            done += len(part)
            self.progress(done, len(jobs))
        self.journal.gather()

    def _rows(self, jobs: list["_Job"]) -> Rows:
        rows = pad_rows(
            [list(job.text.tokens) for job in jobs],
            [job.text.prompt for job in jobs],
            pad=self.denoiser.mask_token,
            samples=[job.text.id for job in jobs],
            visits=[job.turn * self.estimator.strata + job.draw for job in jobs],
            slots=[job.draw for job in jobs],
            batch=self.estimator.strata,
        )
        for row, job in enumerate(jobs):
            rows.maskable_BL[row, len(job.text.tokens) - job.text.tail :] = False
        return rows.to(next(self.denoiser.parameters()).device)

    def _goes_on(self, text: Text, values: list[float]) -> bool:
        if self.estimator.error is None or self.estimator.exact(text.scored):
            return False
        error = _estimate(values).error
        return error is None or error > self.estimator.error

    def _estimate(self, text: Text, values: list[float]) -> Estimate:
        if self.estimator.summed:
            return Estimate(math.fsum(values), 0.0, len(values))
        found = _estimate(values)
        return Estimate(found.nll, 0.0, found.draws) if self.estimator.exact(text.scored) else found


@dataclass(frozen=True, slots=True)
class _Job:
    """One row: one draw of one text."""

    key: str
    text: Text
    draw: int
    turn: int
    """The round."""

    @property
    def name(self) -> str:
        return f"{self.key}:{self.turn}:{self.draw}"


def _estimate(values: Sequence[float]) -> Estimate:
    mean = math.fsum(values) / len(values)
    if len(values) == 1:
        return Estimate(mean, None, 1)
    variance = math.fsum((value - mean) ** 2 for value in values) / (len(values) - 1)
    return Estimate(mean, math.sqrt(variance / len(values)), len(values))


def total_error(estimates: Sequence[Estimate]) -> float | None:
    """Standard error of a sum of independent numbers; None where one of them has a single draw."""
    errors = [found.error for found in estimates]
    if any(error is None for error in errors):
        return None
    return math.sqrt(math.fsum(error**2 for error in errors if error is not None))
