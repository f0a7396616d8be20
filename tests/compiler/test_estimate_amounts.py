"""How much a stage has to do, against what the runtime prepares and what can be counted by hand."""

import math
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.estimate.amounts import longest_sequence, row_tokens, sequence_tokens, sequences, size_of
from dllm_run.compiler.estimate.facts import facts_of
from dllm_run.compiler.estimate.flops import likelihood_flops, sampling_flops
from dllm_run.compiler.estimate.stage import estimate
from dllm_run.compiler.estimate.units import gib, size, span, time
from dllm_run.compiler.estimate.work import flops_of
from dllm_run.compiler.sizes import Sizes
from dllm_run.runtime import prepare, sources
from dllm_run.runtime.encode import Encoder
from dllm_run.runtime.tokenizers import from_word
from dllm_run.specs.flops import training_flops
from dllm_run.specs.locator import located_files
from dllm_run.specs.quantity import Quantity
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.generators.sudoku import Sudoku
from dllm_run.specs.vocabulary.source import Source
from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes
from dllm_run.specs.vocabulary.tokenizers.characters import Characters

Compile = Callable[..., Compiled]

GRIDS = Source(generate=Sudoku())
HALF = Quantity.parse(0.5)


def data(**fields: object) -> Data:
    return Data(**{"sources": (GRIDS,), **fields})


def in_memory(pieces: Iterable[prepare.Piece]) -> tuple[list[int], Callable[[int], prepare.Piece]]:
    kept = list(pieces)
    return [len(tokens) for tokens, _ in kept], kept.__getitem__


