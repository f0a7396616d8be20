"""JSON Schemas (2020-12) derived from the vocabulary: one for editors, one for what has been resolved."""

import json
from typing import Any

from dllm_run.specs.codec import default_of
from dllm_run.specs.effect import Effect
from dllm_run.specs.field import FieldInfo, Leaf, Shape, fields_of
from dllm_run.specs.quantity import FRACTION, Quantity
from dllm_run.specs.reference import EDGE
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.word import Word, family_name, is_family, members

_TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}
_COPY = r"^\$\{[^${}]+\}$"


def resolved_schema() -> dict[str, Any]:
    """What a spec must look like once shorthands, references and defaults of the top are in place."""
    return _Builder(editor=False).document()


def editor_schema() -> dict[str, Any]:
    """What an editor helps with: nothing is required, references and shorthands are allowed anywhere."""
    return {"title": "dllm-run experiment, version 1", **_Builder(editor=True).document()}


def editor_schema_text() -> str:
    """The same as the text of a file."""
    return json.dumps(editor_schema(), indent=2, ensure_ascii=False) + "\n"


class _Builder:
    def __init__(self, *, editor: bool) -> None:
        self.editor = editor
        self.definitions: dict[str, Any] = {}

    def document(self) -> dict[str, Any]:
        root = self._class(Spec)
        return {"$schema": "https://json-schema.org/draft/2020-12/schema", **root, "$defs": self.definitions}

    def _class(self, cls: type) -> dict[str, Any]:
        name = _name(cls)
        if name not in self.definitions:
            self.definitions[name] = {}
            if issubclass(cls, Word) and is_family(cls):
                self.definitions[name] = self._family(cls)
            else:
                self.definitions[name] = self._map(cls)
        return {"$ref": f"#/$defs/{name}"}

    def _family(self, base: type[Word]) -> dict[str, Any]:
        words = members(base)
        branches = [
            {
                "if": {"properties": {base.tag: {"const": word}}, "required": [base.tag]},
                "then": self._class(cls),
            }
            for word, cls in words.items()
        ]
        described = {word: (cls.__doc__ or "").strip() for word, cls in words.items()}
        tag: dict[str, Any] = {"enum": list(words), "description": "\n".join(f"{word}: {text}" for word, text in described.items())}
        if self.editor:
            tag["enumDescriptions"] = list(described.values())  # what editors show beside each word
        # In an editor even the word may be missing: a stage's launch is merged with that of the top.
        required = {} if self.editor else {"required": [base.tag]}
        return {"type": "object", "properties": {base.tag: tag}, **required, "allOf": branches}

    def _map(self, cls: type) -> dict[str, Any]:
        infos = fields_of(cls)
        properties = {info.key: self._field(info) for info in infos}
        if issubclass(cls, Word):
            properties[cls.tag] = {"const": cls.word, "description": (cls.__doc__ or "").strip()}
        out: dict[str, Any] = {
            "type": "object",
            "description": (cls.__doc__ or "").strip(),
            "properties": properties,
            "additionalProperties": False,
        }
        required = [info.key for info in infos if info.required]
        if required and not self.editor:
            out["required"] = required
        return out

    def _field(self, info: FieldInfo) -> dict[str, Any]:
        out: dict[str, Any] = {"description": info.leaf.meaning}
        effect = info.leaf.effect or (Effect.RESULT if info.shape.scalars or info.shape.free else None)
        if effect is not None:
            out["x-effect"] = effect.value
        if info.leaf.unit is not None:
            out["x-unit"] = info.leaf.unit
        if not info.required:
            out["default"] = default_of(info)
        if info.leaf.example is not None:
            out["examples"] = [info.leaf.example]
        shape = self._shape(info.shape, info.leaf)
        if self.editor and not info.shape.free:
            shape = {"anyOf": [shape, {"type": "string", "pattern": _COPY}]}
        return {**out, **shape}

    def _shape(self, shape: Shape, leaf: Leaf) -> dict[str, Any]:
        if shape.free:
            return {}
        scalar = self._scalar(shape, leaf)
        structured: dict[str, Any] = {}
        if shape.cls is not None:
            structured["object"] = self._class(shape.cls)
        elif shape.values is not None:
            structured["object"] = {"type": "object", "additionalProperties": self._shape(shape.values, leaf)}
        if shape.items is not None:
            structured["array"] = {"type": "array", "items": self._shape(shape.items, leaf), "minItems": 0}
        if self.editor:
            return self._editor_form(shape, scalar, structured)
        if not structured:
            return scalar or {"type": "string"}
        return self._by_type(shape, scalar, structured)

    def _by_type(self, shape: Shape, scalar: dict[str, Any], structured: dict[str, Any]) -> dict[str, Any]:
        """Alternatives told apart by their JSON type, so that an error is that of the branch which was meant."""
        types = [*structured, *scalar.pop("type", []), *(["null"] if shape.nullable else [])]
        if shape.edge and "string" not in types:
            types.append("string")
            scalar = {**scalar, "pattern": EDGE}
        out: dict[str, Any] = {"type": types, **scalar}
        out["allOf"] = [{"if": {"type": name}, "then": form} for name, form in structured.items()]
        return out

    def _editor_form(self, shape: Shape, scalar: dict[str, Any], structured: dict[str, Any]) -> dict[str, Any]:
        forms = list(structured.values())
        if scalar:
            forms.append(scalar)
        if shape.cls is not None and getattr(shape.cls, "shorthand", None) is not None:
            forms.append(self._shorthand(shape.cls))
        if shape.edge:
            forms.append({"type": "string", "pattern": EDGE})
        if shape.nullable and not scalar:
            forms.append({"type": "null"})
        return forms[0] if len(forms) == 1 else {"anyOf": forms}

    def _shorthand(self, cls: type) -> dict[str, Any]:
        if issubclass(cls, Word) and is_family(cls):
            return {"enum": list(members(cls)), "enumDescriptions": [(word.__doc__ or "").strip() for word in members(cls).values()]}
        return {"type": ["string", "number"]}

    def _scalar(self, shape: Shape, leaf: Leaf) -> dict[str, Any]:
        if not shape.scalars:
            return {}
        types: list[str] = []
        out: dict[str, Any] = {}
        for scalar in shape.scalars:
            if scalar is Quantity:
                types.append("string")
                named = "|".join(f"{unit}|{unit.removesuffix('s')}" for unit in leaf.units if unit != FRACTION)
                out["pattern"] = rf"^\s*\d+(\.\d+)?(\s*[kKMBT])?\s+({named})\s*$"
                if FRACTION in leaf.units:
                    types.append("number")
            else:
                types.append(_TYPES[scalar])
        if shape.nullable and not (shape.cls or shape.items or shape.values):
            types.append("null")
        out["type"] = types
        bounds = {"minimum": leaf.minimum, "maximum": leaf.maximum, "exclusiveMinimum": leaf.above, "exclusiveMaximum": leaf.below}
        out.update({key: bound for key, bound in bounds.items() if bound is not None})
        if leaf.choices:
            out["enum"] = [*leaf.choices, *([None] if shape.nullable else [])]
        if leaf.formerly and not self.editor:
            out["x-formerly"] = {json.dumps(old): new for old, new in leaf.formerly}
        if leaf.pattern is not None:
            out["pattern"] = leaf.pattern
        return out


def _name(cls: type) -> str:
    return f"{family_name(cls)}.{cls.word or 'any'}" if issubclass(cls, Word) else cls.__name__
