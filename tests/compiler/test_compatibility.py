"""The type table: toy words that clash in every way a row can say, and the options of today's language that can do nothing."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import ClassVar

import pytest

from dllm_run.compiler.compatibility import _among
from dllm_run.specs import word as words
from dllm_run.specs.compatibility import Condition, Inert, Relation, Requirement, Row
from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.field import leaf
from dllm_run.specs.vocabulary.objectives import Objective
from dllm_run.specs.vocabulary.samplers import Sampler
from dllm_run.specs.vocabulary.schedules import Schedule
from dllm_run.specs.vocabulary.schedules.linear import Linear
from dllm_run.specs.word import Word, members

Diagnose = Callable[..., tuple[Diagnostic, ...]]
ROOT = Path(__file__).parents[2]

# --- toy words, as a later issue or a third party would bring them


@dataclass(frozen=True, slots=True, kw_only=True)
class Cubic(Schedule):
    """A schedule for rates."""

    __module__ = "dllm_run.specs.vocabulary.schedules.cubic"
    word: ClassVar[str] = "cubic"


@dataclass(frozen=True, slots=True, kw_only=True)
class Rates(Objective):
    """An objective that learns rates."""

    __module__ = "dllm_run.specs.vocabulary.objectives.rates"
    word: ClassVar[str] = "rates"
    table: ClassVar[tuple[Row, ...]] = (
        Requirement(
            trait="compute.precision",
            values=("fp32",),
            message="objective {subject} overflows in {trait}",
            reason="rates are exponentials",
        ),
    )

    schedule: Schedule = leaf("Schedule.", factory=Cubic)
    block_size: int = leaf("Block.", default=32)


@dataclass(frozen=True, slots=True, kw_only=True)
class Leaps(Sampler):
    """A sampler that leaps by rates."""

    __module__ = "dllm_run.specs.vocabulary.samplers.leaps"
    word: ClassVar[str] = "leaps"
    table: ClassVar[tuple[Row, ...]] = (
        Requirement(trait="trained.objective", values=("rates",), message="sampler {subject} reads no {trait} model"),
        Requirement(
            subject="own.schedule",
            trait="trained.objective.schedule",
            relation=Relation.SAME,
            message="schedule {subject}, trained with {trait}",
            code="E421",
        ),
        Requirement(
            subject="own.block_size",
            trait="trained.objective.block_size",
            relation=Relation.SAME,
            message="blocks of {subject}, trained with {trait}",
            code="W421",
        ),
        Requirement(trait="own.threshold", relation=Relation.AT_LEAST, bound=0, message="a threshold of {trait}", code="E422"),
        Requirement(
            trait="own.factor",
            relation=Relation.GIVEN,
            when=(Condition(trait="own.cache", values=("dual", "prefix")),),
            message="a cache needs a factor",
            cure=("own.factor", 1),
            code="E423",
        ),
        Inert(option="own.steps", when=(Condition(trait="own.threshold", given=True),), reason="`threshold` decides"),
    )

    schedule: Schedule = leaf("Schedule.", factory=Linear)
    block_size: int | None = leaf("Block.", default=None)
    steps: int | None = leaf("Steps.", default=None)
    threshold: float | None = leaf("Threshold.", default=None)
    factor: float | None = leaf("Factor.", default=None)
    cache: str = leaf("Cache.", default="none", choices=("none", "prefix", "dual"))


SPEC = """\
version: 1
name: toys
stages:
  train:
    kind: pretrain
    model: {scratch: {family: llama, layers: 1, width: 32}, tokenizer: bytes}
    data: {sources: [{generate: sudoku}]}
    objective: OBJECTIVE
    batch: 2
    optimizer: {learning_rate: 1e-3}
    duration: 10 steps
  look:
    kind: sample
    model: ${stages.train}
    prompts: ["a"]
    max_new_tokens: 8
    sampler: SAMPLER
