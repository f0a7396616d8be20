"""A resolved tree against its schema: every misfit as a diagnostic with its place and the nearest legal value."""

import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import replace
from typing import Any

from dllm_run.specs.codec import DecodeError, Memo, decode
from dllm_run.specs.errors import Diagnostic, SpecError
from dllm_run.specs.field import fields_of
from dllm_run.specs.vocabulary.spec import Spec

from .node import Node, Path, Plain
from .read import MAX_FOUND
from .schema import resolved_schema
from .shorten import listed, shortened
from .suggest import nearest, nearest_free

_NAMES = {
    "string": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "object": "a map",
    "array": "a list",
    "null": "null",
}
_VERSION = "version"
_AMOUNT = "[kKMBT]"
"""In the pattern of every amount with a unit, and in no other."""
_UNITS = ("steps", "epochs", "tokens", "rows")
_AMOUNT_TEXT = re.compile(r"\s*(\d+(?:\.\d+)?(?:\s*[kKMBT](?=\s))?)\s*([A-Za-z]+)\s*")
_ONE_LINE = r"(?!\n)"
"""Patterns end in it, since Python's `$` also matches before a last newline. It would tell the reader of an error nothing."""


def typed(node: Node, plain: Plain | None = None, memo: Memo | None = None) -> Spec:
    """The spec as vocabulary objects. Raises SpecError with the first misfit, as far as types alone can tell it.

    `plain` and `memo` let specs that share parts share the objects too.
    """
    try:
        return decode(Spec, node.plain(plain), memo=memo)
    except DecodeError as error:
        where = ".".join(map(str, error.path))
        mark = node.nearest(tuple(error.path)).mark
        raise SpecError([Diagnostic(code="E104", message=str(error), path=where, mark=mark)]) from None


def schema_diagnostics(node: Node) -> Iterator[Diagnostic]:
    """All differences between a tree and the schema, always in the same order, so that a reader may stop early."""
    # jsonschema takes a quarter of the start-up time and a spec that is right never needs it.
    from jsonschema import Draft202012Validator

    validator = Draft202012Validator(resolved_schema())
    seen: set[Diagnostic] = set()
    for part, section in _sections(node.plain()):
        for error in validator.iter_errors(part):
            if section and (not error.absolute_path or error.absolute_path[0] != section):
                continue
            for found in _diagnose(node, error):
                if found not in seen:
                    seen.add(found)
                    yield found


def _sections(plain: dict[str, Any]) -> Iterator[tuple[dict[str, Any], str]]:
    """A spec without its stages and data sets, then each of those alone: jsonschema takes the names of a map in random order."""
    named = [info.key for info in fields_of(Spec) if info.shape.values is not None and isinstance(plain.get(info.key), dict)]
    yield {key: {} if key in named else child for key, child in plain.items()}, ""
    for key in named:
        for name, child in plain[key].items():
            yield {key: {name: child}}, key


def _diagnose(root: Node, error: Any) -> Iterator[Diagnostic]:
    path = tuple(error.absolute_path)
    node = root.nearest(path)
    where = ".".join(map(str, path))
    match error.validator:
        case "additionalProperties":
            yield from _unknown_keys(node, where, error)
        case "required":
            missing = [key for key in error.validator_value if key not in error.instance]
            for key in missing:
                yield _found("E105", f"{where or 'the spec'} needs {key!r}", node, where, _example(root, path, error, key))
        case "enum" | "const":
            choices = error.validator_value if error.validator == "enum" else [error.validator_value]
            found = not_a_choice(node, where, error.instance, choices)
            now = error.schema.get("x-formerly", {}).get(json.dumps(error.instance))
            yield found if now is None else replace(found, label=f"now written `{now}`", fix=f"{where}={now}")
        case "type" if json.dumps(error.instance) in error.schema.get("x-formerly", {}):
            return  # what is said of the choices has its cure
        case "type":
            wanted = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
            wanted = list(dict.fromkeys(wanted))
            names = " or ".join(_NAMES[name] for name in wanted)
            pattern = error.schema.get("pattern", "")
            label = _meaning(pattern) if _AMOUNT in pattern else f"expected {names}"
            yield _found("E104", f"{where} must be {names}, not {_shown(error.instance)}", node, where, label)
        case "pattern":
            yield _ill_formed(node, where, error)
        case _:
            yield _found("E106", f"{where}: {error.message}", node, where, _bound(error))


def _unknown_keys(node: Node, where: str, error: Any) -> Iterator[Diagnostic]:
    known = list(error.schema["properties"])
    assert isinstance(node.value, dict)
    for key in error.instance:
        if key not in known:
            guess = nearest_free(key, known, error.instance)
            yield unknown_key(key, node.value[key], where, guess, known)


