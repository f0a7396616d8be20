"""Job scripts of the user's own: the same values as ours, strict and sandboxed, the same text each time, and part of what is compiled."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.compiler.compile import Compiled, Source, compile_spec
from dllm_run.compiler.diff import diff
from dllm_run.compiler.lock import Lock
from dllm_run.compiler.side import side_of
from dllm_run.launchers import slurm
from dllm_run.launchers.script import fill_script, script_problems
from dllm_run.specs.effect import Effect
from dllm_run.specs.errors import Diagnostic

Compile = Callable[..., Compiled]
OURS = (Path(slurm.__file__).parent / "templates" / "stage.sbatch.j2").read_text(encoding="utf-8")
OWN = '#!/bin/sh\n#SBATCH --comment={{ "a b" | q }}\n{% for id, points in ids %}\n./mine {{ id }}\n{% endfor %}\n'
VALUES = {"ids": [("0123", "-")], "name": "x"}


@pytest.fixture
def spec(examples: dict[str, str], tmp_path: Path) -> Callable[..., str]:
    """A spec that is launched by `own.sbatch.j2`, which holds the given text."""

    def written(template: str, launch: str = "{type: slurm, script: ./own.sbatch.j2}", more: str = "") -> str:
        (tmp_path / "own.sbatch.j2").write_text(template, encoding="utf-8")
        return examples["sudoku"] + f"launch: {launch}\n{more}"

    return written


def rendered(compiled: Compiled) -> dict[str, str]:
    return slurm.render(compiled.plan, {locator: data.decode() for locator, data in compiled.scripts.items()})


def test_a_copy_of_our_template_gives_our_scripts(spec: Callable[..., str], compiling: Compile) -> None:
    launch = "type: slurm, partition: gpu, setup: [module load x], env: [A], array: {max_parallel: 2}, extra: {comment: c}"
    sweep = "sweep: {grid: {seed: [0, 1, 2]}}\n"
    own = rendered(compiling(spec(OURS, f"{{{launch}, script: ./own.sbatch.j2}}", sweep)))
    assert own == rendered(compiling(spec(OURS, f"{{{launch}}}", sweep)))
    assert any("--array=0-2%2" in text for text in own.values())


def test_a_template_writes_every_job_and_submit_sh_stays_ours(spec: Callable[..., str], compiling: Compile) -> None:
    compiled = compiling(spec(OWN))
    scripts = rendered(compiled)
    assert scripts["submit.sh"].startswith("#!/usr/bin/env bash")
    ids = [line.removeprefix("./mine ") for text in scripts.values() for line in text.splitlines() if line.startswith("./mine")]
    assert ids == list(compiled.plan.stages)
    assert all("#SBATCH --comment='a b'" in text for name, text in scripts.items() if name != "submit.sh")


def test_a_stage_may_have_a_template_of_its_own(spec: Callable[..., str], compiling: Compile, tmp_path: Path) -> None:
    text = spec(OURS, "slurm").replace("    kind: pretrain", "    kind: pretrain\n    launch: {script: ./train.j2}")
    (tmp_path / "train.j2").write_text(OWN, encoding="utf-8")
    scripts = rendered(compiling(text))
    assert "./mine" in scripts["train.sbatch"]
    assert not any("./mine" in scripts[name] for name in ("train.data.sbatch", "solve.sbatch"))


def test_a_template_is_an_input_by_content_and_changes_no_stage(spec: Callable[..., str], compiling: Compile) -> None:
    before = compiling(spec(OWN))
    after = compiling(spec(OWN + "# more\n"))
    assert before.plan.inputs["./own.sbatch.j2"].files.keys() == {"own.sbatch.j2"}
    assert list(after.plan.stages) == list(before.plan.stages) == list(compiling(spec(OWN, "slurm")).plan.stages)
    assert after.plan.run_id != before.plan.run_id
    changes = {change.path: change.effect for change in diff(side_of(before), side_of(after)).changes}
    assert changes == {"inputs[./own.sbatch.j2]": Effect.NUMERICS}
    assert not diff(side_of(before), side_of(after)).invalidated


def test_a_template_that_is_not_the_locked_one_is_not_compiled(spec: Callable[..., str], compiling: Compile, tmp_path: Path) -> None:
    text = spec(OWN)
    locked = dict(compiling(text).plan.inputs)
    source = Source(file="spec.yaml", data=text.encode())
    assert compile_spec(source, Lock(tmp_path, locked)).scripts == {"./own.sbatch.j2": OWN.encode()}
    (tmp_path / "own.sbatch.j2").write_text(OWN + "#\n", encoding="utf-8")
    with pytest.raises(Exception, match="E145"):
        compile_spec(source, Lock(tmp_path, locked))


# --- what a template may not do


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{{ ids.__class__ }}", id="class"),
        pytest.param("{{ ''.__class__.__mro__[1].__subclasses__() }}", id="subclasses"),
        pytest.param("{{ ids.append(1) }}", id="changes-a-value"),
        pytest.param("{{ '{0.__class__}'.format(name) }}", id="format"),
        pytest.param("{{ (name | attr('__class__')) }}", id="attr-filter"),
        pytest.param("{% set x = cycler.__init__.__globals__ %}{{ x }}", id="globals"),
    ],
)
def test_the_sandbox_holds(text: str) -> None:
    (problem,) = script_problems("x.j2", f"#!/bin/sh\n\n{text}\n", VALUES, {})
    assert (problem.fault.value, problem.line) == ("E142", 3)


@pytest.mark.parametrize(
    ("text", "code"),
    [
        pytest.param("{{ lipsum() }}", "E141", id="random-text"),
        pytest.param("{{ [1, 2] | random }}", "E140", id="random-choice"),
        pytest.param("{{ range }}", "E143", id="address"),
        pytest.param("{{ name.upper ~ '' }}", "E143", id="address-of-a-method"),
        pytest.param("{{ ids | map('first') }}", "E143", id="address-of-a-generator"),
    ],
)
def test_nothing_that_differs_from_time_to_time_can_be_written(text: str, code: str) -> None:
    assert {problem.fault.value for problem in script_problems("x.j2", f"#!/bin/sh\n{text}\n", VALUES, {})} == {code}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("{{ 1 / 0 }}", id="arithmetic"),
        pytest.param("{{ name + 1 }}", id="type"),
        pytest.param("{{ range(10 ** 9) | list }}", id="too-long"),
        pytest.param("{% macro f() %}{{ f() }}{% endmacro %}{{ f() }}", id="recursion"),
        pytest.param("{{ name | replace('x') }}", id="filter-argument"),
        pytest.param("{{ name | indent(width='x' * 2, first=1 / 0) }}", id="nested"),
        pytest.param("{% for a, b, c in ids %}{% endfor %}", id="unpacking"),
        pytest.param("{{ name.encode('no such code') }}", id="lookup"),
    ],
)
def test_what_fails_while_it_is_filled_in_is_a_finding_with_its_line(text: str) -> None:
    (problem,) = script_problems("x.j2", f"#!/bin/sh\n\n\n{text}\n", VALUES, {})
    assert (problem.fault.value, problem.line) == ("E143", 4)


@pytest.mark.parametrize(
    ("text", "line"),
    [
        ("{% if name %}", 1),
        ("\n{{ name", 2),
        ("\n\n{{ name | no_such_filter }}", 3),
        ("{% endfor %}", 1),
        ("{{ " + "(" * 5000 + ")" * 5000 + " }}", 1),
        ("\n{% include 'x' %}", 2),
        ("\n{% from 'x' import y %}", 2),
        ("{% no_such_tag %}", 1),
    ],
    ids=["if", "open", "filter", "endfor", "deep", "include", "import", "tag"],
)
def test_a_mistake_in_writing_is_found_at_its_line(text: str, line: int) -> None:
    found = script_problems("x.j2", text, VALUES, {})
    assert [(problem.fault.value, problem.line) for problem in found] == [("E140", line)]


def test_every_unknown_name_is_told_at_once_and_names_that_a_template_sets_are_known() -> None:
    text = "#!/bin/sh\n{% set mine = 1 %}{{ mine }}{{ nam }}\n{% for x in idz %}{{ x }}{{ loop.index }}{{ nam }}{% endfor %}\n"
    found = [(problem.name, problem.line) for problem in script_problems("x.j2", text, VALUES, {})]
    assert sorted(found) == [("idz", 3), ("nam", 2), ("nam", 3)]


def test_a_value_of_the_launch_that_the_template_never_reads_is_an_error(
    spec: Callable[..., str], diagnosing: Callable[..., tuple[Diagnostic, ...]]
) -> None:
    launch = "{type: slurm, script: ./own.sbatch.j2, partition: gpu, time: '1:00', setup: [x], env: [A], array: {max_parallel: 3}}"
    found = diagnosing(spec(OWN, launch))
    assert [item.code for item in found] == ["E146"] * 4
    text = " ".join(item.message for item in found)
    assert all(
        f"`{name}`" in text for name in ("partition", "time", "setup", "env", "array.max_parallel", "options", "exported", "max_parallel")
    )
    assert "`mem`" not in text
    assert not diagnosing(spec(OWN, "{type: slurm, script: ./own.sbatch.j2}"))


def test_a_problem_of_one_job_among_many_is_found(spec: Callable[..., str], diagnosing: Callable[..., tuple[Diagnostic, ...]]) -> None:
    """The real values of every job are tried, not a specimen of them."""
    (item,) = diagnosing(spec(OWN + '{% if stage == "solve" %}{{ ids[7] }}{{ ids[7].x }}{% endif %}\n'))
    assert item.code == "E141" and item.mark is not None and item.mark.line == 6


def test_filling_in_is_a_function() -> None:
    assert fill_script("x.j2", OWN, VALUES) == fill_script("y.j2", OWN, VALUES) == "#!/bin/sh\n#SBATCH --comment='a b'\n./mine 0123\n"


# --- the command


def call(folder: Path, *words: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, "-m", "dllm_run.cli.main", *words], cwd=folder, capture_output=True, text=True, check=False)


def test_the_compiled_tree_holds_the_template(spec: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(spec(OWN), encoding="utf-8")
    assert call(tmp_path, "compile", "spec.yaml", "-o", "out").returncode == 0
    (copy,) = (tmp_path / "out" / "inputs").rglob("*.j2")
    assert copy.read_text(encoding="utf-8") == OWN
    (sha256,) = json.loads((tmp_path / "out" / "lock.json").read_text())["inputs"]["./own.sbatch.j2"]["files"].values()
    assert copy.parent.name == sha256[:8]
    assert "./mine" in (tmp_path / "out" / "artefacts" / "train.sbatch").read_text(encoding="utf-8")
    (tmp_path / "own.sbatch.j2").write_text(OWN + "# more\n", encoding="utf-8")
    checked = call(tmp_path, "compile", "spec.yaml", "-o", "out", "--check")
    assert checked.returncode == 4 and "differs: artefacts/train.sbatch" in checked.stderr and "superfluous: inputs/" in checked.stderr


def test_validate_finds_a_broken_template_and_says_where(spec: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(spec(OWN + "{{ stagee }}\n"), encoding="utf-8")
    found = call(tmp_path, "validate", "spec.yaml", "--json")
    assert found.returncode == 3
    (item,) = json.loads(found.stdout)["diagnostics"]
    assert (item["code"], item["file"], item["line"], item["column"]) == ("E141", "./own.sbatch.j2", 6, 4)
    assert item["path"] == "launch.script" and "did you mean 'stage'?" in item["message"]


@pytest.mark.parametrize(("launch", "loaded"), [("slurm", False), ("{type: slurm, script: ./own.sbatch.j2}", True)])
def test_without_a_template_nobody_waits_for_jinja2(launch: str, loaded: bool, spec: Callable[..., str], tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(spec(OWN, launch), encoding="utf-8")
    code = "import sys; from dllm_run.cli.main import main; print(main(['validate', 'spec.yaml']), 'jinja2' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == f"0 {loaded}"
