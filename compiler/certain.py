"""The one word that a misspelling, or the spelling of another tool, certainly means; `suggest` also guesses, this never does."""

import functools
from collections.abc import Iterable, Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from dllm_run.specs.field import Shape, fields_of
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.word import Word, in_use, is_family, members

from .shorten import LONGEST


class Answer(NamedTuple):
    """A word of the language, and the unit that a bare number takes under it."""

    word: str
    unit: str = ""


MEANT: Final[Mapping[str, tuple[Answer, ...]]] = MappingProxyType(
    {
        "batch_size": (Answer("batch"), Answer("global")),
        "block_length": (Answer("block_size"),),
        "cfg": (Answer("cfg_scale"),),
        "dataset": (Answer("data"),),
        "epochs": (Answer("duration", "epochs"),),
        "gen_length": (Answer("max_new_tokens"),),
        "lr": (Answer("learning_rate"),),
        "lr_scheduler_type": (Answer("lr_schedule"),),
        "max_length_new": (Answer("max_new_tokens"),),
        "max_steps": (Answer("duration", "steps"),),
        "noise_schedule": (Answer("schedule"),),
        "num_epochs": (Answer("duration", "epochs"),),
        "num_train_epochs": (Answer("duration", "epochs"),),
        "per_device_train_batch_size": (Answer("micro"),),
        "scheduler": (Answer("schedule"), Answer("lr_schedule")),
        "warmup_ratio": (Answer("warmup"),),
        "warmup_steps": (Answer("warmup", "steps"),),
    }
)
"""Foreign spellings of the same thing. Those of something near stay guesses: `guidance_scale` is 1 where `cfg_scale` is 0."""

_SHORT = 5
"""Letters below which only two that changed places are a slip: one letter more or less makes too many short words another word."""


def certain(word: str, choices: Iterable[str]) -> Answer | None:
    """What `word` means among `choices`: the same letters, a foreign spelling, or one slip of the finger from it and from no other."""
    known = sorted(set(choices))
    letters = _letters(word)
    if len(word) > LONGEST or not letters:
        return None
    same = [Answer(choice) for choice in known if _letters(choice) == letters]
    foreign = [answer for name, answers in MEANT.items() if _letters(name) == letters for answer in answers if answer.word in known]
    if same or foreign:
        return _only(same or foreign)
    # A word that the language has elsewhere was meant as it stands: `top_p` is no slip of `top_k`.
    if letters in _of_the_language(in_use()):
        return None
    return _only([Answer(choice) for choice in known if _is_slip(letters, _letters(choice))])


def _only(found: list[Answer]) -> Answer | None:
    return found[0] if len(found) == 1 else None


def _letters(word: str) -> str:
    return "".join(char for char in word.strip().casefold() if char not in "-_ ")


def _is_slip(wrong: str, right: str) -> bool:
    """Whether one letter is too many, missing or another, or two neighbours changed places. Digits are never a slip: fsdp1 is not fsdp2."""
    if [char for char in wrong if char.isdigit()] != [char for char in right if char.isdigit()]:
        return False
    start = next((at for at, (a, b) in enumerate(zip(wrong, right, strict=False)) if a != b), min(len(wrong), len(right)))
    left, meant = wrong[start:], right[start:]
    if len(left) == len(meant) >= 2 and (left[0], left[1]) == (meant[1], meant[0]) and left[2:] == meant[2:]:
        return True
    return len(right) >= _SHORT and (left[1:] == meant or left == meant[1:] or left[1:] == meant[1:])


@functools.cache
def _of_the_language(_: tuple[type[Word], ...]) -> frozenset[str]:
    """The letters of every key, word and choice of the language; the words from outside are part of the question."""
    found: set[str] = set()
    waiting: list[type] = [Spec]
    seen: set[type] = set()
    while waiting:
        cls = waiting.pop()
        if cls in seen:
            continue
        seen.add(cls)
        if issubclass(cls, Word):
            found.add(cls.tag)
            words = members(cls) if is_family(cls) else {}
            found.update(words)
            waiting.extend(words.values())
        for info in fields_of(cls):
            found.update((info.key, *map(str, info.leaf.choices)))
            waiting.extend(_classes(info.shape))
    return frozenset(map(_letters, found))


def _classes(shape: Shape | None) -> list[type]:
    if shape is None:
        return []
    own = [shape.cls] if shape.cls is not None else []
    return [*own, *_classes(shape.items), *_classes(shape.values)]
