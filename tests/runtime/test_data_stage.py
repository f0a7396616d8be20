"""The data stage from end to end: many processes, words of one's own, and what its results tell."""

import hashlib
from pathlib import Path
from typing import Any

import pytest
from runtime_toys import run_stage

from dllm_run.compiler.compile import Source as CompileSource
from dllm_run.compiler.compile import compile_spec
from dllm_run.compiler.lock import Lock
from dllm_run.runtime.build import build
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.generators.arithmetic import value
from dllm_run.runtime.generators.countdown import applied
from dllm_run.runtime.mappings.sharegpt import build as build_sharegpt
from dllm_run.runtime.prepared import TRAIN, Split
from dllm_run.specs.plugin import words_in
from dllm_run.specs.vocabulary.generators.arithmetic import Arithmetic
from dllm_run.specs.vocabulary.generators.countdown import Countdown
from dllm_run.specs.vocabulary.generators.reasoning_gym import ReasoningGym
from dllm_run.specs.vocabulary.mappings.sharegpt import ShareGpt
from dllm_run.specs.word import using

SPEC = """
version: 1
name: toy
USE
data:
  toy: {sources: SOURCES, max_length: 24, FIELDS}
stages:
  train:
    kind: KIND
    model: {scratch: {family: llama, layers: 1, width: 8}, tokenizer: bytes}
    data: ${data.toy}
    objective: mdlm
    batch: 4
    optimizer: {learning_rate: 1e-3}
    duration: 2 steps
"""


def ran(folder: Path, sources: str, fields: str = "seed: 0", kind: str = "pretrain", use: str = "") -> Any:
    text = SPEC.replace("SOURCES", sources).replace("FIELDS", fields).replace("KIND", kind).replace("USE", use)
    source = CompileSource(file="spec.yaml", data=text.encode(), read_file=lambda path: (folder / path).read_bytes())
    plan = compile_spec(source, Lock(folder)).plan
    with using(words_in("./loud.py", MAPPING.encode()) if use else ()):
        return run_stage(plan, "train.data", folder)


@pytest.mark.parametrize("packing", ["none", "cut", "documents"])
def test_the_same_bytes_come_of_any_number_of_processes(packing: str, tmp_path: Path) -> None:
    rows = "[{generate: {type: countdown, size: 2600}}]"
    found = []
    for workers in (1, 3):
        folder = tmp_path / str(workers)
        folder.mkdir()
        context = ran(folder, rows, f"holdout: 0.1, packing: {packing}, workers: {workers}")
        files = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in context.entry.output("data").iterdir()}
        found.append((context.stage_id, context.entry.results(), files))
    assert found[0] == found[1]
    assert set(found[0][2]) == {"train.arrow", "held_out.arrow", "held_out_rows.jsonl"}


MAPPING = '''
"""Upper case, twice."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf
from dllm_run.specs.vocabulary.mappings import Mapping


@dataclass(frozen=True, slots=True, kw_only=True)
class Loud(Mapping):
    """Each row in capitals, as often as asked; none of rows that say nothing."""

    word: ClassVar[str] = "loud"

    times: int = leaf("How often.", default=2, minimum=1)


def build(word):
    def loud(row):
        return [{"said": f"{row['text'].upper()} {time}"} for time in range(word.times)] if row["text"] else None

    return loud
'''


def test_a_mapping_from_a_file_makes_rows_of_rows(tmp_path: Path) -> None:
    (tmp_path / "loud.py").write_text(MAPPING, encoding="utf-8")
    (tmp_path / "a.jsonl").write_text('{"text": "a"}\n{"text": ""}\n{"text": "b"}\n', encoding="utf-8")
    fields = "map: [{type: loud, times: 2}], columns: {text: said}, where: '{{ said != \"B 0\" }}'"
    context = ran(tmp_path, "[./a.jsonl]", fields, use="use: [./loud.py]")
    split = Split.open(context.entry.output("data"), TRAIN)
    assert [bytes(split.sequence(index).tokens[:-1]) for index in range(len(split))] == [b"A 0", b"A 1", b"B 1"]
    assert context.entry.results()["rows"] == 3


