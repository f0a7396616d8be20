"""`status`, `logs`, `cancel` and `resume`: from files and from what a launcher says, of runs that never trained."""

import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import SPEC, Folder, finish

from dllm_run.cli.found import FoundRun, FoundStage
from dllm_run.cli.now import look
from dllm_run.launchers import local
from dllm_run.specs.jobs import JobState, Sending, SentJob, new_folder, sendings
from dllm_run.specs.leash import running_mark, runs_still
from dllm_run.specs.store import Runs

STAGE = "0123456789abcdef"


def now(runs: Runs, job: JobState | None) -> tuple[str, str]:
    stage = FoundStage(id=STAGE, name="train", kind="pretrain", points=("-",))
    run = FoundRun(folder=Path("x"), name="x", stages=(stage,), points={"-": {"train": STAGE}}, sendings=())
    (found,) = look(run, runs, {} if job is None else {STAGE: job})
    return found.state, found.detail


def attempt(runs: Runs, **status: object) -> None:
    runs.entry(STAGE).new_attempt().write_status({"host": "elsewhere", **status})


def job(state: str, detail: str = "") -> JobState:
    return JobState(state=state, job="7", detail=detail)


@pytest.mark.parametrize(
    ("status", "told", "expected"),
    [
        pytest.param(None, None, "pending", id="nothing"),
        pytest.param(None, job("queued", "Priority"), "queued", id="queued"),
        pytest.param(None, job("running", "node1"), "starting", id="starting"),
        pytest.param({"state": "running", "job": "slurm:7"}, job("running"), "running", id="running"),
        pytest.param({"state": "running", "job": "slurm:6"}, job("running"), "starting", id="of an earlier job"),
        pytest.param({"state": "interrupted", "job": "slurm:7"}, job("running"), "interrupted", id="saved"),
        pytest.param({"state": "interrupted", "job": "slurm:7"}, job("queued"), "requeued", id="pre-empted"),
        pytest.param({"state": "running", "job": "slurm:7"}, job("queued"), "requeued", id="lost node"),
        pytest.param({"state": "running", "job": "slurm:7"}, job("failed", "NODE_FAIL"), "interrupted", id="killed"),
        pytest.param({"state": "failed", "job": "slurm:7", "message": "m"}, job("failed"), "failed", id="failed"),
        pytest.param({"state": "running", "job": "slurm:7"}, job("unknown", "squeue: no answer"), "running", id="no scheduler"),
        pytest.param(None, job("cancelled"), "cancelled", id="cancelled"),
        pytest.param(None, job("gone"), "pending", id="forgotten"),
        pytest.param({"state": "done"}, None, "pending", id="result was taken away"),
    ],
)
def test_files_and_launcher_together_say_what_a_stage_is_doing(
    status: dict[str, object] | None, told: JobState | None, expected: str, tmp_path: Path
) -> None:
    runs = Runs(tmp_path)
    if status is not None:
        attempt(runs, **status)
    found = now(runs, told)[0]
    assert found == ("stopping" if expected == "interrupted" and told is not None and told.state == "running" else expected)


def test_a_number_that_another_process_has_by_now_is_not_the_run(tmp_path: Path) -> None:
    assert runs_still(os.getpid(), running_mark(os.getpid()))
    assert not runs_still(os.getpid(), "another-boot:1") and not runs_still(2**22 + 1, "")
    runs = Runs(tmp_path)
    runs.entry(STAGE).new_attempt().write_status({"state": "running", "host": os.uname().nodename, "pid": os.getpid(), "mark": "other:1"})
    assert now(runs, None)[0] == "interrupted"


