"""One token after the other: a row for every scored token, in which it and all that come after it are masked."""

from torch import Tensor

from dllm_run.specs.vocabulary.likelihoods.chain_rule import ChainRule

from ..denoiser import Denoiser
from ..likelihood import summed
from ..noise import Stream
from ..rows import Rows
from . import Estimator, nll_of, place_of


def build(word: ChainRule) -> Estimator:
    """The estimator of the word."""
    leftmost_first = word.order == "left_to_right"

    def value(denoiser: Denoiser, rows: Rows, stream: Stream) -> Tensor:
        place_BL, turn_B1 = place_of(rows), rows.visit_B[:, None]
        turn_BL = place_BL if leftmost_first else rows.maskable_BL.sum(-1, keepdim=True) - 1 - place_BL
        masked_BL = (turn_BL >= turn_B1) & rows.maskable_BL
        asked_BL = (turn_BL == turn_B1) & rows.maskable_BL
        return summed(nll_of(denoiser, rows, masked_BL, asked_BL, word.cfg_scale), asked_BL)

    return Estimator(
        name=word.word,
        value=value,
        draws=lambda scored: scored,
        exact=lambda scored: True,
        summed=True,
        needs_prompt=bool(word.cfg_scale),
    )
