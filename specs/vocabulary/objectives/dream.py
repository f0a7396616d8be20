"""Dream's objective: masked diffusion whose tokens count by how much clean text stands around them."""

from dataclasses import dataclass
from typing import Any, ClassVar

from dllm_run.specs.compatibility import Row
from dllm_run.specs.field import leaf

from ..masked import BOTH_SIDES, Masked
from ..weightings import Weighting
from ..weightings.cart import Cart


@dataclass(frozen=True, slots=True, kw_only=True)
class Dream(Masked):
    """Masked diffusion with context-adaptive weights (Dream, arXiv 2508.15487); no bound on the likelihood under these."""

    word: ClassVar[str] = "dream"
    table: ClassVar[tuple[Row, ...]] = (BOTH_SIDES, *Masked.table)

    weighting: Weighting = leaf("Weight of a masked token.", factory=Cart)

    def sampler(self) -> dict[str, Any]:
        return {"type": "dream"}
