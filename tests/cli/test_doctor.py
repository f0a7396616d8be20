"""`doctor`: what is found is said, what is wrong has a cure, and what a spec names is looked for. torch is asked by the slow test alone."""

import json
import os
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from made_runs import SPEC, Folder

from dllm_run.cli import checks
from dllm_run.cli.selftest import ALONE, STRATEGIES, shared
from dllm_run.cli.specs import find

CPU: dict[str, Any] = {"torch": "2.13.0+cpu", "built_for": None, "devices": [], "gloo": None}
GPUS = {
    "torch": "2.13.0",
    "built_for": "12.8",
    "devices": [{"name": "H100", "memory": 85_000_000_000, "capability": "9.0"}] * 2,
    "gloo": None,
    "nccl_works": None,
}


@pytest.fixture
def doctor(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, dict[str, dict[str, str]]]]:
    """Exit code and findings by name, on a machine whose commands and torch are those given."""
    (folder.path / "bin").mkdir()
    monkeypatch.setenv("PATH", str(folder.path / "bin"))
    monkeypatch.setenv("TORCH_EXTENSIONS_DIR", str(folder.path / "extensions"))
    monkeypatch.setenv("HF_HUB_CACHE", str(folder.path / "hub"))

    def asked(*words: str, torch: Any = CPU, **commands: str) -> tuple[int, dict[str, dict[str, str]]]:
        for name, body in commands.items():
            path = folder.path / "bin" / name.replace("_", "-")
            path.write_text(f"#!/bin/bash\n{body}\n")
            path.chmod(0o755)
        monkeypatch.setattr(checks, "probe", lambda: torch)
        code, said = folder.said("doctor", *words, "--json")
        found = json.loads(said[said.index('{\n  "schema"') : said.rindex("}") + 1])
        assert found["schema"] == "dllm-run/doctor/1" and found["ok"] == (code == 0)
        return code, {item["name"]: item for item in found["checks"]}

    return asked


def test_a_machine_without_gpu_and_scheduler_has_no_problem(doctor: Callable[..., Any]) -> None:
    code, found = doctor()
    assert code == 0
    assert found["GPU"]["state"] == "note" and "CPU" in found["GPU"]["found"]
    assert found["scheduler"]["state"] == "note" and found["locks"]["state"] == "ok" and found["packages"]["state"] == "ok"
    assert "free" in found["runs"]["found"] and "free" in found["hub cache"]["found"]


def test_gpus_are_told_with_driver_and_collectives(doctor: Callable[..., Any]) -> None:
    code, found = doctor(torch=GPUS, nvidia_smi="echo 570.12; echo 570.12")
    assert code == 0 and "2: H100" in found["GPU"]["found"] and "driver 570.12" in found["GPU"]["found"]
    assert found["collectives, nccl"]["state"] == "ok"
    code, found = doctor(torch={**GPUS, "nccl_works": "ncclSystemError"}, nvidia_smi="echo 570.12")
    assert code == 6 and "ncclSystemError" in found["collectives, nccl"]["found"] and "NCCL_DEBUG" in found["collectives, nccl"]["cure"]


def test_a_driver_that_torch_cannot_use_is_a_problem_with_a_cure(doctor: Callable[..., Any]) -> None:
    code, found = doctor(nvidia_smi="echo 570.12")
    assert code == 6 and "built for CUDA" in found["GPU"]["cure"]
    code, found = doctor(torch="libcudart.so.12: cannot open shared object file", nvidia_smi="exit 1")
    assert code == 6 and "libcudart" in found["torch"]["found"]


def test_a_scheduler_is_asked_and_its_silence_is_a_problem(doctor: Callable[..., Any]) -> None:
    code, found = doctor(sbatch="exit 0", sinfo="echo 'gpu* 4 gpu:8'", sacct="exit 1")
    assert code == 0 and "gpu* 4" in found["scheduler"]["found"] and found["accounting"]["state"] == "note"
    code, found = doctor(sbatch="exit 0", sinfo="echo 'Unable to contact slurm controller' >&2; exit 1")
    assert code == 6 and "scontrol ping" in found["scheduler"]["cure"]


