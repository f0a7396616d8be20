"""Low-rank adapters."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import ClassVar

from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem

ALL_LINEAR = "all-linear"


@dataclass(frozen=True, slots=True, kw_only=True)
class Lora:
    """Train a low-rank addition to frozen matrices (arXiv 2106.09685), as PEFT does; names of options are those of PEFT."""

    shorthand: ClassVar[str] = "r"

    r: int = leaf("Rank.", default=32, minimum=1)
    alpha: int | None = leaf("The addition is scaled by alpha / r; null: twice the rank.", default=None, minimum=1)
    dropout: float = leaf("Rate at which inputs of the addition are dropped in training.", default=0.0, minimum=0, below=1)
    targets: str | tuple[str, ...] = leaf(
        "Linear layers that get one: `all-linear` (but the output matrix), or the ends of their names.",
        default=ALL_LINEAR,
        example="[q_proj, v_proj]",
    )
    bias: str = leaf("Biases that are trained too.", default="none", choices=("none", "all", "lora_only"))
    modules_to_save: tuple[str, ...] = leaf("Modules that are trained whole and saved with the adapter.", default=(), example="[lm_head]")
    rslora: bool = leaf("Scale by alpha / sqrt(r) instead (arXiv 2312.03732).", default=False)
    dora: bool = leaf("Train magnitude and direction of a matrix apart (arXiv 2402.09353).", default=False)
    init: str = leaf("How the first of the two factors begins; the second is 0.", default="kaiming", choices=("kaiming", "gaussian"))

    def completed(self) -> "Lora":
        """With alpha solved."""
        return replace(self, alpha=2 * self.r) if self.alpha is None else self

    def problems(self) -> Iterator[Problem]:
        """An adapter on nothing."""
        if not self.targets or (isinstance(self.targets, str) and self.targets != ALL_LINEAR):
            label = f"`{ALL_LINEAR}`, or a list such as [q_proj, v_proj]"
            yield Problem(code="E106", message="an adapter needs layers to stand beside", path=("targets",), label=label)
