"""Launchers over hosts: where hosts come from, what is refused before anything starts, and what each host is told."""

import base64
import json
import os
import shlex
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.launchers import deepspeed, torchrun
from dllm_run.launchers.fanout import Fanout, over_hosts
from dllm_run.launchers.hostfile import Host
from dllm_run.launchers.places import chosen, hosts_of, ssh_words, unreachable
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Runs
from dllm_run.specs.vocabulary.launchers.torchrun import Torchrun
from dllm_run.specs.vocabulary.over_hosts import Host as Named

Compile = Callable[..., Compiled]
HOSTS = "hosts: [{name: node1, slots: 2}, {name: node2, slots: 2}]"


@pytest.fixture
def plan(examples: dict[str, str], compiling: Compile, tmp_path: Path) -> Callable[..., Plan]:
    """The quickstart on two hosts with two processes each."""
    (tmp_path / "docs.txt").write_text("A text.\n", encoding="utf-8")
    base = examples["quickstart"].replace("package:pydoc_data/topics", "./docs.txt")
    two = "stages.train.compute={nodes: 2, processes: 4, strategy: zero2}"
    return lambda launch: compiling(base + f"launch: {{{launch}}}\n", two).plan


@pytest.mark.parametrize("word", ["torchrun", "deepspeed"])
def test_the_script_over_hosts_is_golden_and_bash(word: str, plan: Callable[..., Plan], golden: Callable[[str, str], None]) -> None:
    render = {"torchrun": torchrun.render, "deepspeed": deepspeed.render}[word]
    (script,) = render(plan(f"type: {word}, {HOSTS}, port: 4444")).values()
    golden(f"hosts/{word}.sh", script)
    assert subprocess.run(["bash", "-n"], input=script, text=True, check=False).returncode == 0


def test_hosts_come_from_the_spec_a_file_or_the_allocation(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("# ours\nb slots=4\n\na   # one\n")
    (tmp_path / "pbs").write_text("n1\nn1\nn2\n")
    here: dict[str, str] = {}
    assert hosts_of(Torchrun(hosts=(Named(name="x", slots=3),)), tmp_path, here) == [Host("x", 3)]
    assert hosts_of(Torchrun(hostfile="./hosts"), tmp_path, here) == [Host("b", 4), Host("a", 1)]
    slurm = {"SLURM_JOB_NODELIST": "g[1-2]", "SLURM_GPUS_ON_NODE": "8"}
    assert hosts_of(Torchrun(), tmp_path, slurm) == [Host("g1", 8), Host("g2", 8)]
    assert hosts_of(Torchrun(), tmp_path, {"PBS_NODEFILE": str(tmp_path / "pbs")}) == [Host("n1", 2), Host("n2", 1)]
    assert hosts_of(Torchrun(), tmp_path, {"LSB_HOSTS": "a a b"}) == [Host("a", 2), Host("b", 1)]
    for launch in (Torchrun(), Torchrun(hostfile="./none")):
        with pytest.raises(EnvironmentProblem):
            hosts_of(launch, tmp_path, here)


def test_a_line_of_a_hostfile_that_is_none_is_told_with_its_number(tmp_path: Path) -> None:
    (tmp_path / "hosts").write_text("a slots=1\nb slots=many\n")
    with pytest.raises(EnvironmentProblem, match=r"hosts:2: 'b slots=many'"):
        hosts_of(Torchrun(hostfile="./hosts"), tmp_path, {})


def test_places_are_counted_before_anything_starts() -> None:
    hosts = [Host("a", 2), Host("b", 1), Host("c", 2)]
    assert chosen(hosts, 1, 1) == [Host("a", 1)]
    with pytest.raises(EnvironmentProblem, match="b has 1 slots, and 2 processes"):
        chosen(hosts, 3, 2)
    with pytest.raises(EnvironmentProblem, match="for 4 nodes, and there are 3"):
        chosen(hosts, 4, 1)


def test_a_host_that_ssh_does_not_reach_is_named_with_what_ssh_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "ssh").write_text('#!/bin/bash\ncase "$*" in *good*) exit 0;; *) echo "ssh: no route to host" >&2; exit 255;; esac\n')
    (tmp_path / "ssh").chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/usr/bin:/bin")
    assert unreachable([Host("good", 1), Host("bad", 1)], (), "true") == ["bad: ssh: no route to host"]
    assert unreachable([Host("localhost", 1)], (), "false") == []
    assert {"BatchMode=yes", "ServerAliveInterval=5", "-p"} <= set(ssh_words(Host("x", 1), ["-p", "22"]))


@pytest.fixture
def made(plan: Callable[..., Plan], tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str], Fanout]:
    """What is written for the training, and read back on a host."""
    monkeypatch.setenv("MY_KEY", "a 's3same' value")
    monkeypatch.setenv("OTHER", "not meant")

    def written(launch: str) -> Fanout:
        found = plan(f"{launch}, {HOSTS}, env: [MY_KEY]")
        (stage_id,) = [stage for stage, item in found.stages.items() if item.body.word == "pretrain"]
        words = over_hosts(found.stages[stage_id].body, stage_id, folder=tmp_path / "run", runs=Runs(tmp_path / "runs"), base=tmp_path)
        return Fanout.load(Path(words[-1]))

    return written


def test_each_host_is_told_its_number_and_all_the_same_meeting_place(made: Callable[[str], Fanout]) -> None:
    run = made("type: torchrun")
    first, second = run.words(0), run.words(1)
    assert [word for word, other in zip(first, second, strict=True) if word != other] == ["--node-rank=0"]
    assert {"--nnodes=2", "--nproc-per-node=2", "--master-addr=node1", "--master-port=29500"} <= set(first)
    assert first[-len(run.told()) :] == run.told()


