"""`dllm-run explain WHAT [SPEC]`: what a code, a field or a word means; with a SPEC also its value and who set it."""

import argparse
import json
import os
import re
import sys
import textwrap
from collections.abc import Sequence
from typing import Any

from dllm_run.compiler.entries import Entry, Meaning, look_up, suggestion
from dllm_run.compiler.forms import default, effect, form, short, summary_of
from dllm_run.specs.codes import RELATED, Page, codes, page
from dllm_run.specs.effect import Effect
from dllm_run.specs.errors import DllmError, NotFound
from dllm_run.specs.field import FieldInfo, fields_of
from dllm_run.specs.word import Word, family_name, is_family, members

from .explained import Explained, explain_in
from .specs import find

WIDTH = 110
_CODE = re.compile(r"(?i)([ew]?)(\d{1,4})")
_SCHEMA = "dllm-run/explain/1"


class _Usage(DllmError):
    """Words that do not go together on the command line."""

    exit_code = 2


def main(options: argparse.Namespace) -> int:
    """0 if there is something to explain. Raises NotFound with the nearest that exists."""
    match = _CODE.fullmatch(options.what)
    if match is not None and options.spec is not None:
        raise _Usage(f"{options.what} is a code: its page is the same for every SPEC")
    if options.set and options.spec is None:
        raise _Usage("-s changes a spec: name the SPEC too")
    if match is not None:
        found = _page(match[1].upper(), match[2])
        _tell(options.json, _page_text(found), _page_json(found))
    elif options.spec is None:
        meaning = look_up(options.what)
        if not meaning:
            raise NotFound(_unknown(options.what, suggestion(options.what)))
        _tell(options.json, _meaning_text(meaning), _meaning_json(meaning))
    else:
        explained = explain_in(find(options.spec, options.set), options.what)
        _tell(options.json, "\n\n".join(map(_explained_text, explained)), {"fields": list(map(_explained_json, explained))})
    return 0


def _tell(as_json: bool, text: str, document: dict[str, Any]) -> None:
    print(json.dumps({"schema": _SCHEMA, **document}, indent=2, ensure_ascii=False) if as_json else text)


def _unknown(what: str, guess: str | None) -> str:
    hint = f": did you mean {guess}?" if guess else "; `dllm-run schema --format md` shows all of it"
    return f"the language has no {what!r}{hint}"


# --- a code


def _page(letter: str, digits: str) -> Page:
    asked = [f"{one}{digits}" for one in ([letter] if letter else "EW")]
    for code in asked:
        found = page(code)
        if found is not None:
            return found
    near = sorted(codes(), key=lambda code: (abs(int(code[1:]) - int(digits)), code))[:3]
    raise NotFound(f"there is no {' or '.join(asked)}; near it: {', '.join(sorted(near))}")


def _page_text(found: Page) -> str:
    """A page for a terminal: code blocks indented in place of fences, headings without marks."""
    bold = "\x1b[1m{}\x1b[0m" if sys.stdout.isatty() and "NO_COLOR" not in os.environ else "{}"
    lines, inside = [], False
    for line in found.text.splitlines():
        if line.startswith("```"):
            inside = not inside
            name = line.partition(" ")[2]
            lines += [f"    {name}:"] if inside and name else []
        elif inside:
            lines.append(f"    {line}".rstrip())
        else:
            lines.append(bold.format(line.lstrip("# ")) if line.startswith("#") else line)
    return "\n".join(lines)


def _page_json(found: Page) -> dict[str, Any]:
    text = "\n".join(line for line in found.text.splitlines()[1:] if not line.startswith(RELATED))
    return {"code": found.code, "severity": found.severity, "title": found.title, "text": text.strip(), "related": list(found.related)}


# --- the vocabulary


def _meaning_text(meaning: Meaning) -> str:
    whole = meaning.exact or (meaning.inner if len(meaning.inner) == 1 else ())
    listed = [entry for entry in meaning.inner if entry not in whole]
    inside = ["\n".join(_below(entry.info)) for entry in whole]
    # What may stand inside is told once, after the last field that shares it.
    last = [below and below not in inside[index + 1 :] for index, below in enumerate(inside)]
    parts = [_entry_text(entry) + (f"\n{below}" if here else "") for entry, below, here in zip(whole, inside, last, strict=True)]
    parts += [_word_text(word) for word in meaning.words] + [_family_text(base) for base in meaning.families]
    if listed:
        names = [_name_of(entry) for entry in listed]
        heading = "The same name elsewhere:" if parts else "There are several; more of the path says which:"
        parts.append("\n".join([heading, *_columns([(name, entry.info.leaf.meaning) for name, entry in zip(names, listed, strict=True)])]))
    return "\n\n".join(parts)


def _name_of(entry: Entry) -> str:
    """The path of a field, with the kinds of stages that have it where others mean something else by it."""
    where = ".".join(entry.path)
    kinds = [owner.word for owner in entry.owners if issubclass(owner, Word) and owner.word]
    return f"{where} ({', '.join(kinds)})" if kinds else where


def _entry_text(entry: Entry) -> str:
    rows = _facts(entry.info, _effect_of_place(entry))
    places = [".".join(path) for path in entry.places]
    if len(places) > 1:
        rows.append(("stands at", ", ".join(places)))
    return "\n".join([_name_of(entry), *_indented(entry.info.leaf.meaning), "", *_columns(rows)])


def _effect_of_place(entry: Entry) -> Effect:
    """The effect of a field at its first place."""
    return entry.places[entry.path]


