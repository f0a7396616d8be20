"""The local launcher: run.sh is golden and valid bash; a stage is one command line and a process group of its own."""

import shlex
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.launchers import local
from dllm_run.launchers.job import Job

Compile = Callable[..., Compiled]


def test_the_script_is_the_golden_one_and_bash(examples: dict[str, str], compiling: Compile, golden: Callable[[str, str], None]) -> None:
    scripts = local.render(compiling(examples["sudoku"]).plan)
    assert set(scripts) == {"run.sh"}
    golden("local/run.sh", scripts["run.sh"])
    assert subprocess.run(["bash", "-n"], input=scripts["run.sh"], text=True, check=False).returncode == 0


def test_the_script_runs_every_stage_in_order_with_the_plan_beside_it(examples: dict[str, str], compiling: Compile, tmp_path: Path) -> None:
    plan = compiling(examples["sudoku"]).plan
    folder = tmp_path / "a tree" / "artefacts"
    folder.mkdir(parents=True)
    (folder / "run.sh").write_text(local.render(plan)["run.sh"], encoding="utf-8")
    fake = tmp_path / "bin" / "python"
    fake.parent.mkdir()
    fake.write_text('#!/usr/bin/env bash\nprintf "%q " "$@" >> "$CALLS"\necho >> "$CALLS"\n', encoding="utf-8")
    fake.chmod(0o755)
    calls = tmp_path / "calls.txt"
    environment = {"PATH": f"{fake.parent}:/usr/bin:/bin", "CALLS": str(calls), "DLLM_RUN_RUNS": "my runs"}
    subprocess.run(["bash", str(folder / "run.sh")], cwd=tmp_path, env=environment, check=True)
    lines = [shlex.split(line) for line in calls.read_text(encoding="utf-8").splitlines()]
    plan_file = str(folder.parent / "plan.json")
    assert lines == [["-m", "dllm_run.runtime", plan_file, stage, "--runs", "my runs", "--base", "."] for stage in plan.stages]


def test_the_script_stops_at_the_first_stage_that_fails(examples: dict[str, str], compiling: Compile, tmp_path: Path) -> None:
    folder = tmp_path / "artefacts"
    folder.mkdir()
    (folder / "run.sh").write_text(local.render(compiling(examples["sudoku"]).plan)["run.sh"], encoding="utf-8")
    fake = tmp_path / "python"
    fake.write_text('#!/usr/bin/env bash\necho "$3" >> "$CALLS"\nexit 3\n', encoding="utf-8")
    fake.chmod(0o755)
    environment = {"PATH": f"{tmp_path}:/usr/bin:/bin", "CALLS": str(tmp_path / "calls.txt")}
    done = subprocess.run(["bash", str(folder / "run.sh")], cwd=tmp_path, env=environment, check=False)
    assert done.returncode == 3
    assert len((tmp_path / "calls.txt").read_text().splitlines()) == 1


def test_a_stage_is_started_by_command_line_only(tmp_path: Path) -> None:
    job = Job(plan=tmp_path / "plan.json", stage_id="0123", runs=tmp_path / "runs", base=tmp_path, processes=1)
    expected = [sys.executable, "-m", "dllm_run.runtime", str(tmp_path / "plan.json"), "0123"]
    assert job.command() == [*expected, "--runs", str(tmp_path / "runs"), "--base", str(tmp_path)]


class _Sleeper(Job):
    """A job whose command is a child that sleeps and has a child of its own."""

    def command(self) -> list[str]:
        return ["bash", "-c", "trap 'echo interrupted; exit 7' INT; sleep 60 & echo started; wait"]


@pytest.fixture
def sleeper(tmp_path: Path) -> Job:
    return _Sleeper(plan=tmp_path, stage_id="0", runs=tmp_path, base=tmp_path, processes=1)


def wait_for(log: Path, text: str) -> None:
    end = time.monotonic() + 10
    while not log.is_file() or text not in log.read_text(encoding="utf-8"):
        assert time.monotonic() < end, f"{text!r} never came"
        time.sleep(0.01)


def test_a_stage_writes_its_log_and_an_interrupt_reaches_it(sleeper: Job, tmp_path: Path) -> None:
    log = tmp_path / "logs" / "1.log"
    process = local.start(sleeper.command(), log)
    try:
        wait_for(log, "started")
        local.interrupt(process)
        assert process.wait(timeout=10) == 7
        assert "interrupted" in log.read_text(encoding="utf-8")
        local.interrupt(process)  # of a process that ended, nothing happens
    finally:
        local.end(process)


def test_cancelling_ends_a_stage_with_everything_it_started(sleeper: Job, tmp_path: Path) -> None:
    log = tmp_path / "1.log"
    process = local.start(sleeper.command(), log)
    wait_for(log, "started")
    local.end(process)
    assert process.returncode == -9
    listed = subprocess.run(["ps", "-o", "stat=", "-g", str(process.pid)], text=True, capture_output=True, check=False).stdout.split()
    assert all(state.startswith("Z") for state in listed)
