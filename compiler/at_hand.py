"""Inputs that lie on this machine, looked into before anything runs: columns of tables, folders of models, vocabularies.

Findings alone come from here, never anything of a plan: where the files are not at hand the same spec compiles to the same bytes.
"""

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.hub import hub_id
from dllm_run.specs.locator import PACKAGE, kind_of, located_files, root_of
from dllm_run.specs.parts import Path as Place
from dllm_run.specs.problem import Problem
from dllm_run.specs.published import published_type
from dllm_run.specs.templating import is_template
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.families import Family, family_for
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.source import Source
from dllm_run.specs.vocabulary.stages.data import DataStage
from dllm_run.specs.vocabulary.tokenizers import Tokenizer
from dllm_run.specs.vocabulary.training import Training

from .adapters import adapter_problems, target_problems
from .check import diagnostic
from .folders import ADAPTER, Folder, look_into, model_problems, shift_problems, tokenizer_problems
from .lock import Lock
from .node import Node
from .suggest import nearest
from .tables import READABLE, Look, columns_of, look_at
from .templates import names_in
from .trait import stage_of
from .traits import Traits

_FILES = 16
"""Files of a source that are looked into."""
_T = TypeVar("_T")


def at_hand(stages: list[Traits], root: Node, lock: Lock, written: Callable[[Place], Place]) -> Iterator[Diagnostic]:
    """What is wrong with inputs that are here."""
    for traits in stages:
        stage, data = traits.stage, traits.find("data")
        found: list[Problem] = []
        if isinstance(data.value, Data) and stage_of(data.path) == traits.name:
            found += _data_problems(data.value, data.path, str(traits.find("format").value), lock)
        if isinstance(stage, DataStage) and isinstance(stage.tokenizer, str):
            folder = _folder(stage.tokenizer, lock)
            found += [_moved(problem, (*traits.path, "tokenizer")) for problem in (tokenizer_problems(folder) if folder else ())]
        for path, value in traits.objects():
            if isinstance(value, (Data, Model, Tokenizer)):
                traits.consulted.add(path)
            if isinstance(value, Model) and isinstance(value.from_, str):
                found += [_moved(problem, path) for problem in _model_problems(value, value.from_, lock)]
            if isinstance(value, Model):
                found += [_moved(problem, path) for problem in _adapter_problems(value, traits, lock)]
            elif isinstance(value, Tokenizer):
                found += [_moved(problem, path) for problem in _vocabulary_problems(value, lock)]
        if isinstance(stage, Training):
            found += _length_problems(traits, lock)
        for problem in found:
            yield diagnostic(problem, (), root, written)


def nearby(locator: str, base: Path) -> str | None:
    """What a locator that leads to no file here may have meant: a sentence."""
    place = root_of(locator, base)
    if place is None or locator.startswith(PACKAGE) or not place.parent.is_dir():
        return None
    if "*" in place.name:
        return f"{place.parent.name} is here, and no file in it matches"
    guess = nearest(place.name, [item.name for item in place.parent.iterdir()])
    return f"there is {guess}" if guess else None


def _once(lock: Lock, what: str, key: str, look: Callable[[], _T]) -> _T:
    """What a look at the disk gave, the first time it was taken."""
    if (what, key) not in lock.looked:
        lock.looked[what, key] = look()
    found: _T = lock.looked[what, key]
    return found


def _moved(problem: Problem, path: Place) -> Problem:
    fix = None if problem.fix is None else ((*path, *problem.fix[0]), problem.fix[1])
    return replace(problem, path=(*path, *problem.path), fix=fix)


# --- data


def _data_problems(data: Data, path: Place, format: str, lock: Lock) -> Iterator[Problem]:
    for index, source in enumerate(data.sources):
        if source.path is not None:
            where = (*path, "sources", str(index), "path")
            for problem in _source_problems(source, source.path, data, format, lock):
                fix = None if problem.fix is None else ((*path, *problem.fix[0]), problem.fix[1])
                yield replace(problem, path=where, fix=fix)


