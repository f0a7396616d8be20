"""ReMDM: ancestral sampling that masks some of its tokens again."""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Condition, Inert, Row
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem

from ..revealing import Revealing

_LOOP = ("loop_start", "loop_end", "loop_alpha")


@dataclass(frozen=True, slots=True, kw_only=True)
class Remdm(Revealing):
    """What is there is masked again with probability sigma, and written anew (arXiv 2503.00307)."""

    word: ClassVar[str] = "remdm"
    table: ClassVar[tuple[Row, ...]] = (
        *(
            Inert(
                option=f"own.{name}",
                when=(Condition(trait="own.revision", values=("cap", "rescale", "confidence")),),
                reason="only revision `loop` has three phases",
            )
            for name in _LOOP
        ),
        Inert(
            option="own.eta",
            when=(Condition(trait="own.revision", values=("confidence",)),),
            reason="revision `confidence` masks by the probability that a token had",
        ),
        *Revealing.table,
    )

    revision: str = leaf(
        "sigma, of the largest that the schedule allows, m: `cap` min(m, eta), `rescale` eta m, `confidence` m times softmax of minus the "
        "probability that a token had, `loop` min(m, eta) at an alpha that rests in between.",
        default="cap",
        choices=("cap", "rescale", "confidence", "loop"),
    )
    eta: float = leaf("Largest share of the tokens that a step masks again, or the share of the largest.", default=0.02, above=0, maximum=1)
    loop_start: float = leaf("Time t at which alpha rests.", default=0.55, above=0, below=1)
    loop_end: float = leaf("Time t at which it goes on.", default=0.05, above=0, below=1)
    loop_alpha: float = leaf("The alpha at which it rests.", default=0.9, above=0, below=1)
    top_p: float | None = leaf(
        "Only the most probable tokens can be chosen that together have this probability; null: all.", default=0.9, above=0, maximum=1
    )

    def problems(self) -> Iterator[Problem]:
        """A loop that ends before it starts."""
        if self.revision == "loop" and self.loop_end >= self.loop_start:
            yield Problem(
                code="E601",
                message=f"alpha rests from t = {self.loop_start:g} to t = {self.loop_end:g}, and time runs from 1 to 0",
                path=("loop_end",),
                label=f"below {self.loop_start:g}",
                fix=(("loop_end",), self.loop_start / 2),
                related=((("loop_start",), f"loop_start: {self.loop_start:g}"),),
            )
