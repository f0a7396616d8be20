"""What tests share: golden texts, and compiling a text as the command line would."""

import functools
import os
from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.cli.scripts import check_scripts
from dllm_run.cli.specs import read_beside
from dllm_run.compiler.compile import Compiled, Source, compile_spec
from dllm_run.compiler.lock import Lock, read_lock
from dllm_run.specs.errors import Diagnostic, SpecError

# Before torch is loaded: threads that wait by spinning slow each other down where cores are few.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
if "PYTEST_XDIST_WORKER" in os.environ:
    # As many processes as cores: more threads would only wait for each other.
    os.environ.setdefault("OMP_NUM_THREADS", "1")

TESTS = Path(__file__).parent
OWN_SCRIPT = """\
#!/usr/bin/env bash
#SBATCH --job-name={{ name }}.{{ stage }} --export={{ exported | join(",") }}
{% for option, value in options %}
#SBATCH --{{ option }}={{ value }}
{% endfor %}
# {{ ids }} {{ max_parallel }} {{ srun }}
{{ setup | join("\\n") }}
"""
Compile = Callable[..., Compiled]


def pytest_addoption(parser: pytest.Parser) -> None:
    parser.addoption("--update-golden", action="store_true", help="write the golden files anew instead of comparing with them")


@pytest.fixture
def golden(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`golden(path, text)`: the text must be that of tests/golden/<path>."""
    update = bool(request.config.getoption("--update-golden"))

    def compare(path: str, text: str) -> None:
        file = TESTS / "golden" / path
        if update:
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_text(text, encoding="utf-8")
        assert file.is_file(), f"golden/{path} is missing: pytest --update-golden writes it"
        assert text == file.read_text(encoding="utf-8"), f"not as golden/{path} has it: read the difference, then pytest --update-golden"

    return compare


@pytest.fixture
def current(request: pytest.FixtureRequest) -> Callable[[str, str], None]:
    """`current(path, text)`: a file of the repository that is written by the code must be what the code writes now."""
    update = bool(request.config.getoption("--update-golden"))

    def compare(path: str, text: str) -> None:
        file = TESTS.parent / path
        if update:
            file.write_text(text, encoding="utf-8")
        assert file.is_file() and text == file.read_text(encoding="utf-8"), f"{path} is not current: pytest --update-golden writes it"

    return compare


@pytest.fixture
def examples() -> dict[str, str]:
    """The texts of tests/data/specs by name."""
    return {file.stem: file.read_text(encoding="utf-8") for file in sorted((TESTS / "data" / "specs").glob("*.yaml"))}


@pytest.fixture
def compiling(tmp_path: Path) -> Compile:
    """`compiling(text, *flags)`: the compiled spec; relative paths start at tmp_path, or at `base`, and spec.lock.json is read there."""

    def compiled(text: str | bytes, *flags: str, base: Path = tmp_path) -> Compiled:
        data = text if isinstance(text, bytes) else text.encode()
        source = Source(file="spec.yaml", data=data, flags=flags, read_file=functools.partial(read_beside, base))
        return compile_spec(source, Lock(base, read_lock(base / "spec.lock.json")), check_scripts)

    return compiled


@pytest.fixture
def diagnosing(compiling: Compile) -> Callable[..., tuple[Diagnostic, ...]]:
    """`diagnosing(text, *flags)`: every error of a text, or the warnings of one that compiles."""

    def diagnosed(text: str | bytes, *flags: str) -> tuple[Diagnostic, ...]:
        try:
            return compiling(text, *flags).warnings
        except SpecError as error:
            return error.diagnostics

    return diagnosed


@pytest.fixture
def complete(tmp_path: Path) -> str:
    """The text of tests/data/complete.yaml, with the files that it reads in tmp_path."""
    files = {
        "docs.txt": "A text.\nAnother text.\n",
        "more/a.jsonl": '{"body": "a"}\n',
        "more/b.jsonl": '{"body": "b"}\n',
        "pairs.jsonl": '{"question": "a", "answer": "b"}\n',
        "vocab.txt": "<m>\n<b>\n<e>\n<u>\n<p>\nA\n",
        "task.yaml": "task: mine\n",
        "weights/config.json": '{"model_type": "llama", "architectures": ["LlamaForCausalLM"], "max_position_embeddings": 128}\n',
        "profile.yaml": "qos: low\n",
        "here.yaml": "{}\n",
        "own.sbatch.j2": OWN_SCRIPT,
        "weights/model.safetensors": "",
        "weights/tokenizer.json": "{}\n",
        "weights/tokenizer_config.json": '{"mask_token": "<mask>"}\n',
    }
    for name, text in files.items():
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    return (TESTS / "data" / "complete.yaml").read_text(encoding="utf-8")
