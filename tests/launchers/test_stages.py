"""What each stage is started with: the very command line that the scripts run, one folder a name, names of variables and no values."""

import json
import shlex
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from dllm_run.compiler.compile import Compiled
from dllm_run.launchers import local, slurm
from dllm_run.launchers.stages import layout_of, stage_files
from dllm_run.specs.plan import Plan
from dllm_run.specs.vocabulary.training import Training

Compile = Callable[..., Compiled]


@pytest.fixture
def plan(examples: dict[str, str], compiling: Compile, tmp_path: Path) -> Callable[..., Plan]:
    """The plan of the quickstart under flags and a sweep."""
    (tmp_path / "docs.txt").write_text("A text.\n", encoding="utf-8")
    base = examples["quickstart"].replace("package:pydoc_data/topics", "./docs.txt")
    return lambda *flags, more="": compiling(base + more, *flags).plan


def folders(files: dict[str, str]) -> dict[str, str]:
    """Stage id to the folder that the index gives."""
    index = json.loads(files["stages.json"])
    return {stage["id"]: stage["folder"] for stage in index["stages"]}


@pytest.mark.parametrize("name", ["stages.json", "train/argv.json", "train/environment.json", "train/accelerate.yaml"])
def test_the_files_of_a_stage_are_the_golden_ones(name: str, plan: Callable[..., Plan], golden: Callable[[str, str], None]) -> None:
    files = stage_files(plan("stages.train.compute.threads=3"))
    golden(f"stages/{name}", files[name if name == "stages.json" else f"stages/{name}"])


def test_every_stage_has_its_command_line_and_only_training_has_a_configuration_of_accelerate(plan: Callable[..., Plan]) -> None:
    found = plan()
    files = stage_files(found)
    for stage_id, folder in folders(files).items():
        assert json.loads(files[f"{folder}/argv.json"])[stage_id][4] == stage_id
        assert f"{folder}/environment.json" in files
        assert (f"{folder}/accelerate.yaml" in files) is isinstance(found.stages[stage_id].body, Training)
    assert list(folders(files)) == list(found.stages)


def in_place(words: list[str], folders: dict[str, str]) -> list[str]:
    for name, folder in folders.items():
        words = [word.replace(f"${name}", folder) for word in words]
    return words


@pytest.mark.parametrize("launcher", ["local", "slurm"])
def test_the_scripts_run_the_command_lines_that_are_written(launcher: str, plan: Callable[..., Plan], tmp_path: Path) -> None:
    """run.sh, and each batch script under a fake srun, against argv.json."""
    found = plan(f"launch={launcher}", more="sweep: {grid: {stages.look.seed: [0, 1]}}\n")
    tree = tmp_path / "a tree"
    (tree / "artefacts").mkdir(parents=True)
    scripts = slurm.render(found) if launcher == "slurm" else local.render(found)
    (tmp_path / "bin").mkdir()
    for name in ("python", "srun"):
        fake = tmp_path / "bin" / name
        fake.write_text('#!/usr/bin/env bash\nprintf "%q " "${0##*/}" "$@" >> "$CALLS"; echo >> "$CALLS"\n', encoding="utf-8")
        fake.chmod(0o755)
    places = {"DLLM_RUN_TREE": str(tree), "DLLM_RUN_RUNS": "my runs", "DLLM_RUN_BASE": "the base"}
    environment = {"PATH": f"{tmp_path / 'bin'}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls"), **places}
    for name, text in scripts.items():
        if name != "submit.sh":
            (tree / "artefacts" / name).write_text(text, encoding="utf-8")
            for task in range(2 if "--array" in text else 1):
                subprocess.run(
                    ["bash", str(tree / "artefacts" / name)],
                    check=True,
                    env={**environment, "SLURM_ARRAY_TASK_ID": str(task)},
                    cwd=tmp_path,
                )
    run = [shlex.split(line) for line in (tmp_path / "calls").read_text(encoding="utf-8").splitlines()]
    run = [words[words.index("python") :] for words in run]
    files = stage_files(found)
    written = [in_place(json.loads(files[f"{folder}/argv.json"])[stage_id], places) for stage_id, folder in folders(files).items()]
    assert sorted(run) == sorted(written)


def test_a_sweep_has_no_more_folders_than_its_spec_has_stages(plan: Callable[..., Plan]) -> None:
    seeds = list(range(40))
    one, many = stage_files(plan()), stage_files(plan(more=f"sweep: {{grid: {{seed: {seeds}}}}}\n"))
    assert set(one) == set(many)
    assert len(json.loads(many["stages/train/argv.json"])) == 40
    index = json.loads(many["stages.json"])["stages"]
    assert sum(len(stage["points"]) for stage in index if stage["name"] == "train") == 40


def test_stages_of_a_name_that_are_started_otherwise_have_a_folder_each(plan: Callable[..., Plan]) -> None:
    found = plan(more="sweep: {grid: {stages.train.compute: [{precision: fp32}, {precision: bf16}], stages.train.seed: [1, 2]}}\n")
    files = stage_files(found)
    assert yaml.safe_load(files["stages/train/accelerate.yaml"])["mixed_precision"] == "no"
    assert yaml.safe_load(files["stages/train.2/accelerate.yaml"])["mixed_precision"] == "bf16"
    assert {name.split("/")[1] for name in files if "/" in name} == {"train.data", "train", "train.2", "bound", "look"}
    for stage_id, folder in folders(files).items():
        body = found.stages[stage_id].body
        if isinstance(body, Training):
            assert (folder == "stages/train.2") is (body.compute.precision == "bf16")


@pytest.mark.parametrize(("threads", "decided", "expected"), [("3", set(), "3"), ("null", {"OMP_NUM_THREADS"}, None)])
def test_the_environment_says_what_is_set_and_who_decides_the_rest(
    threads: str, decided: set[str], expected: str | None, plan: Callable[..., Plan]
) -> None:
    environment = json.loads(stage_files(plan(f"stages.train.compute.threads={threads}"))["stages/train/environment.json"])
    assert set(environment["decided_there"]) == {"HF_DATASETS_CACHE", "TORCHINDUCTOR_CACHE_DIR", *decided}
    assert environment["set"].get("OMP_NUM_THREADS") == expected
    assert environment["set"]["HF_HUB_OFFLINE"] == "1"
    assert environment["inherited"] == "everything"


def test_a_slurm_job_inherits_the_variables_that_its_script_exports_by_name(
    plan: Callable[..., Plan], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("HF_TOKEN", "a secret")
    found = plan("launch={type: slurm, env: [HF_TOKEN]}")
    files = stage_files(found)
    inherited = json.loads(files["stages/train/environment.json"])["inherited"]
    (exported,) = [line for line in slurm.render(found)["train.sbatch"].splitlines() if line.startswith("#SBATCH --export")]
    assert exported.removeprefix("#SBATCH --export=").split(",") == inherited
    assert "HF_TOKEN" in inherited
    assert not any("a secret" in text for text in files.values())


def test_the_layout_is_that_of_the_batch(plan: Callable[..., Plan]) -> None:
    flags = ("stages.train.batch={global: 24, micro: 4}", "stages.train.optimizer.max_grad_norm=0.3")
    (body,) = [stage.body for stage in plan(*flags).stages.values() if isinstance(stage.body, Training)]
    layout: Any = layout_of(body)
    assert (layout.micro, layout.accumulation, layout.processes, layout.batch, layout.max_grad_norm) == (4, 6, 1, 24, 0.3)
