"""The tasks that come with dllm-run, their data, and the baselines beside them."""

import math
import zlib
from itertools import product
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from runtime_toys import compiled, run_stage

from dllm_run.runtime.baselines import gzipped, trigram, unigram
from dllm_run.runtime.build import build, module_of
from dllm_run.runtime.generators.sudoku import broken_rules
from dllm_run.runtime.prepared import held_out_rows
from dllm_run.runtime.tasks import BuiltTask, Setting
from dllm_run.runtime.tokenizers import from_word
from dllm_run.specs.vocabulary.generators.sudoku import Sudoku
from dllm_run.specs.vocabulary.tasks.held_out_text import HeldOutText
from dllm_run.specs.vocabulary.tasks.sudoku import SudokuTask
from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes
from dllm_run.specs.vocabulary.tokenizers.characters import Characters

GRIDS = [row["text"] for row in build(Sudoku())]
SOLVED = "1234341221434321"


def obeys(grid: str) -> bool:
    """Every row, column and box holds 1, 2, 3 and 4: written with coordinates."""
    rows = [[4 * r + c for c in range(4)] for r in range(4)]
    columns = [[4 * r + c for r in range(4)] for c in range(4)]
    boxes = [[4 * (2 * a + i) + 2 * b + j for i, j in product(range(2), repeat=2)] for a, b in product(range(2), repeat=2)]
    return all({grid[cell] for cell in group} == set("1234") for group in [*rows, *columns, *boxes])


def solutions(cells: str) -> list[str]:
    """Every way to fill the dots, by trying."""
    return [grid for grid in GRIDS if all(cell in (".", digit) for cell, digit in zip(cells, grid, strict=True))]


def test_there_are_288_distinct_grids_in_lexical_order_and_all_obey_the_rules() -> None:
    assert len(GRIDS) == len(set(GRIDS)) == 288
    assert sorted(GRIDS) == GRIDS
    assert all(len(grid) == 16 and obeys(grid) for grid in GRIDS)


def test_a_grid_breaks_no_rule_exactly_where_it_is_one_of_the_288() -> None:
    for grid in GRIDS[::37]:
        assert broken_rules(grid) == []
        for cell in range(16):
            for digit in set("1234") - {grid[cell]}:
                changed = grid[:cell] + digit + grid[cell + 1 :]
                assert bool(broken_rules(changed)) == (not obeys(changed))


@pytest.mark.parametrize(
    ("cells", "problems"),
    [
        ("1134341221434321", ["two 1s in row 1", "two 1s in column 2", "two 1s in box 1"]),
        ("12343412", []),
        ("123412", ["two 1s in column 1", "two 2s in column 2", "two 1s in box 1"]),
        ("1" * 16, [f"two 1s in {name} {number}" for name in ("row", "column", "box") for number in range(1, 5)]),
    ],
    ids=["one-cell", "half-a-grid", "part-of-a-row", "all-ones"],
)
def test_broken_rules_are_named(cells: str, problems: list[str]) -> None:
    assert broken_rules(cells) == problems


def sudoku(rows: list[str], *, seed: int = 0, word: Any = None) -> BuiltTask:
    tokens = from_word(word or Characters(), Path())
    setting = Setting(rows=[{"text": grid} for grid in rows], data=Path(), tokens=tokens, seed=seed)
    found: BuiltTask = module_of(SudokuTask).build(SudokuTask(), setting)
    return found


def puzzles(task: BuiltTask) -> list[str]:
    return [text.replace("<mask>", ".") for text in task.config["custom_dataset"]()["test"]["puzzle"]]


def test_a_puzzle_has_10_of_16_cells_empty_and_the_others_from_its_grid() -> None:
    for puzzle, grid in zip(puzzles(sudoku(GRIDS)), GRIDS, strict=True):
        assert puzzle.count(".") == 10
        assert grid in solutions(puzzle)


