"""Slurm scripts as text: golden, valid bash, dependencies that follow the plan, and no value that breaks out of its line."""

import re
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.launchers import slurm
from dllm_run.specs.errors import Diagnostic

Compile = Callable[..., Compiled]
Scripts = dict[str, str]

SWEEP = "sweep: {grid: {stages.train.optimizer.learning_rate: [1e-3, 3e-4], stages.look.sampler.steps: [16, 32, 64]}}\n"
LAUNCH = """\
launch:
  type: slurm
  partition: gpu
  time: "02:00:00"
  account: lab
  cpus_per_task: 8
  mem: 32G
  array: {max_parallel: 4}
  env: [HF_TOKEN]
  setup: ["module load cuda"]
  extra: {comment: "it's mine", exclusive: true, nice: 0, exclusive-user: false, deadline: null}
"""


@pytest.fixture
def scripts(examples: dict[str, str], compiling: Compile, tmp_path: Path) -> Callable[..., Scripts]:
    """The scripts of the quickstart under a launch and a sweep, with flags."""
    (tmp_path / "docs.txt").write_text("A text.\n", encoding="utf-8")
    base = examples["quickstart"].replace("package:pydoc_data/topics", "./docs.txt").replace("device: cpu", "gpus_per_node: 1")

    def rendered(*flags: str, launch: str = LAUNCH, sweep: str = SWEEP) -> Scripts:
        return slurm.render(compiling(base + launch + sweep, *flags).plan)

    return rendered


def check_bash(scripts: Scripts) -> None:
    for name, text in scripts.items():
        done = subprocess.run(["bash", "-n"], input=text, text=True, capture_output=True, check=False)
        assert done.returncode == 0, (name, done.stderr)


def dependencies(scripts: Scripts) -> dict[str, list[str]]:
    """Script to the scripts that it waits for, as submit.sh says."""
    found: dict[str, list[str]] = {}
    files: dict[str, str] = {}
    for line in scripts["submit.sh"].splitlines():
        match = re.match(r'(job_\w+)=\$\(sbatch (.*) "\$here/(.*)"\)$', line)
        if match is not None:
            after = re.findall(r"\$\{(job_\w+)\}", match[2])
            found[match[3]] = [files[variable] for variable in after]
            assert match[1] not in files, "a variable holds one job"
            files[match[1]] = match[3]
    return found


def stages_in(script: str) -> list[str]:
    return re.findall(r"^  ([0-9a-f]{16})  # ", script, re.MULTILINE)


def options_of(script: str) -> list[str]:
    return [line.removeprefix("#SBATCH ") for line in script.splitlines() if line.startswith("#SBATCH")]


@pytest.mark.parametrize("name", ["submit.sh", "train.data.sbatch", "train.sbatch", "bound.sbatch", "look.sbatch"])
def test_a_script_is_the_golden_one(name: str, scripts: Callable[..., Scripts], golden: Callable[[str, str], None]) -> None:
    golden(f"slurm/{name}", scripts()[name])


def test_every_script_is_golden(scripts: Callable[..., Scripts]) -> None:
    golden_files = {path.name for path in (Path(__file__).parents[1] / "golden" / "slurm").iterdir()}
    assert set(scripts()) == golden_files


def test_every_script_is_bash(scripts: Callable[..., Scripts]) -> None:
    check_bash(scripts())


def test_a_job_waits_for_those_it_needs_and_no_other(scripts: Callable[..., Scripts]) -> None:
    assert dependencies(scripts()) == {
        "train.data.sbatch": [],
        "train.sbatch": ["train.data.sbatch"],
        "bound.sbatch": ["train.data.sbatch", "train.sbatch"],
        "look.sbatch": ["train.sbatch"],
    }


def test_every_stage_of_the_plan_is_submitted_once(scripts: Callable[..., Scripts]) -> None:
    found = [stage for text in scripts().values() for stage in stages_in(text)]
    assert len(found) == len(set(found)) == 1 + 2 + 2 + 6
    arrays = {name: [option for option in options_of(text) if option.startswith("--array")] for name, text in scripts().items()}
    assert arrays["train.data.sbatch"] == []
    assert arrays["train.sbatch"] == ["--array=0-1%4"]
    assert arrays["look.sbatch"] == ["--array=0-5%4"]


def test_data_are_prepared_without_gpu_but_under_the_same_account(scripts: Callable[..., Scripts]) -> None:
    data, train = options_of(scripts()["train.data.sbatch"]), options_of(scripts()["train.sbatch"])
    assert "--gpus-per-node=1" in train and "--gpus-per-node=1" not in data
    assert "--account=lab" in data
    assert "module load cuda" in scripts()["train.data.sbatch"].splitlines()


