"""Fields in words: type, bounds, default and effect as people read them."""

from collections.abc import Callable
from typing import Any

from dllm_run.specs.canonical import canonical
from dllm_run.specs.codec import default_of
from dllm_run.specs.effect import Effect
from dllm_run.specs.field import FieldInfo, Leaf, Shape
from dllm_run.specs.quantity import FRACTION, Quantity
from dllm_run.specs.word import Word, family_name, is_family

Link = Callable[[type], str]
_SCALARS = {str: "text", int: "integer", float: "number", bool: "`true`, `false`"}
EFFECTS = {
    Effect.RESULT: "changes what is computed",
    Effect.NUMERICS: "same mathematics, other rounding",
    Effect.NONE: "changes nothing that is computed",
}
"""What each effect means, in a few words."""


def title_of(cls: type) -> str:
    """What a class is called in text: its word, its family, or its own name in small letters."""
    if issubclass(cls, Word):
        return cls.word or family_name(cls)
    return "".join(f"_{letter.lower()}" if letter.isupper() else letter for letter in cls.__name__).strip("_")


def summary_of(cls: type) -> str:
    """The first paragraph of a class's description, on one line."""
    return " ".join((cls.__doc__ or "").partition("\n\n")[0].split())


def form(info: FieldInfo, link: Link = title_of) -> str:
    """The type of a field with its bounds, `link` naming the classes in it."""
    return _listed(_forms(info.shape, info.leaf, link))


def _forms(shape: Shape, leaf: Leaf, link: Link) -> list[str]:
    if shape.free:
        return ["anything"]
    found = [f"`{choice}`" for choice in leaf.choices]
    if not found:
        found = [text for scalar in shape.scalars for text in _scalar(scalar, leaf)]
    if shape.items is not None:
        found.append(f"a list ({_listed(_forms(shape.items, leaf, link))})")
    if shape.values is not None:
        found.append("a map" if shape.values.free else f"a map of names ({_listed(_forms(shape.values, leaf, link))})")
    if shape.cls is not None:
        family = issubclass(shape.cls, Word) and is_family(shape.cls)
        found.append(f"one of the {link(shape.cls)}" if family else f"{link(shape.cls)} {{…}}")
    if shape.edge:
        found.append(f"`${{stages.X}}`{f' ({leaf.output})' if leaf.output else ''}")
    if shape.nullable:
        found.append("null")
    return found


def _scalar(scalar: type, leaf: Leaf) -> list[str]:
    within = "; ".join(filter(None, [leaf.unit or "", bounds(leaf)]))
    if scalar is Quantity:
        units = [f"`N {unit}`" for unit in leaf.units if unit != FRACTION]
        return [*units, *([f"a fraction{f' ({within})' if within else ''}"] if FRACTION in leaf.units else [])]
    text = _SCALARS[scalar]
    return [f"{text} ({within})" if within else text]


def _listed(found: list[str]) -> str:
    return found[0] if len(found) == 1 else f"{', '.join(found[:-1])} or {found[-1]}"


def bounds(leaf: Leaf) -> str:
    """The bounds of a number; empty where there are none."""
    pairs = (("at least", leaf.minimum), ("more than", leaf.above), ("at most", leaf.maximum), ("less than", leaf.below))
    return ", ".join(f"{words} {bound:g}" for words, bound in pairs if bound is not None)


def default(info: FieldInfo) -> str | None:
    """The default as it would be written; None where the field must be given."""
    return None if info.required else short(default_of(info), info.shape.cls)


def short(value: Any, cls: type | None = None) -> str:
    """A plain value in the shortest way that the language has to write it."""
    if isinstance(value, dict) and cls is not None and issubclass(cls, Word) and is_family(cls):
        return str(value[cls.tag])
    if isinstance(value, dict):
        return "{}" if not value or cls is not None else canonical(value)
    return value if isinstance(value, str) and value else canonical(value)


def effect(value: Effect, leaf: Leaf) -> str:
    """An effect with what it means, and with the condition under which it is stronger."""
    if leaf.result_if is None:
        return f"{value.value} ({EFFECTS[value]})"
    more = " since" if value is Effect.RESULT else "; result where"
    return f"{value.value} ({EFFECTS[value]}{more} {leaf.result_if})"
