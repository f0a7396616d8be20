"""torchrun and both forms of DeepSpeed's launcher over two hosts; a dead process ends all of them, and the run goes on afterwards."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from mini_slurm import Cluster, wait_for
from places import SPEC, Place, placed, processes

pytestmark = [pytest.mark.slow, pytest.mark.cluster]
HOSTS = "hosts: [{name: node1}, {name: node2}]"


@pytest.fixture(scope="module")
def prepared(cluster: Cluster, tmp_path_factory: pytest.TempPathFactory) -> Place:
    return placed(tmp_path_factory.mktemp("prepared") / "place", SPEC)


def spec(launch: str, strategy: str, text: str = SPEC) -> str:
    compute = f"compute: {{threads: 1, nodes: 2, processes: 2, strategy: {strategy}}}\n"
    return text.replace("compute: {threads: 1}\n", compute) + f"launch: {{{launch}}}\n"


@pytest.mark.parametrize(
    ("launch", "strategy"),
    [
        pytest.param("type: deepspeed, " + HOSTS, "zero2", id="deepspeed-no-ssh"),
        pytest.param("type: deepspeed, via: pdsh, " + HOSTS, "zero2", id="deepspeed-pdsh"),
        pytest.param("type: torchrun, hostfile: ./hosts", "ddp", id="torchrun"),
    ],
)
def test_a_stage_is_shared_by_two_hosts(launch: str, strategy: str, prepared: Place, tmp_path: Path) -> None:
    place = placed(tmp_path / "place", spec(launch, strategy), prepared)
    (place.folder / "hosts").write_text("# two machines\nnode1 slots=1\nnode2 slots=1\nnode3 slots=1\n")
    place.call("run", "spec.yaml", "-q")
    (attempt,) = place.attempts("train")
    assert attempt["state"] == "done" and attempt["processes"] == 2 and attempt["host"] == "node1"
    assert (place.entry("train") / "attempts" / "1" / "log.rank1.txt").is_file()
    wait_for(lambda: not processes(str(place.folder)), 10, "no process is left")


@pytest.mark.parametrize("via", ["ssh", "pdsh"])
def test_a_process_that_dies_ends_all_hosts_and_the_run_goes_on_later(via: str, prepared: Place, tmp_path: Path) -> None:
    text = SPEC.replace("6 steps", "400 steps").replace("every: 2 steps", "every: 20 steps")
    place = placed(tmp_path / "place", spec(f"type: deepspeed, via: {via}, {HOSTS}", "zero2", text), prepared)
    words = [sys.executable, "-m", "dllm_run.cli.main", "run", "spec.yaml", "-q"]
    process = subprocess.Popen(words, cwd=place.folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    wait_for(lambda: list(place.folder.glob("runs/store/*/attempts/1/metrics.jsonl")), 200, "steps")
    place.after("train", 30)
    ranks = [pid for pid in processes("dllm_run.runtime") if pid in processes(str(place.folder))]
    ranks = [pid for pid in ranks if b"-m\0dllm_run.runtime" in Path(f"/proc/{pid}/cmdline").read_bytes()]
    (second,) = [pid for pid in ranks if b"RANK=1" in Path(f"/proc/{pid}/environ").read_bytes().split(b"\0")]
    os.kill(second, signal.SIGKILL)
    began = time.monotonic()
    output, _ = process.communicate(timeout=120)
    assert process.returncode == 1 and "process 1 was killed by signal 9" in output, output
    assert time.monotonic() - began < 60
    wait_for(lambda: not processes(str(place.folder)), 60, "no process is left on any host")
    place.call("resume", "-q")
    assert place.attempts("train")[-1]["from"] >= 20


def test_hosts_are_checked_before_anything_starts(prepared: Place, tmp_path: Path) -> None:
    place = placed(tmp_path / "place", spec("type: torchrun, hosts: [{name: node1}, {name: node9}]", "ddp"), prepared)
    refused = place.call("run", "spec.yaml", "-q", check=False)
    assert refused.returncode == 1 and "node9: " in refused.stderr and "not every host" in refused.stderr
    flags = ["-s", "launch.hosts=[{name: node1}, {name: node2}]", "-s", "compute.processes=4"]
    refused = place.call("run", "spec.yaml", "-q", *flags, check=False)
    assert refused.returncode == 6 and "node1 has 1 slots, and 2 processes are for it" in refused.stderr
    assert not list(place.folder.glob("runs/store/*/attempts/*/status.json")) or place.attempts("train") == []