def test_a_value_is_one_word_of_its_line(scripts: Callable[..., Scripts]) -> None:
    options = options_of(scripts()["train.sbatch"])
    assert "--comment='it'\"'\"'s mine'" in options
    assert "--exclusive" in options and "--nice=0" in options
    assert not any(option.startswith(("--exclusive-user", "--deadline")) for option in options)


@pytest.mark.parametrize(
    "value",
    [
        pytest.param("$(touch broken)", id="command"),
        pytest.param("`touch broken`", id="backticks"),
        pytest.param('"; touch broken; "', id="double-quote"),
        pytest.param("'; touch broken; '", id="quote"),
        pytest.param("a b #c", id="comment"),
        pytest.param("ünïcode", id="letters"),
    ],
)
def test_odd_values_do_not_break_out(value: str, scripts: Callable[..., Scripts], tmp_path: Path) -> None:
    quoted = value.replace("\\", "\\\\").replace('"', '\\"')
    found = scripts(launch=f'launch: {{type: slurm, partition: "{quoted}", extra: {{comment: "{quoted}"}}}}\n')
    check_bash(found)
    assert all(line.startswith("#") for text in found.values() for line in text.splitlines() if "touch broken" in line)
    assert len(options_of(found["train.sbatch"])) == len(
        options_of(scripts(launch="launch: {type: slurm, partition: a, qos: b}\n")["train.sbatch"])
    )


@pytest.mark.parametrize(
    "launch",
    [
        pytest.param('{type: slurm, partition: "a\\ntouch broken"}', id="partition"),
        pytest.param('{type: slurm, account: "a\\rtouch broken"}', id="account"),
        pytest.param('{type: slurm, qos: "a\\ttouch"}', id="qos"),
        pytest.param('{type: slurm, time: "1:00\\n"}', id="time"),
        pytest.param('{type: slurm, mem: "1G\\n"}', id="mem"),
        pytest.param('{type: slurm, env: ["A\\n"]}', id="env"),
        pytest.param('{type: slurm, env: ["A,B=$(touch broken)"]}', id="env-with-value"),
        pytest.param('{type: slurm, extra: {comment: "a\\ntouch broken"}}', id="extra-value"),
        pytest.param('{type: slurm, extra: {"comment=1\\ntouch broken": 1}}', id="extra-key"),
        pytest.param('{type: slurm, extra: {"comment x": 1}}', id="extra-key-with-space"),
        pytest.param('{type: slurm, extra: {comment: {a: 1}}}', id="extra-map"),
        pytest.param('{type: slurm, extra: {partition: cpu}}', id="extra-of-our-own"),
    ],
)  # fmt: skip
def test_what_a_line_cannot_hold_is_an_error_of_the_spec(
    launch: str, examples: dict[str, str], diagnosing: Callable[..., tuple[Diagnostic, ...]]
) -> None:
    found = diagnosing(examples["sudoku"] + f"launch: {launch}\n")
    assert {item.code for item in found} <= {"E103", "E104"} and len(found) == 1


def test_a_point_whose_name_has_a_line_end_stays_in_its_comment(scripts: Callable[..., Scripts]) -> None:
    found = scripts(
        sweep='sweep: {grid: {stages.look.prompts: [["a\\ntouch broken"], ["b"]], stages.look.prompts.0: ["c\\ntouch broken", "d"]}}\n'
    )
    check_bash(found)
    assert all(line.lstrip().split("  # ")[0] != "touch broken" for text in found.values() for line in text.splitlines())


def test_names_that_differ_in_a_hyphen_are_two_jobs(examples: dict[str, str], compiling: Compile) -> None:
    text = examples["sudoku"]
    solve = text[text.index("  solve:") : text.index("compute:")]
    text = text.replace("compute:", solve.replace("solve:", "so-lve:").replace("steps: 16", "steps: 8") + "compute:")
    text = text.replace("compute:", solve.replace("solve:", "so_lve:").replace("steps: 16", "steps: 4") + "compute:") + "launch: slurm\n"
    found = slurm.render(compiling(text).plan)
    check_bash(found)
    assert len(dependencies(found)) == 5


def test_a_stage_under_two_names_is_one_job(examples: dict[str, str], compiling: Compile) -> None:
    text = examples["sudoku"]
    again = text[text.index("  solve:") : text.index("compute:")].replace("solve", "again")
    found = slurm.render(compiling(text.replace("compute:", again + "compute:") + "launch: slurm\n").plan)
    assert set(found) == {"submit.sh", "train.data.sbatch", "train.sbatch", "solve.sbatch"}