def test_rows_that_equal_a_held_out_one_are_counted(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"text": "same"}\n' * 5 + '{"text": "other"}\n' * 5, encoding="utf-8")
    results = ran(tmp_path, "[./a.jsonl]", "holdout: 1 rows").entry.results()
    assert (results["rows"], results["leaked"], results["train"]["rows"], results["held_out"]["rows"]) == (10, 4, 5, 1)


def test_a_conversation_is_read_from_the_columns_that_it_is_in(tmp_path: Path) -> None:
    (tmp_path / "t.jinja").write_text(
        "{% for m in messages %}{{ m.role[0] }}:{{ m.content }};{% endfor %}{% if add_generation_prompt %}a:{% endif %}", encoding="utf-8"
    )
    (tmp_path / "a.jsonl").write_text(
        '{"conversations": [{"from": "human", "value": "q"}, {"from": "gpt", "value": "yes"}, {"from": "human", "value": "w"}]}\n',
        encoding="utf-8",
    )
    context = ran(tmp_path, "[./a.jsonl]", "map: [sharegpt], chat_template: ./t.jinja", kind="sft")
    found = Split.open(context.entry.output("data"), TRAIN).sequence(0)
    assert bytes(found.tokens) == b"u:q;a:yes;" and found.runs == [6, 4]
    with pytest.raises(Failure, match="is no turn"):
        build_sharegpt(ShareGpt())({"conversations": [{"from": "nobody", "value": "x"}]})


def test_countdown_is_reached_by_its_steps_from_its_numbers() -> None:
    rows = build(Countdown(size=300, numbers=4, largest=15, seed=2))
    assert len({row["prompt"] for row in rows}) == 300
    for row in rows:
        given, target = row["prompt"].removesuffix(": ").split(" = ")
        left = sorted(map(int, given.split()))
        for step in row["response"].split(", "):
            said, result = step.split("=")
            sign = next(sign for sign in "+-*/" if sign in said)
            first, second = map(int, said.split(sign))
            assert eval(said.replace("/", "//")) == int(result) == applied(first, sign, second)  # the text is ours
            left.remove(first)
            left.remove(second)
            left.append(int(result))
            assert 0 <= int(result) <= 15**2
        assert left == [int(target)] and row["text"] == row["prompt"] + row["response"]
    assert build(Countdown(size=50, numbers=4, largest=15, seed=2)) == rows[:50]
    assert build(Countdown(size=50, numbers=4, largest=15, seed=3)) != rows[:50]


def test_arithmetic_is_right_and_all_rows_differ() -> None:
    rows = build(Arithmetic(size=400, terms=4, digits=2, seed=1))
    assert len({row["prompt"] for row in rows}) == 400
    assert all(eval(row["prompt"].removesuffix("=")) == int(row["response"]) for row in rows)  # the text is ours
    assert {sign for row in rows for sign in "+-*" if sign in row["prompt"]} == set("+-*")
    assert value([2, 3, 4, 5], ["-", "*", "+"]) == 2 - 3 * 4 + 5


def test_more_rows_than_there_are_end_with_a_sentence() -> None:
    with pytest.raises(Failure, match="about 300 different rows, and 301 are asked for: lower `size`"):
        build(Arithmetic(size=301, terms=2, digits=1))


def test_tasks_of_reasoning_gym_or_how_to_get_them() -> None:
    word = ReasoningGym(task="chain_sum", size=5, seed=1, options={"min_terms": 2, "max_terms": 2})
    try:
        import reasoning_gym  # noqa: F401
    except ImportError:
        with pytest.raises(Failure, match=r"pip install 'dllm-run\[reasoning\]'"):
            build(word)
        pytest.skip("reasoning-gym is not installed: only the refusal was tested")
    rows = build(word)
    assert len(rows) == 5 and rows == build(word) and all(row["text"] == row["prompt"] + row["response"] for row in rows)
    with pytest.raises(Failure, match="cannot make task 'no_such_task'"):
        build(ReasoningGym(task="no_such_task"))