def test_the_lock_of_a_killed_build_is_found(doctor: Callable[..., Any], folder: Folder) -> None:
    lock = folder.path / "extensions" / "py311_cpu" / "deepspeed_shm_comm" / "lock"
    lock.parent.mkdir(parents=True)
    lock.write_text("")
    assert "extensions" not in doctor()[1], "one of this minute may be at work"
    os.utime(lock, (time.time() - 3600,) * 2)
    code, found = doctor()
    assert code == 6 and found["extensions"]["cure"] == f"`rm {lock}`"


def test_a_folder_that_cannot_be_written_is_a_problem(doctor: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    def refused(*words: object, **more: object) -> None:
        raise PermissionError(13, "Permission denied", "runs")

    monkeypatch.setattr("dllm_run.cli.checks.tempfile.NamedTemporaryFile", refused)
    code, found = doctor()
    assert code == 6 and "Permission denied" in found["runs"]["found"] and "--runs" in found["runs"]["cure"]


def test_what_a_spec_names_is_looked_for(doctor: Callable[..., Any], folder: Folder) -> None:
    folder.write(SPEC + "launch: {type: slurm, partition: a100}\n")
    code, found = doctor("spec.yaml", sbatch="exit 0", sacct="exit 0", sinfo="echo gpu; echo cpu")
    assert code == 6 and "no partition a100" in found["partitions"]["found"] and "cpu, gpu" in found["partitions"]["cure"]
    assert found["inputs"]["state"] == "ok"
    folder.write(SPEC + "launch: {type: torchrun, hosts: [{name: here}, {name: there}]}\ncompute: {nodes: 2, processes: 2}\n")
    code, found = doctor("spec.yaml", ssh='case "$*" in *there*) echo "Permission denied (publickey)" >&2; exit 255;; esac')
    assert code == 6 and found["hosts"]["found"] == "there: Permission denied (publickey)"
    code, found = doctor("spec.yaml", ssh="exit 0")
    assert code == 0 and "here, there" in found["hosts"]["found"]
    folder.write(SPEC + "compute: {gpus_per_node: 1}\n")
    code, found = doctor("spec.yaml")
    assert code == 6 and "take 1 GPUs, 0 are here" in found["devices"]["found"] and "compute.device=cpu" in found["devices"]["cure"]


@pytest.mark.parametrize("place", ["compute.device=cpu", "compute.gpus_per_node=1"])
def test_what_the_self_test_runs_is_a_right_spec(place: str) -> None:
    found = find("recipe:quickstart", [*ALONE, place]).compile()
    assert {stage.word for stage in (stage.body for stage in found.plan.stages.values())} >= {"pretrain", "sample", "eval"}
    for strategy in STRATEGIES:
        plan = find("recipe:quickstart", shared(strategy, 2, cuda=place.endswith("1"))).compile().plan
        (training,) = [stage.body for stage in plan.stages.values() if stage.body.word == "pretrain"]
        assert training.compute.world == 2 and training.compute.shared_by == strategy


@pytest.mark.slow
def test_the_self_test_trains_continues_samples_evaluates_and_shares(folder: Folder, tmp_path: Path) -> None:
    code, said = folder.said("doctor", "--selftest", "--json")
    found = {item["name"]: item for item in json.loads(said[said.index('{\n  "schema"') : said.rindex("}") + 1])["checks"]}
    # What else is wrong with this machine, such as a scheduler that is installed and not started, is not the matter here.
    own = ["train", "resume", "sample", "evaluate", "time"]
    own += ["ddp", "zero2", "fsdp2"] if len(os.sched_getaffinity(0)) > 1 else []
    assert [found[name]["state"] for name in own] == ["ok"] * len(own), said
    assert (code == 0) == all(item["state"] != "problem" for item in found.values())
