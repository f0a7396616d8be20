"""Merging: RFC 7396 with one rule more, that a map which names another word replaces the whole map."""

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dllm_run.compiler.node import Node
from dllm_run.compiler.overlay import TAGS, assign, at_path, merge
from dllm_run.compiler.read import read
from dllm_run.specs.errors import Mark

KEYS = st.sampled_from(["a", "b", "c", "type"])
SCALARS = st.sampled_from([None, True, 0, 1, 2.5, "x", "y"])
VALUES = st.recursive(SCALARS, lambda inner: st.lists(inner, max_size=2) | st.dictionaries(KEYS, inner, max_size=3), max_leaves=12)
MAPS = st.dictionaries(KEYS, VALUES, max_size=4)
PATHS = st.lists(st.sampled_from(["a", "b", "c"]), min_size=1, max_size=3).map(tuple)


def node(value: Any, file: str = "base") -> Node:
    """A tree of plain values, all of them written in `file`."""
    mark = Mark(file, 1, 1)
    if isinstance(value, dict):
        return Node({key: Node(node(item, file).value, mark, mark) for key, item in value.items()}, mark)
    if isinstance(value, list):
        return Node([node(item, file) for item in value], mark)
    return Node(value, mark)


def rfc7396(target: Any, patch: Any) -> Any:
    """The pseudocode of the RFC, section 2, with the rule on words."""
    if not isinstance(patch, dict):
        return patch
    words = [(target[tag], patch[tag]) for tag in TAGS if isinstance(target, dict) and tag in target and tag in patch]
    other = any(isinstance(old, str) and isinstance(new, str) and old != new for old, new in words)
    result = copy.deepcopy(target) if isinstance(target, dict) and not other else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = rfc7396(result.get(key), value)
    return result


def merged(base: Any, over: Any) -> Any:
    return merge(node(base), node(over, "over")).plain()


@pytest.mark.parametrize(
    ("base", "over", "wanted"),
    [
        pytest.param({"a": 1}, {"b": 2}, {"a": 1, "b": 2}, id="keys-join"),
        pytest.param({"a": 1}, {"a": 2}, {"a": 2}, id="later-wins"),
        pytest.param({"a": {"b": 1, "c": 2}}, {"a": {"b": 3}}, {"a": {"b": 3, "c": 2}}, id="maps-merge"),
        pytest.param({"a": [1, 2]}, {"a": [3]}, {"a": [3]}, id="lists-replace"),
        pytest.param({"a": 1}, {"a": None}, {}, id="null-deletes"),
        pytest.param({"a": 1}, {"b": None}, {"a": 1}, id="null-on-nothing"),
        pytest.param({}, {"a": {"b": None}}, {"a": {}}, id="null-leaves-no-trace"),
        pytest.param({"a": 1}, {"a": {"b": 1}}, {"a": {"b": 1}}, id="a-map-replaces-a-scalar"),
        pytest.param({"a": {"b": 1}}, {"a": 1}, {"a": 1}, id="a-scalar-replaces-a-map"),
        pytest.param({"a": [1]}, {"a": [None]}, {"a": [None]}, id="null-in-a-list-stays"),
        pytest.param({"type": "mdlm", "b": 1}, {"type": "bd3lm", "c": 2}, {"type": "bd3lm", "c": 2}, id="another-word-replaces"),
        pytest.param({"type": "mdlm", "b": 1}, {"type": "mdlm", "c": 2}, {"type": "mdlm", "b": 1, "c": 2}, id="the-same-word-merges"),
        pytest.param({"type": "mdlm", "b": 1}, {"c": 2}, {"type": "mdlm", "b": 1, "c": 2}, id="no-word-merges"),
        pytest.param({"kind": "sft", "b": 1}, {"kind": "eval"}, {"kind": "eval"}, id="another-kind-replaces"),
        pytest.param({"family": "llama", "b": 1}, {"family": "qwen"}, {"family": "qwen"}, id="another-family-replaces"),
        pytest.param({"type": {"x": 1}, "b": 1}, {"type": {"x": 2}}, {"type": {"x": 2}, "b": 1}, id="a-map-is-no-word"),
    ],
)  # fmt: skip
def test_an_overlay_merges(base: Any, over: Any, wanted: Any) -> None:
    assert merged(base, over) == wanted
    assert rfc7396(base, over) == wanted


@given(MAPS, VALUES)
@settings(derandomize=True, deadline=None)
def test_merging_is_that_of_the_rfc(base: Any, over: Any) -> None:
    assert merged(base, over) == rfc7396(base, over)


@given(MAPS, MAPS)
@settings(derandomize=True, deadline=None)
def test_merging_changes_neither_side_and_a_second_time_nothing(base: Any, over: Any) -> None:
    left, right = node(base), node(over)
    once = merge(left, right)
    assert (left, right) == (node(base), node(over))
    assert merge(once, right).plain() == once.plain()


@given(MAPS)
@settings(derandomize=True, deadline=None)
def test_the_empty_map_is_the_identity(base: Any) -> None:
    assert merged(base, {}) == base


@given(MAPS, PATHS, VALUES)
@settings(derandomize=True, deadline=None)
def test_assigning_is_merging_a_tree_that_holds_one_path(base: Any, path: tuple[str, ...], value: Any) -> None:
    assert assign(node(base), path, node(value)).plain() == rfc7396(base, at_path(path, node(value)).plain())


@given(MAPS, PATHS, SCALARS.filter(lambda value: value is not None), SCALARS.filter(lambda value: value is not None))
@settings(derandomize=True, deadline=None)
def test_of_two_assignments_to_one_path_the_later_wins(base: Any, path: tuple[str, ...], first: Any, second: Any) -> None:
    both = assign(assign(node(base), path, node(first)), path, node(second))
    assert both.plain() == assign(node(base), path, node(second)).plain()
    found = both.get(path)
    assert found is not None and found.value == second


@pytest.mark.parametrize(
    ("path", "wanted"),
    [
        pytest.param(("items", "1"), {"items": [{"a": 1}, 9]}, id="item"),
        pytest.param(("items", "0", "a"), {"items": [{"a": 9}, 2]}, id="inside-an-item"),
        pytest.param(("items", "2"), {"items": {"2": 9}}, id="beyond-the-end-is-no-item"),
        pytest.param(("0",), {"items": [{"a": 1}, 2], "0": 9}, id="a-digit-may-be-a-key"),
    ],
)
def test_numbers_in_a_path_index_lists(path: tuple[str, ...], wanted: Any) -> None:
    assert assign(node({"items": [{"a": 1}, 2]}), path, node(9)).plain() == wanted


def test_values_keep_the_place_of_whoever_wrote_them() -> None:
    base = read(b"a: {b: 1, c: 2}\n", "base.yaml")
    over = read(b"a:\n  b: 3\n", "over.yaml")
    both = merge(base, over)
    places = {path: (found.mark.file, found.mark.line, found.mark.column) for path, found in both.walk()}
    assert places[("a", "b")] == ("over.yaml", 2, 6)
    assert places[("a", "c")] == ("base.yaml", 1, 14)


def test_what_an_assignment_does_not_touch_stays_the_same_object() -> None:
    base = read(b"a: {b: 1}\nc: {d: [1, 2]}\n", "base.yaml")
    assert assign(base, ("a", "b"), node(2)).get(("c",)) is base.get(("c",))
