"""What the task files call: questions laid out, answers read, programs run apart."""

import re
import resource
import subprocess
import sys
import tempfile
from typing import Any

SECONDS = 10
"""Of one program, on the clock and on the processor."""
BYTES = 4 << 30
"""Memory of one program."""


def with_letters(dataset: Any) -> Any:
    """HellaSwag with its beginning as one text, and A, B, C and D for the endings."""

    def lettered(doc: dict[str, Any]) -> dict[str, Any]:
        begun = f"{doc['activity_label']}: {doc['ctx_a']} {doc['ctx_b'].capitalize()}"
        endings = {letter: clean(text) for letter, text in zip("ABCD", doc["endings"], strict=True)}
        return {"begun": clean(begun), **endings, "gold": "ABCD"[int(doc["label"])]}

    return dataset.map(lettered)


def clean(text: str) -> str:
    """Without the marks that the articles of wikiHow have left."""
    return re.sub(r"\[.*?\]", "", text.strip().replace(" [title]", ". ")).replace("  ", " ")


def last_number(doc: dict[str, Any], answers: list[str]) -> dict[str, float]:
    """Whether the last number of an answer is the one after the four marks of the solution; what stands in a box goes first."""
    boxed = re.findall(r"\\boxed\{(.*?)\}", answers[0])
    found = re.findall(r"-?\d[\d,]*\.?\d*", boxed[-1] if boxed else answers[0])
    right = float(doc["answer"].rpartition("####")[2].strip().replace(",", ""))
    return {"exact_match": float(bool(found) and float(found[-1].replace(",", "")) == right)}


def program_of(answer: str) -> str:
    """The first block of code of an answer, or all of it where there is none; the marks around examples are taken away."""
    fenced = re.search(r"```[\w+-]*\s*?\n(.*?)(?:```|$)", answer, re.DOTALL)
    code = fenced.group(1) if fenced else answer
    begun = re.search(r"\[BEGIN\]\s*(.*)", code, re.DOTALL)
    code = (begun.group(1) if begun else code).partition("[DONE]")[0]
    return code.strip("\n").strip("'")


def humaneval(doc: dict[str, Any], answers: list[str]) -> dict[str, float]:
    """Whether a whole program as the model wrote it passes, or goes on from the beginning that was given."""
    code = program_of(answers[0])
    program = code if f"def {doc['entry_point']}" in code else doc["prompt"] + "\n" + code
    return _passed(f"{_imports(doc['prompt'])}\n{program}\n{doc['test']}\ncheck({doc['entry_point']})")


def mbpp(doc: dict[str, Any], answers: list[str]) -> dict[str, float]:
    """Whether the function that was asked for passes the three tests of the question."""
    return _passed("\n".join([program_of(answers[0]), *doc["test_list"]]))


def mbpp_examples() -> list[dict[str, Any]]:
    """Three solved examples of our own, in the form of the questions."""
    return [
        {
            "text": "Write a function to find the numbers that two lists share, in rising order.",
            "code": "def shared(left, right):\n    return sorted(set(left) & set(right))",
            "test_list": ["assert shared([1, 2, 3], [3, 1]) == [1, 3]", "assert shared([], [1]) == []", "assert shared([2], [2]) == [2]"],
        },
        {
            "text": "Write a function to count the vowels of a text.",
            "code": "def vowels(text):\n    return sum(letter in 'aeiou' for letter in text.lower())",
            "test_list": ["assert vowels('Idea') == 3", "assert vowels('') == 0", "assert vowels('xyz') == 0"],
        },
        {
            "text": "Write a function to turn a list around.",
            "code": "def turned(items):\n    return items[::-1]",
            "test_list": ["assert turned([1, 2]) == [2, 1]", "assert turned([]) == []", "assert turned(['a']) == ['a']"],
        },
    ]


def _imports(prompt: str) -> str:
    return "\n".join(line for line in prompt.splitlines() if line.startswith(("import ", "from ")))


def _passed(program: str) -> dict[str, float]:
    return {"pass_at_1": float(runs(program))}


def runs(program: str) -> bool:
    """Whether a program ends without an error, in a process of its own, an empty folder, and limits of time and memory."""
    with tempfile.TemporaryDirectory() as folder:
        try:
            done = subprocess.run(
                [sys.executable, "-I", "-c", program],
                cwd=folder,
                env={},
                stdin=subprocess.DEVNULL,
                stdout=subprocess.DEVNULL,
                stderr=subprocess.DEVNULL,
                timeout=SECONDS,
                check=False,
                preexec_fn=_limit,
            )
        except (subprocess.TimeoutExpired, ValueError):
            return False
    return done.returncode == 0


def _limit() -> None:
    resource.setrlimit(resource.RLIMIT_CPU, (SECONDS, SECONDS))
    resource.setrlimit(resource.RLIMIT_AS, (BYTES, BYTES))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
