"""YAML text to Nodes: the events of one document, its scalars by the core schema of YAML 1.2, every place kept."""

import re
from bisect import bisect_right
from collections.abc import Iterator
from itertools import accumulate, islice
from typing import Final

import yaml

from dllm_run.specs.errors import Diagnostic, Mark, SpecError

from .node import Node, Scalar
from .secrets import secrets_in

MAX_BYTES: Final = 2 * 1024 * 1024
MAX_DEPTH: Final = 100
_TOO_DEEP: Final = f"nested deeper than {MAX_DEPTH} levels"
MAX_NODES: Final = 100_000
"""Values of a spec once its aliases are expanded."""

_LOADER = yaml.CLoader if yaml.__with_libyaml__ else yaml.Loader
MAX_FOUND: Final = 100
"""Diagnostics after which nobody looks for more: nobody reads them, and a hostile file could ask for millions."""
_MAX_REREAD = 20_000
"""Values, and 500 characters each, that are read again to find further unquoted references."""

_INT = re.compile(r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?")
_NOT_FINITE = re.compile(r"[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)")
_WORDS: dict[str, bool | None] = {
    "": None, "~": None, "null": None, "Null": None, "NULL": None,
    "true": True, "True": True, "TRUE": True, "false": False, "False": False, "FALSE": False,
}  # fmt: skip
_NOT_TEXT = re.compile("[^\t\n\r\x20-\x7e\xa0-\u2027\u202a-\ud7ff\ue000-\ufefe\uff00-\ufffd\U00010000-\U0010ffff]")
"""What YAML forbids, byte order marks, and the line ends of YAML 1.1 (U+0085, U+2028, U+2029), which PyYAML would fold into spaces."""
_NO_TEXT = re.compile("[\0\ud800-\udfff]")
# Nothing that may fail follows a repetition whose parts have several readings, so that none is tried twice; possessive quantifiers,
# which would say so, are broken in Python 3.11.2 (python/cpython#106052), which is Debian 12's.
_PROPERTIES = re.compile(r"(?:[&!][^\s,\[\]{}]*\s*(?:#[^\n]*\s*)*)+")
_TAG = re.compile(r"![^\s,\[\]{}]*")
_PLAIN = r"[^\s,\[\]{}\"':$]|:(?![\s$,\[\]{}])|\$(?!\{)"
_REFERENCE = re.compile(rf"(?:{_PLAIN})*\$\{{[^{{}}\n]*\}}(?:{_PLAIN}|\$\{{[^{{}}\n]*\}})*")
_BEFORE = re.compile(r"(?:[^\s,\[\]{}\"':]|:(?=[^\s$]))*\Z")


class _Source:
    """A text that knows the line and column of each offset."""

    def __init__(self, text: str, file: str) -> None:
        self.text = text
        self.file = file
        self._lines = text.split("\n")
        self._starts = list(accumulate((len(line) + 1 for line in self._lines), initial=0))

    def mark(self, start: int, end: int) -> Mark:
        """The place of `text[start:end]`, as far as its first line goes."""
        line = bisect_right(self._starts, start) - 1
        source = self._lines[line].rstrip("\r")
        column = start - self._starts[line]
        length = end - start if column + end - start <= len(source) else len(source.rstrip()) - column
        return Mark(self.file, line + 1, column + 1, max(length, 1), source)


class _Frame:
    """A collection that is still open. `size` counts values with aliases expanded, `height` the levels from here down."""

    __slots__ = ("anchor", "height", "key", "key_mark", "keys", "mark", "size", "value")

    def __init__(self, value: dict[str, Node] | list[Node], mark: Mark, anchor: str | None) -> None:
        self.value = value
        self.mark = mark
        self.anchor = anchor
        self.size = 1
        self.height = 1
        self.key: str | None = None
        self.key_mark: Mark | None = None
        self.keys: dict[str, Mark] = {}

    @property
    def wants_key(self) -> bool:
        return self.key is None and isinstance(self.value, dict)


class _Document:
    """Builds the Node of one document from its events, with a stack of its own: depth costs no recursion."""

    def __init__(self, source: _Source, base: int, *, flow_only: bool = False) -> None:
        self.root: Node | None = None
        self.found: list[Diagnostic] = []
        self.count = 0
        self._source = source
        self._base = base
        self._flow_only = flow_only
        self._stack: list[_Frame] = []
        self._anchors: dict[str, tuple[Node, int, int] | None] = {}
        self._documents = 0

    def take(self, event: yaml.Event) -> None:
        """Add one event. Raises SpecError where reading on would be unsafe or useless."""
        if isinstance(event, yaml.ScalarEvent):
            self._scalar(event)
        elif isinstance(event, yaml.CollectionStartEvent):
            self._open(event)
        elif isinstance(event, yaml.CollectionEndEvent):
            self._close()
        elif isinstance(event, yaml.AliasEvent):
            self._alias(event)
        elif isinstance(event, yaml.DocumentStartEvent):
            self._documents += 1
            if self._documents > 1:
                raise self._end("E101", "more than one document", self._source.mark(*self._span(event)), "one file holds one spec")

    def _scalar(self, event: yaml.ScalarEvent) -> None:
        text: str = event.value
        mark = self._mark(event)
        plain = not event.style
        as_key = self._stack[-1].wants_key if self._stack else False
        self._refuse_tag(event)
        if _NO_TEXT.search(text) is not None:
            self._report("E101", "a string holds no NUL and no half of a surrogate pair", mark)
        value: Scalar = text
        if plain and not as_key:
            value = self._resolve(text, mark)
        node = Node(value, mark)
        if event.anchor is not None:
            self._anchors[event.anchor] = (node, 1, 0)
        if as_key:
            self._key(text, mark, plain)
        elif self._stack or not plain or text:  # a document without any text has no root
            self._put(node, 1, 0)

    def _open(self, event: yaml.CollectionStartEvent) -> None:
        mark = self._mark(event)
        is_map = isinstance(event, yaml.MappingStartEvent)
        self._refuse_tag(event)
        if len(self._stack) >= MAX_DEPTH:
            raise self._end("E110", _TOO_DEEP, mark)
        if self._flow_only and not event.flow_style:
            shape = "{key: value}" if is_map else "[a, b]"
            raise self._end("E101", f"a {'map' if is_map else 'list'} in a flag is written {shape}", mark, "quote it if it is text")
        if self._stack and self._stack[-1].wants_key:
            self._report("E101", f"a {'map' if is_map else 'list'} cannot be a key", mark, "keys are words; text with braces is quoted")
        if event.anchor is not None:
            self._anchors[event.anchor] = None
        self._stack.append(_Frame({} if is_map else [], mark, event.anchor))

    def _close(self) -> None:
        frame = self._stack.pop()
        node = Node(frame.value, frame.mark)
        if frame.anchor is not None:
            self._anchors[frame.anchor] = (node, frame.size, frame.height)
        self._put(node, frame.size, frame.height)

    def _alias(self, event: yaml.AliasEvent) -> None:
        name = str(event.anchor)
        mark = self._source.mark(*self._span(event))
        if self._stack and self._stack[-1].wants_key:
            self._report("E101", "an alias cannot be a key", mark)
        elif name not in self._anchors:
            self._report("E101", f"alias '*{name}' has no anchor before it", mark)
        target = self._anchors.get(name, (Node(None, mark), 1, 0))
        if target is None:
            raise self._end("E111", f"alias '*{name}' stands inside its own anchor", mark)
        node, size, height = target
        if len(self._stack) + height > MAX_DEPTH:
            raise self._end("E110", f"nested deeper than {MAX_DEPTH} levels", mark, "once this alias is expanded")
        self.count += size - 1  # its parts; _put counts the value itself
        self._put(Node(node.value, mark), size, height)

    def _put(self, node: Node, size: int, height: int) -> None:
        """Hang a finished value into the collection that is open."""
        self.count += 1
        if self.count > MAX_NODES:
            raise self._end("E111", f"more than {MAX_NODES:,} values once aliases are expanded", node.mark)
        if not self._stack:
            self.root = node
            return
        frame = self._stack[-1]
        frame.size += size
        frame.height = max(frame.height, height + 1)
        if isinstance(frame.value, list):
            frame.value.append(node)
        elif frame.key is None:
            frame.key = ""  # a key that was refused: its value is read for its own faults
        else:
            frame.value[frame.key] = Node(node.value, node.mark, frame.key_mark)
            frame.key = frame.key_mark = None

    def _key(self, text: str, mark: Mark, plain: bool) -> None:
        frame = self._stack[-1]
        frame.key, frame.key_mark = text, mark
        if plain and text == "<<":
            self._report("E109", "merge keys are not part of the language", mark, "write the keys out, or use an alias for the whole value")
        elif text in frame.keys:
            self._report("E107", f"key '{text}' is written twice", mark, "second time", ((frame.keys[text], "first time"),))
        frame.keys.setdefault(text, mark)

    def _resolve(self, text: str, mark: Mark) -> Scalar:
        if text in _WORDS:
            return _WORDS[text]
        if _INT.fullmatch(text) is not None:
            base = {"0o": 8, "0x": 16}.get(text[:2], 10)
            number = int(text, base) if len(text) <= 40 else 1 << 63  # Python refuses very long ones
            if -(1 << 63) <= number < 1 << 63:
                return number
            self._report("E115", "the number does not fit 64 bits", mark, "quote it if it is text")
        elif _FLOAT.fullmatch(text) is not None:
            real = float(text)
            if abs(real) != float("inf"):
                return real
            self._report("E115", f"{text[:40]} is too large for a number", mark, "quote it if it is text")
        elif _NOT_FINITE.fullmatch(text) is not None:
            self._report("E115", f"{text} is not a finite number", mark, "quote it if it is text")
        return text

    def _refuse_tag(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> None:
        if event.tag is None:
            return
        match = _TAG.search(self._source.text, self._span(event)[0])
        mark = self._mark(event) if match is None else self._source.mark(*match.span())
        self._report("E108", "tags are not part of the language", mark, "leave it out: the key decides the type")

    def _mark(self, event: yaml.ScalarEvent | yaml.CollectionStartEvent) -> Mark:
        """The place of the value itself, behind its anchor and tag."""
        start, end = self._span(event)
        if event.anchor is not None or event.tag is not None:
            match = _PROPERTIES.match(self._source.text, start)
            start = start if match is None else match.end()
        if isinstance(event, yaml.ScalarEvent):
            return self._source.mark(min(start, end), end)
        return self._source.mark(start, start + 1)

    def _span(self, event: yaml.Event) -> tuple[int, int]:
        start, end = event.start_mark, event.end_mark
        assert start is not None and end is not None
        return self._base + start.index, self._base + end.index

    def _path(self) -> str:
        parts = [str(len(frame.value)) if isinstance(frame.value, list) else frame.key for frame in self._stack]
        return ".".join(part for part in parts if part is not None)

    def _report(self, code: str, message: str, mark: Mark, label: str = "", related: tuple[tuple[Mark, str], ...] = ()) -> None:
        self.found.append(Diagnostic(code=code, message=message, path=self._path(), mark=mark, label=label, related=related))
        if len(self.found) >= MAX_FOUND:
            raise SpecError(self.found)

    def _end(self, code: str, message: str, mark: Mark, label: str = "") -> SpecError:
        self._report(code, message, mark, label)
        return SpecError(self.found)


def read(data: bytes, file: str) -> Node:
    """Read a spec file. Raises SpecError with everything that is wrong with its text."""
    if len(data) > MAX_BYTES:
        raise _refusal("E114", f"the file has {len(data):,} bytes, more than {MAX_BYTES:,}", Mark(file, 1, 1))
    source = _without_secrets(_decode(data, file), file)
    root = _parse(source)
    if root is None:
        raise _refusal("E113", "the file is empty", Mark(file, 1, 1), "`dllm-run init` writes a spec to start from")
    return root


def read_value(text: str, start: int = 0) -> Node:
    """Read the value that begins at `start` of a flag: a scalar or a flow collection; nothing is null. Raises SpecError."""
    source = _Source(text, "-s")
    mark = source.mark(len(text) if not text[start:].strip() else start, len(text))
    if not text[start:].strip():
        return Node(None, mark)
    root = _parse(source, start, flow_only=True)
    if root is None:
        raise _refusal("E101", "the value reads as nothing", mark, "quote it if it is text")
    return root


def read_flag(text: str) -> tuple[tuple[str, ...], Node]:
    """Read `path=value`, what `-s` is given: its path and its value. Raises SpecError."""
    source = _without_secrets(text, "-s")
    path, equals, _ = text.partition("=")
    if not equals:
        raise _refusal("E205", f"'{text}' has no '='", source.mark(0, len(text)), "write path=value")
    parts = tuple(path.split("."))
    starts = list(accumulate((len(part) + 1 for part in parts), initial=0))
    found = [
        Diagnostic(code="E205", message="a part of the path is empty", path=path, mark=source.mark(start, start + 1))
        for part, start in zip(parts, starts, strict=False)
        if not part.strip()
    ]
    try:
        node = read_value(text, len(path) + 1)
    except SpecError as error:
        raise SpecError([*found, *error.diagnostics]) from None
    if found:
        raise SpecError(found)
    return parts, Node(node.value, node.mark, source.mark(starts[-2], len(path)))


def _without_secrets(text: str, file: str) -> _Source:
    """The text with its places. Raises SpecError for everything in it that looks like a secret; no message shows one."""
    found = list(islice(secrets_in(text), MAX_FOUND))
    if not found:
        return _Source(text, file)
    shown = text
    for start, end, _ in found:
        shown = shown[:start] + "*" * (end - start) + shown[end:]
    masked = _Source(shown, file)
    label = "name the variable that holds it, `env: [HF_TOKEN]`, and take it out of this file and its history"
    raise SpecError(
        Diagnostic(code="E116", message=f"this looks like {what}", mark=masked.mark(start, end), label=label) for start, end, what in found
    )


def _refusal(code: str, message: str, mark: Mark, label: str = "") -> SpecError:
    return SpecError([Diagnostic(code=code, message=message, mark=mark, label=label)])


def _decode(data: bytes, file: str) -> str:
    """The text of a UTF-8 file, without its byte order mark."""
    if data.startswith((b"\xff\xfe", b"\xfe\xff")):
        raise _refusal("E112", "the file is UTF-16 or UTF-32", Mark(file, 1, 1), "save it as UTF-8")
    data = data.removeprefix(b"\xef\xbb\xbf")
    try:
        return data.decode()
    except UnicodeDecodeError as error:
        start = len(data[: error.start].decode())
        mark = _Source(data.decode(errors="replace"), file).mark(start, start + 1)
        raise _refusal("E112", f"byte 0x{data[error.start]:02x} is not UTF-8", mark, "save the file as UTF-8") from None


def _parse(source: _Source, base: int = 0, *, flow_only: bool = False) -> Node | None:
    """The document that begins at `base`, None when there is none. Goes on behind unquoted references, to find them all."""
    odd = [
        Diagnostic(code="E101", message=f"character U+{ord(match[0]):04X} is not allowed in a spec", mark=source.mark(*match.span()))
        for match in islice(_NOT_TEXT.finditer(source.text, base), MAX_FOUND)
    ]
    if odd:
        raise SpecError(odd)
    text = source.text[base:]
    unquoted: list[Diagnostic] = []
    reread = 0
    while True:
        document = _Document(source, base, flow_only=flow_only)
        try:
            for event in _events(text):
                document.take(event)
        except yaml.YAMLError as error:
            span = _unquoted(text, error)
            reread += document.count + len(text) // 500 + 1
            if span is None:
                document.found.append(_syntax(source, base, error))
            else:
                unquoted.append(_quote(source, base, span))
                if reread < _MAX_REREAD and len(unquoted) < MAX_FOUND:
                    text = text[: span[0]] + chr(0xE000 + len(unquoted)) * (span[1] - span[0]) + text[span[1] :]
                    continue
        except SpecError as error:
            raise SpecError([*unquoted, *error.diagnostics]) from None
        if unquoted or document.found:
            raise SpecError([*unquoted, *document.found])
        return document.root


def _events(text: str) -> Iterator[yaml.Event]:
    try:
        yield from yaml.parse(text, Loader=_LOADER)
    except (ValueError, OverflowError) as error:  # escapes and version numbers that PyYAML hands to Python unchecked
        raise yaml.YAMLError(str(error)) from error


def _unquoted(text: str, error: yaml.YAMLError) -> tuple[int, int] | None:
    """Where `${…}` stands bare in a flow collection, if that is what broke: `{` ends a plain scalar there."""
    mark = error.problem_mark if isinstance(error, yaml.MarkedYAMLError) else None
    if mark is None or not text.startswith("${", mark.index - 1):
        return None
    before = _BEFORE.search(text, max(0, mark.index - 200), mark.index - 1)
    match = _REFERENCE.match(text, mark.index - 1 if before is None else before.start())
    return None if match is None else match.span()


def _quote(source: _Source, base: int, span: tuple[int, int]) -> Diagnostic:
    start, end = base + span[0], base + span[1]
    before = source.text[max(0, start - 2) : start]
    space = "put a space and " if before.endswith(":") and before[0] not in "\"'" else ""
    message = "a reference inside {…} or […] needs quotes"
    label = f'{space}quote it: "{source.text[start:end]}"'
    return Diagnostic(code="E101", message=message, mark=source.mark(start, end), label=label)


def _syntax(source: _Source, base: int, error: yaml.YAMLError) -> Diagnostic:
    if not isinstance(error, yaml.MarkedYAMLError) or error.problem_mark is None:
        return Diagnostic(code="E101", message=f"not YAML: {error}", mark=source.mark(base, base + 1))
    end = len(source.text.rstrip())
    start = min(base + error.problem_mark.index, end)
    if "nesting depth" in (error.problem or ""):  # libyaml >= 0.2.6 reads ahead and has a limit of its own
        return Diagnostic(code="E110", message=_TOO_DEEP, mark=source.mark(start, start + 1))
    related: tuple[tuple[Mark, str], ...] = ()
    if error.context_mark is not None and error.context and error.context_mark.index != error.problem_mark.index:
        opened = min(base + error.context_mark.index, end)
        related = ((source.mark(opened, opened + 1), error.context),)
    return Diagnostic(code="E101", message=f"not YAML: {error.problem}", mark=source.mark(start, start + 1), related=related)