@pytest.mark.parametrize(
    "case",
    [
        data(),
        data(holdout=Quantity.parse(0.3)),
        data(holdout=Quantity.parse("10 rows"), limit=100),
        data(sources=(Source(generate=Sudoku(), limit=7), GRIDS), holdout=HALF, limit=1000),
        data(packing="cut", max_length=50),
        data(holdout=HALF, packing="cut", max_length=50),
        data(sources=(Source(path="./x.jsonl"),), holdout=HALF),
        data(sources=(Source(path="./x.jsonl"), GRIDS), packing="documents", max_length=30),
        data(sources=(Source(path="./x.jsonl", weight=1), Source(generate=Sudoku(), weight=3))),
        data(sources=(Source(path="./x.jsonl", weight=1), Source(generate=Sudoku(), weight=3)), limit=100),
        data(sources=(Source(path="./x.jsonl"), GRIDS), packing="cut", max_length=8),
    ],
)
def test_rows_and_sequences_are_those_that_the_runtime_makes(case: Data, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text("".join(f'{{"text": "{"x" * length}"}}\n' for length in range(1, 40)))
    rows = list(sources.each_row(case, "text", lambda path: located_files(path, tmp_path)))
    chosen = prepare.choose([prepare.key_of(item.row) for item in rows], [item.source for item in rows], case)
    training, held_out = [rows[index].row for index in chosen.training], chosen.held_out
    encoded = Encoder(data=case, tokens=from_word(Bytes(), tmp_path)).encoded(training)
    made = list(prepare.packed(zip(encoded.tokens, encoded.runs, strict=True), case, in_memory))
    found = size_of(case, "text", Sizes(tmp_path))
    assert found is not None and found.held_out == len(held_out)
    # Who estimates has not compared rows.
    assert found.training - chosen.leaked <= len(training) <= found.training
    least, most = sequences(case, found, Bytes())
    assert least - chosen.leaked <= len(made) <= most
    alike = all(source.generate is not None for source in case.sources)
    if alike and case.packing == "none" and not chosen.leaked:
        assert least == most and {longest_sequence(case, found, Bytes())} == {len(item.tokens) for item in made}
    low, high = sequence_tokens(case, found, Bytes())
    if case.packing == "none" and case.holdout is None and not case.weighted:
        assert low == high == sum(len(item.tokens) for item in made) / len(made)


def test_a_trained_tokenizer_makes_fewer_tokens_than_bytes_and_nobody_knows_how_many() -> None:
    low, high = row_tokens(data(), size_of(data(), "text", None), "some/model")
    assert 16 / 6 <= low < high <= 16 / 2 + 2


def test_rows_of_unknown_sources_are_up_to_max_length() -> None:
    unknown = Data(sources=(Source(path="a/b"),), max_length=100)
    assert size_of(unknown, "text", None) is None
    assert row_tokens(unknown, None, Bytes()) == (25, 100)
    assert longest_sequence(unknown, None, Bytes()) == 100


def test_a_hold_out_that_leaves_nothing_has_no_size() -> None:
    assert size_of(data(holdout=Quantity.parse("288 rows")), "text", None) is None


def test_characters_are_counted_with_the_end_of_a_row() -> None:
    assert row_tokens(data(), size_of(data(), "text", None), Characters()) == (17, 17)


# --- the work of the sudoku recipe, by hand


def test_the_work_of_sudoku(examples: dict[str, str], compiling: Compile) -> None:
    plan = compiling(examples["sudoku"]).plan

    def stage(kind: str) -> Any:
        return next(item.body for item in plan.stages.values() if item.body.word == kind)

    def stage_of(stage_id: str) -> Any:
        return plan.stages[stage_id].body

    train, solve = facts_of(stage("pretrain"), stage_of, None), facts_of(stage("eval"), stage_of, None)
    assert train is not None and solve is not None and train.geometry is not None and train.geometry == solve.geometry
    body = stage("pretrain")
    steps, batch = int(body.duration.amount), body.batch.global_
    low, high = flops_of(train) or (0, 0)
    assert low == high == training_flops(train.geometry, tokens=steps * batch * 17, length=17)
    held = round(0.3 * 288)
    solving = flops_of(solve) or (0, 0)
    assert solving[0] == solving[1] == sampling_flops(train.geometry, prompts=held, passes=10, canvas=17, scored=10)


def test_a_bound_is_scored_under_every_mask(compiling: Compile, tmp_path: Path) -> None:
    text = """\
version: 1
name: bound
stages:
  bound:
    kind: eval
    model: {scratch: {family: llama, layers: 1, width: 16}, tokenizer: characters}
    data: {sources: [{generate: sudoku}], holdout: 88 rows}
    tasks: [held_out_text]
    likelihood: {estimator: elbo, samples: 3}
    limit: 50
compute: {threads: 2}
"""
    plan = compiling(text).plan
    body = next(item.body for item in plan.stages.values() if item.body.word == "eval")
    found = estimate(body, lambda stage_id: plan.stages[stage_id].body, None, None)
    geometry = body.model.completed().scratch.geometry(98)
    expected = likelihood_flops(geometry, rows=50, samples=3, length=17)
    assert found.flops == (expected, expected)
    assert found.seconds is not None and found.seconds[0] < found.seconds[1]
    assert found.memory is not None and found.capacity is None and found.devices == 0


# --- texts


@pytest.mark.parametrize(
    ("count", "text"), [(5 * 2**20, "5 MiB"), (1, "1 MiB"), (2**30, "1.0 GiB"), (int(9.96 * 2**30), "10 GiB"), (153 * 2**30, "153 GiB")]
)
def test_a_size_reads_easily(count: int, text: str) -> None:
    assert size(count) == text
    assert gib(2**30) == "1.0"


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (0.1, 0.2, "1 s"),
        (18, 60, "18-60 s"),
        (18, 240, "18 s - 4 min"),
        (420, 1200, "7-20 min"),
        (7200, 36 * 3600, "2.0-36 h"),
        (7200, 72 * 3600, "2.0 h - 3.0 days"),
    ],
)
def test_a_span_reads_easily(low: float, high: float, text: str) -> None:
    assert span(low, high) == text
    assert time(high) == text.split(" - ")[-1].split("-")[-1]
    assert math.isfinite(high)
