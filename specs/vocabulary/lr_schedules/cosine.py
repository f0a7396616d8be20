"""A learning rate that falls by half a cosine."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import LrSchedule


@dataclass(frozen=True, slots=True, kw_only=True)
class CosineRate(LrSchedule):
    """From the peak to a share of it by half a cosine: min_ratio + (1 - min_ratio) (1 + cos(pi x)) / 2 at share x of the way."""

    word: ClassVar[str] = "cosine"
    library: ClassVar[str] = "cosine_with_min_lr"

    min_ratio: float = leaf("Where it ends, as a share of the peak.", default=0.0, minimum=0, below=1, example="0.1")

    def arguments(self, *, steps: int, warmup: int, peak: float) -> dict[str, float | str]:
        return {"min_lr_rate": self.min_ratio}