def test_status_tells_step_loss_time_left_and_restarts(folder: Folder) -> None:
    plan = folder.run(done=("train.data",))
    (train,) = [stage_id for stage_id, name in plan.names.items() if name == "train"]
    entry = folder.runs.entry(train)
    entry.new_attempt().write_status({"state": "interrupted", "lost": 0})
    numbers = {"done": 60, "total": 100, "from": 20, "loss": 2.5, "lost": 5, "started": time.time() - 40}
    me = {"host": os.uname().nodename, "pid": os.getpid(), "mark": running_mark(os.getpid())}
    entry.new_attempt().write_status({"state": "running", **me, **numbers})
    code, said = folder.said("status")
    assert code == 0
    (line,) = [line for line in said.splitlines() if line.startswith("train ")]
    # Forty steps in forty seconds, and forty to go.
    assert line.split() == ["train", "running", "60/100", "2.50", "0:40", "1", "(5", "steps", "lost)"]
    told = json.loads(folder.said("status", "--json")[1])
    assert told["schema"] == "dllm-run/status/1" and told["stages"][train]["seconds_left"] == pytest.approx(40, abs=2)
    assert told["points"] == {"-": dict(next(iter(plan.points.values())).stages)}


def test_a_run_that_has_failed_is_exit_code_1_and_says_how_to_go_on(folder: Folder) -> None:
    plan = folder.run(done=("train.data",), failed={"train": "the loss is nan"})
    code, said = folder.said("status", "spec.yaml")
    assert code == 1 and "the loss is nan" in said and f"resume {plan.run_id}" in said
    assert folder.said("status", "nothing")[0] == 5
    assert folder.said("status", "spec.yaml", "-s", "seed=5")[0] == 5


