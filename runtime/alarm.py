"""What stops a training whose numbers went wrong, before the optimizer moves: which rows did it, and what to do."""

import dataclasses
import math
import statistics
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, NamedTuple

from torch import Tensor

from dllm_run.specs.canonical import pretty
from dllm_run.specs.store import write_atomic
from dllm_run.specs.vocabulary.stop import Stop

from .context import Context
from .failure import Failure
from .history import history
from .rows import Rows

_SHOWN = 5
FILE = "stopped.json"
"""In the folder of the attempt: every row of the step that stopped it."""


class Measured(NamedTuple):
    """What one row does by itself."""

    loss: float
    gradient: float | None = None
    """The norm of its gradient; None: not looked at."""

    @property
    def is_number(self) -> bool:
        """Whether training could go on with it."""
        return math.isfinite(self.loss) and (self.gradient is None or math.isfinite(self.gradient))


@dataclass(frozen=True, slots=True, kw_only=True)
class Culprit:
    """One row of the step, by itself."""

    row: int
    """Of the training data."""
    visit: int
    """How often the run had seen it before."""
    micro: int
    """Which micro batch of the step, from 1."""
    measured: Measured | None
    """None: not looked at by itself."""

    @property
    def is_number(self) -> bool:
        """Whether nothing is wrong with it as far as is known."""
        return self.measured is None or self.measured.is_number

    @property
    def loss(self) -> float:
        """Its loss by itself, 0 where it was not looked at."""
        return 0.0 if self.measured is None else self.measured.loss

    def text(self) -> str:
        """As a message names it."""
        again = f", visit {self.visit + 1}" if self.visit else ""
        if self.measured is None:
            return f"row {self.row} (micro batch {self.micro}{again})"
        value = f"gradient {self.measured.gradient:g}" if self.measured.gradient is not None else f"loss {self.measured.loss:g}"
        return f"row {self.row} (micro batch {self.micro}{again}): {value}"


MeasureRow = Callable[[Rows, bool], Measured]
"""(a single row, whether its gradient is asked for) -> what it does by itself."""


class Alarm:
    """Looks at the numbers of every step of a training."""

    def __init__(self, context: Context, stop: Stop | None) -> None:
        self.context = context
        self.stop = stop
        self._losses: list[float] | None = None

    def finite(self, loss: float, step: int, micro_batches: Sequence[Rows], measure: MeasureRow | None) -> None:
        """Raises Failure where the loss of a micro batch is no number. `micro_batches`: those up to it, itself the last.

        Without `measure` rows are named and not looked at one by one.
        """
        if not math.isfinite(loss):
            number = len(micro_batches)
            found = _culprits([(number, micro_batches[-1])], measure, gradients=False)
            raise self._failure(f"the loss is {loss:g}", step, [one for one in found if not one.is_number], found)

    def step(self, loss: float, gradient: float | None, step: int, micro_batches: Sequence[Rows], measure: MeasureRow | None) -> None:
        """Raises Failure where the gradient of a whole step is no number, or its loss beyond a limit of the spec."""
        numbered = list(enumerate(micro_batches, 1))
        if gradient is not None and not math.isfinite(gradient):
            found = _culprits(numbered, measure, gradients=True)
            raise self._failure(f"the gradient is {gradient:g}", step, [one for one in found if not one.is_number], found)
        if self.stop is None:
            return
        if self._losses is None:
            earlier = history(self.context.entry).train
            self._losses = [value for at, value in earlier if at < step][-self.stop.window - self.stop.patience :]
        self._losses.append(loss)
        del self._losses[: -self.stop.window - self.stop.patience]
        reason = beyond(self._losses, self.stop)
        if reason is not None:
            found = sorted(_culprits(numbered, measure, gradients=False), key=lambda one: -one.loss)
            raise self._failure(reason, step, found, found)

    def _failure(self, what: str, step: int, blamed: list[Culprit], rows: list[Culprit]) -> Failure:
        kept = {"step": step, "reason": what, "rows": [_plain(one) for one in rows]}
        rank = self.context.world.rank
        file = self.context.attempt.path / (f"rank{rank}.{FILE}" if rank else FILE)
        write_atomic(file, pretty(kept))
        more = f" and {len(blamed) - _SHOWN} more" if len(blamed) > _SHOWN else ""
        which = "; ".join(one.text() for one in blamed[:_SHOWN]) + more
        if not blamed:
            looked = rows[0].measured is not None
            by = "no row gives that by itself, only together: rows " if looked else "among rows "
            end = "" if looked else " of one process, which holds a part of the weights"
            which = by + ", ".join(str(one.row) for one in rows) + end
        saved = self.context.entry.complete_checkpoints()
        last = f"The checkpoint of step {saved[-1][0]} is good" if saved else "No checkpoint was written yet"
        path = f"stages.{self.context.plan.name_of(self.context.stage_id)}.optimizer"
        cure = f"Look at them, or train with a lower `-s {path}.learning_rate=…` or `-s {path}.max_grad_norm=…`"
        where = f"all rows of the step are in {file}"
        told = f"{what} at step {step}, and the optimizer has not moved: {which}"
        return Failure(f"{told}. {last}; running again meets the same rows ({where}). {cure}")


def beyond(losses: Sequence[float], stop: Stop) -> str | None:
    """Why the last `patience` of the losses stop a training; None where they do not."""
    if len(losses) < stop.patience:
        return None
    reasons = [_limit(losses[: len(losses) - back], stop) for back in range(stop.patience)]
    told = [reason for reason in reasons if reason is not None]
    several = f", {stop.patience} steps in a row" if stop.patience > 1 else ""
    return f"the loss {told[0]}{several}" if len(told) == stop.patience else None


def _limit(losses: Sequence[float], stop: Stop) -> str | None:
    loss, before = losses[-1], losses[-1 - stop.window : -1]
    if stop.loss_above is not None and loss > stop.loss_above:
        return f"is {loss:.4g}, above {stop.loss_above:g}"
    if stop.spike is not None and len(before) == stop.window and loss > stop.spike * statistics.median(before):
        return f"is {loss:.4g}, more than {stop.spike:g} times the median {statistics.median(before):.4g} of {stop.window} steps"
    return None


def _culprits(numbered: list[tuple[int, Rows]], measure: MeasureRow | None, *, gradients: bool) -> list[Culprit]:
    return [
        Culprit(
            row=int(rows.sample_B[index]),
            visit=int(rows.visit_B[index]),
            micro=number,
            measured=None if measure is None else measure(single(rows, index), gradients),
        )
        for number, rows in numbered
        for index in range(len(rows.sample_B))
    ]


def single(rows: Rows, index: int) -> Rows:
    """One of the rows, its noise the same as among the others."""
    tensors = {field.name: getattr(rows, field.name) for field in dataclasses.fields(rows)}
    found: dict[str, Any] = {name: value[index : index + 1] for name, value in tensors.items() if isinstance(value, Tensor)}
    return dataclasses.replace(rows, **found)


def _plain(one: Culprit) -> dict[str, float | str | None]:
    """JSON has no word for what is no number."""
    if one.measured is None:
        return {"row": one.row, "visit": one.visit, "micro_batch": one.micro}
    loss, gradient = (value if value is None or math.isfinite(value) else str(value) for value in one.measured)
    return {"row": one.row, "visit": one.visit, "micro_batch": one.micro, "loss": loss, "gradient": gradient}
