"""Which rows are trained on: hold-outs that nothing of leaks, and mixtures."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from dllm_run.runtime.failure import Failure
from dllm_run.runtime.prepare import choose, key_of, mixture
from dllm_run.specs.quantity import Quantity
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.source import Source


def data(weights: list[float | None], **fields: object) -> Data:
    return Data(sources=tuple(Source(path="./x.jsonl", weight=weight) for weight in weights), **fields)  # type: ignore[arg-type]


CONTENTS = st.lists(st.lists(st.integers(0, 12), min_size=1, max_size=25), min_size=1, max_size=3)


@given(CONTENTS, st.integers(1, 8), st.none() | st.integers(1, 60), st.booleans(), st.integers(0, 3))
@settings(max_examples=300, deadline=None)
def test_nothing_that_is_held_out_is_ever_trained_on(
    contents: list[list[int]], held: int, limit: int | None, weighted: bool, seed: int
) -> None:
    """Whatever repeats within sources and across them, under limits and weights."""
    rows = [content for source in contents for content in source]
    sources = [index for index, source in enumerate(contents) for _ in source]
    case = data(
        [index + 1.0 if weighted else None for index in range(len(contents))], holdout=Quantity(held, "rows"), limit=limit, seed=seed
    )
    try:
        found = choose([key_of({"text": str(row)}) for row in rows], sources, case)
    except Failure as failure:
        assert "leaves nothing" in str(failure) or "nothing is left" in str(failure) or "has no row left" in str(failure)
        return
    assert len(found.held_out) == held == len(set(found.held_out))
    unseen = {rows[index] for index in found.held_out}
    assert not unseen & {rows[index] for index in found.training}
    assert found.leaked == sum(content in unseen for content in rows) - held
    left = [index for index in range(len(rows)) if rows[index] not in unseen]
    if not weighted:
        assert len(found.training) == min(len(left), limit or len(left)) and len(set(found.training)) == len(found.training)
    if limit is None and weighted:
        assert len(set(found.training)) == len(found.training), "without a limit no row is read twice"
    if limit is not None and weighted:
        assert len(found.training) == limit
        counts = Counter(found.training)
        for source in range(len(contents)):
            times = [counts[index] for index in left if sources[index] == source]
            assert not times or max(times) - min(times) <= 1, "all rows of a source come once before any comes again"


def test_the_hold_out_is_the_same_whatever_is_mixed() -> None:
    keys, sources = [bytes([number]) for number in range(40)], [number // 20 for number in range(40)]
    holdout = Quantity(6, "rows")
    found = [choose(keys, sources, case).held_out for case in (data([None, None], holdout=holdout), data([1, 3], holdout=holdout, limit=9))]
    assert found[0] == found[1]


@pytest.mark.parametrize(
    ("weights", "there", "limit", "expected"),
    [
        pytest.param([1, 1], [10, 30], None, [10, 10], id="the-source-that-lasts-least-is-used-up"),
        pytest.param([1, 3], [10, 30], None, [10, 30], id="all-of-both"),
        pytest.param([3, 1], [10, 30], None, [10, 3], id="a-share"),
        pytest.param([1, 1], [3, 30], 20, [10, 10], id="a-limit-repeats"),
        pytest.param([1, 1, 1], [9, 9, 9], 10, [4, 3, 3], id="largest-remainders"),
        pytest.param([0.5, 0.25, 0.25], [9, 9, 9], 8, [4, 2, 2], id="fractions"),
    ],
)
def test_shares_of_a_mixture(weights: list[float], there: list[int], limit: int | None, expected: list[int]) -> None:
    assert mixture(weights, there, limit) == expected


def test_a_mixture_is_spread_evenly() -> None:
    found = choose([bytes([number]) for number in range(40)], [number // 20 for number in range(40)], data([1, 3], limit=24)).training
    shares = [sum(index >= 20 for index in found[start : start + 4]) for start in range(0, 24, 4)]
    assert shares == [3] * 6


def test_another_seed_is_another_mixture_and_the_same_seed_the_same() -> None:
    keys, sources = [bytes([number]) for number in range(40)], [number // 20 for number in range(40)]
    one, again, other = (choose(keys, sources, data([1, 3], limit=12, seed=seed)).training for seed in (0, 0, 1))
    assert one == again != other
