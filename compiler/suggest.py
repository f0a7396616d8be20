"""The nearest word: what a typo, or the spelling of another tool, most likely meant."""

from collections.abc import Iterable, Mapping
from difflib import SequenceMatcher
from types import MappingProxyType
from typing import Final

from .shorten import LONGEST

FOREIGN: Final[Mapping[str, tuple[str, ...]]] = MappingProxyType(
    {
        "batch_size": ("batch", "global"),
        "block_length": ("block_size",),
        "cfg": ("cfg_scale",),
        "constant_with_warmup": ("constant",),
        "cosine_with_min_lr": ("cosine",),
        "dataset": ("data",),
        "epochs": ("duration",),
        "gen_length": ("max_new_tokens",),
        "gradient_accumulation_steps": ("micro", "batch"),
        "guidance_scale": ("cfg_scale",),
        "lr": ("learning_rate",),
        "lr_scheduler_type": ("lr_schedule",),
        "max_length_new": ("max_new_tokens",),
        "max_steps": ("duration",),
        "noise_schedule": ("schedule",),
        "num_epochs": ("duration",),
        "num_train_epochs": ("duration",),
        "per_device_train_batch_size": ("micro", "batch"),
        "scheduler": ("schedule", "lr_schedule"),
        "warmup_ratio": ("warmup",),
        "warmup_stable_decay": ("wsd",),
        "warmup_steps": ("warmup",),
    }
)
"""Spellings of TRL, transformers, LLaDA and dLLM, with the word or words that say it here."""

_CUTOFF = 0.6
_PREFIX = 3
"""Letters from which the beginning of a word counts as that word."""
_MOST = 400
"""Choices that are compared one by one."""


def nearest(word: str, choices: Iterable[str]) -> str | None:
    """The choice that `word` most likely meant, or None. The order of the choices has no part in it."""
    known = sorted(choice for choice in set(choices) if len(choice) <= LONGEST)
    if len(word) > LONGEST or len(known) > _MOST:
        return None
    plain = _plain(word)
    same = [choice for choice in known if _letters(choice) == _letters(word)]
    foreign = [choice for choice in FOREIGN.get(plain, ()) if choice in known]
    swapped = [choice for choice in known if _is_swap(plain, _plain(choice))]
    begun = [choice for choice in known if len(plain) >= _PREFIX and _plain(choice).startswith(plain)]
    if same or foreign or swapped:
        return [*same, *foreign, *swapped][0]
    if len(begun) == 1:
        return begun[0]
    close = [(-score, choice) for choice in known if (score := _likeness(plain, _plain(choice))) >= _CUTOFF]
    return min(close)[1] if close else None


def nearest_free(word: str, choices: Iterable[str], taken: Iterable[str]) -> str | None:
    """The nearest choice; of two that are alike it is the one that is not taken yet."""
    known, there = set(choices), set(taken)
    best, free = nearest(word, known), nearest(word, known - there)
    if best is None or free is None or best not in there:
        return best
    as_near = _likeness(_plain(word), _plain(free)) >= _likeness(_plain(word), _plain(best))
    return free if as_near else best


def _plain(word: str) -> str:
    return word.strip().casefold().replace("-", "_").replace(" ", "_")


def _letters(word: str) -> str:
    return _plain(word).replace("_", "")


def _is_swap(left: str, right: str) -> bool:
    """Whether two neighbouring letters changed places: short words fall below the cutoff for it."""
    if len(left) != len(right):
        return False
    differ = [index for index, (a, b) in enumerate(zip(left, right, strict=True)) if a != b]
    if len(differ) != 2 or differ[1] != differ[0] + 1:
        return False
    first, second = differ
    return left[first] == right[second] and left[second] == right[first]


def _likeness(left: str, right: str) -> float:
    matcher = SequenceMatcher(None, left, right)
    if min(matcher.real_quick_ratio(), matcher.quick_ratio()) < _CUTOFF:
        return 0.0
    return max(matcher.ratio(), SequenceMatcher(None, right, left).ratio())
