"""A spec's text in the newest version of the language: edits at the places that marks give, everything else as it was.

What versions changed is data in MIGRATIONS; misspelt words, and those of other tools, come after it (`respell`).
"""

import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from types import MappingProxyType
from typing import Final

from dllm_run.specs.errors import Diagnostic, SpecError
from dllm_run.specs.word import using

from .compile import Source
from .edits import Edit, Text, edited
from .layers import Layers
from .misfits import misfits
from .node import Node, Path, Scalar
from .plugins import Plugins
from .points import cases_of, points, without_frame
from .read import read, read_value
from .resolution import Resolution
from .respell import respell

_BOM: Final = b"\xef\xbb\xbf"
VERSION: Final = "version"
OLDEST: Final = 1
"""The version of a spec that does not say one."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Rename:
    """The key at a path has another name. `*` in a path stands for one key or position."""

    path: str
    to: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Replace:
    """The value at a path is written otherwise."""

    path: str
    old: Scalar
    new: Scalar


@dataclass(frozen=True, slots=True, kw_only=True)
class Wrap:
    """A bare value at a path becomes a map that holds it under a key. A map there has the new form already."""

    path: str
    key: str


Step = Rename | Replace | Wrap
Migrations = Mapping[int, tuple[Step, ...]]
"""By the version that they lead from, to the next one. What is written over several lines stays, and the compiler reports it."""

MIGRATIONS: Final[Migrations] = MappingProxyType({})


@dataclass(frozen=True, slots=True, kw_only=True)
class Changed:
    """One thing that is written otherwise now."""

    path: str
    """Its parents are named as they were written."""
    line: int
    """In the text that was there when it was changed: earlier steps may have put lines in before it."""
    old: str
    new: str


@dataclass(frozen=True, slots=True, kw_only=True)
class Migrated:
    """A text and what was changed to get it."""

    version: int
    """The newest."""
    data: bytes
    changed: tuple[Changed, ...]


def newest(migrations: Migrations = MIGRATIONS) -> int:
    """The version that migrations lead to."""
    return max(migrations, default=OLDEST - 1) + 1


def migrate(source: Source, migrations: Migrations = MIGRATIONS) -> Migrated:
    """The spec in the newest version. Raises SpecError for a text that is not YAML; a version that is not known stays as it is."""
    changed: list[Changed] = []
    data = source.data
    root = read(data, source.file)
    version = _version(root, newest(migrations))
    if version is not None:
        for step in (step for number in range(version, newest(migrations)) for step in migrations.get(number, ())):
            data = _stepped(data, source.file, step, changed)
        data = _with_version(data, source.file, newest(migrations), changed)
        data = _respelt(data, source, changed)
    return Migrated(version=newest(migrations), data=data, changed=tuple(changed))


def _version(root: Node, last: int) -> int | None:
    """The version of a spec; None for one that is not known here."""
    node = root.get((VERSION,))
    if not isinstance(root.value, dict) or node is None:
        return OLDEST if isinstance(root.value, dict) else None
    known = isinstance(node.value, int) and not isinstance(node.value, bool) and OLDEST <= node.value <= last
    return int(node.value) if known and isinstance(node.value, int) else None


def _stepped(data: bytes, file: str, step: Step, changed: list[Changed]) -> bytes:
    root, text = read(data, file), Text.of(_text(data))
    edits: dict[int, Edit] = {}
    for path, node in root.walk():
        edit = _edit(root, path, node, step, text) if _matches(path, step.path) else None
        # An alias shows the same place twice.
        if edit is not None and edit.start not in edits:
            edits[edit.start] = edit
            old = text.text[edit.start : edit.end]
            changed.append(Changed(path=".".join(map(str, path)), line=text.line(edit.start), old=old, new=edit.text))
    return _bytes(data, edited(text.text, edits.values()))


def _matches(path: Path, pattern: str) -> bool:
    parts = pattern.split(".")
    return len(path) == len(parts) and all(wanted in ("*", str(part)) for part, wanted in zip(path, parts, strict=True))


def _edit(root: Node, path: Path, node: Node, step: Step, text: Text) -> Edit | None:
    match step:
        case Rename():
            holder = root.get(path[:-1])
            taken = holder is not None and isinstance(holder.value, dict) and step.to in holder.value
            mark = node.key_mark
            if mark is None or taken or _read_back(text.at(mark)) != path[-1]:
                return None
            new = step.to
        case Replace():
            mark = node.mark
            if node.value != step.old or type(node.value) is not type(step.old) or _read_back(text.at(mark)) != step.old:
                return None
            new = _written(step.new)
        case Wrap():
            mark = node.mark
            if isinstance(node.value, (dict, list)) or node.value is None or _read_back(text.at(mark)) != node.value:
                return None
            raw = text.at(mark)
            # What a plain scalar may hold in a line of its own, such as a comma, it may not hold between braces.
            fits = _read_back(f"{{{step.key}: {raw}}}") == {step.key: node.value}
            new = f"{{{step.key}: {raw if fits else json.dumps(node.value, ensure_ascii=False)}}}"
    start = text.offset(mark)
    return Edit(start=start, end=start + mark.length, text=new)


def _read_back(text: str) -> object:
    """What a piece of a spec says by itself; a tuple, which no spec says, where it does not."""
    try:
        return read_value(text).plain()
    except SpecError:
        return ()


def _written(value: Scalar) -> str:
    """A value in the shortest way that reads as it between braces too."""
    text = value if isinstance(value, str) else json.dumps(value)
    return text if _read_back(f"[{text}]") == [value] else json.dumps(value, ensure_ascii=False)


def _with_version(data: bytes, file: str, number: int, changed: list[Changed]) -> bytes:
    """The text with the newest version: in place of the one it says, or before its first key."""
    root, text = read(data, file), Text.of(_text(data))
    node = root.get((VERSION,))
    if node is not None:
        if node.value == number:
            return data
        edit = Edit(start=text.offset(node.mark), end=text.offset(node.mark) + node.mark.length, text=str(number))
        changed.append(Changed(path=VERSION, line=node.mark.line, old=text.at(node.mark), new=str(number)))
        return _bytes(data, edited(text.text, [edit]))
    for edit in _insertions(root, text, number):
        new = _bytes(data, edited(text.text, [edit]))
        # Odd beginnings, such as an anchor before the first key, are left to the reader of the error.
        if _reads_as(new, file) == {VERSION: number, **root.plain()}:
            changed.append(Changed(path=VERSION, line=text.line(edit.start), old="", new=f"{VERSION}: {number}"))
            return new
    return data


def _insertions(root: Node, text: Text, number: int) -> Iterator[Edit]:
    """Where a first key could go: inside the brace of a flow map, or on a line of its own."""
    start = text.offset(root.mark)
    if text.at(root.mark) == "{":
        yield Edit(start=start + 1, end=start + 1, text=f"{VERSION}: {number}, " if root.value else f"{VERSION}: {number}")
        return
    line = text.starts[root.mark.line - 1]
    end = "\r\n" if "\r\n" in text.text else "\n"
    indent = text.text[line:start]
    yield Edit(start=line, end=line, text=f"{indent if not indent.strip() else ''}{VERSION}: {number}{end}")


def _reads_as(data: bytes, file: str) -> object:
    try:
        return read(data, file).plain()
    except SpecError:
        return ()


def _respelt(data: bytes, source: Source, changed: list[Changed]) -> bytes:
    """The text with the words that were certainly meant, those of `use` and of installed packages among them."""
    layers = Layers(source.file, source.read_file)
    plugins = Plugins(layers)
    raw = read(data, source.file)
    try:
        tree = layers.tree(raw)
        words = [*plugins.used(tree), *plugins.offered()]
    except SpecError:
        # What it builds on cannot be read: nobody knows what its words may mean.
        return data
    text = _text(data)
    with using(words):
        resolution = Resolution(layers)
        changes = respell(
            raw,
            text,
            lambda new: list(_trees(layers, read(_bytes(data, new), source.file))),
            lambda trees: _told(trees, resolution),
        )
    lines = Text.of(text)
    for change in changes:
        changed.append(Changed(path=change.path, line=lines.line(change.edits[0].start), old=change.old, new=change.new))
    return _bytes(data, edited(text, (edit for change in changes for edit in change.edits)))


def _trees(layers: Layers, raw: Node) -> Iterator[Node]:
    """The tree without its frame, then that of each case: a sweep sets values, and has no words of its own."""
    tree = layers.tree(raw)
    yield without_frame(tree)
    if cases_of(tree) and isinstance(tree.value, dict):
        whole = Node({key: child for key, child in tree.value.items() if key not in ("sweep", "compare")}, tree.mark)
        yield from (point.tree() for point in points(whole))


def _told(trees: list[Node], resolution: Resolution) -> list[Diagnostic]:
    found: list[Diagnostic] = []
    for tree in trees:
        try:
            found += misfits(tree, resolution)
        except SpecError as error:
            found += error.diagnostics
    return found


def _text(data: bytes) -> str:
    return data.removeprefix(_BOM).decode()


def _bytes(like: bytes, text: str) -> bytes:
    """A text with the byte order mark of the one that it comes from."""
    return (_BOM if like.startswith(_BOM) else b"") + text.encode()
