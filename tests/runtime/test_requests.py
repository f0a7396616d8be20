"""Signals that ask a stage to stop: none is lost while nobody listens, a notice is no impatience, and what has no steps ends at once."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

STAGE = """
import json, os, signal, sys, time
from types import SimpleNamespace
signal.pthread_sigmask(signal.SIG_BLOCK, [signal.SIGTERM, signal.SIGUSR2])
for number in {early}:
    os.kill(os.getpid(), number)
from dllm_run.runtime.requests import Requests
requests = Requests(alone={alone})
requests.listen()
written = []
def write(status):
    open({file!r}, "w").write(json.dumps(status))
attempt = SimpleNamespace(status=lambda: {{"state": "running"}}, write_status=write)
context = SimpleNamespace(
    stage=SimpleNamespace(body=SimpleNamespace(ends_at_a_step={steps})), world=SimpleNamespace(first=True), attempt=attempt, asked=False
)
requests.attach(context)
for number, wait in {late}:
    time.sleep(wait)
    os.kill(os.getpid(), number)
print(context.asked, requests.name, requests.exit_code, flush=True)
"""
INT, TERM, USR2 = int(signal.SIGINT), int(signal.SIGTERM), int(signal.SIGUSR2)


def stage(
    tmp_path: Path,
    *,
    early: list[int] | None = None,
    late: list[tuple[int, float]] | None = None,
    steps: bool = True,
    alone: bool = True,
) -> tuple[int, str]:
    text = STAGE.format(early=early or [], late=late or [], steps=steps, alone=alone, file=str(tmp_path / "status"))
    done = subprocess.run([sys.executable, "-c", text], capture_output=True, text=True, check=False, env=dict(os.environ))
    return done.returncode, done.stdout.strip() or done.stderr.strip()


def test_a_notice_that_came_while_nobody_listened_is_heard(tmp_path: Path) -> None:
    assert stage(tmp_path, early=[USR2]) == (0, "True SIGUSR2 75")


def test_nothing_asked_is_nothing_asked(tmp_path: Path) -> None:
    assert stage(tmp_path)[1].startswith("False ")


@pytest.mark.parametrize("late", [[(USR2, 0), (USR2, 0.5), (USR2, 0.5)], [(USR2, 0), (TERM, 0.5)], [(TERM, 0), (USR2, 0.5)]])
def test_a_notice_however_often_it_comes_is_no_impatience_and_decides(late: list[tuple[int, float]], tmp_path: Path) -> None:
    assert stage(tmp_path, late=late) == (0, "True SIGUSR2 75")


def test_a_signal_that_also_came_by_way_of_the_supervisor_is_one(tmp_path: Path) -> None:
    assert stage(tmp_path, late=[(TERM, 0), (TERM, 0.05)]) == (0, "True SIGTERM 130")


@pytest.mark.parametrize("number", [INT, TERM])
def test_the_second_time_it_ends_at_once(number: int, tmp_path: Path) -> None:
    assert stage(tmp_path, late=[(number, 0), (number, 0.5)]) == (130, "")


def test_before_a_stage_has_begun_its_only_process_ends_and_one_of_several_goes_on(tmp_path: Path) -> None:
    assert stage(tmp_path, early=[TERM]) == (130, "")
    assert stage(tmp_path, early=[TERM], alone=False) == (0, "True SIGTERM 130")


def test_a_stage_without_steps_says_that_it_was_asked_and_ends(tmp_path: Path) -> None:
    began = time.monotonic()
    assert stage(tmp_path, late=[(USR2, 0)], steps=False) == (75, "") and time.monotonic() - began < 300
    assert json.loads((tmp_path / "status").read_text()) == {"state": "interrupted", "signal": "SIGUSR2"}
