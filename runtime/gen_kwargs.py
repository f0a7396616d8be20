"""The settings that a task gives its questions: each is honoured or refused, none is read past."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from .failure import Failure

_LIMITS = ("max_gen_toks", "max_new_tokens", "max_tokens", "max_completion_tokens")
_NEUTRAL: dict[str, tuple[Any, ...]] = {"top_p": (None, 1, 1.0), "top_k": (None, 0, -1)}
"""Values under which nothing is cut off."""
KNOWN = ("do_sample", "infill", *_LIMITS, "temperature", "top_k", "top_p", "until")


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """What an answer is to be."""

    length: int
    """Tokens."""
    until: tuple[str, ...]
    """Texts before which it ends."""
    infill: bool = False
    """Whether the masks in the question are its open places."""
    overruled: str | None = None
    """What the task says of sampling and the plan's sampler does otherwise; None: nothing."""


def wanted(arguments: Mapping[str, Any], *, most: int, sampler: Mapping[str, Any]) -> Wanted:
    """The settings of one request; `sampler` are the fields of the plan's. Raises Failure.

    The plan says how answers are drawn. A task that asks for the likeliest answer gets the plan's all the same, and that is told; one
    that asks for random answers at another temperature is refused, since its numbers would mean something else.
    """
    unknown = sorted(set(arguments) - set(KNOWN))
    if unknown:
        raise Failure(f"it asks for {', '.join(f'{name}={arguments[name]!r}' for name in unknown)}; known are {', '.join(KNOWN)}")
    limits = [_whole(name, arguments[name]) for name in _LIMITS if arguments.get(name) is not None]
    return Wanted(
        length=min([most, *limits]),
        until=_texts(arguments.get("until")),
        infill=bool(arguments.get("infill", False)),
        overruled=_sampling(arguments, sampler),
    )


def _whole(name: str, value: Any) -> int:
    if isinstance(value, bool) or not isinstance(value, int) or value < 1:
        raise Failure(f"it asks for {name}={value!r}, and that is no number of tokens")
    return value


def _texts(value: Any) -> tuple[str, ...]:
    # A single text is one stop, not a stop for each of its characters.
    found: Sequence[Any] = [value] if isinstance(value, str) else value or []
    if not all(isinstance(text, str) for text in found):
        raise Failure(f"it asks for until={value!r}, and stops are texts")
    return tuple(text for text in found if text)


def _sampling(arguments: Mapping[str, Any], sampler: Mapping[str, Any]) -> str | None:
    own = float(sampler.get("temperature") or 0)
    asked = _temperature(arguments)
    if asked is None:
        return None
    if asked == 0:
        return f"the task asks for the likeliest answer, and the sampler draws at temperature {own:g}" if own else None
    if asked != own:
        raise Failure(
            f"it asks for answers drawn at temperature {asked:g}, and the sampler has {own:g}: -s stages.NAME.sampler.temperature={asked:g}"
        )
    for name, neutral in _NEUTRAL.items():
        value, mine = arguments.get(name), sampler.get(name)
        if value not in neutral and value != mine:
            raise Failure(f"it asks for {name}={value:g}, and the sampler has {mine}: -s stages.NAME.sampler.{name}={value:g}")
    return None


def _temperature(arguments: Mapping[str, Any]) -> float | None:
    """The temperature asked for; 0: the likeliest answer; None: nothing is said."""
    if arguments.get("do_sample") is False:
        return 0.0
    temperature = arguments.get("temperature")
    if temperature is not None:
        return float(temperature)
    return 1.0 if arguments.get("do_sample") else None