def unknown_key(key: str, child: Node, where: str, guess: str | None, known: Iterable[str]) -> Diagnostic:
    """A key that the language does not have in the map at `where`."""
    return Diagnostic(
        code="E102",
        message=f"unknown key {shortened(key)!r} in {where or 'the spec'}",
        path=f"{where}.{key}" if where else key,
        mark=child.key_mark or child.mark,
        label=f"did you mean {guess!r}?" if guess else f"known here: {listed(sorted(known))}",
    )


def not_a_choice(node: Node, where: str, value: Any, choices: Iterable[Any]) -> Diagnostic:
    """A value that is none of those which may stand at `where`."""
    words = [choice for choice in choices if choice is not None]
    guess = nearest(value, [word for word in words if isinstance(word, str)]) if isinstance(value, str) else None
    fix = f"{where}={guess}" if guess else None
    label = f"did you mean {guess!r}?" if guess else _newer(where, value, words)
    legal = ", ".join(map(str, words))
    message = f"{_shown(value)} is not one of: {legal}"
    if len(words) == 1 and not isinstance(words[0], str):
        message = f"{where} must be {legal}, not {_shown(value)}"
    return Diagnostic(code="E103", message=message, path=where, mark=node.mark, label=label, fix=fix)


def _newer(where: str, value: Any, versions: list[Any]) -> str:
    """What to do about a spec of a version that is still to come for this compiler."""
    newer = where == _VERSION and isinstance(value, int) and not isinstance(value, bool) and value > max(versions)
    return "the spec is for a newer dllm-run: update dllm-run to read it" if newer else ""


def _ill_formed(node: Node, where: str, error: Any) -> Diagnostic:
    """A text that has not the form of its field; where the unit of an amount is misspelt, with the amount that was meant."""
    text, pattern = error.instance, error.schema["pattern"]
    meant = _amount(text, [unit for unit in _UNITS if unit in pattern]) if _AMOUNT in pattern else None
    label = _form(error) if meant is None else f"did you mean `{meant}`?"
    fix = None if meant is None else f"{where}={meant}"
    message = f"{_shown(text)} is not right for {where}"
    return Diagnostic(code="E103", message=message, path=where, mark=node.mark, label=label, fix=fix)


def _amount(text: str, units: list[str]) -> str | None:
    match = _AMOUNT_TEXT.fullmatch(text)
    guess = nearest(match[2], units) if match is not None else None
    if match is None or guess is None or (match[2][0] in _AMOUNT and nearest(match[2][1:], units)):  # `2 Btokens` has lost a space
        return None
    return f"{match[1]} {guess}"


def _form(error: Any) -> str:
    """The form of a text: as its unit or its example says it, else as its pattern does."""
    schema = error.schema
    if "x-unit" in schema:
        return f"expected {schema['x-unit']}"
    example = schema.get("examples", [])
    pattern = schema["pattern"].removesuffix(_ONE_LINE)
    return f"such as {example[0]}: {pattern}" if example and _AMOUNT not in pattern else _meaning(pattern)


def _meaning(pattern: str) -> str:
    if _AMOUNT in pattern:
        return "expected a number and a unit: " + ", ".join(f"`3 {unit}`" for unit in _UNITS if unit in pattern)
    if "stages" in pattern:
        return "expected ${stages.NAME} or a map"
    return f"expected text that matches {pattern}"


def _example(root: Node, path: Path, error: Any, key: str) -> str:
    """What a missing key would say; the right name where a map most likely lacks it since its own name is misspelt."""
    field = error.schema.get("properties", {}).get(key, {})
    enum = field.get("enum", [])
    if len(enum) == 1:
        return f"{key}: {enum[0]}"
    guess = _namesake(root, path, key) if enum or _by_path(root, path) else None
    if guess is not None:
        return f"did you mean {guess}?"
    if enum:
        return f"one of: {', '.join(map(str, enum))}"
    return f"{key}: {field['description']}" if "description" in field else ""


def _namesake(root: Node, path: Path, key: str) -> str | None:
    """The stage or data set that has the key and nearly the name."""
    others = root.get(path[:1]) if len(path) == 2 else None
    if others is None or not isinstance(others.value, dict) or len(others.value) > MAX_FOUND:
        return None
    guess = nearest(str(path[-1]), [name for name, node in others.value.items() if node.get((key,)) is not None])
    return f"{path[0]}.{guess}" if guess else None


def _by_path(root: Node, path: Path) -> bool:
    """Whether a map exists only since a flag or a sweep sets something inside it."""
    node = root.get(path)
    inside = node.value.values() if node is not None and isinstance(node.value, dict) else ()
    return node is not None and any(child.key_mark == node.key_mark for child in inside)


def _bound(error: Any) -> str:
    words = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than", "exclusiveMaximum": "less than"}
    return f"must be {words[error.validator]} {error.validator_value}" if error.validator in words else ""


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "a map" if isinstance(value, dict) else "a list"
    if isinstance(value, str):
        return repr(shortened(value))
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


def _found(code: str, message: str, node: Node, where: str, label: str = "") -> Diagnostic:
    return Diagnostic(code=code, message=message, path=where, mark=node.mark, label=label)
