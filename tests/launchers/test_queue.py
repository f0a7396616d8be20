"""What Slurm says is read right: arrays, accounting that lags or is missing, a scheduler that is gone. Fakes print what real ones did."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.launchers import queue
from dllm_run.specs.jobs import SentJob

ARRAY = SentJob(id="30", name="train", tasks=(("a",), ("b",), ("c",)), log="x/{id}.out")
SINGLE = SentJob(id="7", name="data", tasks=(("d",),))


@pytest.fixture
def slurm(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., Path]:
    """Commands of Slurm by what they print; what they were given goes to a file."""

    def made(**commands: str) -> Path:
        for name, body in commands.items():
            (tmp_path / name).write_text(f'#!/bin/bash\necho {name} "$@" >> {tmp_path}/calls\n{body}\n', encoding="utf-8")
            (tmp_path / name).chmod(0o755)
        monkeypatch.setenv("PATH", str(tmp_path))
        return tmp_path / "calls"

    return made


def lines(*found: str) -> str:
    return "\n".join(f"echo '{line}'" for line in found)


def test_each_of_an_array_has_its_own_state_and_slurm_is_asked_once(slurm: Callable[..., Path]) -> None:
    calls = slurm(
        squeue=lines(
            "30_0|RUNNING|None|node1|x", "30_1|PENDING|JobArrayTaskLimit||x", "30_2|COMPLETED|None|node2|x", "7|COMPLETED|None|n|x"
        ),
        sacct="exit 1",
    )
    found = queue.state([ARRAY, SINGLE])
    assert {name: (state.state, state.detail) for name, state in found.items()} == {
        "30_0": ("running", "node1"),
        "30_1": ("queued", "JobArrayTaskLimit"),
        "30_2": ("done", "COMPLETED"),
        "7": ("done", "COMPLETED"),
    }
    assert [line.split()[0] for line in calls.read_text().splitlines()] == ["squeue"]
    assert "--jobs=30,7" in calls.read_text()


def test_what_squeue_has_forgotten_sacct_tells_and_its_lag_is_not_believed(slurm: Callable[..., Path]) -> None:
    slurm(
        squeue="echo 'slurm_load_jobs error: Invalid job id specified' >&2; exit 1",
        sacct=lines("30_0|COMPLETED|0:0", "30_1|CANCELLED by 0|0:15", "30_2|RUNNING|0:0", "7|NODE_FAIL|1:0"),
    )
    found = queue.state([ARRAY, SINGLE])
    assert [found[name].state for name in ("30_0", "30_1", "30_2", "7")] == ["done", "cancelled", "gone", "failed"]
    assert "NODE_FAIL" in found["7"].detail


def test_without_accounting_a_job_that_ended_is_gone(slurm: Callable[..., Path]) -> None:
    slurm(squeue="exit 0", sacct="echo 'Slurm accounting storage is disabled' >&2; exit 1")
    assert {state.state for state in queue.state([ARRAY, SINGLE]).values()} == {"gone"}


@pytest.mark.parametrize("squeue", ["echo 'Unable to contact slurm controller' >&2; exit 1", None], ids=["silent", "missing"])
def test_a_scheduler_that_cannot_be_asked_says_nothing_about_jobs(squeue: str | None, slurm: Callable[..., Path], tmp_path: Path) -> None:
    slurm(**({"squeue": squeue} if squeue else {"other": "exit 0"}))
    found = queue.state([SINGLE])
    assert found["7"].state == "unknown" and found["7"].lives and "squeue" in found["7"].detail


def test_cancelling_names_the_jobs_and_old_ones_are_no_problem(slurm: Callable[..., Path]) -> None:
    calls = slurm(scancel="echo 'scancel: error: Kill job error on job id 7: Invalid job id specified' >&2; exit 1")
    assert queue.cancel([ARRAY, SINGLE]) is None
    assert calls.read_text().split() == ["scancel", "30", "7"]
    slurm(scancel="echo 'scancel: error: Access/permission denied' >&2; exit 1")
    assert "permission denied" in (queue.cancel([SINGLE]) or "")


def test_no_jobs_are_no_question(slurm: Callable[..., Path]) -> None:
    calls = slurm(squeue="exit 0")
    assert queue.state([]) == {} and queue.cancel([]) is None and not calls.exists()
