"""Why a stage is another than an earlier one: every result field, input, word and needed stage that differs."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from dllm_run.specs.leaves import Path
from dllm_run.specs.plan import InputRecord, PlannedStage

from .chosen import is_solved
from .identity import counted, located
from .overlay import TAGS


@dataclass(frozen=True, slots=True, kw_only=True)
class Reason:
    """One reason why a stage has no result."""

    what: str
    """`field`, `input`, `word`, `stage`, `failed`, `blocked` or `new`."""
    text: str
    """A few words, for a table and for people."""
    path: str = ""
    """Of a field or input, within its stage."""
    old: Any = None
    new: Any = None
    needs: str | None = None
    """Id of the stage that is meant, of `stage`."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Seen:
    """A planned stage with what its plan says of inputs and names."""

    stage: PlannedStage
    inputs: dict[str, InputRecord]
    name_of: Callable[[str], str]

    def record(self, locator: str, what: str) -> InputRecord:
        """The record of an input, as identity asks for it."""
        return self.inputs[locator]


def reasons(old: Seen, new: Seen) -> tuple[Reason, ...]:
    """What makes `new` another stage than `old`: fields first, then inputs, words and needed stages."""
    return (*_fields(old, new), *_words(old, new), *_needs(old, new))


def _fields(old: Seen, new: Seen) -> Iterator[Reason]:
    was, now = counted(old.stage.body, old.record), counted(new.stage.body, new.record)
    texts, inputs = ({path: text for path, (text, _) in located(seen.stage.body).items()} for seen in (old, new))
    words = [path[:-1] for path in was.keys() & now.keys() if path[-1] in TAGS and was[path] != now[path]]
    changed_inputs = []
    for path in dict.fromkeys((*now, *was)):
        before, after = was.get(path), now.get(path)
        if before == after or _is_edge(before) or _is_edge(after):
            continue
        if path in texts and path in inputs and texts[path] == inputs[path]:
            changed_inputs.append(Reason(what="input", text=f"{inputs[path]} {_change(old, new, inputs[path])}", path=".".join(path)))
        elif not _follows(old, new, path, was, now, words):
            spelt, first, second = ".".join(path), texts.get(path, before), inputs.get(path, after)
            yield Reason(what="field", text=f"{spelt} {_shown(first)} -> {_shown(second)}", path=spelt, old=first, new=second)
    yield from changed_inputs


def _follows(old: Seen, new: Seen, path: Path, was: dict[Path, Any], now: dict[Path, Any], words: list[Path]) -> bool:
    """Whether a difference only follows from another: fields of a word that came or went, and values that were solved."""
    if path == ("seed",) and None in (was[path], now[path]):
        return True  # another field decides whether numbers are drawn at all
    if (path in was) != (path in now):
        return any(path[: len(word)] == word for word in words)
    return is_solved(old.stage.body, path) and is_solved(new.stage.body, path)


def _change(old: Seen, new: Seen, locator: str) -> str:
    was, now = old.inputs[locator], new.inputs[locator]
    if not now.resolved:
        return "is not resolved"
    return "changed" if was.resolved else "is resolved now"


def _words(old: Seen, new: Seen) -> Iterator[Reason]:
    for word in sorted(old.stage.words.keys() & new.stage.words.keys()):
        was, now = old.stage.words[word], new.stage.words[word]
        if was != now:
            yield Reason(what="word", text=f"{word} has a new meaning ({was} -> {now})", path=word, old=was, new=now)


def _needs(old: Seen, new: Seen) -> Iterator[Reason]:
    before = {need.stage for need in old.stage.needs}
    names = {old.name_of(stage_id) for stage_id in before}
    for need in new.stage.needs:
        if need.stage not in before:
            name = new.name_of(need.stage)
            text = f"needs {name}, which changed" if name in names else f"needs {name}"
            yield Reason(what="stage", text=text, needs=need.stage)


def _is_edge(value: Any) -> bool:
    return isinstance(value, dict) and set(value) == {"stage", "output"}


def _shown(value: Any) -> str:
    if value is None:
        return "-"
    return value if isinstance(value, str) else f"{value:g}" if isinstance(value, float) else str(value)
