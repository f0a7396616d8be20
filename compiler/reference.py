"""The reference page: the whole language as one Markdown document, written from the vocabulary."""

import importlib
from collections.abc import Iterator, Sequence
from pathlib import Path

import dllm_run.specs
from dllm_run.specs.codes import codes, page
from dllm_run.specs.field import FieldInfo, Shape, fields_of
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.word import Word, family_name, is_family, members

from .entries import effect_of, families, places_of
from .forms import EFFECTS, default, form, summary_of, title_of

_HEAD = """\
# The language

Everything that may stand in a spec. This page is written by `dllm-run schema --format md`. `dllm-run explain PATH` says the same of one
field, `dllm-run explain PATH SPEC` also which value it has and who set it.
"""
_WRITING = Path(dllm_run.specs.__file__).parent / "writing.md"
"""What the vocabulary cannot say of itself: how values, references and paths are written."""


def reference() -> str:
    """The page."""
    maps = list(_maps(Spec))
    parts = [_HEAD, _contents(maps), _example(), _WRITING.read_text(encoding="utf-8"), _effects(), _top(), _stages()]
    parts += [_map(cls) for cls in maps]
    parts += [_family(base) for base in families() if base is not Stage]
    parts.append(_diagnostics())
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _maps(cls: type) -> Iterator[type]:
    """The maps of the language that are neither words nor the spec, as one meets them from the top."""
    seen: set[type] = set()

    def walk(cls: type) -> Iterator[type]:
        if cls in seen:
            return
        seen.add(cls)
        if not issubclass(cls, Word) and cls is not Spec:
            yield cls
        if issubclass(cls, Word) and is_family(cls):
            for word in members(cls).values():
                yield from walk(word)
            return
        for info in fields_of(cls):
            for inner in _classes(info.shape):
                yield from walk(inner)

    yield from walk(cls)


def _classes(shape: Shape) -> Iterator[type]:
    if shape.cls is not None:
        yield shape.cls
    for inner in (shape.items, shape.values):
        if inner is not None:
            yield from _classes(inner)


def _contents(maps: Sequence[type]) -> str:
    kinds = ", ".join(_link(cls) for cls in members(Stage).values())
    lines = [
        "- [A whole spec](#a-whole-spec), [how to write it](#how-to-write-it), [effects](#effects)",
        "- [The top of a spec](#the-top-of-a-spec)",
        f"- [Stages](#stages): {kinds}",
        f"- Maps: {', '.join(map(_link, maps))}",
        *(
            f"- [{family_name(base).capitalize()}](#{_anchor(base)}): {', '.join(_link(cls) for cls in members(base).values())}"
            for base in families()
            if base is not Stage
        ),
        "- [Diagnostics](#diagnostics)",
    ]
    return "\n".join(lines) + "\n"


def _example() -> str:
    lines = (Path(dllm_run.specs.__file__).parent / "recipes" / "sudoku.yaml").read_text(encoding="utf-8").splitlines()
    text = "\n".join(line for line in lines if not line.startswith("# yaml-language-server"))
    return f"## A whole spec\n\n```yaml\n{text}\n```\n"


def _effects() -> str:
    rows = "\n".join(f"| `{effect.value}` | {text} |" for effect, text in EFFECTS.items())
    return f"""\
## Effects

Each field has an effect: what changing it does to a result that is already there. It decides which stages run again, and what `diff` shows.

| effect | a change of the field |
|---|---|
{rows}

The effect of a map is that of its fields.
"""


def _top() -> str:
    return f"## The top of a spec\n\n{_table(fields_of(Spec))}"


def _stages() -> str:
    """Kinds of stages, with the fields that several of them share told once."""
    kinds = members(Stage)
    shared: dict[tuple[str, ...], list[FieldInfo]] = {}
    for cls in kinds.values():
        for info in fields_of(cls):
            having = tuple(word for word, other in kinds.items() if any(info.leaf is one.leaf for one in fields_of(other)))
            found = shared.setdefault(having, [])
            if not any(info.leaf is one.leaf for one in found):
                found.append(info)
    everywhere = shared.pop(tuple(kinds))
    parts = [
        f"{_heading(2, Stage, 'Stages')}\nThe nodes of an experiment. Every stage `stages.NAME` has:\n",
        _table(everywhere, tag=f"`{Stage.tag}`", words=kinds),
    ]
    for having, infos in shared.items():
        if len(having) > 1:
            parts.append(f"### {' and '.join(having)}\n\nBoth have:\n\n{_table(infos)}")
    for word, cls in kinds.items():
        own = shared.get((word,), [])
        more = [f"[{' and '.join(having)}](#{'-and-'.join(having)})" for having in shared if word in having and len(having) > 1]
        table = _table(own) if own else f"Its fields: those of {', '.join(more)}.\n" if more else ""
        parts.append(f"{_heading(3, cls, word)}\n{summary_of(cls)}\n\n{table}")
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _map(cls: type) -> str:
    shorthand = getattr(cls, "shorthand", None)
    short = f" A bare value stands for `{{{shorthand}: …}}`." if shorthand else ""
    return f"{_heading(2, cls, title_of(cls))}\n{summary_of(cls)}{_where(cls)}{short}\n\n{_table(fields_of(cls))}"


