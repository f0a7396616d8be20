"""Stages that processes share, as scripts and files: two nodes under Slurm, two processes here, and the other stages beside them."""

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
import yaml

from dllm_run.compiler.compile import Compiled
from dllm_run.launchers import local, slurm
from dllm_run.launchers.stages import stage_files
from dllm_run.specs.errors import SpecError
from dllm_run.specs.layout import layout_of
from dllm_run.specs.plan import Plan
from dllm_run.specs.vocabulary.training import Training
from dllm_run.specs.zero import zero

Compile = Callable[..., Compiled]
QLORA = "stages.train.compute={device: cuda, nodes: 2, gpus_per_node: 2, strategy: zero2}"
FSDP = "stages.train.compute={device: cuda, nodes: 2, gpus_per_node: 4, strategy: fsdp2}"


@pytest.fixture
def plan(examples: dict[str, str], compiling: Compile, tmp_path: Path) -> Callable[..., Plan]:
    """The plan of the quickstart under flags."""
    (tmp_path / "docs.txt").write_text("A text.\n", encoding="utf-8")
    base = examples["quickstart"].replace("package:pydoc_data/topics", "./docs.txt")
    return lambda *flags: compiling(base, *flags).plan


def training(plan: Plan) -> tuple[str, Training]:
    (found,) = [(stage_id, stage.body) for stage_id, stage in plan.stages.items() if isinstance(stage.body, Training)]
    return found


@pytest.mark.parametrize(("flag", "name"), [(QLORA, "zero2"), (FSDP, "fsdp2")])
def test_the_script_of_two_nodes_is_golden_and_bash(
    flag: str, name: str, plan: Callable[..., Plan], golden: Callable[[str, str], None]
) -> None:
    script = slurm.render(plan("launch=slurm", flag))["train.sbatch"]
    golden(f"several/{name}.sbatch", script)
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


@pytest.mark.parametrize("name", ["argv.json", "accelerate.yaml", "ds_config.json"])
def test_the_files_of_a_stage_of_two_nodes_are_golden(name: str, plan: Callable[..., Plan], golden: Callable[[str, str], None]) -> None:
    golden(f"several/{name}", stage_files(plan("launch=slurm", QLORA))[f"stages/train/{name}"])


def test_the_json_of_zero_is_what_the_runtime_makes_of_the_plan(plan: Callable[..., Plan]) -> None:
    found = plan("launch=slurm", QLORA)
    written = json.loads(stage_files(found)["stages/train/ds_config.json"])
    assert written == zero(layout_of(training(found)[1]), 2)
    batch, micro, accumulation = (
        written[key] for key in ("train_batch_size", "train_micro_batch_size_per_gpu", "gradient_accumulation_steps")
    )
    assert batch == micro * accumulation * 4
    assert yaml.safe_load(stage_files(found)["stages/train/accelerate.yaml"])["num_processes"] == 4


def test_on_cpus_there_is_no_configuration_that_accelerate_would_not_follow(plan: Callable[..., Plan]) -> None:
    files = stage_files(plan("stages.train.compute={processes: 2}"))
    assert "stages/train/accelerate.yaml" not in files and "stages/train/argv.json" in files


def test_the_first_node_is_told_to_every_node_and_each_which_it_is(plan: Callable[..., Plan], tmp_path: Path) -> None:
    """The script under a srun that runs its task once a node, a scontrol that lists them, and a python that writes its words."""
    found = plan("launch=slurm", QLORA)
    script = tmp_path / "train.sbatch"
    script.write_text(slurm.render(found)["train.sbatch"], encoding="utf-8")
    fakes = {
        "python": 'printf "%q " "${0##*/}" "$@" >> "$CALLS"; echo >> "$CALLS"',
        "srun": 'while [[ "$1" == --* ]]; do shift; done; for node in 0 1; do SLURM_NODEID="$node" "$@"; done',
        "scontrol": '[[ "$*" == "show hostnames gpu[7-8]" ]] && printf "gpu7\\ngpu8\\n"',
    }
    (tmp_path / "bin").mkdir()
    for name, body in fakes.items():
        (tmp_path / "bin" / name).write_text(f"#!/usr/bin/env bash\n{body}\n", encoding="utf-8")
        (tmp_path / "bin" / name).chmod(0o755)
    places = {"DLLM_RUN_TREE": "/a tree", "DLLM_RUN_RUNS": "my runs", "DLLM_RUN_BASE": "the base"}
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls"), **places}
    environment |= {"SLURM_JOB_NODELIST": "gpu[7-8]", "SLURM_JOB_ID": "123456"}
    subprocess.run(["bash", str(script)], check=True, env=environment, cwd=tmp_path)
    calls = [shlex.split(line) for line in (tmp_path / "calls").read_text(encoding="utf-8").splitlines()]
    stage_id = training(found)[0]
    written = json.loads(stage_files(found)["stages/train/argv.json"])[stage_id]
    for node, call in enumerate(calls):
        values = {**places, "DLLM_RUN_NODE": str(node), "DLLM_RUN_ADDRESS": "gpu7", "DLLM_RUN_PORT": "23456"}
        expected = written
        for name, value in values.items():
            expected = [word.replace(f"${name}", value) for word in expected]
        assert call == expected
    assert len(calls) == 2


def test_stages_that_nobody_shares_keep_to_one_process_on_one_node(plan: Callable[..., Plan]) -> None:
    scripts = slurm.render(plan("launch=slurm", "compute={device: cuda, nodes: 2, gpus_per_node: 2}"))
    assert "#SBATCH --nodes=2" in scripts["train.sbatch"] and "#SBATCH --gpus-per-node=2" in scripts["train.sbatch"]
    assert "#SBATCH --nodes=2" in scripts["bound.sbatch"] and "launchers.ranks" in scripts["bound.sbatch"]
    assert "#SBATCH --nodes=1" in scripts["look.sbatch"] and "#SBATCH --gpus-per-node=1" in scripts["look.sbatch"]
    assert "launchers.ranks" not in scripts["look.sbatch"]


def test_here_only_the_stages_that_are_shared_are_started_as_several(plan: Callable[..., Plan]) -> None:
    found = plan("compute.processes=2")
    lines = [line for line in local.render(found)["run.sh"].splitlines() if line.startswith("stage ")]
    shared = [stage for stage, planned in found.stages.items() if planned.body.parallel]
    assert training(found)[0] in shared and len(shared) == 2
    for line in lines:
        start = "-m dllm_run.launchers.ranks -n 2" if line.split()[1] in shared else "-m dllm_run.runtime"
        assert f" {start}  # " in line


def test_a_template_of_ones_own_that_starts_one_process_is_told_so(plan: Callable[..., Plan], tmp_path: Path) -> None:
    text = '#!/usr/bin/env bash\nexec srun python -m dllm_run.runtime "$DLLM_RUN_TREE/plan.json" {{ ids[0][0] }} {{ options }}\n'
    (tmp_path / "mine.j2").write_text(text, encoding="utf-8")
    with pytest.raises(SpecError) as raised:
        plan(QLORA, "launch={type: slurm, script: ./mine.j2}")
    told = [item.message for item in raised.value.diagnostics if item.code == "E146"]
    assert told == [
        "the script never reads `start`, so that the stage would run in one process",
        "the script never reads `nodes`, so that the stage would run on one node",
    ]
