"""Texts with {{ … }}: the name, prompts, and texts made of the columns of a row."""

from collections.abc import Callable

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.vocabulary.stages.sample import Sample

Compile = Callable[..., Compiled]
Diagnosing = Callable[..., tuple[Diagnostic, ...]]


def prompts(compiled: Compiled) -> list[tuple[str, ...]]:
    bodies = [stage.body for stage in compiled.plan.stages.values()]
    return [body.prompts for body in bodies if isinstance(body, Sample) and isinstance(body.prompts, tuple)]


@pytest.fixture
def prompted(examples: dict[str, str]) -> Callable[[str], str]:
    """The quickstart with another prompt."""
    return lambda text: examples["quickstart"].replace('"The import statement "', text)


def test_a_name_sees_the_fields_of_the_spec_and_their_defaults(examples: dict[str, str], compiling: Compile) -> None:
    text = examples["sudoku"].replace("name: sudoku", 'name: "sudoku-{{ stages.train.batch.global }}-{{ seed }}-{{ version }}"')
    assert compiling(text).plan.name == "sudoku-128-0-1"


def test_a_name_that_comes_out_wrong_is_told(examples: dict[str, str], diagnosing: Diagnosing) -> None:
    (found,) = diagnosing(examples["sudoku"].replace("name: sudoku", 'name: "{{ name | upper }} 1"'))
    assert found.code == "E103"


def test_a_prompt_is_filled_in_at_every_point(prompted: Callable[[str], str], compiling: Compile) -> None:
    text = prompted('"{{ stage }} number {{ seed }}: "') + "sweep: {grid: {seed: [3, 4]}}\n"
    assert sorted(prompts(compiling(text))) == [("look number 3: ",), ("look number 4: ",)]


def test_a_prompt_that_is_filled_in_is_the_prompt_written_out(prompted: Callable[[str], str], compiling: Compile) -> None:
    def looks(text: str) -> str:
        (point,) = compiling(text).plan.points.values()
        return point.stages["look"]

    assert looks(prompted('"{% for n in range(3) %}{{ n }} {% endfor %}"')) == looks(prompted('"0 1 2 "'))
    assert looks(prompted('"{% raw %}{{ x }}{% endraw %}"')) != looks(prompted('"x"'))


@pytest.mark.parametrize(
    ("text", "message"),
    [
        pytest.param('"{{ nothing }}"', "'nothing' is undefined", id="undefined"),
        pytest.param('"{{ seed.nothing }}"', "no attribute 'nothing'", id="undefined-inside"),
        pytest.param("\"{{ ''.__class__.__mro__ }}\"", "unsafe", id="sandbox"),
        pytest.param('"{{ seed / 0 }}"', "division by zero", id="arithmetic"),
        pytest.param('"a\\nb\\n{{ seed"', "line 3", id="syntax-with-its-line"),
        pytest.param('"{{ seed.append(1) }}"', "no attribute 'append'", id="method"),
    ],
)
def test_a_template_that_cannot_be_filled_in_is_told(
    text: str, message: str, prompted: Callable[[str], str], diagnosing: Diagnosing
) -> None:
    (found,) = diagnosing(prompted(text))
    assert (found.code, message in found.message) == ("E131", True), found.message


def test_a_template_over_rows_is_left_to_the_rows_but_its_form_is_checked(
    prompted: Callable[[str], str], compiling: Compile, diagnosing: Diagnosing
) -> None:
    text = prompted('"x"').replace("max_length: 256", 'max_length: 256\n    columns: {text: "{{ text }}!"}')
    assert compiling(text).plan.stages
    (found,) = diagnosing(text.replace("{{ text }}", "{{ text }"))
    assert found.code == "E131"
    (found,) = (item for item in diagnosing(text.replace("{{ text }}", "{{ txt }}")) if item.severity == "error")
    assert (found.code, found.label) == ("E510", "did you mean 'text'?")