def test_of_a_thousand_points_few_files_are_read(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    folder.write(SPEC + f"sweep: {{grid: {{stages.train.seed: {list(range(350))}}}}}\n")
    plan = folder.run(done=("train.data", "train"))
    opened: list[str] = []
    real = Path.read_text

    def counted(self: Path, *words: object, **more: object) -> str:
        opened.append(str(self))
        return real(self, *words, **more)  # type: ignore[arg-type]

    monkeypatch.setattr(Path, "read_text", counted)
    code, said = folder.said("status")
    assert code == 0 and len(plan.stages) == 1051 and "351 done" in said and "700 pending" in said and "… 1011 more" in said
    # The plan, and the status of what has begun and is not done: nothing.
    assert [name for name in opened if "attempts" in name] == [] and len(opened) < 10


def test_files_that_are_missing_or_damaged_are_no_traceback(folder: Folder) -> None:
    plan = folder.run(done=("train.data",), failed={"train": "m"})
    (train,) = [stage_id for stage_id, name in plan.names.items() if name == "train"]
    (folder.runs.entry(train).attempts()[0].path / "status.json").write_text("{half")
    run = folder.runs.all_runs()[0]
    (run / "jobs" / "1").mkdir(parents=True)
    (run / "jobs" / "1" / "jobs.json").write_text('{"schema": "dllm-run/jobs/1"}')
    code, said = folder.said("status")
    assert code == 0 and "Traceback" not in said
    (run / "plan.json").write_text("{half")
    code, said = folder.said("status")
    assert code == 6 and "damaged" in said


def test_logs_are_those_of_the_stage_that_failed_and_of_its_job(folder: Folder) -> None:
    plan = folder.run(done=("train.data",), failed={"train": "m"})
    (train,) = [stage_id for stage_id, name in plan.names.items() if name == "train"]
    folder.runs.entry(train).attempts()[0].log.write_text("".join(f"line {number}\n" for number in range(100)))
    code, said = folder.said("logs", "-n", "2")
    assert code == 0 and said.splitlines()[:2] == ["line 98", "line 99"]
    assert len(folder.said("logs", "train", "-n", "0")[1].splitlines()) == 101
    assert folder.said("logs", plan.run_id, "look")[0] == 5
    run = folder.runs.all_runs()[0]
    jobs = (
        SentJob(id="30", name="look", tasks=(("x",), (next(s for s, n in plan.names.items() if n == "look"),)), log=f"{run}/{{id}}.out"),
    )
    Sending(folder=new_folder(run), launcher="slurm", host="h", user="u", sent=0, base=".", jobs=jobs).write()
    (run / "30_1.out").write_text("no such module\n")
    assert "no such module" in folder.said("logs", plan.run_id, "look")[1]


@pytest.fixture
def background(folder: Folder) -> Callable[[str], tuple[str, int]]:
    """A run whose process is a shell; run id and pid."""

    def started(body: str) -> tuple[str, int]:
        plan = folder.run(done=("train.data",))
        run = folder.runs.all_runs()[0]
        sending = local.submit(["bash", "-c", body], run=run, stages=tuple(plan.stages), base=folder.path)
        return plan.run_id, int(sending.jobs[0].id.partition("@")[0])

    return started


def test_another_shell_cancels_a_run_of_this_machine(folder: Folder, background: Callable[[str], tuple[str, int]]) -> None:
    run_id, pid = background("trap 'echo saved; exit 0' TERM; while :; do sleep 0.05; done")
    time.sleep(0.3)
    assert folder.said("status", run_id)[0] == 0
    code, said = folder.said("cancel", run_id)
    os.waitpid(pid, 0)
    assert code == 0 and "1 jobs ended" in said
    assert "saved" in (sendings(folder.runs.all_runs()[0])[0].folder / "log.txt").read_text()
    assert folder.said("cancel", run_id)[1].strip().endswith("nothing was running")


def test_what_goes_on_already_is_not_continued_twice(folder: Folder, background: Callable[[str], tuple[str, int]]) -> None:
    run_id, pid = background("sleep 60")
    code, said = folder.said("resume", run_id)
    os.kill(pid, signal.SIGKILL)
    os.waitpid(pid, 0)
    assert code == 6 and f"process {pid}" in said and f"cancel {run_id}" in said


def test_resume_begins_from_the_plan_of_the_run_and_not_from_the_spec(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = folder.run(done=("train.data",))
    run = folder.runs.all_runs()[0]
    assert folder.said("resume")[0] == 5, "it was never started"
    local.here(run, (), folder.path)
    (folder.path / "spec.yaml").unlink()
    ran: list[str] = []

    def carry(console: object, found: object, where: Path, runs: Runs, base: Path, *rest: object, **more: object) -> int:
        ran.append(f"{where.name} {base}")
        return 0

    monkeypatch.setattr("dllm_run.cli.resume.carry_out", carry)
    assert folder.said("resume")[0] == 0 and ran == [f"{plan.run_id} {folder.path}"]


def test_a_child_on_the_leash_is_told_to_save_when_its_parent_is_killed(tmp_path: Path) -> None:
    child = (
        "import signal, sys, time; from dllm_run.specs.leash import on_leash; on_leash();"
        f"signal.signal(signal.SIGTERM, lambda *_: (open({str(tmp_path / 'saved')!r}, 'w').close(), sys.exit()));"
        f"open({str(tmp_path / 'ready')!r}, 'w').close(); time.sleep(60)"
    )
    parent = (
        "import time; from pathlib import Path; from dllm_run.launchers import local;"
        f"local.start([{sys.executable!r}, '-c', {child!r}], Path({str(tmp_path / 'log')!r})); time.sleep(60)"
    )
    process = subprocess.Popen([sys.executable, "-c", parent])
    until = time.monotonic() + 30
    while not (tmp_path / "ready").exists():
        assert time.monotonic() < until
        time.sleep(0.05)
    process.kill()
    process.wait()
    while not (tmp_path / "saved").exists():
        assert time.monotonic() < until
        time.sleep(0.05)


def test_a_stage_without_result_of_a_finished_attempt_counts_as_pending(folder: Folder) -> None:
    plan = folder.run()
    for stage in plan.stages:
        finish(folder.runs.entry(stage))
        folder.runs.entry(stage).done_file.unlink()
    assert "4 pending" in folder.said("status")[1]
