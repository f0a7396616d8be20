"""What is wrong with cases, sweep and compare themselves: found before a point is made."""

from collections.abc import Iterator
from dataclasses import replace

from dllm_run.specs.codec import DecodeError, decode
from dllm_run.specs.errors import Diagnostic, SpecError
from dllm_run.specs.vocabulary.spec import Sweep
from dllm_run.specs.vocabulary.stages.eval import Eval

from .node import Node
from .origin import into_reference
from .points import CASE, MAX_POINTS, Axis, as_typed, axes_of, cases_of, excluded_of, items_of, labels_of, section, value_text
from .suggest import nearest
from .validate import schema_diagnostics

_NOT_IN_A_CASE = ("version", "name", "extends", "use", "cases", "sweep", "compare")


def form_problems(tree: Node) -> list[Diagnostic]:
    """What does not fit the form of a sweep, or of cases, which no point has any more."""
    wrong = []
    sweep, cases = tree.get(("sweep",)), tree.get(("cases",))
    if sweep is not None and sweep.value is not None:
        try:
            decode(Sweep, sweep.plain())
        except DecodeError:
            wrong.append("sweep")
    if cases is not None and cases.value is not None and not isinstance(cases.value, dict):
        wrong.append("cases")
    return [item for item in schema_diagnostics(tree) if item.path.split(".")[0] in wrong] if wrong else []


def frame_problems(root: Node) -> list[Diagnostic]:
    """What is wrong with the values of cases, sweep and compare, and with how many points they make."""
    found = [*_case_problems(root), *_grid_problems(root, "grid"), *_grid_problems(root, "zip"), *_lengths(root)]
    if found:
        return found
    try:
        axes = axes_of(root)
    except SpecError as error:
        return list(error.diagnostics)
    count = max(1, len(cases_of(root)))
    for axis in axes:
        count *= len(axis.choices)
    if count > MAX_POINTS:
        where = root.get(("sweep",)) or root
        text = f"{count:,} points: more than {MAX_POINTS:,}"
        return [
            Diagnostic(code="E125", message=text, path="sweep", mark=where.key_mark or where.mark, label="sweep less, or draw at random")
        ]
    return [*_exclude_problems(root, axes), *_compare_problems(root, axes)]


def _case_problems(root: Node) -> Iterator[Diagnostic]:
    for name, node in cases_of(root).items():
        where = f"cases.{name}"
        if not isinstance(node.value, dict):
            yield Diagnostic(
                code="E104", message=f"{where} must be a map, a piece of a spec", path=where, mark=node.mark, label="{} changes nothing"
            )
            continue
        for key in _NOT_IN_A_CASE:
            if key in node.value:
                child = node.value[key]
                yield Diagnostic(
                    code="E122",
                    message=f"{key!r} cannot differ from case to case",
                    path=f"{where}.{key}",
                    mark=child.key_mark or child.mark,
                    label="write it at the top of the spec",
                )


def _grid_problems(root: Node, kind: str) -> Iterator[Diagnostic]:
    for path, values in section(root, kind).items():
        inside = into_reference(root, tuple(path.split(".")), values)
        if inside is not None:
            fix = inside.fix if isinstance(values.value, list) else None
            yield replace(inside, path=f"sweep.{kind}.{path}", fix=fix)
        elif not isinstance(values.value, list):
            yield _problem("E104", f"sweep.{kind}: {path} must be a list of values", kind, path, values, "write [value, value, …]")
        elif not values.value:
            yield _problem("E106", f"sweep.{kind}: {path} has no values", kind, path, values, "a list with at least one value")


def _lengths(root: Node) -> Iterator[Diagnostic]:
    items = {path: node for path, node in section(root, "zip").items() if isinstance(node.value, list)}
    if len({len(items_of(node)) for node in items.values()}) < 2:
        return
    (first, node), *rest = items.items()
    for path, other in rest:
        if len(items_of(other)) != len(items_of(node)):
            text = f"sweep.zip: {path} has {len(items_of(other))} values, {first} has {len(items_of(node))}"
            item = _problem("E124", text, "zip", path, other, "values are taken together, so every list has as many")
            yield replace(item, related=((node.mark, f"{len(items_of(node))} values"),))


def _exclude_problems(root: Node, axes: list[Axis]) -> Iterator[Diagnostic]:
    known = [CASE, *(path for axis in axes for path in axis.paths)]
    for item in excluded_of(root):
        for key, node in item.items():
            if key not in known:
                guess = nearest(key, known)
                label = f"did you mean {guess!r}?" if guess else f"axes here: {', '.join(known)}"
                mark = node.key_mark or node.mark
                yield Diagnostic(
                    code="E126", message=f"{key!r} is no axis of the sweep", path=f"sweep.exclude.{key}", mark=mark, label=label
                )


def _compare_problems(root: Node, axes: list[Axis]) -> Iterator[Diagnostic]:
    compare = root.get(("compare",))
    if compare is None or not isinstance(compare.value, dict):
        return
    if not any(_evaluates(tree) for tree in (root, *cases_of(root).values())):
        mark = compare.key_mark or compare.mark
        yield Diagnostic(code="E128", message="no stage evaluates anything", path="compare", mark=mark, label="there is nothing to compare")
    paths = [path for axis in axes for path in axis.paths]
    labels = labels_of(paths)
    over = compare.value.get("over")
    if over is not None and isinstance(over.value, str) and over.value not in [*paths, *labels.values()]:
        guess = nearest(over.value, labels.values())
        label = f"did you mean {guess!r}?" if guess else f"axes here: {', '.join(labels.values()) or 'none'}"
        yield Diagnostic(code="E128", message=f"{over.value!r} is no axis of the sweep", path="compare.over", mark=over.mark, label=label)
    baseline = compare.value.get("baseline")
    if baseline is None or not isinstance(baseline.value, str) or baseline.value in cases_of(root):
        return
    pairs = [pair for axis in axes for choice in axis.choices for pair in zip(axis.paths, choice, strict=True)]
    rows = {f"{name}={value_text(as_typed(node.plain()))}": path for path, node in pairs for name in (labels[path], path)}
    path = rows.get(baseline.value)
    if path is None:
        known = list(dict.fromkeys([*cases_of(root), *(f"{labels[path]}={value_text(as_typed(node.plain()))}" for path, node in pairs)]))
        guess = nearest(baseline.value, known)
        label = (
            f"did you mean {guess!r}?" if guess else f"known here: {', '.join(known[:12]) or 'none: there are neither cases nor a sweep'}"
        )
        text = f"{baseline.value!r} is neither a case nor a value of an axis"
        yield Diagnostic(code="E128", message=text, path="compare.baseline", mark=baseline.mark, label=label)
    elif over is not None and over.value in (path, labels[path]):
        text = f"{baseline.value!r} cannot be a row: {labels[path]} is averaged over"
        label = "a case, or a value of another axis"
        yield Diagnostic(code="E128", message=text, path="compare.baseline", mark=baseline.mark, label=label)


def _evaluates(tree: Node) -> bool:
    """Whether a spec, or a piece of one, has a stage that evaluates."""
    stages = tree.get(("stages",))
    found = stages.value.values() if stages is not None and isinstance(stages.value, dict) else ()
    kinds = [stage.get((Eval.tag,)) for stage in found]
    return any(kind is not None and kind.value == Eval.word for kind in kinds)


def _problem(code: str, message: str, kind: str, path: str, node: Node, label: str) -> Diagnostic:
    return Diagnostic(code=code, message=message, path=f"sweep.{kind}.{path}", mark=node.mark, label=label)