def test_puzzles_are_the_same_every_time_and_others_for_another_seed() -> None:
    assert puzzles(sudoku(GRIDS[:20])) == puzzles(sudoku(GRIDS[:20])) == puzzles(sudoku(GRIDS[:20], word=Bytes()))
    assert puzzles(sudoku(GRIDS[:20], seed=1)) != puzzles(sudoku(GRIDS[:20]))


def test_every_cell_is_emptied_now_and_then_and_puzzles_differ() -> None:
    holes = [tuple(index for index, cell in enumerate(puzzle) if cell == ".") for puzzle in puzzles(sudoku(GRIDS))]
    assert len(set(holes)) > 200
    for cell in range(16):
        # 288 draws with chance 10/16: 180, within 5 standard deviations of 8.2.
        assert abs(sum(cell in hole for hole in holes) - 180) < 41


@pytest.mark.parametrize(
    ("answer", "note", "solved"),
    [
        (SOLVED, "solved", 1.0),
        ("1" + SOLVED[:15], "broken: two 1s in row 1", 0.0),
        ("1" + SOLVED, "broken: not 16 digits from 1 to 4", 0.0),
        (SOLVED[:15], "broken: not 16 digits from 1 to 4", 0.0),
        (SOLVED[:15] + "5", "broken: not 16 digits from 1 to 4", 0.0),
        ("", "broken: not 16 digits from 1 to 4", 0.0),
    ],
    ids=["solved", "broken", "too-long", "too-short", "no-digit", "empty"],
)
def test_an_answer_is_solved_exactly_where_every_rule_holds(answer: str, note: str, solved: float) -> None:
    task = sudoku(GRIDS[:1])
    assert task.note is not None
    assert task.note(answer) == note
    assert task.config["process_results"]({}, [answer]) == {"solved": solved}


def test_any_solution_counts_not_only_the_grid_that_the_puzzle_came_from() -> None:
    task = sudoku(GRIDS)
    [doc, other] = next(
        (puzzle, found)
        for puzzle, grid in zip(puzzles(task), GRIDS, strict=True)
        for found in solutions(puzzle)
        if found != grid and len(solutions(puzzle)) > 1
    )
    assert "." in doc and task.config["process_results"]({}, [other]) == {"solved": 1.0}


def test_the_table_of_sudoku_is_in_percent() -> None:
    [row] = sudoku(GRIDS[:1]).table({"solved,none": 0.25, "solved_stderr,none": 0.05})
    assert (row.value, row.error, row.unit) == (25.0, 5.0, "%")
    [row] = sudoku(GRIDS[:1]).table({"solved,none": 1.0, "solved_stderr,none": "N/A"})
    assert (row.value, row.error) == (100.0, None)


# --- Baselines --------------------------------------------------------------------------------------------------------------


def test_the_unigram_is_that_worked_by_hand() -> None:
    # aab: a twice, b once, one added to each of 256 counts: p(a) = 3/259, p(b) = 2/259, p(c) = 1/259. What is given is not scored.
    expected = -(math.log2(3 / 259) + math.log2(2 / 259) + math.log2(1 / 259)) / 3
    assert unigram(b"aab", [(b"", b"abc")]) == pytest.approx(expected)
    assert unigram(b"aab", [(b"zzz", b"ab"), (b"z", b"c")]) == pytest.approx(expected)
    assert unigram(b"", [(b"", b"xyz")]) == pytest.approx(8)


# Trained on abab. No context: a 2, b 2; 4 bytes of 2 kinds. After a: b 2. After b: a 1. After ab: a 1. After ba: b 1.
A0 = B0 = (2 + 2 * (1 / 256)) / (4 + 2)
B1 = (2 + 1 * B0) / (2 + 1)
A1 = (1 + 1 * A0) / (1 + 1)
A2 = (1 + 1 * A1) / (1 + 1)