def _source_problems(source: Source, locator: str, data: Data, format: str, lock: Lock) -> Iterator[Problem]:
    """Paths of cures start at the data set."""
    if kind_of(locator, "data") == "hub":
        return
    files = _once(lock, "files", locator, lambda: located_files(locator, lock.base))
    kinds = Counter(file.path.suffix.lower() for file in files)
    for kind in kinds:
        if kind not in READABLE:
            example = next(file.name for file in files if file.path.suffix.lower() == kind)
            yield Problem(code="E512", message=f"{example}: files of this kind are not read", label=f"known are {', '.join(READABLE)}")
            return
    if len(kinds) > 1:
        listed = ", ".join(f"{count} {kind}" for kind, count in sorted(kinds.items()))
        message = f"{locator} means files of several kinds: {listed}"
        yield Problem(code="W511", severity="warning", message=message, label="all of them are read as rows")
    looks = [_once(lock, "table", str(file.path), lambda path=file.path: look_at(path)) for file in files[:_FILES]]  # type: ignore[misc]
    if looks and all(look.empty for look in looks) and len(files) <= _FILES:
        yield Problem(code="E514", message=f"{locator} holds no rows")
    for look in looks:
        found = list(_row_problems(look, data, format))
        if source.where is not None:
            found += _template_problems("condition", source.where, look)
        yield from found
        if found:
            return


def _row_problems(look: Look, data: Data, format: str) -> Iterator[Problem]:
    if look.problem:
        yield Problem(code="E511", message=f"{look.name} {look.problem}")
    elif look.unchecked:
        message = f"{look.name}: its columns are not checked here"
        yield Problem(code="W510", severity="warning", message=message, notes=(look.unchecked,))
    there = list(columns_of(look))
    if data.map:
        return  # what columns there are then is only known by running it
    if data.where is not None:
        yield from _template_problems("condition", data.where, look)
    if format == "pairs" and look.rows and _are_conversations(data, look):
        yield from _message_problems(data, look)
        return
    for field in ("text",) if format == "text" else ("prompt", "response"):
        column = getattr(data.columns, field)
        if is_template(column):
            yield from _template_problems(field, column, look)
            continue
        missing = next(((place, row) for place, row in look.rows if column not in row), None)
        if missing is not None:
            yield _missing_column(field, column, *missing, there, format)
            continue
        odd = next(((place, row[column]) for place, row in look.rows if not isinstance(row[column], str)), None)
        if odd is not None:
            kind = "nothing" if odd[1] is None else type(odd[1]).__name__
            yield Problem(code="E513", message=f"{odd[0]}: column {column!r} holds {kind}, not text")


def _are_conversations(data: Data, look: Look) -> bool:
    """Whether all rows are read as conversations."""
    named = (data.columns.prompt, data.columns.response)
    plain = not any(map(is_template, named))
    return plain and all(data.columns.messages in row and not all(name in row for name in named) for _, row in look.rows)


def _message_problems(data: Data, look: Look) -> Iterator[Problem]:
    column = data.columns.messages
    odd = next(((place, row[column]) for place, row in look.rows if not isinstance(row[column], list)), None)
    if odd is not None:
        message = f"{odd[0]}: column {column!r} holds {type(odd[1]).__name__}, not a list of messages"
        yield Problem(code="E513", message=message, label="a message is {role, content}")


def _template_problems(field: str, template: str, look: Look) -> Iterator[Problem]:
    """A template over columns that a row does not have; those that it tests for first are its own business."""
    for place, row in look.rows[:1]:
        for name in sorted(names_in(template) - set(row)):
            guess = nearest(name, [column for column in row if column is not None])
            label = f"did you mean {guess!r}?" if guess else f"it has {', '.join(repr(column) for column in row if column is not None)}"
            message = f"{place}: no column {name!r}, which the template of the {field} reads"
            yield Problem(code="E510", message=message, label=label)


def _missing_column(field: str, column: str, place: str, row: dict[str, Any], there: list[str], format: str) -> Problem:
    texts = [name for name in there if isinstance(row[name], str)]
    guess = nearest(column, texts) or (texts[0] if len(texts) == 1 and format == "text" else None)
    notes: tuple[str, ...] = ()
    if any(name.startswith("\N{BYTE ORDER MARK}") for name in row if name):
        notes = ("the file starts with a byte-order mark, which is part of the first name: save it as UTF-8 without",)
    names = ", ".join(repr(name) for name in row if name is not None)
    return Problem(
        code="E510",
        message=f"{place}: no column {column!r}, which is read as the {field}",
        label=f"it has {names}",
        notes=notes,
        fix=None if guess is None or notes else (("columns", field), guess),
    )


# --- models


def _folder(locator: str, lock: Lock) -> Folder | None:
    place = root_of(locator, lock.base) if kind_of(locator, "model") != "hub" else None
    return None if place is None else _once(lock, "folder", locator, lambda: look_into(place))