def test_points_that_want_other_nodes_are_two_arrays(scripts: Callable[..., Scripts]) -> None:
    compute = "[{gpus_per_node: 0, precision: fp32}, {gpus_per_node: 1, precision: bf16}]"
    found = scripts(sweep=f"sweep: {{grid: {{stages.look.compute: {compute}, stages.look.seed: [0, 1]}}}}\n")
    assert "--gpus-per-node=1" not in options_of(found["look.sbatch"])
    assert "--gpus-per-node=1" in options_of(found["look.2.sbatch"])
    assert dependencies(found)["look.2.sbatch"] == ["train.sbatch"]


def test_a_stage_that_needs_its_own_name_in_another_point_comes_after_it(examples: dict[str, str], compiling: Compile) -> None:
    """One name may stand at two depths: fresh in one point, fine-tuned from another stage in the next."""
    text = examples["sudoku"]
    train = text[text.index("  train:") : text.index("  solve:")]
    more = train.replace("train:", "more:").replace("1200 steps", "600 steps")
    model = "{scratch: {family: llama, layers: 4, width: 128}, tokenizer: characters}"
    text = text.replace("  train:", more + "  train:").replace("batch: 128", "batch: 64")
    grid = f"sweep: {{grid: {{stages.more.model: [{model}, {{from: '${{stages.train}}', scratch: null}}]}}}}\n"
    found = slurm.render(compiling(text + "launch: slurm\n" + grid).plan)
    check_bash(found)
    assert dependencies(found)["more.sbatch"] == ["more.data.sbatch"]
    assert dependencies(found)["more.2.sbatch"] == ["more.data.sbatch", "train.sbatch"]


def test_submitting_sends_every_job_with_its_dependencies(scripts: Callable[..., Scripts], tmp_path: Path) -> None:
    """submit.sh run against an sbatch that only writes down how it was called."""
    folder = tmp_path / "out of the way" / "artefacts"
    folder.mkdir(parents=True)
    for name, text in scripts().items():
        (folder / name).write_text(text, encoding="utf-8")
    fake = tmp_path / "bin" / "sbatch"
    fake.parent.mkdir()
    fake.write_text('#!/usr/bin/env bash\necho "$*" >> "$CALLS"\nwc -l < "$CALLS" | tr -d " "\n', encoding="utf-8")
    fake.chmod(0o755)
    calls = tmp_path / "calls.txt"
    environment = {"PATH": f"{fake.parent}:/usr/bin:/bin", "CALLS": str(calls)}
    done = subprocess.run(["bash", str(folder / "submit.sh")], cwd=tmp_path, env=environment, text=True, capture_output=True, check=True)
    lines = calls.read_text(encoding="utf-8").splitlines()
    assert len(lines) == 4
    depends = {Path(line.split(" ", 1)[-1]).name: re.findall(r"afterok:([\d:]+)", line) for line in lines}
    assert depends["train.data.sbatch"] == []
    numbers = {Path(line).name: str(index + 1) for index, line in enumerate(lines)}
    assert depends["look.sbatch"] == [numbers["train.sbatch"]]
    assert f"train: job {numbers['train.sbatch']}" in done.stdout.splitlines()


def test_points_that_need_the_same_model_share_a_job(scripts: Callable[..., Scripts], tmp_path: Path) -> None:
    """The loop of the script, with an srun that says what it was given and fails or stops as asked."""
    found = scripts(launch=LAUNCH.replace("max_parallel: 4", "max_parallel: 4, points_per_job: 2"))
    check_bash(found)
    tasks = re.findall(r'^  "?([0-9a-f ]+)"?  # ', found["look.sbatch"], re.MULTILINE)
    assert [len(task.split()) for task in tasks] == [2, 1, 2, 1] and "--array=0-3%4" in options_of(found["look.sbatch"])
    (tmp_path / "srun").write_text('#!/bin/bash\nfor word in "$@"; do [[ $word =~ ^[0-9a-f]{16}$ ]] && echo "$word"; done\nexit "$CODE"\n')
    (tmp_path / "scontrol").write_text('#!/bin/bash\necho "$@"\n')
    for name in ("srun", "scontrol"):
        (tmp_path / name).chmod(0o755)
    first, second = tasks[0].split()
    text = found["look.sbatch"].replace("module load cuda", "true")
    for code, printed in ((0, [first, second]), (3, [first, second]), (75, [first, "requeue 9"]), (130, [first])):
        given = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CODE": str(code), "SLURM_ARRAY_TASK_ID": "0", "SLURM_JOB_ID": "9"}
        given |= {"DLLM_RUN_TREE": "t", "DLLM_RUN_RUNS": "r", "DLLM_RUN_BASE": "b"}
        done = subprocess.run(["bash"], input=text, text=True, capture_output=True, env=given, check=False)
        assert (done.returncode, done.stdout.splitlines()) == (code, printed), done.stderr
