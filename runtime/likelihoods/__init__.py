"""Estimators of a likelihood as data. Every module has `build(word) -> Estimator`. B rows, L positions, R scored positions."""

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.likelihoods import Sampled

from ..denoiser import Denoiser
from ..likelihood import RowBounds
from ..rows import Rows
from ..seen import everyone

_CHUNK = 256
"""Positions whose two logits exist at once where one guides the other."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimator:
    """How the value of a row comes about, and how many rows make the number of a text."""

    name: str
    value: RowBounds
    """Of every row a value in nats. What differs between the draws of a text hangs on the row's visit and slot."""
    draws: Callable[[int], int]
    """Scored tokens of a text -> its rows in one round."""
    exact: Callable[[int], bool]
    """Scored tokens of a text -> whether one round of rows says its number without any error."""
    summed: bool = False
    """Whether the values of the rows add up; else the number is their mean."""
    strata: int = 1
    """Rows of a round whose times are spread evenly, where they are."""
    error: float | None = None
    """More rounds are drawn while the standard error is above this; None: one round."""
    rounds: int = 1
    append_end: bool = False
    """Whether the token that ends a text stands behind what is scored."""
    needs_prompt: bool = False
    """Whether it says nothing of its own without a prompt."""


def sampled(word: Sampled, value: RowBounds, *, needs_prompt: bool = False, append_end: bool = False) -> Estimator:
    """An estimator that averages over the masks of a word."""
    return Estimator(
        name=word.word,
        value=value,
        draws=lambda scored: word.samples,
        exact=lambda scored: False,
        strata=word.samples,
        error=word.error,
        rounds=1 if word.error is None else word.rounds,
        needs_prompt=needs_prompt,
        append_end=append_end,
    )


def place_of(rows: Rows) -> Tensor:
    """int64 [B, L]: the place of a position among the scored ones. Masks hang on it: choices after unlike contexts share theirs."""
    return rows.maskable_BL.cumsum(-1) - 1


def nll_of(denoiser: Denoiser, rows: Rows, hidden_BL: Tensor, asked_BL: Tensor, cfg_scale: float) -> Tensor:
    """-log p of the tokens at the asked positions, float64 [R], where the tokens at `hidden_BL` show the mask instead."""
    seen = everyone(rows.valid_BL, rows.document_BL)
    tokens_BL = rows.tokens_BL.masked_fill(hidden_BL, denoiser.mask_token)
    target_R = rows.tokens_BL[asked_BL]
    given_RD = denoiser.hidden(tokens_BL, seen)[asked_BL]
    if not cfg_scale:
        return denoiser.cross_entropy(given_RD, target_R, torch.ones_like(target_R, dtype=torch.float32)).nll_R.double()
    prompt_BL = rows.valid_BL & (rows.maskable_BL.cumsum(-1) == 0)
    alone_RD = denoiser.hidden(tokens_BL.masked_fill(prompt_BL, denoiser.mask_token), seen)[asked_BL]
    return _guided(denoiser, given_RD, alone_RD, target_R, cfg_scale)


def _guided(denoiser: Denoiser, given_RD: Tensor, alone_RD: Tensor, target_R: Tensor, cfg_scale: float) -> Tensor:
    never = torch.tensor([denoiser.mask_token], device=target_R.device)
    found = [torch.zeros(0, dtype=torch.float64, device=target_R.device)]
    for start in range(0, len(target_R), _CHUNK):
        part = slice(start, start + _CHUNK)
        given_CV, alone_CV = denoiser.head(given_RD[part]), denoiser.head(alone_RD[part])
        # The mask's own logit is minus infinity in both, and their difference is no number.
        logits_CV = (alone_CV + (1 + cfg_scale) * (given_CV - alone_CV)).index_fill(-1, never, float("-inf"))
        found.append(torch.nn.functional.cross_entropy(logits_CV, target_R[part], reduction="none").double())
    return torch.cat(found)
