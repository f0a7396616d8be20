"""Runs on a real Slurm: arrays that depend on each other, pre-emption, death, lost nodes, several nodes, an end that leaves nothing."""

import json
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from mini_slurm import Cluster, run, wait_for
from places import LOOK, SLURM, SPEC, Place, placed, processes

pytestmark = [pytest.mark.slow, pytest.mark.cluster]
LONG = SPEC.replace("duration: 6 steps", "duration: 500 steps").replace("every: 2 steps", "every: 100 steps")


@pytest.fixture(scope="module")
def prepared(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return placed(tmp_path_factory.mktemp("prepared") / "place", SPEC)


def preempt() -> None:
    """A job of more importance takes every node for a moment."""
    run("sbatch", "-p", "high", "-N3", "--cpus-per-task=4", "--mem=100M", "-o", "/dev/null", "--wrap", "sleep 1")


def test_a_sweep_of_six_points_is_arrays_that_follow_each_other(prepared: Place, tmp_path: Path) -> None:
    sweep = "sweep: {grid: {stages.train.seed: [0, 1, 2, 3, 4, 5]}}\n"
    place = placed(tmp_path / "place", SPEC.replace("compute:", LOOK) + sweep + SLURM % ", array: {max_parallel: 2}", prepared)
    began = time.monotonic()
    told = place.call("submit", "spec.yaml").stdout
    assert time.monotonic() - began < 20, "submit returns at once"
    assert "train.data" not in told, "what is done is not sent"
    # The cluster takes five jobs an array: six points are two.
    assert [line.split()[2] for line in told.splitlines() if line.split()[0] in ("train", "look")] == ["5", "1", "5", "1"]
    again = place.call("submit", "spec.yaml").stdout
    assert "12 stages are worked on already" in again, "sent off once"
    place.done()
    spans: dict[str, list[tuple[float, float]]] = {"train": [], "look": []}
    for point in range(6):
        mine = {}
        for name in spans:
            stage = place.status()[f"seed={point}/{name}"]
            (attempt,) = (place.folder / "runs" / "store" / stage["id"] / "attempts").glob("[0-9]*/status.json")
            status = json.loads(attempt.read_text())
            mine[name] = (status["started"], status["updated"])
            spans[name].append(mine[name])
        assert mine["train"][1] <= mine["look"][0]
    for name, found in spans.items():
        assert max(sum(start <= moment < end for start, end in found) for moment, _ in found) <= 2, name


def test_points_that_need_the_same_model_share_a_job(prepared: Place, tmp_path: Path) -> None:
    sweep = "sweep: {grid: {stages.look.sampler.steps: [1, 2, 4]}}\n"
    place = placed(tmp_path / "place", SPEC.replace("compute:", LOOK) + sweep + SLURM % ", array: {points_per_job: 2}", prepared)
    place.call("submit", "spec.yaml")
    found = place.done()
    jobs = [place.status_of(stage["id"])["job"] for name, stage in found.items() if name.endswith("/look")]
    assert len(jobs) == 3 and len(set(jobs)) == 2


def test_pre_empted_twice_and_killed_once_it_ends_as_if_nothing_had_been(prepared: Place, tmp_path: Path) -> None:
    calm = placed(tmp_path / "calm", LONG, prepared)
    calm.call("run", "spec.yaml", "-q")
    place = placed(tmp_path / "place", LONG + SLURM % ", cpus_per_task: 4", prepared)
    place.call("submit", "spec.yaml")
    place.after("train", 60)
    preempt()
    place.after("train", 150)
    # It began again, past its first saved step.
    (process,) = [pid for pid in processes("dllm_run.runtime") if pid in processes(str(place.folder))]
    os.kill(process, signal.SIGKILL)
    place.after("train", 60)
    preempt()
    place.done()
    attempts = place.attempts("train")
    assert [attempt["state"] for attempt in attempts] == ["interrupted", "failed", "interrupted", "done"]
    assert len({attempt["job"] for attempt in attempts}) == 1, "always the same job"
    assert "was killed by signal 9" in attempts[1]["message"]
    assert attempts[1]["from"] == attempts[0]["done"] > 0 and attempts[2]["lost"] > 0
    assert place.sha("train") == calm.sha("train")


def nodes(strategy: str, more: str = "") -> str:
    return f"compute: {{threads: 1, nodes: 2, processes: 2, strategy: {strategy}}}\n" + SLURM % more


def test_two_nodes_share_the_weights_of_fsdp2(prepared: Place, tmp_path: Path) -> None:
    place = placed(tmp_path / "place", SPEC.replace("compute: {threads: 1}\n", nodes("fsdp2")), prepared)
    place.call("submit", "spec.yaml")
    place.done()
    (attempt,) = place.attempts("train")
    assert attempt["processes"] == 2
    assert (place.entry("train") / "attempts" / "1" / "log.rank1.txt").is_file()
    job = attempt["job"].removeprefix("slurm:")
    # The stage is done before its job is: Slurm still ends the step and tells its database.
    wait_for(lambda: run("sacct", "-X", "-n", "-P", "-o", "NNodes,State", "-j", job) == "2|COMPLETED", 60, "a job of two nodes ends")


def test_a_node_that_is_lost_in_the_middle_of_zero2_is_told_and_made_up_for(cluster: Cluster, prepared: Place, tmp_path: Path) -> None:
    text = LONG.replace("500 steps", "200 steps").replace("100 steps", "20 steps")
    place = placed(tmp_path / "place", text.replace("compute: {threads: 1}\n", nodes("zero2")), prepared)
    place.call("submit", "spec.yaml")
    place.after("train", 50)
    job = place.attempts("train")[0]["job"].removeprefix("slurm:")
    used = run("scontrol", "show", "hostnames", run("squeue", "-h", "-o", "%N", "-j", job)).split()
    assert len(used) == 2
    lost = int(used[1].removeprefix("node"))
    cluster.kill_node(lost)
    try:
        place.wait(lambda now: now["-/train"]["attempts"] > 1 or now["-/train"]["state"] == "requeued", "it goes back to the queue")
        place.done()
    finally:
        cluster.start_node(lost)
    attempts = place.attempts("train")
    assert attempts[-1]["state"] == "done" and attempts[-1]["from"] >= 40
    assert attempts[0]["state"] in ("failed", "running")
    wait_for(cluster.ready, 60, "the node is back")


def test_cancel_leaves_nothing(prepared: Place, tmp_path: Path) -> None:
    text = LONG.replace("compute:", LOOK).replace("500 steps", "20000 steps")
    place = placed(tmp_path / "place", text + SLURM % "", prepared)
    place.call("submit", "spec.yaml")
    place.after("train", 20)
    place.call("cancel")
    assert run("squeue", "-h", "-t", "pending,running,completing") == ""
    wait_for(lambda: not processes(str(place.folder)), 15, "no process is left")
    now = place.status()
    assert now["-/train"]["state"] == "interrupted", "it has saved"
    assert place.attempts("train")[0]["done"] > 0
    assert now["-/look"]["state"] in ("cancelled", "pending")
    time.sleep(8)
    assert run("squeue", "-h") == "", "and nothing comes back"


def test_a_time_limit_is_no_end(prepared: Place, tmp_path: Path) -> None:
    place = placed(tmp_path / "place", LONG + SLURM % ', time: "01:00:00", notice: 240', prepared)
    place.call("submit", "spec.yaml")
    place.after("train", 20)
    job = place.attempts("train")[0]["job"].removeprefix("slurm:")
    # Two minutes from now at most: the notice of four minutes is due at once.
    ran = run("squeue", "-h", "-o", "%M", "-j", job).split(":")
    run("scontrol", "update", f"jobid={job}", f"timelimit={int(ran[-2]) + 2}")
    place.wait(lambda now: now["-/train"]["state"] == "requeued", "it goes back to the queue")
    run("scontrol", "update", f"jobid={job}", "timelimit=60")
    place.done()
    attempts = place.attempts("train")
    assert [attempt["state"] for attempt in attempts] == ["interrupted", "done"] and attempts[0]["signal"] == "SIGUSR2"
    assert attempts[1]["from"] == attempts[0]["done"] >= 20 and attempts[1]["lost"] == 0, "nothing is done twice"


def test_without_a_scheduler_files_speak(cluster: Cluster, prepared: Place, tmp_path: Path) -> None:
    # Long enough to be at it while Slurm is away, however fast the machine.
    place = placed(tmp_path / "place", LONG.replace("500 steps", "20000 steps") + SLURM % "", prepared)
    place.call("submit", "spec.yaml")
    place.after("train", 20)
    cluster.stop_controller()
    try:
        told = place.call("status", "spec.yaml")
        assert "cannot be asked" in told.stdout and "running" in told.stdout
        refused = place.call("submit", "spec.yaml", "-s", "seed=9", check=False)
        assert refused.returncode == 6 and "does not answer" in refused.stderr
    finally:
        cluster.start_controller()
    place.after("train", 1)
    # By its name: the one that was refused is the last run.
    place.call("cancel", "spec.yaml")
    wait_for(lambda: run("squeue", "-h", "-t", "pending,running,completing") == "", 30, "nothing is left")


def failing(now: dict[str, Any]) -> bool:
    return bool(now["-/train"]["state"] == "failed")


def test_without_accounting_three_failures_end_it(cluster: Cluster, prepared: Place, tmp_path: Path) -> None:
    cluster.without_accounting()
    # Too little memory for the libraries: it dies each time, and never says that the spec is wrong.
    place = placed(tmp_path / "place", SPEC + SLURM % ", setup: ['ulimit -v 600000']", prepared)
    place.call("submit", "spec.yaml")
    now = place.wait(failing, "it gives up")
    assert now["-/train"]["attempts"] == 3
    assert "3 attempts failed at step 0" in place.call("logs", "--job").stdout
    assert place.call("status", check=False).returncode == 1