def _facts(info: FieldInfo, changes: Effect | None) -> list[tuple[str, str]]:
    """Form, default, example and effect of a field, as rows."""
    given = default(info)
    rows = [("may be", form(info)), ("default", "none: it must be given" if given is None else given)]
    if info.leaf.example is not None:
        rows.append(("such as", info.leaf.example))
    structured = info.shape.cls is not None and not info.shape.scalars and not info.shape.edge and info.leaf.effect is None
    if changes is not None:
        rows.append(("effect", "that of its fields" if structured else effect(changes, info.leaf)))
    return rows


def _below(info: FieldInfo) -> list[str]:
    """What may stand inside a field: the words of its family, or the fields of its map."""
    inner = info.shape.cls or (info.shape.items or info.shape.values or info.shape).cls
    if inner is None:
        return []
    if issubclass(inner, Word) and is_family(inner):
        return ["", *_columns([(word, summary_of(cls)) for word, cls in members(inner).items()])]
    return ["", *_columns([(one.key, one.leaf.meaning) for one in fields_of(inner)])]


def _word_text(word: type[Word]) -> str:
    rows = [(info.key, f"{info.leaf.meaning} {_short_form(info)}") for info in fields_of(word)]
    return "\n".join([f"{word.word} ({family_name(word)})", *_indented(summary_of(word)), *(["", *_columns(rows)] if rows else [])])


def _short_form(info: FieldInfo) -> str:
    given = default(info)
    return f"[{form(info)}{'' if given is None else f'; default {given}'}]"


def _family_text(base: type[Word]) -> str:
    return "\n".join([family_name(base), *_columns([(word, summary_of(cls)) for word, cls in members(base).items()])])


def _meaning_json(meaning: Meaning) -> dict[str, Any]:
    found = [(entry.info, entry) for entry in (*meaning.exact, *meaning.inner)]
    words = (*meaning.words, *(word for base in meaning.families for word in members(base).values()))
    return {
        "fields": [
            {**_info_json(info, _effect_of_place(entry)), "paths": [".".join(path) for path in entry.places]} for info, entry in found
        ],
        "words": [{"word": word.word, "family": family_name(word), "meaning": summary_of(word)} for word in words],
    }


def _info_json(info: FieldInfo, changes: Effect) -> dict[str, Any]:
    leaf = info.leaf
    bounds = {"minimum": leaf.minimum, "above": leaf.above, "maximum": leaf.maximum, "below": leaf.below}
    return {
        "meaning": leaf.meaning,
        "form": form(info),
        "unit": leaf.unit,
        "bounds": {key: bound for key, bound in bounds.items() if bound is not None},
        "choices": list(leaf.choices),
        "required": info.required,
        "default": default(info),
        "effect": changes.value,
        "result_if": leaf.result_if,
    }


# --- a spec


def _explained_text(found: Explained) -> str:
    rows = [("is", _value(found.value))] if not found.below else []
    rows += [("in the plan", _value(value) + ("" if point == "-" else f"   at {point}")) for point, value in found.planned]
    wide = max(len(item.value) for item in found.said)
    said = [f"{item.value:<{wide}}  {item.place}{f'   {item.note}' if item.note else ''}".strip() for item in found.said]
    rows.append(("set by", "\n".join(said)))
    if found.copies:
        rows.append(("copied to", ", ".join(found.copies)))
    if found.info is not None:
        rows += _facts(found.info, found.effect)
    lines = [found.path, *_indented(found.meaning), "", *_columns(rows)]
    if found.below:
        return "\n".join([*lines, "", *_table(found.below)])
    return "\n".join([*lines, *(_below(found.info) if found.info is not None else [])])


def _value(value: Any) -> str:
    return f"${{stages.{value['stage']}}}" if isinstance(value, dict) and set(value) == {"stage", "output"} else short(value)


def _explained_json(found: Explained) -> dict[str, Any]:
    about = _info_json(found.info, found.effect or Effect.RESULT) if found.info is not None else {"meaning": found.meaning}
    return {
        "path": found.path,
        **about,
        "is": found.value,
        "set_by": [{"value": item.value, "place": item.place, "note": item.note or None} for item in found.said],
        "planned": [{"points": points, "value": value} for points, value in found.planned],
        "copied_to": list(found.copies),
        "below": [{"path": path, "value": value, "place": place} for path, value, place in found.below],
    }


# --- columns


def _columns(rows: list[tuple[str, str]]) -> list[str]:
    """Two columns, the second wrapped."""
    if not rows:
        return []
    wide = min(max(len(name) for name, _ in rows), WIDTH // 2)
    out = []
    for name, text in rows:
        for part in text.split("\n"):
            wrapped = textwrap.wrap(part, WIDTH - wide - 4, break_long_words=False, break_on_hyphens=False) or [""]
            for line in wrapped:
                out.append(f"  {name:<{wide}}  {line}".rstrip())
                name = ""
    return out


def _table(rows: Sequence[tuple[str, str, str]]) -> list[str]:
    wide = [max(len(row[index]) for row in rows) for index in (0, 1)]
    return [f"  {name:<{wide[0]}}  {value:<{wide[1]}}  {place}".rstrip() for name, value, place in rows]


def _indented(text: str) -> list[str]:
    return textwrap.wrap(text, WIDTH - 2, initial_indent="  ", subsequent_indent="  ", break_long_words=False, break_on_hyphens=False)