@pytest.mark.parametrize(
    ("texts", "probabilities"),
    [
        ([(b"", b"aba")], [A0, B1, A2]),
        ([(b"ab", b"a")], [A2]),
        ([(b"a", b"ba")], [B1, A2]),
        ([(b"", b"a"), (b"", b"ba")], [A0, B0, A1]),
        ([(b"", b"z")], [(0 + 2 / 256) / 6]),
        ([(b"zz", b"a")], [A0]),
    ],
    ids=["no-context", "two-given", "one-given", "texts-do-not-run-on", "unseen-byte", "unseen-context"],
)
def test_the_trigram_is_that_worked_by_hand(texts: list[tuple[bytes, bytes]], probabilities: list[float]) -> None:
    expected = -math.fsum(map(math.log2, probabilities)) / len(probabilities)
    assert trigram(b"abab", texts) == pytest.approx(expected)


@given(st.binary(max_size=40), st.binary(max_size=4))
@settings(max_examples=25, deadline=None)
def test_the_probabilities_of_all_next_bytes_sum_to_1(train: bytes, context: bytes) -> None:
    for baseline in (unigram, trigram):
        assert math.fsum(2 ** -baseline(train, [(context, bytes([byte]))]) for byte in range(256)) == pytest.approx(1, abs=1e-9)


def test_gzip_counts_what_each_text_adds() -> None:
    train = b"the quick brown fox " * 50
    texts = [(b"", b"jumps over the lazy dog, the quick brown fox"), (b"over the ", b"lazy dog")]

    def deflated(text: bytes) -> int:
        packer = zlib.compressobj(9, zlib.DEFLATED, -15)
        return len(packer.compress(text) + packer.flush())

    added = [deflated(train + before + text) - deflated(train + before) for before, text in texts]
    assert gzipped(train, texts) == pytest.approx(8 * sum(added) / sum(len(text) for _, text in texts))


def test_the_trigram_beats_the_unigram_on_text_with_structure() -> None:
    train, texts = b"she sells sea shells by the sea shore. " * 20, [(b"", b"sea shells by the shore")]
    assert trigram(train, texts) < unigram(train, texts) < 8


DATA = """
version: 1
name: text
model: {scratch: {family: llama, layers: 1, width: 32, heads: 2}, tokenizer: bytes}
data:
  toy: {sources: [./texts.jsonl], holdout: 2 rows, max_length: 12, packing: cut}
stages:
  train:
    kind: pretrain
    data: ${data.toy}
    objective: mdlm
    batch: 4
    optimizer: {learning_rate: 1e-3}
    duration: 2 steps
"""


def test_held_out_text_stands_beside_baselines_over_the_same_bytes(tmp_path: Path) -> None:
    (tmp_path / "texts.jsonl").write_text("".join(f'{{"text": "text nümber {index}"}}\n' for index in range(9)), encoding="utf-8")
    context = run_stage(compiled(tmp_path, DATA), "train.data", tmp_path)
    data = context.entry.output("data")
    rows = held_out_rows(data)
    setting = Setting(rows=rows, data=data, tokens=from_word(Bytes(), tmp_path), seed=0)
    task: BuiltTask = module_of(HeldOutText).build(HeldOutText(), setting)
    assert list(task.config["custom_dataset"]()["test"]["text"]) == [row["text"] for row in rows]
    held = [row["text"] for row in rows]
    train = "".join(text for text in (f"text nümber {index}" for index in range(9)) if text not in held).encode()
    scored = [(b"", text.encode()) for text in held]
    table = task.table({"bits_per_byte,none": 3.25})
    assert [row.value for row in table] == [3.25, unigram(train, scored), trigram(train, scored), gzipped(train, scored)]
    assert {row.unit for row in table} == {"bits per byte"}


def test_held_out_pairs_are_scored_on_their_responses() -> None:
    rows = [{"prompt": "2+2=", "response": "4€"}]
    setting = Setting(rows=rows, data=Path(), tokens=from_word(Bytes(), Path()), seed=0)
    task: BuiltTask = module_of(HeldOutText).build(HeldOutText(), setting)
    assert task.config["process_results"](rows[0], [(-5.0, False)]) == {"bits_per_byte": (-5.0, 4)}
