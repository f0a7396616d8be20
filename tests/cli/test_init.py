"""`init`: what it writes is valid, and what is there already is never touched."""

import json
from pathlib import Path

import pytest
from jsonschema import Draft202012Validator

from dllm_run.cli.init import SCHEMA_FILE, spec_text
from dllm_run.cli.main import main
from dllm_run.cli.specs import find, recipes
from dllm_run.compiler.compile import compile_spec
from dllm_run.compiler.read import read


@pytest.fixture(autouse=True)
def _empty_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)


def test_a_new_spec_is_valid_without_a_warning(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init"]) == 0
    assert len(capsys.readouterr().out.splitlines()) == 4, "what was written, and three lines of what to do next"
    assert main(["validate", "spec.yaml"]) == 0
    assert capsys.readouterr() == ("spec.yaml: valid\n", "")


@pytest.mark.parametrize("recipe", recipes())
def test_a_recipe_is_copied_with_its_comments_and_compiles_to_the_same_plan(recipe: str) -> None:
    assert main(["init", "mine.yaml", "--from", recipe]) == 0
    written = Path("mine.yaml").read_text(encoding="utf-8").splitlines()
    original = recipes()[recipe].read_text(encoding="utf-8").splitlines()
    assert written == [f"# yaml-language-server: $schema={SCHEMA_FILE}", *original[1:]]
    mine, theirs = find("mine.yaml", ()), find(f"recipe:{recipe}", ())
    assert compile_spec(mine.source, mine.lock).plan == compile_spec(theirs.source, theirs.lock).plan


def test_the_schema_beside_it_is_named_and_accepts_it() -> None:
    assert main(["init", "deep/spec.yaml"]) == 0
    text = Path("deep/spec.yaml").read_text(encoding="utf-8")
    schema = json.loads(Path("deep", text.partition("\n")[0].partition("$schema=")[2]).read_text(encoding="utf-8"))
    Draft202012Validator.check_schema(schema)
    assert list(Draft202012Validator(schema).iter_errors(read(text.encode(), "spec.yaml").plain())) == []


def test_a_file_that_is_there_is_not_touched(capsys: pytest.CaptureFixture[str]) -> None:
    Path("spec.yaml").write_text("mine\n")
    assert main(["init"]) == 6
    assert "dllm-run init spec-2.yaml" in capsys.readouterr().err
    assert Path("spec.yaml").read_text() == "mine\n" and not Path(SCHEMA_FILE).exists()


def test_an_unknown_recipe_is_answered_with_the_nearest(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "--from", "sudoko"]) == 5
    assert "did you mean recipe:sudoku?" in capsys.readouterr().err and not Path("spec.yaml").exists()


def test_the_document_says_what_was_written(capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["init", "a.yaml", "--from", "recipe:sudoku", "--json"]) == 0
    assert json.loads(capsys.readouterr().out) == {"schema": "dllm-run/init/1", "file": "a.yaml", "editor_schema": SCHEMA_FILE}


ALTERNATIVES = [
    ("# sweep:", "# compute:"),
    ("# compute:",),
    ("# seed:",),
    ("    # objective:",),
    ("    # checkpoint:",),
    ("    # sampler:",),
    ("    # prompts:",),
]


def with_alternative(text: str, starts: tuple[str, ...]) -> str:
    """The starter with a commented alternative in place of the line that it replaces."""
    out: list[str] = []
    inside = False
    for line in text.splitlines():
        inside = line.startswith(starts[0]) or (inside and len(starts) > 1 and line.startswith("#") and not line.startswith(starts[1]))
        if not inside:
            out.append(line)
            continue
        new = line.replace("# ", "", 1)
        key = new.partition(":")[0] + ":"
        out = [other for other in out if len(starts) > 1 or not other.startswith(key)]
        out.append(new)
    return "\n".join(out)


@pytest.mark.parametrize("starts", ALTERNATIVES, ids=lambda starts: starts[0].strip(" #"))
def test_what_the_starter_has_as_comments_is_right_too(starts: tuple[str, ...], capsys: pytest.CaptureFixture[str]) -> None:
    text = with_alternative(spec_text(None), starts)
    if "prompts" in starts[0]:
        text = text.replace("    max_new_tokens: 96\n", "")
    assert text != spec_text(None).rstrip("\n")
    Path("spec.yaml").write_text(text, encoding="utf-8")
    code = main(["validate", "spec.yaml"])
    assert (code, capsys.readouterr().err) == (0, ""), text
