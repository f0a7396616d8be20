"""All 4x4 sudoku grids."""

from itertools import permutations

from dllm_run.specs.vocabulary.generators.sudoku import Sudoku

SIDE = 4
BOX = 2


def build(word: Sudoku) -> list[dict[str, str]]:
    """The 288 solved grids in lexical order, as texts of 16 digits."""
    return [{"text": "".join(grid)} for grid in grids()]


def grids() -> list[tuple[str, ...]]:
    """Every grid, row by row, that breaks no rule."""
    found: list[tuple[str, ...]] = [()]
    lines = list(permutations("1234"))
    for _ in range(SIDE):
        found = [grid + line for grid in found for line in lines if not broken_rules("".join(grid + line))]
    return found


def broken_rules(cells: str) -> list[str]:
    """What is wrong with a grid or its first rows, in words; empty where all rules hold."""
    rows = [cells[start : start + SIDE] for start in range(0, len(cells), SIDE)]
    columns = ["".join(row[column] for row in rows if column < len(row)) for column in range(SIDE)]
    boxes = [
        "".join(row[left : left + BOX] for row in rows[top : top + BOX]) for top in range(0, SIDE, BOX) for left in range(0, SIDE, BOX)
    ]
    problems = []
    for name, groups in (("row", rows), ("column", columns), ("box", boxes)):
        for number, group in enumerate(groups, start=1):
            twice = sorted({digit for digit in group if group.count(digit) > 1})
            if twice:
                problems.append(f"two {twice[0]}s in {name} {number}")
    return problems
