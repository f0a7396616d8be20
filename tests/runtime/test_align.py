"""Alignment: the same path as the table of Needleman and Wunsch written out cell by cell, and closed forms."""

import random
from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from dllm_run.runtime.align import BLANK, align

Columns = tuple[list[int], list[int]]


def table(source: Sequence[int], goal: Sequence[int]) -> list[list[int]]:
    """Fewest edits between all prefixes: match 0, substitution 1, gap 1."""
    cost = [[row + column if not row or not column else 0 for column in range(len(goal) + 1)] for row in range(len(source) + 1)]
    for row in range(1, len(source) + 1):
        for column in range(1, len(goal) + 1):
            cost[row][column] = min(
                cost[row - 1][column - 1] + (source[row - 1] != goal[column - 1]), cost[row - 1][column] + 1, cost[row][column - 1] + 1
            )
    return cost


def written_out(source: Sequence[int], goal: Sequence[int]) -> Columns:
    """Back from the last cell: the diagonal where it is a cheapest way, else the deletion, else the insertion."""
    cost, row, column = table(source, goal), len(source), len(goal)
    left: list[int] = []
    right: list[int] = []
    while row or column:
        here = cost[row][column]
        if row and column and here == cost[row - 1][column - 1] + (source[row - 1] != goal[column - 1]):
            row, column = row - 1, column - 1
            left, right = [source[row], *left], [goal[column], *right]
        elif row and here == cost[row - 1][column] + 1:
            row -= 1
            left, right = [source[row], *left], [BLANK, *right]
        else:
            column -= 1
            left, right = [BLANK, *left], [goal[column], *right]
    return left, right


def found(source: Sequence[int], goal: Sequence[int]) -> Columns:
    columns = align(source, goal)
    return columns.source.tolist(), columns.goal.tolist()


def related(generator: random.Random) -> tuple[list[int], list[int]]:
    """A text and what a few edits make of it, over few tokens: ties are everywhere."""
    tokens = generator.choice([1, 2, 3, 40])
    source = [generator.randrange(tokens) for _ in range(generator.randrange(40))]
    goal = list(source)
    for _ in range(generator.randrange(8)):
        place = generator.randrange(len(goal) + 1)
        goal[place : place + generator.randrange(3)] = [generator.randrange(tokens) for _ in range(generator.randrange(3))]
    return source, goal


def test_hundreds_of_random_pairs_take_the_path_that_is_written_out() -> None:
    generator = random.Random(0)
    for _ in range(400):
        source, goal = related(generator)
        assert found(source, goal) == written_out(source, goal), (source, goal)


tokens = st.lists(st.integers(0, 3), max_size=12)


@given(tokens, tokens)
def test_any_pair_takes_the_path_that_is_written_out(source: list[int], goal: list[int]) -> None:
    assert found(source, goal) == written_out(source, goal)


@given(tokens, tokens)
def test_the_columns_spell_both_sequences_with_the_fewest_edits(source: list[int], goal: list[int]) -> None:
    left, right = found(source, goal)
    assert [token for token in left if token != BLANK] == source
    assert [token for token in right if token != BLANK] == goal
    assert (BLANK, BLANK) not in zip(left, right, strict=True)
    assert sum(one != other for one, other in zip(left, right, strict=True)) == table(source, goal)[-1][-1]


@pytest.mark.parametrize("length", [0, 1, 63, 64, 65, 200])
def test_from_nothing_everything_is_inserted_and_to_nothing_deleted(length: int) -> None:
    text, blanks = list(range(length)), [BLANK] * length
    assert found([], text) == (blanks, text)
    assert found(text, []) == (text, blanks)
    assert found(text, text) == (text, text)


@pytest.mark.parametrize(("masks", "length"), [(1, 1), (3, 3), (2, 5), (5, 2), (64, 100), (100, 64), (7, 0)])
def test_masks_pair_with_the_last_tokens_and_what_is_over_comes_first(masks: int, length: int) -> None:
    """No token is a mask, so that every pairing costs the same and the ties decide."""
    text, mask = list(range(length)), 999
    missing, over = max(0, length - masks), max(0, masks - length)
    assert found([mask] * masks, text) == ([BLANK] * missing + [mask] * masks, [BLANK] * over + text)


@pytest.mark.parametrize(
    ("source", "goal", "columns"),
    [
        ("kitten", "sitting", ("kitten-", "sitting")),
        ("ab", "aab", ("-ab", "aab")),
        ("abc", "c", ("abc", "--c")),
        ("aXb", "ab", ("aXb", "a-b")),
    ],
)
def test_small_cases_by_hand(source: str, goal: str, columns: tuple[str, str]) -> None:
    left, right = found([ord(letter) for letter in source], [ord(letter) for letter in goal])
    assert tuple("".join("-" if token == BLANK else chr(token) for token in side) for side in (left, right)) == columns
