"""The seven tasks that lm-eval lacks: their files are read, asked over local rows in the form of their data sets, and scored."""

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from lm_eval import simple_evaluate
from lm_eval.api.model import LM
from lm_eval.tasks import TaskManager

from dllm_run.runtime.tasks import PUBLISHED
from dllm_run.runtime.tasks.published.helpers import clean, last_number, mbpp_examples, program_of, runs

HELLASWAG = {
    "activity_label": "Cooking", "ctx_a": "A man cuts.", "ctx_b": "he then", "endings": ["stops.", "[title] sings.", "ends", "goes"],
    "label": "1",
}  # fmt: skip
GSM8K = {"question": "One and one?", "answer": "1 + 1 = 2 #### 1,002"}
HUMANEVAL = {
    "prompt": "def add(a, b):\n    '''Add.'''\n",
    "entry_point": "add",
    "test": "def check(candidate):\n    assert candidate(1, 2) == 3",
}
MBPP = {
    "text": "Write a function to add.",
    "test_list": ["assert add(1, 2) == 3", "assert add(0, 0) == 0", "assert add(1, 1) == 2"],
    "code": "",
}
MMLU = {"question": " Which? ", "choices": ["w", "x", "y", "z"], "answer": 2}
ADD = "def add(a, b):\n    return a + b\n"
RIGHT_AND_WRONG: dict[str, tuple[dict[str, Any], str, str, str]] = {
    "hellaswag_gen": (HELLASWAG, "b", "a", "Cooking: A man cuts. He then\nQuestion:"),
    "gsm8k_bert": (GSM8K, "So it is 1002", "It is 2", "One and one?"),
    "humaneval_instruct_llada": (
        HUMANEVAL,
        f"Sure:\n```python\n{ADD}```",
        "```python\ndef add(a, b): return a\n```",
        "Complete the following",
    ),
    "humaneval_instruct_dream": (HUMANEVAL, "    return a + b\n", "    return a\n", "Write a solution"),
    "mbpp_instruct_llada": (MBPP, f"[BEGIN]\n{ADD}[DONE] more", "[BEGIN]\nadd = None", "You are an expert"),
    "mbpp_instruct_dream": (MBPP, ADD, "def add(a): return a", "You are an expert"),
    "mmlu_generative_dream_anatomy": (MMLU, " C", "A", "Which?\nA. w\nB. x\nC. y\nD. z\nAnswer:"),
}


class Saying(LM):  # type: ignore[misc]  # lm-eval has no types
    """A model that says one thing."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.text, self.asked = text, ""

    def generate_until(self, requests: list[Any]) -> list[str]:
        self.asked = requests[0].args[0]
        return [self.text] * len(requests)

    def loglikelihood(self, requests: list[Any]) -> list[tuple[float, bool]]:
        raise AssertionError

    def loglikelihood_rolling(self, requests: list[Any]) -> list[float]:
        raise AssertionError


def score(name: str, doc: dict[str, Any], answer: str, folder: Path) -> tuple[float, str]:
    """The score of an answer and the question, with one local row in place of the data set."""
    (folder / "row.jsonl").write_text(json.dumps(doc) + "\n", encoding="utf-8")
    split = "validation" if name == "hellaswag_gen" else "test"
    files = {split: str(folder / "row.jsonl")}
    (folder / "local.yaml").write_text(
        f"include: {PUBLISHED / name}.yaml\ntask: local\ndataset_path: json\ndataset_name: null\n"
        f"dataset_kwargs: {{data_files: {json.dumps(files)}}}\ntraining_split: null\nfewshot_split: null\nnum_fewshot: 0\n",
        encoding="utf-8",
    )
    model = Saying(answer)
    found = simple_evaluate(
        model=model,
        tasks=[str(folder / "local.yaml")],
        task_manager=TaskManager(include_defaults=False),
        bootstrap_iters=0,
        confirm_run_unsafe_code=True,
    )
    scores = {key: value for key, value in found["results"]["local"].items() if key.startswith(("exact_match,", "pass_at_1,"))}
    [value] = scores.values()
    return value, model.asked


@pytest.mark.parametrize("name", RIGHT_AND_WRONG)
def test_a_right_answer_counts_and_a_wrong_one_does_not(name: str, tmp_path: Path) -> None:
    doc, right, wrong, asked = RIGHT_AND_WRONG[name]
    value, question = score(name, doc, right, tmp_path)
    assert value == 1.0 and question.startswith(asked)
    (tmp_path / "other").mkdir()
    assert score(name, doc, wrong, tmp_path / "other")[0] == 0.0


def test_all_seven_are_known_beside_lm_evals_own_and_mmlu_has_its_57_subjects() -> None:
    manager = TaskManager(include_defaults=False, include_path=str(PUBLISHED))
    names = {
        "mmlu_generative_dream", "gsm8k_bert", "hellaswag_gen", "humaneval_instruct_llada", "humaneval_instruct_dream",
        "mbpp_instruct_llada", "mbpp_instruct_dream",
    }  # fmt: skip
    assert names <= set(manager.all_tasks)
    subjects = yaml.safe_load((PUBLISHED / "mmlu_generative_dream.yaml").read_text(encoding="utf-8"))["task"]
    assert len(set(subjects)) == 57 and set(subjects) <= set(manager.all_tasks)


@pytest.mark.parametrize(
    ("answer", "code"),
    [
        ("Here:\n```python\nx = 1\n```\nand\n```\ny\n```", "x = 1"),
        ("[BEGIN]\n'x = 1'\n[DONE]", "x = 1"),
        ("    return 1\n", "    return 1"),
        ("```python\nx = 1", "x = 1"),
    ],
)
def test_a_program_is_read_out_of_what_stands_around_it(answer: str, code: str) -> None:
    assert program_of(answer) == code


def test_programs_run_apart_within_limits_and_only_an_end_without_error_counts(tmp_path: Path) -> None:
    assert runs("x = 1")
    assert not runs("assert False")
    assert not runs("raise SystemExit(3)")
    assert not runs("bytearray(8 << 30)")
    assert not runs("import os\nassert 'HOME' in os.environ")
    assert not runs("\0")
    assert runs("open('left', 'w').write('x')") and not Path("left").exists()


def test_solved_examples_are_right() -> None:
    for example in mbpp_examples():
        assert runs("\n".join([example["code"], *example["test_list"]]))


def test_numbers_and_texts_are_read_as_they_are_written() -> None:
    doc = {"answer": "so #### 1,234"}
    assert last_number(doc, [r"first 7, then \boxed{1234} of 9"]) == {"exact_match": 1.0}
    assert last_number(doc, ["7 of 1,234"]) == {"exact_match": 1.0}
    assert last_number(doc, ["none"]) == last_number(doc, ["1234 and 5"]) == {"exact_match": 0.0}
    assert clean(" a [title] b [step] c ") == "a.  b  c".replace("  ", " ")
