"""What a job does on its nodes and at its end: where processes meet, when another try is in vain, what goes back to the queue."""

import json
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.launchers import after
from dllm_run.launchers.code import freeze_code
from dllm_run.launchers.nodes import node_names
from dllm_run.launchers.task import Task, _refusal
from dllm_run.launchers.tries import hopeless
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.jobs import CANCELLED
from dllm_run.specs.store import Entry, Runs

STAGE, NEEDED = "0123456789abcdef", "fedcba9876543210"


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("node1", ["node1"]),
        ("node[1-3]", ["node1", "node2", "node3"]),
        ("gpu[08-10,12],login", ["gpu08", "gpu09", "gpu10", "gpu12", "login"]),
        ("r[1-2]n[3-4]", ["r1n3", "r1n4", "r2n3", "r2n4"]),
        ("a-b[7]x,c", ["a-b7x", "c"]),
    ],
)
def test_node_lists_are_read_as_slurm_writes_them(text: str, expected: list[str]) -> None:
    assert node_names(text) == expected


@pytest.fixture
def task(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Task:
    monkeypatch.setenv("SLURM_JOB_ID", "9")
    monkeypatch.delenv("SLURM_ARRAY_JOB_ID", raising=False)
    return Task(
        plan="plan.json", runs=str(tmp_path / "runs"), base=".", stages=((STAGE,),), needs=((),), nodes=1, processes=1, requeue=True
    )


def attempt(entry: Entry, *, begins: int = 0, job: str = "slurm:9", **status: object) -> None:
    made = entry.new_attempt()
    made.write_status({"job": job, "from": begins, **status})


def checkpoint(entry: Entry, step: int) -> None:
    folder = entry.checkpoints / f"step-{step}"
    folder.mkdir(parents=True)
    (folder / "COMPLETE").write_text("")


def test_three_failures_without_progress_end_it_and_progress_begins_anew(task: Task) -> None:
    entry = task.entries(0)[0]
    for _ in range(2):
        attempt(entry, state="failed", message="no memory")
    assert hopeless(entry, "slurm:9") is None
    checkpoint(entry, 10)
    attempt(entry, begins=0, state="failed")  # it has brought the stage to step 10
    assert hopeless(entry, "slurm:9") is None
    for _ in range(2):
        attempt(entry, begins=10, state="running")
    assert hopeless(entry, "slurm:9") is None
    attempt(entry, begins=10, state="failed", message="no memory")
    told = hopeless(entry, "slurm:9") or ""
    assert "3 attempts failed at step 10" in told and "no memory" in told


def test_interruptions_are_no_failures_and_another_job_begins_anew(task: Task) -> None:
    entry = task.entries(0)[0]
    for _ in range(5):
        attempt(entry, state="interrupted")
    assert hopeless(entry, "slurm:9") is None
    for _ in range(3):
        attempt(entry, state="failed")
    assert hopeless(entry, "slurm:9") is not None
    assert hopeless(entry, "slurm:10") is None


@pytest.fixture
def ending(task: Task, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[..., tuple[int, list[str]]]:
    """The exit code of a job's last line, and what it has asked of scontrol."""
    folder = tmp_path / "jobs" / "1" / "train"
    task.write(folder / "task.json")
    monkeypatch.setattr(after, "_PATIENCE_SECONDS", 0)
    calls: list[str] = []
    monkeypatch.setattr(after, "requeue", lambda job: calls.append(job))

    def ended(code: int) -> tuple[int, list[str]]:
        monkeypatch.setattr(sys, "argv", ["after", str(folder / "task.json"), "0", str(code)])
        calls.clear()
        return after.main(), list(calls)

    return ended


def test_a_stage_that_is_done_ends_its_job_well(task: Task, ending: Callable[..., tuple[int, list[str]]]) -> None:
    task.entries(0)[0].done_file.parent.mkdir(parents=True)
    task.entries(0)[0].done_file.write_text("{}")
    assert ending(143) == (0, [])


def test_a_notice_and_a_death_go_back_to_the_queue_and_a_mistake_does_not(task: Task, ending: Callable[..., tuple[int, list[str]]]) -> None:
    attempt(task.entries(0)[0], state="interrupted", signal="SIGUSR2")
    assert ending(0) == (75, ["slurm:9"])
    attempt(task.entries(0)[0], state="running")
    assert ending(137) == (75, ["slurm:9"])
    attempt(task.entries(0)[0], state="failed", told=True, message="no such file")
    assert ending(1) == (1, [])


def test_who_was_only_told_to_stop_leaves_the_rest_to_slurm(task: Task, ending: Callable[..., tuple[int, list[str]]]) -> None:
    attempt(task.entries(0)[0], state="interrupted", signal="SIGTERM")
    assert ending(0) == (75, [])


def test_what_was_cancelled_is_not_queued_again(task: Task, ending: Callable[..., tuple[int, list[str]]], tmp_path: Path) -> None:
    (tmp_path / "jobs" / "1" / CANCELLED).write_text("")
    attempt(task.entries(0)[0], state="interrupted", signal="SIGUSR2")
    assert ending(0) == (130, [])


def test_without_an_attempt_another_one_would_end_alike(ending: Callable[..., tuple[int, list[str]]]) -> None:
    assert ending(127) == (127, [])


def test_the_fourth_failure_is_not_tried(
    task: Task, ending: Callable[..., tuple[int, list[str]]], capsys: pytest.CaptureFixture[str]
) -> None:
    for _ in range(3):
        attempt(task.entries(0)[0], state="failed", message="a flaky cable")
    assert ending(1) == (1, [])
    assert "3 attempts failed" in capsys.readouterr().err


def test_a_task_that_lacks_what_it_needs_says_so_before_anything_is_loaded(task: Task, tmp_path: Path) -> None:
    broken = Task(**{**{name: getattr(task, name) for name in Task.__dataclass_fields__}, "needs": ((NEEDED,),)})
    broken.write(tmp_path / "task.json")
    words = [sys.executable, "-X", "importtime", "-m", "dllm_run.launchers.task", str(tmp_path / "task.json"), "0"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1 and f"needs the result of {NEEDED}" in done.stderr and "torch" not in done.stderr


def test_a_file_of_another_disk_is_told(tmp_path: Path) -> None:
    with pytest.raises(EnvironmentProblem, match="all nodes see"):
        Task.load(tmp_path / "none.json")


def test_the_frozen_code_is_named_by_its_content_runs_alone_and_is_made_once(tmp_path: Path) -> None:
    folder = freeze_code(tmp_path)
    assert freeze_code(tmp_path) == folder and [path.name for path in tmp_path.iterdir()] == [folder.name]
    check = subprocess.run(["sha256sum", "--quiet", "-c", "MANIFEST.sha256"], cwd=folder, check=False)
    assert check.returncode == 0
    words = [sys.executable, "-c", "import dllm_run.runtime.world, dllm_run.specs.plan as p; print(p.__file__)"]
    environment = {"PYTHONPATH": str(folder), "PATH": "/usr/bin:/bin"}
    told = subprocess.run(words, env=environment, cwd="/", capture_output=True, text=True, check=True).stdout
    assert Path(told.strip()).is_relative_to(folder)


def test_a_store_is_found_by_the_task(task: Task) -> None:
    assert task.entries(0)[0] == Runs(Path(task.runs)).entry(STAGE)
    assert json.loads(json.dumps(task.stages)) == [[STAGE]]


def test_of_several_stages_the_one_that_can_go_on_takes_the_job_back_to_the_queue(
    task: Task, ending: Callable[..., tuple[int, list[str]]], tmp_path: Path
) -> None:
    both = Task(**{**{name: getattr(task, name) for name in Task.__dataclass_fields__}, "stages": ((STAGE, NEEDED),)})
    both.write(tmp_path / "jobs" / "1" / "train" / "task.json")
    first, second = both.entries(0)
    attempt(first, state="failed", told=True, message="no such file")
    assert ending(1) == (1, [])
    attempt(second, state="interrupted", signal="SIGUSR2")
    assert ending(0) == (75, ["slurm:9"])
    second.done_file.write_text("{}")
    assert ending(1) == (1, [])
    first.done_file.write_text("{}")
    assert ending(0) == (0, [])


def test_a_job_of_several_stages_goes_on_after_one_that_fails_and_tries_none_that_would_fail_again(task: Task, tmp_path: Path) -> None:
    both = Task(**{**{name: getattr(task, name) for name in Task.__dataclass_fields__}, "stages": ((STAGE, NEEDED),)})
    both.write(tmp_path / "task.json")
    for entry in both.entries(0):
        attempt(entry, state="failed", told=True, message=f"{entry.path.name} has no such file")
    words = [sys.executable, "-m", "dllm_run.launchers.task", str(tmp_path / "task.json"), "0"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    assert done.returncode == 1
    assert done.stderr.splitlines() == [f"dllm-run: {stage} has no such file" for stage in (STAGE, NEEDED)]


def test_a_job_of_one_stage_that_somebody_has_queued_again_is_tried_again(task: Task) -> None:
    (entry,) = task.entries(0)
    attempt(entry, state="failed", told=True, message="the disk is full")
    assert _refusal(task, 0, entry, "slurm:9") is None
