"""Block diffusion: blocks from left to right, masked diffusion within a block (BD3LM, arXiv 2503.09573, eq. 3 and 4). B, L, R masked.

One pass reads noisy and clean blocks side by side (`runtime/blocks.py`); masked positions of the noisy ones alone reach the head.
Of a block of one token the integral over t is done by hand: E_t[w(t) [masked] f] = f times the integral of -alpha'(t), which is 1, so it
is masked always, counts 1, and the loss is the autoregressive likelihood exactly.
"""

from dataclasses import dataclass

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.objectives.bd3lm import Bd3lm

from ..blocks import Blocks, beside, cut, speakers
from ..cross_entropy import CrossEntropy
from ..denoiser import Denoiser
from ..likelihood import summed
from ..noise import Stream
from ..noising import Noising, Noisy
from ..rows import Rows
from . import Loss, Objective


@dataclass(frozen=True, slots=True)
class BlockDraws:
    """The random numbers of one batch."""

    time_BL: Tensor
    """float32 in (0, 1]: the same at all positions of a block."""
    mask_BL: Tensor
    """float32 in (0, 1): a maskable position is masked where this is below the mask rate."""


class Bd3lmObjective:
    """The objective of the word."""

    def __init__(self, word: Bd3lm) -> None:
        self.noising = Noising(word)
        self.block_size = word.block_size
        self.exact = word.block_size == 1
        self.per_block = word.time_per == "block"
        self.times = self.noising.times() if word.time_range is None else (word.time_range[0], word.time_range[1])

    def draw(self, stream: Stream, rows: Rows) -> BlockDraws:
        """A time for each block, or for each row, between the smallest and the largest; a uniform per position."""
        number_BL = cut(rows, self.block_size).number_XL.expand(rows.tokens_BL.shape)
        number_BL = number_BL if self.per_block else torch.zeros_like(number_BL)
        u_BL = _of_blocks(stream, rows, number_BL)
        if self.noising.stratified:
            u_BL = (strata(rows, number_BL) + u_BL) / rows.batch
        low, high = self.times
        return BlockDraws(low + (high - low) * u_BL, _of_positions(stream, rows))

    def denominator(self, rows: Rows) -> Tensor:
        """Maskable tokens, or rows; each counts twice where there is a complement."""
        return self.noising.denominator(rows)

    def loss(self, denoiser: Denoiser, rows: Rows, draws: BlockDraws) -> Loss:
        """Sum over the blocks of w(t) times cross-entropy over the masked positions."""
        if self.exact:
            ones_B1 = torch.ones_like(draws.time_BL[:, :1])
            noisy = [Noisy(rows.maskable_BL, self.noising.shared(ones_B1, rows).expand_as(draws.time_BL))]
        else:
            noisy = self.noising.noisy(rows, draws.time_BL, draws.mask_BL)
        return Loss(scored(denoiser, rows, noisy, self.block_size).total, self.denominator(rows))

    def bound(self, denoiser: Denoiser, rows: Rows, stream: Stream) -> Tensor:
        """Sum over the blocks of E_k[n/k times the sum over k masked of -log p], k even over 1 to the n scored tokens of a block.

        That is the bound of masked diffusion for every block given those before it; of one token it is exact.
        """
        blocks = cut(rows, self.block_size)
        masked_BL, weight_BL = _counted(rows, blocks, stream)
        found = scored(denoiser, rows, [Noisy(masked_BL, weight_BL)], self.block_size)
        return summed(found.nll_R.double() * weight_BL[masked_BL], masked_BL)


def scored(denoiser: Denoiser, rows: Rows, noisy: list[Noisy], block_size: int) -> CrossEntropy:
    """Cross-entropy of the masked positions of all copies, in one pass beside the clean row."""
    copies, blocks = len(noisy), cut(rows, block_size)
    tokens = [rows.tokens_BL.masked_fill(one.masked_BL, denoiser.mask_token) for one in noisy]
    tokens_BS = torch.cat([*tokens, rows.tokens_BL[:, : blocks.clean]], 1)
    hidden_BSD = denoiser.body(tokens_BS, beside(rows, block_size, copies))
    places = speakers(blocks, copies, denoiser.logit_shift)
    hidden, targets, weights = [], [], []
    for one, place_XL in zip(noisy, places, strict=True):
        row_R, _ = one.masked_BL.nonzero(as_tuple=True)
        hidden.append(hidden_BSD[row_R, place_XL.expand_as(one.masked_BL)[one.masked_BL]])
        targets.append(rows.tokens_BL[one.masked_BL])
        weights.append(one.weight_BL[one.masked_BL])
    return denoiser.cross_entropy(torch.cat(hidden), torch.cat(targets), torch.cat(weights))


def strata(rows: Rows, number_BL: Tensor) -> Tensor:
    """float32 [B, L]: for every block number a permutation of the global batch, so that its rows fill one stratum each.

    The permutations are turned by multiples of the golden ratio: the blocks of a row spread over the strata as well. In the order of
    rows and blocks a row would have neighbouring times, and the first rows always the smallest.
    """
    turned_BL = ((number_BL * _GOLDEN & _32_BITS) * rows.batch) >> 32
    return ((rows.slot_B[:, None] + turned_BL) % rows.batch).to(torch.float32)


_32_BITS = (1 << 32) - 1
_GOLDEN = 0x9E3779B9
"""2^32 over the golden ratio."""


def _of_blocks(stream: Stream, rows: Rows, number_BL: Tensor) -> Tensor:
    """A uniform per block: below 0 are the components of blocks, from 0 on those of positions. One stream, no two numbers shared."""
    return stream.uniform(rows.sample_B[:, None], rows.visit_B[:, None], -1 - number_BL)


def _of_positions(stream: Stream, rows: Rows) -> Tensor:
    position_L = torch.arange(rows.tokens_BL.shape[1], device=rows.tokens_BL.device)
    return stream.uniform(rows.sample_B[:, None], rows.visit_B[:, None], position_L[None, :])


def _counted(rows: Rows, blocks: Blocks, stream: Stream) -> tuple[Tensor, Tensor]:
    """Masks [B, L] of k of the n scored positions of each block, k even over 1 to n, and the weights n / k [B, L] in float64."""
    shape = rows.tokens_BL.shape
    number_BL = blocks.number_XL.expand(shape)
    scored_BL = torch.zeros_like(number_BL).scatter_add_(1, number_BL, rows.maskable_BL.long()).gather(1, number_BL)
    share_BL = (strata(rows, number_BL) + _of_blocks(stream, rows, number_BL)).double() / rows.batch
    count_BL = (share_BL * scored_BL).long().minimum(scored_BL - 1).clamp(min=0) + 1
    # Blocks lie one after the other: sorted by block and uniform, a position's rank counts from the column where its block starts.
    u_BL = torch.where(rows.maskable_BL, _of_positions(stream, rows).double() / 2, 0.75)
    order_BL = (number_BL + u_BL).argsort(dim=-1, stable=True)
    column_BL = torch.arange(shape[1], device=number_BL.device).expand(shape)
    rank_BL = torch.empty_like(order_BL).scatter_(1, order_BL, column_BL)
    start_XL = torch.where(blocks.start_XL, column_BL[:1], 0).cummax(-1).values
    return (rank_BL - start_XL < count_BL) & rows.maskable_BL, scored_BL.double() / count_BL


def build(word: Bd3lm) -> Objective:
    """The objective of the word."""
    return Bd3lmObjective(word)
