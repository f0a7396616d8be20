"""A learning rate that falls by half a cosine, several times."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import LrSchedule


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineWithRestarts(LrSchedule):
    """From the peak to 0 by half a cosine, and again from the peak (arXiv 1608.03983)."""

    word: ClassVar[str] = "cosine_with_restarts"
    library: ClassVar[str] = "cosine_with_restarts"

    cycles: int = leaf("How many times it falls.", default=2, minimum=2)

    def arguments(self, *, steps: int, warmup: int, peak: float) -> dict[str, float | str]:
        return {"num_cycles": self.cycles}
