"""Samplers as rows of choices. Every module has `build(word) -> Choices`; `decode.py` is the one loop that runs them.

But for the one that edits: its choices are its own, and `edit_engine.py` is its loop.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from torch import Tensor

from dllm_run.specs.vocabulary.proposing import Proposing, TokenName
from dllm_run.specs.vocabulary.ranked import Parallel
from dllm_run.specs.vocabulary.schedules import Schedule
from dllm_run.specs.vocabulary.schedules.linear import Linear

from ..board import Board
from ..board_reader import Reader, Whole
from ..build import build
from ..denoiser import Denoiser
from ..ledger import Ledger
from ..noise import Stream
from ..proposal import Proposal, Proposed
from ..ranking import OF_MODEL, Ranked, Rule, Scheduled, entropy_bound, even, factor, threshold


class Policy(Protocol):
    """Which positions are committed at a step."""

    @property
    def revises(self) -> bool:
        """Whether what was committed may be masked again, so that a row is over after its last step and not before."""

    @property
    def random(self) -> bool:
        """Whether it ranks by random numbers."""

    def ahead(self, board: Board, active_BL: Tensor, stream: Stream) -> tuple[Tensor, Tensor | None]:
        """Before the model speaks: which positions are scored, and which are masked again (None: none) [B, L]."""

    def commit(
        self, board: Board, row_R: Tensor, last_R: Tensor | None, proposed: Proposed, rank_R: Tensor | None
    ) -> tuple[Tensor, Tensor]:
        """Which of the scored positions are committed [R], and how far from another choice each row was [B]."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Guidance:
    """Classifier-free guidance: logits u + (1 + scale) (c - u), where u is read with the given tokens masked."""

    scale: float
    keep: tuple[TokenName, ...]
    """Given tokens that are not masked."""


MakeReader = Callable[[Denoiser, Ledger], Reader]


@dataclass(frozen=True, slots=True, kw_only=True)
class Choices:
    """What makes one sampler out of the engine."""

    block_size: int | None
    """Tokens of a window; None: one window for everything."""
    from_origin: bool = False
    """Windows are counted from a row's first token, and not from where its prompt ends."""
    steps: int | None
    """Steps in total, shared by the windows; None: one token a step."""
    proposal: Proposal
    policy: Policy
    reader: MakeReader
    guidance: Guidance | None = None
    never: tuple[TokenName, ...] = ()
    """Tokens that are never written."""
    not_first: tuple[TokenName, ...] = ()
    """Tokens that are not written at a row's first open position."""
    last: tuple[TokenName, ...] = ()
    """Tokens that are committed when nothing else is left."""


def whole(block_size: int | None = None) -> MakeReader:
    """Rows are read whole; `block_size`: by a denoiser that sees blocks from left to right."""
    return lambda denoiser, ledger: Whole(denoiser, ledger, block_size)


def quota(schedule: Schedule) -> Rule:
    """The quotas of a schedule; with the linear one they are even."""
    return even if isinstance(schedule, Linear) else Scheduled(build(schedule))


def proposal_of(word: Proposing) -> Proposal:
    """How the word's tokens are chosen."""
    return Proposal(temperature=word.temperature, top_k=word.top_k, top_p=word.top_p)


def guidance_of(word: Proposing) -> Guidance | None:
    """The word's guidance; without a scale there is none, and no second pass."""
    return Guidance(scale=word.cfg_scale, keep=word.cfg_keep_tokens) if word.cfg_scale else None


def sure_or_quota(word: Parallel) -> Ranked:
    """The policy of a word that commits what is sure enough, or quotas."""
    if word.factor is not None:
        rule = factor(word.factor)
    elif word.threshold is not None:
        rule = threshold(word.threshold)
    elif word.entropy_bound is not None:
        rule = entropy_bound(word.entropy_bound)
    else:
        rule = quota(word.schedule)
    bounded = word.factor is None and word.threshold is None and word.entropy_bound is not None
    return Ranked(confidence=OF_MODEL[word.remasking], rule=rule, random=word.remasking == "random", entropy=bounded)