@pytest.mark.parametrize("form", ["no_ssh", "pdsh"])
def test_deepspeed_reads_our_hostfile_as_we_mean_it(form: str, made: Callable[[str], Fanout], tmp_path: Path) -> None:
    """Its own launcher, with the last step, the start of processes, caught."""
    run = made("type: deepspeed" + (", via: pdsh" if form == "pdsh" else ""))
    words = run.from_here() if form == "pdsh" else run.words(1)
    fake = tmp_path / "bin" / "pdsh"
    fake.parent.mkdir()
    fake.write_text(f'#!/bin/bash\nprintf "%s\\n" "$@" > {tmp_path}/told\n')
    fake.chmod(0o755)
    code = (
        "import runpy, subprocess, sys, json;"
        f"sys.argv = {words[2:]!r}; real = subprocess.Popen;"
        "def caught(words, *rest, **more):\n"
        "    if any('deepspeed.launcher.launch' in word for word in words):\n"
        f"        open({str(tmp_path / 'words')!r}, 'w').write(json.dumps(words)); words = ['true']\n"
        "    return real(words, *rest, **more)\n"
        "subprocess.Popen = caught; runpy.run_module('deepspeed.launcher.runner', run_name='__main__')"
    ).replace(";def", "\ndef")
    environment = {**os.environ, "PATH": f"{fake.parent}:{os.environ['PATH']}", "DS_ACCELERATOR": "cpu"}
    environment["DS_ENV_FILE"] = f"{run.folder}/deepspeed_env"
    done = subprocess.run([sys.executable, "-c", code], env=environment, check=False, capture_output=True, text=True, cwd=tmp_path)
    assert done.returncode == 0, done.stdout + done.stderr
    told = json.loads((tmp_path / "words").read_text())
    (world,) = [word.partition("=")[2] for word in told if word.startswith("--world_info=")]
    assert json.loads(base64.urlsafe_b64decode(world)) == {"node1": [0, 1], "node2": [0, 1]}
    assert "dllm_run.launchers.rank" in told and "--module" in told and "--no_local_rank" in told
    if form == "pdsh":
        (exports,) = [word for word in told if "export" in word]
        shell = subprocess.run(["bash", "-c", exports + ' printf %s "$MY_KEY"'], capture_output=True, text=True, check=True)
        assert shell.stdout == "a 's3same' value" and "not meant" not in exports
    else:
        assert "--node_rank=1" in told


def test_secrets_stand_in_a_closed_folder_and_on_no_command_line(made: Callable[[str], Fanout]) -> None:
    run = made("type: torchrun")
    assert Path(run.folder).stat().st_mode & 0o077 == 0
    assert json.loads((Path(run.folder) / "environment.json").read_text())["MY_KEY"] == "a 's3same' value"
    assert "s3same" not in shlex.join(run.words(0)) and "s3same" not in (Path(run.folder) / "fanout.json").read_text()


RUNTIME = """
import os, signal, sys, time
def stop(*_):
    open(os.path.join({folder!r}, "saved"), "w").close()
    sys.exit(130)
signal.signal(signal.SIGTERM, stop)
open(os.path.join({folder!r}, "ready"), "w").close()
time.sleep(60)
"""


@pytest.fixture
def rank(tmp_path: Path) -> Callable[[], subprocess.Popen[bytes]]:
    """The parent of one process, with a runtime that only waits."""
    package = tmp_path / "code" / "dllm_run"
    package.mkdir(parents=True)
    import dllm_run

    real = Path(dllm_run.__file__).parent
    (package / "__init__.py").write_text((real / "__init__.py").read_text())
    for name in ("specs", "launchers"):
        (package / name).symlink_to((real / name).resolve())
    (package / "runtime").mkdir()
    (package / "runtime" / "__init__.py").write_text("")
    (package / "runtime" / "__main__.py").write_text(RUNTIME.format(folder=str(tmp_path)))

    def started() -> subprocess.Popen[bytes]:
        words = [sys.executable, "-m", "dllm_run.launchers.rank", str(tmp_path), "plan.json", "0" * 16, "--runs", str(tmp_path / "runs")]
        environment = {**os.environ, "PYTHONPATH": str(package.parent), "RANK": "1", "LOCAL_SIZE": "1"}
        process = subprocess.Popen(words, env=environment)
        wait_for(tmp_path / "ready")
        return process

    return started


def wait_for(path: Path) -> None:
    until = time.monotonic() + 30
    while not path.exists():
        assert time.monotonic() < until, f"{path.name} never came"
        time.sleep(0.02)


def test_the_mark_to_stop_has_a_process_save_and_is_no_failure(rank: Callable[[], subprocess.Popen[bytes]], tmp_path: Path) -> None:
    process = rank()
    (tmp_path / "stop").write_text("")
    assert process.wait(timeout=20) == 0
    assert (tmp_path / "saved").exists() and not (tmp_path / "dead").exists()


def test_the_mark_of_a_dead_one_ends_a_process_at_once(rank: Callable[[], subprocess.Popen[bytes]], tmp_path: Path) -> None:
    process = rank()
    (tmp_path / "dead").write_text("")
    assert process.wait(timeout=20) == 1
    assert not (tmp_path / "saved").exists()


def test_who_loses_its_process_leaves_the_mark_for_all_others(rank: Callable[[], subprocess.Popen[bytes]], tmp_path: Path) -> None:
    process = rank()
    child = subprocess.run(["pgrep", "-P", str(process.pid)], capture_output=True, text=True, check=True).stdout.split()
    os.kill(int(child[0]), signal.SIGKILL)
    assert process.wait(timeout=20) == 128 + signal.SIGKILL
    assert "process 1 ended with -9" in (tmp_path / "dead").read_text()
