"""Tasks that need no network beside held-out text and sudoku: their questions, and what counts as right."""

import json
import re
from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from runtime_toys import compiled, run_stage

from dllm_run.runtime.build import module_of
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.generators import countdown
from dllm_run.runtime.made_up import EXAMPLES
from dllm_run.runtime.sources import Row
from dllm_run.runtime.tasks import BuiltTask, Setting
from dllm_run.runtime.tasks.countdown import reaches, solves, value_of
from dllm_run.runtime.tokenizers import from_word
from dllm_run.specs.vocabulary.generators.countdown import Countdown as Generator
from dllm_run.specs.vocabulary.tasks import BuiltInTask
from dllm_run.specs.vocabulary.tasks.arithmetic import Arithmetic
from dllm_run.specs.vocabulary.tasks.countdown import Countdown
from dllm_run.specs.vocabulary.tasks.exact_match import ExactMatch
from dllm_run.specs.vocabulary.tasks.fill_in_the_middle import FillInTheMiddle
from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes


def made(word: BuiltInTask, seed: int = 0, held_out: list[Row] | None = None) -> BuiltTask:
    setting = Setting(rows=held_out or [], data=Path(), tokens=from_word(Bytes(), Path()), seed=seed)
    found: BuiltTask = module_of(type(word)).build(word, setting)
    return found


def rows(task: BuiltTask, split: str = "test") -> list[dict[str, str]]:
    return list(task.config["custom_dataset"]()[split])


@pytest.mark.parametrize("word", [Arithmetic(), Countdown()], ids=["arithmetic", "countdown"])
def test_questions_hang_on_the_seed_alone_and_none_is_shown_with_its_answer(word: BuiltInTask) -> None:
    task = made(word)
    assert rows(task) == rows(made(word)) != rows(made(word, seed=1))
    assert (len(rows(task)), len(rows(task, "train"))) == (200, EXAMPLES)
    asked, shown = ({row["question"] for row in rows(task, split)} for split in ("test", "train"))
    assert len(asked & shown) <= 2 and len(asked) > 190


def test_sums_are_right_and_every_sign_and_many_numbers_occur() -> None:
    task = made(Arithmetic())
    signs = set()
    for row in rows(task):
        match = re.fullmatch(r"Question: What is (\d+) ([-+*]) (\d+)\?\nAnswer:", row["question"])
        assert match is not None
        left, sign, right = int(match[1]), match[2], int(match[3])
        assert int(row["answer"]) == {"+": left + right, "-": left - right, "*": left * right}[sign]
        assert 1 <= left <= 99 and 1 <= right <= 99
        signs.add(sign)
    assert signs == set("+-*")


@pytest.mark.parametrize(
    ("answer", "right"),
    [(" 12", 1.0), ("12.", 1.0), ("It is 12, since 7", 1.0), ("-12", 0.0), ("7 12", 0.0), ("", 0.0), ("1,2", 1.0), ("x", 0.0)],
)
def test_an_answer_is_right_by_its_first_whole_number(answer: str, right: float) -> None:
    process = made(Arithmetic()).config["process_results"]
    assert process({"answer": "12"}, [answer]) == {"right": right}


def test_every_puzzle_has_a_solution_of_its_numbers() -> None:
    for row in rows(made(Countdown())):
        assert solves(row["answer"], row["numbers"], row["target"])
        assert 10 <= int(row["target"]) <= 99 and len(row["numbers"].split()) in (3, 4)
        assert row["numbers"] in row["question"] and f"make {row['target']}." in row["question"]


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("2 * (3 + 7)", True),
        (" (7 + 3) * 2 = 20\nmore", True),
        ("7*2+3*2", False),
        ("2 * 3 + 7", False),
        ("20", False),
        ("2 * (3 + 7", False),
        ("2 ** 3 + 7 + 5", False),
        ("(3 + 7) * 2 + 0", False),
        ("(3 + 7) / 0", False),
        ("__import__('os')", False),
        ("", False),
        ("(" * 150 + "2", False),
        ("3 + 7 * 02", False),
    ],
)
def test_a_term_counts_where_it_uses_each_number_once_and_gives_the_target(answer: str, right: bool) -> None:
    assert solves(answer, "2 3 7", "20") is right


@pytest.mark.parametrize("row", [{"prompt": "12+7*3=", "response": "33"}, {"text": "12+7*3=33"}], ids=["pair", "text"])
def test_held_out_sums_are_asked_as_they_were_trained_on(row: Row) -> None:
    task = made(Arithmetic(), held_out=[row])
    assert rows(task) == [{"question": "12+7*3=", "answer": "33"}] and task.config["target_delimiter"] == ""
    process = task.config["process_results"]
    assert [process(rows(task)[0], [answer])["right"] for answer in ("33", "33.", "3", "57", "")] == [1.0, 1.0, 0.0, 0.0, 0.0]