def _where(cls: type) -> str:
    found = [f"`{'.'.join(path)}`" for path in places_of(cls)]
    return f" At {', '.join(found)}." if found else ""


def _family(base: type[Word]) -> str:
    words, common = members(base), fields_of(base)
    key = f"`{base.tag}` names one; a bare word stands for `{{{base.tag}: …}}`."
    parts = [f"{_heading(2, base, family_name(base).capitalize())}\n{_module_line(base)}{_where(base)} {key}\n"]
    own = {word: [info for info in fields_of(cls) if not any(info.leaf is one.leaf for one in common)] for word, cls in words.items()}
    names = {word: _link(cls) if own[word] else f'<a id="{_anchor(cls)}"></a>{word}' for word, cls in words.items()}
    rows = [f"| {names[word]} | {_cell(summary_of(cls))} |" for word, cls in words.items()]
    parts.append("\n".join(["| word | meaning |", "|---|---|", *rows]) + "\n")
    if common:
        parts.append(f"All of them have:\n\n{_table(common)}")
    for word, cls in words.items():
        if own[word]:
            parts.append(f"{_heading(3, cls, word)}\n{_table(own[word])}")
    return "\n".join(part.rstrip() + "\n" for part in parts)


def _diagnostics() -> str:
    rows = []
    for code in codes():
        found = page(code)
        assert found is not None
        rows.append(f"| [{code}](../specs/codes/{code}.md) | {_cell(found.title)} |")
    return (
        "\n".join(["## Diagnostics", "", "`dllm-run explain CODE` shows the page.", "", "| code | what is wrong |", "|---|---|", *rows])
        + "\n"
    )


def _table(infos: Sequence[FieldInfo], *, tag: str = "", words: dict[str, type[Word]] | None = None) -> str:
    rows = ["| field | value | default | effect | meaning |", "|---|---|---|---|---|"]
    if words is not None:
        rows.append(f"| {tag} | {', '.join(_link(cls) for cls in words.values())} | required | result | Which kind of stage. |")
    rows += [_row(info) for info in infos]
    return "\n".join(rows) + "\n"


def _row(info: FieldInfo) -> str:
    leaf, given = info.leaf, default(info)
    scalar = info.shape.scalars or info.shape.free or info.shape.edge or info.shape.items
    effect = effect_of(info) if scalar or leaf.effect is not None else None
    means = [
        leaf.meaning,
        f"Such as `{leaf.example}`." if leaf.example else "",
        f"Result where {leaf.result_if}." if leaf.result_if else "",
    ]
    cells = [
        f"`{info.key}`",
        form(info, _link),
        "required" if given is None else f"`{given}`",
        effect.value if effect is not None else "",
        " ".join(filter(None, means)),
    ]
    return f"| {' | '.join(map(_cell, cells))} |"


def _module_line(base: type[Word]) -> str:
    """What a family is: the first line of the module that holds its base."""
    text = (importlib.import_module(base.__module__).__doc__ or "").partition("\n")[0]
    text = text.removeprefix(f"{family_name(base).capitalize()}: ")
    return text[0].upper() + text[1:]


def _heading(level: int, cls: type, text: str) -> str:
    return f'<a id="{_anchor(cls)}"></a>\n\n{"#" * level} {text}\n'


def _anchor(cls: type) -> str:
    if issubclass(cls, Word):
        return f"{family_name(cls)}.{cls.word}" if cls.word else family_name(cls)
    return f"map.{title_of(cls)}"


def _link(cls: type) -> str:
    return f"[{title_of(cls)}](#{_anchor(cls)})"


def _cell(text: str) -> str:
    return text.replace("|", "\\|").replace("\n", " ")
