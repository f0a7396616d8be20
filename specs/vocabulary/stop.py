"""When a training that goes wrong stops, beyond a loss or a gradient that is no number."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Compatible, Condition, Inert, Row
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem


@dataclass(frozen=True, slots=True, kw_only=True)
class Stop(Compatible):
    """Limits of the loss. A loss or a gradient that is no number stops every training, whatever stands here."""

    table: ClassVar[tuple[Row, ...]] = (
        Inert(option="own.window", when=(Condition(trait="own.spike", given=False),), reason="only `spike` compares with steps before"),
    )

    loss_above: float | None = leaf("Largest loss of a step; null: none.", default=None, example="20.0")
    spike: float | None = leaf(
        "Largest loss of a step, as a multiple of the median over the `window` steps before it; null: none.",
        default=None,
        above=1,
        example="3.0",
    )
    window: int = leaf("Steps whose median is meant; until there are so many nothing is compared.", unit="steps", default=50, minimum=2)
    patience: int = leaf("How many steps in a row must be beyond a limit.", unit="steps", default=1, minimum=1)

    def problems(self) -> Iterator[Problem]:
        """Limits that are none."""
        if self.loss_above is None and self.spike is None:
            label = "`loss_above`, `spike` or both; a loss that is no number stops the run without it"
            yield Problem(code="E490", message="`stop` names no limit", label=label)
