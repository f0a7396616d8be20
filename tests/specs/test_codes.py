"""Every diagnostic has a page, and what the pages show is true: wrong examples give their message, right ones compile."""

import itertools
import json
import re
import shlex
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dllm_run.compiler.read import read
from dllm_run.compiler.render import render
from dllm_run.specs.codes import Page, blocks, codes, page, page_file
from dllm_run.specs.errors import Diagnostic, SpecError

ROOT = Path(__file__).parents[2]
REST = {
    "version": 1,
    "name": "example",
    "data": {"docs": {"sources": [{"generate": "sudoku"}], "holdout": 0.1, "max_length": 64}},
    "stages": {
        "train": {
            "kind": "pretrain",
            "model": {"scratch": {"family": "llama", "layers": 2, "width": 64}, "tokenizer": "bytes"},
            "data": "${data.docs}",
            "objective": "mdlm",
            "batch": 32,
            "optimizer": {"learning_rate": 1e-3},
            "duration": "100 steps",
        },
        "bound": {
            "kind": "eval",
            "model": "${stages.train}",
            "data": {"sources": [{"generate": "sudoku"}], "holdout": 0.1, "max_length": 64},
            "tasks": ["held_out_text"],
            "likelihood": {"estimator": "elbo", "samples": 8},
        },
        "look": {
            "kind": "sample",
            "model": "${stages.train}",
            "prompts": ["Once "],
            "max_new_tokens": 64,
            "sampler": "llada",
        },
    },
}
"""The rest of every example: what a page leaves out. A data set, a stage with its `kind` and a field are written whole or not at all."""
NOT_RUN = {
    "E112": "bytes that are no text cannot stand in a page",
    "W510": "a file of a megabyte does not belong in a page",
    "E145": "a lock file with hashes stands beside no example",
    "E114": "two megabytes do not belong in a page",
}
"""Pages whose wrong example is a command to read, with the reason."""
Diagnosed = Callable[..., tuple[Diagnostic, ...]]


def rest_of(example: Any) -> list[str]:
    """`-s` for everything that an example leaves out."""
    if not isinstance(example, dict) or "version" in example:
        return []
    flags = [f"{key}={json.dumps(value)}" for key, value in REST.items() if key not in example]
    for key in ("data", "stages"):
        written = example.get(key, REST[key])
        for name, whole in REST[key].items():  # type: ignore[attr-defined]
            if key not in example or not isinstance(written, dict):
                continue
            if name not in written:
                flags.append(f"{key}.{name}={json.dumps(whole)}")
            elif key == "stages" and "kind" not in written[name]:
                flags.extend(f"stages.{name}.{field}={json.dumps(value)}" for field, value in whole.items() if field not in written[name])
    return flags


def examples(section: str, folder: Path) -> list[tuple[str, tuple[str, ...]]]:
    """(text, flags) of each example of a section; files that it needs are written."""
    found = []
    for block in blocks(section):
        if block.file is not None:
            (folder / block.file).parent.mkdir(parents=True, exist_ok=True)
            (folder / block.file).write_text(block.text, encoding="utf-8")
        elif block.language == "yaml":
            found.append((block.text, ()))
        elif block.language == "sh":
            words = shlex.split(block.text, comments=True)
            flags = tuple(word for before, word in itertools.pairwise(words) if before == "-s")
            if flags:
                found.append(("version: 1\n", flags))
    return found


def diagnose(example: tuple[str, tuple[str, ...]], diagnosing: Diagnosed) -> tuple[Diagnostic, ...]:
    text, flags = example
    try:
        plain = read(text.encode(), "spec.yaml").plain()
    except SpecError as error:
        return error.diagnostics
    if flags:
        plain = {}
    return diagnosing(text, *rest_of(plain), *flags)


def shown(found: tuple[Diagnostic, ...]) -> str:
    """The message as a page has it: without the count, long lines cut."""
    lines = render(found).split("\n")[:-2]
    return "\n".join(line if len(line) <= 120 else line[:119] + "…" for line in lines) + "\n"


def codes_in_the_source() -> set[str]:
    files = [file for layer in ("compiler", "specs", "launchers") for file in (ROOT / layer).rglob("*.py")]
    return {code for file in files for code in re.findall(r"\"([EW][0-9]{3})\"", file.read_text(encoding="utf-8"))}


def test_every_code_has_a_page_and_every_page_a_code() -> None:
    assert set(codes()) == codes_in_the_source()


@pytest.fixture(params=codes())
def explained(request: pytest.FixtureRequest) -> Page:
    found = page(request.param)
    assert found is not None
    return found


def test_a_page_has_its_parts(explained: Page) -> None:
    assert explained.text.startswith(f"# {explained.code}: {explained.title}\n")
    assert [line for line in explained.text.splitlines() if line.startswith("## ")] == ["## Wrong", "## Right"]
    meaning = explained.text.partition("\n")[2].partition("## Wrong")[0]
    assert len(meaning.split()) > 20, "a page says what the code means and why it is an error"
    assert max(map(len, explained.text.splitlines())) <= 220
    assert explained.related and set(explained.related) <= set(codes()) - {explained.code}


def test_a_wrong_example_gives_its_code_and_the_message_on_the_page(
    explained: Page, diagnosing: Diagnosed, tmp_path: Path, request: pytest.FixtureRequest
) -> None:
    section = explained.section("Wrong")
    found = examples(section, tmp_path)
    if explained.code in NOT_RUN:
        pytest.skip(NOT_RUN[explained.code])
    (example,) = found
    diagnostics = diagnose(example, diagnosing)
    assert {item.code for item in diagnostics} >= {explained.code}
    message = shown(diagnostics)
    assert "-s:1:" not in message or example[1], "the message points into what the page leaves out: write that out too"
    if request.config.getoption("--update-golden"):
        section = re.sub(r"```text\n.*?^```\n\n?", "", section, flags=re.MULTILINE | re.DOTALL).rstrip()
        new = explained.text.replace(explained.section("Wrong"), f"{section}\n\n```text\n{message}```\n\n")
        page_file(explained.code).write_text(new, encoding="utf-8")
    else:
        said = [block.text for block in blocks(section) if block.language == "text" and block.file is None]
        assert said == [message], f"specs/codes/{explained.code}.md: read the difference, then pytest --update-golden"


def test_a_right_example_compiles(explained: Page, diagnosing: Diagnosed, tmp_path: Path) -> None:
    found = examples(explained.section("Right"), tmp_path)
    assert found or explained.code in NOT_RUN
    for example in found:
        assert [f"{item.code} {item.message}" for item in diagnose(example, diagnosing)] == []


def test_the_rest_of_the_examples_is_a_spec_without_fault(diagnosing: Diagnosed) -> None:
    assert diagnosing(json.dumps(REST)) == ()
