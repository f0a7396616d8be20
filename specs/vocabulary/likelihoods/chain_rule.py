"""The likelihood in one order of the tokens, exactly: a mask for every token, what comes later masked with it."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.compatibility import Row
from dllm_run.specs.field import leaf

from . import BOTH_SIDES, Likelihood, guidance


@dataclass(frozen=True, slots=True, kw_only=True)
class ChainRule(Likelihood):
    """Sum over tokens of -log p(token given all before it, those after it masked): exact in that order, a pass a token, no draws."""

    word: ClassVar[str] = "chain_rule"
    table: ClassVar[tuple[Row, ...]] = (BOTH_SIDES,)

    order: str = leaf(
        "Which token comes first: of what is scored the leftmost, or the rightmost.",
        default="left_to_right",
        choices=("left_to_right", "right_to_left"),
    )
    cfg_scale: float = guidance()

    def passes(self, tokens: float) -> float:
        return tokens * (2.0 if self.cfg_scale else 1.0)