"""


@pytest.fixture
def toys(monkeypatch: pytest.MonkeyPatch) -> None:
    for family, toy in ((Schedule, Cubic), (Objective, Rates), (Sampler, Leaps)):
        monkeypatch.setitem(words._MEMBERS, family, {**members(family), toy.word: toy})


def spec(objective: str = "rates", sampler: str = "{type: leaps, schedule: cubic}") -> str:
    return SPEC.replace("OBJECTIVE", objective).replace("SAMPLER", sampler)


def seen(found: tuple[Diagnostic, ...]) -> list[tuple[str, str, str]]:
    return [(item.code, item.message, item.fix or "") for item in found]


CLASHES = {
    "together": (spec(), []),
    "a-word-against-the-word-that-trained": (
        spec("mdlm", "leaps"),
        # mdlm has a schedule, and it is the sampler's.
        [("E420", "sampler leaps reads no mdlm model", "stages.look.sampler=remdm")],
    ),
    "a-word-of-today-against-a-later-one": (
        spec("rates", "llada"),
        [("E420", "sampler llada fills in masks, and the model was trained by rates", "stages.look.sampler=leaps")],
    ),
    "two-places-that-must-agree": (
        spec("rates", "leaps"),
        [("E421", "schedule linear, trained with cubic", "stages.look.sampler.schedule=cubic")],
    ),
    "suspicious-only": (
        spec(sampler="{type: leaps, schedule: cubic, block_size: 64}"),
        [("W421", "blocks of 64, trained with 32", "stages.look.sampler.block_size=32")],
    ),
    "a-bound": (
        spec(sampler="{type: leaps, schedule: cubic, threshold: -1}"),
        [("E422", "a threshold of -1", "stages.look.sampler.threshold=0")],
    ),
    "something-missing-under-a-condition": (
        spec(sampler="{type: leaps, schedule: cubic, cache: dual}"),
        [("E423", "a cache needs a factor", "stages.look.sampler.factor=1")],
    ),
    "the-condition-met": (spec(sampler="{type: leaps, schedule: cubic, cache: dual, factor: 1}"), []),
    "an-inert-option": (
        spec(sampler="{type: leaps, schedule: cubic, threshold: 0.9, steps: 4}"),
        [("E430", "steps has no effect: `threshold` decides", "stages.look.sampler.steps=null")],
    ),
    "device-against-objective": (
        spec() + "compute: {precision: bf16}\n",
        [("E420", "objective rates overflows in bf16", "compute.precision=fp32")],
    ),
}


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("case", CLASHES)
def test_a_row_of_a_word_is_all_that_a_clash_needs(case: str, diagnosing: Diagnose) -> None:
    text, expected = CLASHES[case]
    assert seen(diagnosing(text)) == expected


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("case", [case for case, (_, expected) in CLASHES.items() if expected])
def test_the_cures_of_a_clash_leave_nothing_to_say(case: str, diagnosing: Diagnose) -> None:
    text, _ = CLASHES[case]
    flags: list[str] = []
    # Another word may need a cure of its own.
    for _ in range(2):
        flags += [item.fix for item in diagnosing(text, *flags) if item.fix is not None]
    assert diagnosing(text, *flags) == ()


@pytest.mark.usefixtures("toys")
def test_a_clash_shows_both_places_and_says_whose_the_other_is(diagnosing: Diagnose) -> None:
    (found,) = diagnosing(
        spec("rates", "{type: leaps, schedule: linear, block_size: 32}").replace("rates", "{type: rates, schedule: cubic}")
    )
    assert found.mark is not None and found.mark.source.strip() == "sampler: {type: leaps, schedule: linear, block_size: 32}"
    ((mark, text),) = found.related
    assert mark.source.strip() == "objective: {type: rates, schedule: cubic}"
    assert text == "schedule: cubic (of stage train)"


@pytest.mark.usefixtures("toys")
@pytest.mark.parametrize("between", ["model: ${stages.train}", 'model: {from: "${stages.train}"}'])
def test_the_objective_is_that_of_the_last_training(between: str, diagnosing: Diagnose) -> None:
    """Weights that were trained by rates and then by masks are read as masks, through a stage in between or not."""
    tune = """\
  tune:
    kind: pretrain
    model: {from: "${stages.train}"}
    data: {sources: [{generate: sudoku}]}
    objective: mdlm
    batch: 2
    optimizer: {learning_rate: 1e-3}
    duration: 10 steps
  look:
