"""Numbers that follow from a planned stage without running it: accumulation, steps, forward passes; and what a change of them means."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

from dllm_run.specs.arithmetic import optimizer_steps
from dllm_run.specs.effect import Effect
from dllm_run.specs.leaves import Path
from dllm_run.specs.parts import parts
from dllm_run.specs.quantity import FRACTION
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.samplers import Sampler
from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.vocabulary.training import Training

SizeOf = Callable[[str], tuple[int, int] | None]
"""Id of a data stage -> its training sequences and their tokens, where they are known."""


class Number(NamedTuple):
    """A derived number, and the fields of its stage that decide it."""

    name: str
    value: int
    decided_by: tuple[Path, ...]
    cost: bool = False
    """Whether more of it is more work: a change is then told as a ratio."""
    beside: str = ""
    """What is told with a change if it did not change itself."""


@dataclass(frozen=True, slots=True)
class Derived:
    """A value that nobody wrote and that is another now."""

    stage: str
    name: str
    old: Any
    new: Any
    decided_by: tuple[Path, ...] = ()
    cost: bool = False
    effect: Effect = Effect.NONE
    """Of a field that nobody wrote, what changing it does; a number that was only counted does nothing."""
    beside: str = ""

    def note(self) -> str:
        """What it means, for the line of the change that it follows from."""
        ratio = _ratio(self.old, self.new) if self.cost else None
        return f"{ratio} {self.name}" if ratio else f"{self.name} {self.old} -> {self.new}" + (f", {self.beside}" if self.beside else "")


def numbers(body: Stage, size_of: SizeOf) -> Iterator[Number]:
    """What can be counted of a planned stage."""
    if isinstance(body, Training):
        yield from _training(body, size_of)
    tokens = next((part.value for part in parts(body) if part.path == ("max_new_tokens",)), None)
    for part in parts(body):
        if isinstance(part.value, Sampler) and tokens is not None:
            yield Number("forward passes per sample", part.value.passes(tokens), (part.path, ("max_new_tokens",)), cost=True)


def _training(body: Training, size_of: SizeOf) -> Iterator[Number]:
    batch, world = body.batch, body.compute.world
    if batch.micro is not None:
        yield Number(
            "accumulation", batch.global_ // (batch.micro * world), (("batch",), ("compute",)), beside=f"global stays {batch.global_}"
        )
    rows, tokens = (size_of(body.data.stage) if isinstance(body.data, Reference) else None) or (None, None)
    steps = optimizer_steps(body.duration, batch=batch.global_, rows=rows, tokens=tokens)
    if steps is None:
        return
    decided: tuple[Path, ...] = (("duration",),)
    if body.duration.unit != "steps":
        decided = (*decided, ("batch", "global"), ("data",))
        yield Number("optimizer steps", steps, decided, cost=True)
    yield Number("rows seen", steps * batch.global_, (*decided, ("batch", "global")))
    if body.optimizer.warmup.unit == FRACTION:
        yield Number("warm-up steps", body.optimizer.warmup.of(steps), (*decided, ("optimizer", "warmup")))


def _ratio(old: int, new: int) -> str | None:
    if old <= 0 or new <= 0:
        return None
    if old == 2 * new:
        return "halves"
    if new == 2 * old:
        return "doubles"
    return f"{new / old:.3g} times the"