@pytest.mark.parametrize(("answer", "right"), [("CCO", 1.0), (" CCO\n", 1.0), ("CC O", 0.0), ("CCOC", 0.0), ("cco", 0.0), ("", 0.0)])
def test_an_exact_match_is_the_response_to_the_letter(answer: str, right: float) -> None:
    task = made(ExactMatch(), held_out=[{"prompt": "CC.O>>", "response": "CCO"}])
    assert rows(task) == [{"question": "CC.O>>", "answer": "CCO"}]
    assert task.config["process_results"](rows(task)[0], [answer]) == {"right": right}


def test_every_row_of_the_generator_is_solved_by_its_own_steps() -> None:
    made_rows = countdown.build(Generator(size=50, numbers=4))
    task = made(Countdown(), held_out=list(made_rows))
    process = task.config["process_results"]
    assert [process(doc, [doc["answer"]]) for doc in rows(task)] == [{"solved": 1.0}] * 50


@pytest.mark.parametrize(
    ("answer", "right"),
    [
        ("3+5=8, 8*8=64", True),
        (" 5+3=8, 8*8=64\n", True),
        ("8*8=64", False),
        ("3+5=8", False),
        ("3+5=9, 9*8=72", False),
        ("3+5=8, 8*8=64, 64+0=64", False),
        ("3+5=8, 5*8=40", False),
        ("8/3=2, 2*5=10", False),
        ("", False),
        ("3 + 5 = 8, 8 * 8 = 64", False),
    ],
)
def test_steps_take_what_is_there_and_end_at_the_target(answer: str, right: bool) -> None:
    assert reaches(answer, [3, 5, 8], 64) is right


def test_held_out_rows_of_another_kind_are_told() -> None:
    with pytest.raises(Failure, match="a held-out text has no '='"):
        made(Arithmetic(), held_out=[{"text": "no sum"}])
    with pytest.raises(Failure, match="reads rows of generator countdown"):
        made(Countdown(), held_out=[{"prompt": "Make 20.", "response": "20"}])


@given(
    st.recursive(
        st.integers(1, 99).map(str),
        lambda inner: st.tuples(inner, st.sampled_from("+-*/"), inner).map("({0[0]} {0[1]} {0[2]})".format),
        max_leaves=6,
    )
)
def test_the_value_of_a_term_is_exact(term: str) -> None:
    try:
        expected = eval(re.sub(r"(\d+)", r"Fraction(\1)", term), {"Fraction": Fraction})
    except ZeroDivisionError:
        expected = None
    assert value_of(term) == expected


DATA = """
version: 1
name: toy
model: {scratch: {family: llama, layers: 1, width: 16, heads: 2, positions: 64}, tokenizer: bytes}
data: {toy: {sources: [./texts.jsonl], holdout: 4 rows, max_length: 40}}
stages:
  train: {kind: pretrain, data: "${data.toy}", objective: mdlm, batch: 2, optimizer: {learning_rate: 1e-3}, duration: 1 steps}
"""


def test_a_middle_is_a_quarter_of_a_held_out_text_and_scored_where_it_stood(tmp_path: Path) -> None:
    texts = [f"{word} is a word of our own number {index}" for index, word in enumerate(("alpha", "beta", "gamma", "delta", "eta", "pi"))]
    (tmp_path / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts), encoding="utf-8")
    plan = compiled(tmp_path, DATA)
    data = run_stage(plan, "train.data", tmp_path).entry.output("data")
    tokens = from_word(Bytes(), tmp_path)
    word = FillInTheMiddle()

    def build(seed: int) -> BuiltTask:
        found: BuiltTask = module_of(type(word)).build(word, Setting(rows=[], data=data, tokens=tokens, seed=seed))
        return found

    task = build(0)
    docs = rows(task)
    assert docs == rows(build(0)) != rows(build(1)) and len(docs) == 4
    process = task.config["process_results"]
    for doc in docs:
        whole = doc["before"] + doc["middle"] + doc["after"]
        assert whole in texts and doc["before"] and doc["after"]
        assert len(doc["middle"]) == round(0.25 * len(whole))
        assert doc["canvas"] == doc["before"] + "<mask>" * len(doc["middle"]) + doc["after"]
        assert process(doc, [whole]) == {"tokens_restored": 1.0, "spans_restored": 1.0}
        wrong = doc["before"] + "~" + doc["middle"][1:] + doc["after"]
        assert process(doc, [wrong]) == {"tokens_restored": 1 - 1 / len(doc["middle"]), "spans_restored": 0.0}
    table = task.table({"tokens_restored,none": 0.5, "spans_restored,none": 0.25, "spans_restored_stderr,none": 0.1})
    assert [(row.name, row.value, row.error) for row in table] == [("tokens restored", 50.0, None), ("spans restored", 25.0, 10.0)]