"""
    text = spec("rates", "llada").replace("  look:\n", tune).replace("model: ${stages.train}\n    prompts", f"{between}\n    prompts")
    assert [code for code, _, _ in seen(diagnosing(text))] == ["E420"]
    assert diagnosing(text.replace(f"{between}\n    prompts", f"{between}\n    prompts".replace("train", "tune"))) == ()


@pytest.mark.usefixtures("toys")
def test_of_weights_from_elsewhere_nothing_is_known_and_nothing_is_said(diagnosing: Diagnose) -> None:
    text = spec("mdlm", "leaps").replace("${stages.train}\n    prompts", "{from: org/name, tokenizer: bytes}\n    prompts")
    assert {code for code, _, _ in seen(diagnosing(text))} == {"W501"}


# --- options of today's language

BASE = """\
version: 1
name: inert
data:
  docs: {sources: [./docs.txt], holdout: 0.1, max_length: 64DATA}
stages:
  words: {kind: tokenizer, vocab_size: 300, data: {sources: [./docs.txt]WORDS}}
  rows: {kind: data, data: {sources: [./docs.txt]}, tokenizer: bytesROWS}
  train:
    kind: pretrain
    model: {scratch: {family: llama, layers: 1, width: 32}, tokenizer: bytes}
    data: ${data.docs}
    objective: {type: mdlmOBJECTIVE}
    batch: BATCH
    optimizer: {learning_rate: 1e-3}
    duration: 10 steps
  bound:
    kind: eval
    model: MODEL
    data: ${data.docs}
    tasks: TASKS
    likelihood: {estimator: elbo, samples: 4}EVAL
  look:
    kind: sample
    model: ${stages.train}
    prompts: ["a"]
    max_new_tokens: 8
    sampler: {type: lladaSAMPLER}LOOK
