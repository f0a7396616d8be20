"""Masked diffusion (MDLM, LLaDA): mask independently at rate 1 - alpha(t), predict what was masked."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Row

from ..masked import BOTH_SIDES, Masked


@dataclass(frozen=True, slots=True, kw_only=True)
class Mdlm(Masked):
    """Masked diffusion: E_t[w(t) sum over masked of -log p(x_i | x_t)] (arXiv 2406.07524, 2502.09992)."""

    word: ClassVar[str] = "mdlm"
    table: ClassVar[tuple[Row, ...]] = (BOTH_SIDES, *Masked.table)