def _model_problems(model: Model, locator: str, lock: Lock) -> Iterator[Problem]:
    folder = _folder(locator, lock)
    if folder is None:
        if locator.endswith(".gguf"):
            return
        if kind_of(locator, "model") != "hub" and _once(lock, "files", locator, lambda: located_files(locator, lock.base)):
            yield Problem(
                code="E515",
                message=f"{locator} is a file; a model is a folder with config.json and weights, or a .gguf file",
                path=("from",),
            )
        return
    yield from _once(lock, "model", locator, lambda: tuple(model_problems(folder, locator)))
    if ADAPTER in folder.files:
        return
    yield from shift_problems(folder, model.logit_shift)
    if model.tokenizer is None:
        yield from (replace(problem, path=("from",)) for problem in tokenizer_problems(folder))
    elif isinstance(model.tokenizer, Tokenizer):
        tokens, size = _size_of(model.tokenizer, lock), folder.number("vocab_size")
        if tokens is not None and size is not None and tokens > size:
            message = f"the tokenizer has {tokens} tokens, and the vocabulary of the model only {size}"
            yield Problem(code="E517", message=message, path=("tokenizer",))


def _adapter_problems(model: Model, traits: Traits, lock: Lock) -> Iterator[Problem]:
    if model.adapter_from is not None and kind_of(model.adapter_from, "model") != "hub":
        folder = _folder(model.adapter_from, lock)
        if folder is not None:
            yield from adapter_problems(folder)
        elif _once(lock, "files", model.adapter_from, lambda: located_files(str(model.adapter_from), lock.base)):
            message = f"{model.adapter_from} is a file; an adapter is a folder with {ADAPTER} and weights"
            yield Problem(code="E537", message=message, path=("adapter_from",))
    family = _family_of(traits.find("weights").value, lock)
    if model.lora is not None and family is not None:
        yield from (_moved(problem, ("lora",)) for problem in target_problems(model.lora, family))


def _family_of(weights: Any, lock: Lock) -> type[Family] | None:
    """The family of the model in which weights began, where it is known."""
    if not isinstance(weights, Model):
        return None
    if weights.scratch is not None:
        return type(weights.scratch)
    if not isinstance(weights.from_, str):
        return None
    folder = _folder(weights.from_, lock)
    kind = published_type(hub_id(weights.from_).name) if folder is None else (folder.config or {}).get("model_type")
    return family_for(kind) if isinstance(kind, str) else None


def _length_problems(traits: Traits, lock: Lock) -> Iterator[Problem]:
    """Sequences that the weights are not made for."""
    weights, data = traits.find("weights"), traits.find("data")
    if not isinstance(weights.value, Model) or not isinstance(weights.value.from_, str) or not isinstance(data.value, Data):
        return
    folder, length = _folder(weights.value.from_, lock), data.value.max_length
    if folder is None:
        return
    where, related = (*data.path, "max_length"), (*weights.path, "from")
    positions, window = folder.number("max_position_embeddings", "n_positions"), folder.window
    if positions is not None and length > positions:
        yield Problem(
            code="E315",
            message=f"sequences of {length} tokens do not fit a model of {positions} positions",
            path=where,
            fix=(where, positions),
            related=((related, f"its config.json says {positions}"),),
        )
    elif window is not None and length > window:
        yield Problem(
            code="W513",
            severity="warning",
            message=f"sequences of {length} tokens, and a token sees {window} of them: some layers have a sliding window",
            path=where,
            fix=(where, window),
            related=((related, f"its config.json says sliding_window: {window}"),),
        )


# --- vocabularies


def _lines(tokenizer: Tokenizer, lock: Lock) -> list[str] | None:
    """The lines of the file that a tokenizer is made of, where it is made of one that is here."""
    locator = tokenizer.vocabulary_file()
    if locator is None:
        return None
    files = _once(lock, "files", locator, lambda: located_files(locator, lock.base))
    return _once(lock, "lines", locator, lambda: _read_lines(files[0].path)) if len(files) == 1 else None


def _read_lines(path: Path) -> list[str] | None:
    try:
        return path.read_text(encoding="utf-8").splitlines()
    except (OSError, ValueError):
        return None


def _size_of(tokenizer: Tokenizer, lock: Lock) -> int | None:
    lines = _lines(tokenizer, lock)
    return tokenizer.size if lines is None else len(set(lines))


def _vocabulary_problems(tokenizer: Tokenizer, lock: Lock) -> Iterator[Problem]:
    lines = _lines(tokenizer, lock)
    if lines is None:
        return
    known = set(lines)
    for field, token in tokenizer.special_tokens().items():
        if token not in known:
            guess = nearest(token, [line for line in lines if not line.isalnum()])
            yield Problem(
                code="E519",
                message=f"{tokenizer.vocabulary_file()} has no token {token!r}, which is the {field} token",
                path=(field,),
                label=f"did you mean {guess!r}?" if guess else "",
                fix=((field,), guess) if guess else None,
            )