compute: {device: cpuCOMPUTE}
TOP
"""
DEFAULTS = {"BATCH": "2", "MODEL": "${stages.train}", "TASKS": "[held_out_text]"}
SLOTS = ("DATA", "WORDS", "ROWS", "OBJECTIVE", "BATCH", "MODEL", "TASKS", "EVAL", "SAMPLER", "LOOK", "COMPUTE", "TOP")


def base(**given: str) -> str:
    text = BASE
    for slot in SLOTS:
        text = text.replace(slot, given.get(slot, DEFAULTS.get(slot, "")))
    return text


FRESH = "{scratch: {family: llama, layers: 1, width: 32}, tokenizer: bytes, dropout: 0.1}"
MEANT = ", columns: {text: text}"
INERT = {
    "truncation-of-joined-rows": (base(DATA=", packing: cut, truncation: drop"), "data.docs.truncation"),
    "order-of-all-rows": (base(ROWS="", WORDS=", seed: 4"), "stages.words.data.seed"),
    "columns-of-pairs-in-text": (base(DATA=", columns: {response: answer}"), "data.docs.columns.response"),
    "seed-of-a-tokenizer": (base().replace("vocab_size: 300", "vocab_size: 300, seed: 1"), "stages.words.seed"),
    "seed-of-a-data-stage": (base(ROWS=", seed: 1"), "stages.rows.seed"),
    "seed-of-greedy-sampling": (base(LOOK="\n    seed: 1"), "stages.look.seed"),
    "precision-of-a-data-stage": (base(ROWS=", compute: {precision: bf16}"), "stages.rows.compute.precision"),
    "attention-kernel-of-a-tokenizer": (
        base().replace("vocab_size: 300", "vocab_size: 300, compute: {attention_kernel: eager}"),
        "stages.words.compute.attention_kernel",
    ),
    "checkpointing-in-an-eval": (base(EVAL="\n    compute: {gradient_checkpointing: true}"), "stages.bound.compute.gradient_checkpointing"),
    "checkpointing-in-sampling": (base(LOOK="\n    compute: {gradient_checkpointing: true}"), "stages.look.compute.gradient_checkpointing"),
    "compiling-in-an-eval": (base(EVAL="\n    compute: {compile: true}"), "stages.bound.compute.compile"),
    "dropout-in-an-evaluation": (base(MODEL=FRESH), "stages.bound.model.dropout"),
    "strata-of-one-row": (base(OBJECTIVE=", time_sampling: stratified", BATCH="1"), "stages.train.objective.time_sampling"),
    "order-within-one-token": (base(SAMPLER=", block_size: 1, remasking: random"), "stages.look.sampler.remasking"),
    "sampler-that-no-task-asks": (base(EVAL="\n    sampler: llada"), "stages.bound.sampler"),
    "answers-that-no-task-asks": (base(EVAL="\n    max_new_tokens: 16"), "stages.bound.max_new_tokens"),
    "limit-that-every-task-has": (base(TASKS="[{name: held_out_text, limit: 3}]", EVAL="\n    limit: 4"), "stages.bound.limit"),
    "examples-that-every-task-has": (
        base(TASKS="[{name: mmlu, num_fewshot: 3}]", EVAL="\n    num_fewshot: 4"),
        "stages.bound.num_fewshot",
    ),
    "gpus-on-a-cpu": (base(COMPUTE=", gpus_per_node: 1"), "compute.gpus_per_node"),
}  # fmt: skip


@pytest.fixture(autouse=True)
def docs(tmp_path: Path) -> None:
    (tmp_path / "docs.txt").write_text("A text.\n", encoding="utf-8")


def test_the_base_has_nothing_inert(diagnosing: Diagnose) -> None:
    assert diagnosing(base()) == ()


@pytest.mark.parametrize("case", INERT)
def test_an_option_that_does_nothing_is_an_error_and_leaving_it_out_is_the_cure(case: str, diagnosing: Diagnose) -> None:
    text, path = INERT[case]
    (found,) = diagnosing(text)
    assert (found.code, found.fix) == ("E430", f"{path}=null")
    assert diagnosing(text, f"{path}=null") == ()


LIVE = {
    "truncation-of-rows": base(DATA=", truncation: drop"),
    "order-with-a-holdout": base(DATA=", seed: 4"),
    "order-with-a-limit": base(WORDS=", seed: 4, limit: 1"),
    "default-written-out": base(DATA=MEANT, COMPUTE=", gpus_per_node: 0, gradient_checkpointing: false", LOOK="\n    batch: 16"),
    "seed-of-drawing": base(SAMPLER=", temperature: 1", LOOK="\n    seed: 1"),
    "seed-of-random-weights": base(LOOK="\n    seed: 1").replace(
        "model: ${stages.train}\n    prompts", f"model: {FRESH.replace(', dropout: 0.1', '')}\n    prompts"
    ),
    "strata-of-two-rows": base(OBJECTIVE=", time_sampling: stratified"),
    "order-within-two-tokens": base(SAMPLER=", block_size: 2, remasking: random"),
    "checkpointing-handed-to-a-training": base(COMPUTE=", gradient_checkpointing: true"),
    "precision-handed-to-a-training": base(COMPUTE=", precision: bf16"),
    "dropout-of-a-training": base().replace("32}, tokenizer: bytes}", "32}, tokenizer: bytes, dropout: 0.1}"),
    "sampler-of-a-task-that-is-not-known": base(TASKS="[held_out_text, mmlu]", EVAL="\n    sampler: llada\n    max_new_tokens: 64"),
    "limit-of-some-tasks": base(TASKS="[held_out_text, {name: mmlu, limit: 3}]", EVAL="\n    limit: 4"),
    "array-without-a-sweep": base(TOP="launch: {type: slurm, array: {max_parallel: 2}}"),
    "array-of-a-sweep": base(TOP="launch: {type: slurm, array: {max_parallel: 2}}\nsweep: {grid: {seed: [0, 1]}}"),
    "array-of-a-sweep-of-one": base(TOP="launch: {type: slurm, array: {max_parallel: 2}}\nsweep: {grid: {seed: [0]}}"),
}


@pytest.mark.parametrize("case", LIVE)
def test_an_option_that_does_something_somewhere_is_not_reported(case: str, diagnosing: Diagnose) -> None:
    assert diagnosing(LIVE[case]) == ()


def test_columns_of_one_data_set_that_is_read_in_both_ways_are_all_used(diagnosing: Diagnose, tmp_path: Path) -> None:
    (tmp_path / "docs.jsonl").write_text('{"a": "x", "b": "y", "c": "z"}\n', encoding="utf-8")
    text = base(DATA=", columns: {text: a, prompt: b, response: c}").replace(
        "docs: {sources: [./docs.txt]", "docs: {sources: [./docs.jsonl]"
    )
    assert {item.fix for item in diagnosing(text)} == {"data.docs.columns.prompt=null", "data.docs.columns.response=null"}
    train = text[text.index("  train:") : text.index("  bound:")]
    assert diagnosing(text.replace("  bound:", train.replace("train:", "tune:").replace("pretrain", "sft") + "  bound:")) == ()


def test_an_option_handed_down_from_the_top_is_told_once(diagnosing: Diagnose) -> None:
    (found,) = diagnosing(base(COMPUTE=", gpus_per_node: 1"))
    assert found.mark is not None and found.mark.source.startswith("compute:")


# --- pairs of today's words

PAIRS = {
    "data-prepared-as-pairs": ("rows: {kind: data", "rows: {kind: data, format: pairs", {"E420"}),
    "data-prepared-with-other-tokens": ("tokenizer: bytes}\n  train", "tokenizer: characters}\n  train", {"E421"}),
    "data-prepared-with-a-tokenizer-stage": ("tokenizer: bytes}\n  train", 'tokenizer: "${stages.words}"}\n  train', {"E421"}),
    "data-prepared-too-long": ("rows: {kind: data, data: {", "rows: {kind: data, data: {max_length: 5000, ", {"E315"}),
    "evaluation-without-a-holdout": ("duration: 10 steps", "duration: 10 steps\n    evaluate: {every: 5 steps}", {"E314"}),
}  # fmt: skip


@pytest.mark.parametrize("case", PAIRS)
def test_what_holds_for_data_in_place_holds_for_data_that_a_stage_prepares(case: str, diagnosing: Diagnose, tmp_path: Path) -> None:
    (tmp_path / "docs.csv").write_text("text,prompt,response\na,b,c\n", encoding="utf-8")
    old, new, codes = PAIRS[case]
    text = base().replace("docs.txt", "docs.csv").replace("data: ${data.docs}\n    objective", "data: ${stages.rows}\n    objective")
    assert diagnosing(text) == ()
    assert text.count(old) == 1
    assert {item.code for item in diagnosing(text.replace(old, new))} == codes


def test_one_tokenizer_under_two_names_is_one(diagnosing: Diagnose) -> None:
    again = "  words: {kind: tokenizer, vocab_size: 300, data: {sources: [./docs.txt]}}\n"
    text = (
        base()
        .replace(again, again + again.replace("words", "same"))
        .replace("tokenizer: bytes}\n    data", 'tokenizer: "${stages.words}"}\n    data')
    )
    text = text.replace("tokenizer: bytes}\n  train", 'tokenizer: "${stages.same}"}\n  train')
    text = text.replace("data: ${data.docs}\n    objective", "data: ${stages.rows}\n    objective")
    assert diagnosing(text) == ()


def test_answers_must_leave_room_for_a_question(diagnosing: Diagnose) -> None:
    text = base(TASKS="[gsm8k]", EVAL="\n    sampler: llada\n    max_new_tokens: NEW")
    assert diagnosing(text.replace("NEW", "63")) == ()
    assert {item.code for item in diagnosing(text.replace("NEW", "64"))} == {"E315"}


# --- the table itself


def every_row() -> Iterator[tuple[type, Row]]:
    waiting: list[type] = [Word]
    while waiting:
        cls = waiting.pop()
        waiting.extend(cls.__subclasses__())
        yield from ((cls, row) for row in vars(cls).get("table", ()))


def test_an_option_that_is_on_is_no_number() -> None:
    assert _among(True, (True,)) and _among(1, (1.0,)) and _among(None, (None,))
    assert not _among(True, (1,)) and not _among(1, (True,)) and not _among(False, (None,))


RANGES = ("42", "45", "46", "48", "49", "53", "60", "63")


def test_a_code_says_how_bad_a_row_is_and_lies_in_the_range_of_the_table() -> None:
    for cls, row in every_row():
        if isinstance(row, Requirement):
            assert row.code[0] in "EW" and (row.code[1:3] in RANGES or row.code in ("E314", "E315")), cls
            assert row.relation is not Relation.AMONG or row.values, cls


RECIPES = sorted([*(ROOT / "specs" / "recipes").glob("*.yaml"), *(ROOT / "tests" / "data" / "specs").glob("*.yaml")])


@pytest.mark.parametrize("file", RECIPES, ids=lambda file: f"{file.parent.name}-{file.stem}")
def test_a_spec_that_people_copy_has_nothing_to_say_but_what_is_not_here(file: Path, diagnosing: Diagnose) -> None:
    assert {item.code for item in diagnosing(file.read_text(encoding="utf-8"))} <= {"W501"}
