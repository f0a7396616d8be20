"""A resolved tree against its schema: every misfit as a diagnostic with its place and the nearest legal value."""

import json
from collections.abc import Iterable, Iterator
from typing import Any

from dllm_run.specs.codec import DecodeError, decode
from dllm_run.specs.errors import Diagnostic, SpecError
from dllm_run.specs.vocabulary.spec import Spec

from .node import Node, Path
from .schema import resolved_schema
from .suggest import nearest

_NAMES = {
    "string": "a text",
    "integer": "an integer",
    "number": "a number",
    "boolean": "true or false",
    "object": "a map",
    "array": "a list",
    "null": "null",
}
_AMOUNT = "[kKMBT]"
"""In the pattern of every amount with a unit, and in no other."""
_ONE_LINE = r"(?!\n)"
"""Patterns end in it, since Python's `$` also matches before a last newline. It would tell the reader of an error nothing."""


def typed(node: Node) -> Spec:
    """The spec as vocabulary objects. Raises SpecError with the first misfit, as far as types alone can tell it."""
    try:
        return decode(Spec, node.plain())
    except DecodeError as error:
        where = ".".join(map(str, error.path))
        mark = node.nearest(tuple(error.path)).mark
        raise SpecError([Diagnostic(code="E104", message=str(error), path=where, mark=mark)]) from None


def schema_diagnostics(node: Node) -> Iterator[Diagnostic]:
    """All differences between a tree and the schema, in the order of the file."""
    # jsonschema takes a quarter of the start-up time and a spec that is right never needs it.
    from jsonschema import Draft202012Validator

    errors = Draft202012Validator(resolved_schema()).iter_errors(node.plain())
    seen: set[Diagnostic] = set()
    for error in errors:
        for found in _diagnose(node, error):
            if found not in seen:
                seen.add(found)
                yield found


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
            yield not_a_choice(node, where, error.instance, choices)
        case "type":
            wanted = error.validator_value if isinstance(error.validator_value, list) else [error.validator_value]
            wanted = list(dict.fromkeys(wanted))
            names = " or ".join(_NAMES[name] for name in wanted)
            pattern = error.schema.get("pattern", "")
            label = _meaning(pattern) if _AMOUNT in pattern else f"expected {names}"
            yield _found("E104", f"{where} must be {names}, not {_shown(error.instance)}", node, where, label)
        case "pattern":
            yield _found("E103", f"{error.instance!r} is not right for {where}", node, where, _form(error))
        case _:
            yield _found("E106", f"{where}: {error.message}", node, where, _bound(error))


def _unknown_keys(node: Node, where: str, error: Any) -> Iterator[Diagnostic]:
    known = list(error.schema["properties"])
    assert isinstance(node.value, dict)
    for key in error.instance:
        if key not in known:
            guess = nearest(key, [name for name in known if name not in error.instance]) or nearest(key, known)
            yield unknown_key(key, node.value[key], where, guess, known)


def unknown_key(key: str, child: Node, where: str, guess: str | None, known: Iterable[str]) -> Diagnostic:
    """A key that the language does not have in the map at `where`."""
    return Diagnostic(
        code="E102",
        message=f"unknown key {key!r} in {where or 'the spec'}",
        path=f"{where}.{key}" if where else key,
        mark=child.key_mark or child.mark,
        label=f"did you mean {guess!r}?" if guess else f"known here: {', '.join(sorted(known))}",
    )


def not_a_choice(node: Node, where: str, value: Any, choices: Iterable[Any]) -> Diagnostic:
    """A value that is none of those which may stand at `where`."""
    words = [choice for choice in choices if choice is not None]
    guess = nearest(value, [word for word in words if isinstance(word, str)]) if isinstance(value, str) else None
    fix = f"{where}={guess}" if guess else None
    label = f"did you mean {guess!r}?" if guess else ""
    listed = ", ".join(map(str, words))
    message = f"{_shown(value)} is not one of: {listed}"
    if len(words) == 1 and not isinstance(words[0], str):
        message = f"{where} must be {listed}, not {_shown(value)}"
    return Diagnostic(code="E103", message=message, path=where, mark=node.mark, label=label, fix=fix)


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
        units = [name for name in ("steps", "epochs", "tokens", "rows") if name in pattern]
        return "expected a number and a unit: " + ", ".join(f"`3 {unit}`" for unit in units)
    if "stages" in pattern:
        return "expected ${stages.NAME} or a map"
    return f"expected text that matches {pattern}"


def _example(root: Node, path: Path, error: Any, key: str) -> str:
    """What a missing key would say. A stage without kind is most likely the misspelt name of one that has it."""
    field = error.schema.get("properties", {}).get(key, {})
    if "enum" in field:
        stages = root.get(path[:1])
        others = list(stages.value) if key == "kind" and stages is not None and isinstance(stages.value, dict) else []
        known = [name for name in others if root.get((*path[:1], name, key)) is not None]
        guess = nearest(str(path[-1]), known) if known else None
        if len(field["enum"]) == 1:
            return f"{key}: {field['enum'][0]}"
        return f"did you mean stages.{guess}?" if guess else f"one of: {', '.join(map(str, field['enum']))}"
    return f"{key}: {field['description']}" if "description" in field else ""


def _bound(error: Any) -> str:
    words = {"minimum": "at least", "maximum": "at most", "exclusiveMinimum": "more than", "exclusiveMaximum": "less than"}
    return f"must be {words[error.validator]} {error.validator_value}" if error.validator in words else ""


def _shown(value: Any) -> str:
    if isinstance(value, (dict, list)):
        return "a map" if isinstance(value, dict) else "a list"
    return json.dumps(value) if value is None or isinstance(value, bool) else repr(value)


def _found(code: str, message: str, node: Node, where: str, label: str = "") -> Diagnostic:
    return Diagnostic(code=code, message=message, path=where, mark=node.mark, label=label)
