"""`python -m dllm_run.launchers.fanout FILE`: one stage on hosts, started from here by torchrun or DeepSpeed; none outlives another.

With ssh each host has a supervisor (`launchers/host.py`) whose standard input is its leash; with pdsh DeepSpeed's own command is started.
"""

import argparse
import os
import re
import shlex
import signal
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from types import FrameType

from dllm_run.specs.canonical import pretty
from dllm_run.specs.disk import cannot_write
from dllm_run.specs.environment import ALWAYS
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.jobs import new_folder
from dllm_run.specs.leash import on_leash
from dllm_run.specs.store import Entry, Runs, read_json, write_atomic
from dllm_run.specs.vocabulary.launchers.deepspeed import DeepSpeed
from dllm_run.specs.vocabulary.over_hosts import OverHosts
from dllm_run.specs.vocabulary.stages import Stage

from .hostfile import Host, hostfile
from .places import chosen, hosts_of, is_here, ssh_words, unreachable
from .rank import DEAD, STOP
from .ranks import INTERRUPTED

ENVIRONMENT = "environment.json"
_POLL_SECONDS = 0.1
_LAST_SECONDS = 45
"""How long hosts get to end their processes once one is lost."""
_PREFIXES = ("NCCL_", "GLOO_", "UCX_", "FI_", "CUDA_", "PYTHON")
_NAMES = (
    *("PATH", "LD_LIBRARY_PATH", "VIRTUAL_ENV", "OMP_NUM_THREADS", "OMP_WAIT_POLICY", "TORCH_EXTENSIONS_DIR"),
    *("XDG_CACHE_HOME", "HF_HOME", "HF_HUB_CACHE", "HF_DATASETS_CACHE"),
)
_LOST = re.compile(rb"pdsh@\S+: (\S+): ssh exited with exit code (\d+)")
"""What pdsh says when a host's processes have ended badly; it waits for the other hosts all the same."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Fanout:
    """One stage on hosts, as it lies in a file that all of them see."""

    folder: str
    """Of this try: the file itself, the marks, DeepSpeed's hostfile and environment."""
    launcher: str
    """`torchrun` or `deepspeed`."""
    via: str
    hosts: tuple[Host, ...]
    """With the processes on each."""
    port: int
    ssh: tuple[str, ...]
    env: tuple[str, ...]
    device: str
    plan: str
    stage: str
    runs: str
    base: str

    @classmethod
    def load(cls, path: Path) -> "Fanout":
        """Read it. Raises EnvironmentProblem where it cannot be read."""
        data = read_json(path)
        if data is None:
            raise EnvironmentProblem(f"{path} cannot be read on {os.uname().nodename}: all hosts must see the folder of the runs")
        hosts = tuple(Host(name, slots) for name, slots in data["hosts"])
        return cls(**{**data, "hosts": hosts, "ssh": tuple(data["ssh"]), "env": tuple(data["env"])})

    def write(self) -> Path:
        """Write it down, and what DeepSpeed reads; the path. Raises OSError where it cannot be written."""
        path = Path(self.folder) / "fanout.json"
        names: list[str] = list(type(self).__dataclass_fields__)
        write_atomic(path, pretty({name: getattr(self, name) for name in names}))
        write_atomic(Path(self.folder) / "hostfile", hostfile(self.hosts))
        # Values may be secrets: they stand in files of a folder that is closed to others, and on no command line of ours.
        write_atomic(Path(self.folder) / ENVIRONMENT, pretty(self.environment()))
        # DeepSpeed quotes the values itself, and reads a line each.
        lines = [f"{name}={value}\n" for name, value in self.environment().items() if "\n" not in value]
        write_atomic(Path(self.folder) / "deepspeed_env", "".join(lines))
        return path

    def environment(self) -> dict[str, str]:
        """Variables that processes get from here."""
        found = {name: value for name, value in os.environ.items() if name in (*_NAMES, *self.env) or name.startswith(_PREFIXES)}
        found |= ALWAYS
        # Found out by looking, which takes seconds and a warning, and differs from host to host.
        return {**found, "DS_ACCELERATOR": "cpu"} if self.device == "cpu" else found

    def words(self, number: int) -> list[str]:
        """What starts the processes of one host, on that host."""
        rank = ["-m", "dllm_run.launchers.rank", *self.told()]
        count, slots = len(self.hosts), self.hosts[number].slots
        if count * slots == 1:
            return [sys.executable, "-m", "dllm_run.runtime", *self.told()[1:]]
        where = self.hosts[0].name
        if self.launcher == "torchrun":
            options = [f"--nnodes={count}", f"--nproc-per-node={slots}", f"--node-rank={number}", f"--master-addr={where}"]
            return [sys.executable, "-m", "torch.distributed.run", *options, f"--master-port={self.port}", *rank]
        return [*self._deepspeed(), "--no_ssh", f"--node_rank={number}", "--module", *rank[1:]]

    def from_here(self) -> list[str]:
        """DeepSpeed's command that reaches the hosts by itself."""
        # Hosts were reached already, with options of ssh that its own check does not know.
        options = ["--launcher=pdsh", "--force_multi", "--no_ssh_check"]
        return [*self._deepspeed(), *options, "--module", "dllm_run.launchers.rank", *self.told()]

    def _deepspeed(self) -> list[str]:
        where = ["--master_addr", self.hosts[0].name, "--master_port", str(self.port)]
        # Without the last it hands each process an option that is none of its own.
        return [
            sys.executable,
            "-m",
            "deepspeed.launcher.runner",
            "--hostfile",
            str(Path(self.folder) / "hostfile"),
            *where,
            "--no_local_rank",
        ]

    def told(self) -> list[str]:
        """What each process is told."""
        return [self.folder, self.plan, self.stage, "--runs", self.runs, "--base", self.base]


def over_hosts(body: Stage, stage_id: str, *, folder: Path, runs: Runs, base: Path) -> list[str]:
    """The command line that runs a stage on its hosts. Raises EnvironmentProblem where they cannot hold it, or nothing can be written."""
    launch, compute = body.launch, body.compute
    assert isinstance(launch, OverHosts)
    hosts = chosen(hosts_of(launch, base, os.environ), compute.nodes, compute.world // compute.nodes)
    try:
        made = new_folder(folder.absolute() / "hosts" / stage_id)
        made.chmod(0o700)
        found = Fanout(
            folder=str(made),
            launcher=launch.word,
            via=launch.via if isinstance(launch, DeepSpeed) else "ssh",
            hosts=tuple(hosts),
            port=launch.port,
            ssh=launch.ssh,
            env=launch.env,
            device=compute.device or "cpu",
            plan=str(folder.absolute() / "plan.json"),
            stage=stage_id,
            runs=str(runs.root.absolute()),
            base=str(base.absolute()),
        )
        path = found.write()
    except OSError as error:
        raise cannot_write(error, folder) from None
    return [sys.executable, "-m", "dllm_run.launchers.fanout", str(path)]


def main() -> int:
    """The exit code of the stage."""
    parser = argparse.ArgumentParser(prog="python -m dllm_run.launchers.fanout", description=__doc__)
    parser.add_argument("file")
    path = Path(parser.parse_args().file)
    on_leash()
    run = Fanout.load(path)
    wanted, said = [shlex.quote(text) for text in (str(path), sys.executable)], shlex.quote(f"{path} or {sys.executable} is not there")
    wrong = unreachable(run.hosts, run.ssh, f"test -r {wanted[0]} && test -x {wanted[1]} || {{ echo {said}; exit 9; }}")
    if wrong:
        print("dllm-run: not every host can run this: " + "; ".join(wrong), file=sys.stderr)
        return 6
    return _Started(run, path).wait()


class _Started:
    """The commands that were started, and what ends them."""

    def __init__(self, run: Fanout, path: Path) -> None:
        self.run = run
        self.folder = Path(run.folder)
        self.entry: Entry = Runs(Path(run.runs)).entry(run.stage)
        self.log = self.folder / "hosts.log"
        self.output = self.log.open("ab")
        self.asked = False
        self.by_pdsh = run.launcher == "deepspeed" and run.via == "pdsh" and len(run.hosts) * run.hosts[0].slots > 1
        self.children = [self._start(number, path) for number in range(1 if self.by_pdsh else len(run.hosts))]
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2):
            signal.signal(number, self._ask)

    def _start(self, number: int, path: Path) -> subprocess.Popen[bytes]:
        environment = {**os.environ, **self.run.environment()}
        if self.by_pdsh:
            options = " ".join(["-o BatchMode=yes -o ServerAliveInterval=5 -o ServerAliveCountMax=3", *self.run.ssh])
            environment |= {"DS_ENV_FILE": str(self.folder / "deepspeed_env"), "PDSH_SSH_ARGS_APPEND": options}
            words = self.run.from_here()
        else:
            host = self.run.hosts[number]
            words = [sys.executable, "-m", "dllm_run.launchers.host", str(path), str(number)]
            if not is_here(host):
                code = shlex.quote(f"PYTHONPATH={os.environ.get('PYTHONPATH', '')}")
                there = " ".join([f"cd {shlex.quote(str(Path.cwd()))} && exec env {code}", *map(shlex.quote, words)])
                words = [*ssh_words(host, self.run.ssh), there]
        leashed = [sys.executable, "-m", "dllm_run.launchers.leashed", *words]
        # As long as this process lives it holds the other end. A Ctrl-C for it is not for ssh, over which processes are asked to save.
        return subprocess.Popen(
            leashed, stdin=subprocess.PIPE, stdout=self.output, stderr=self.output, env=environment, start_new_session=True
        )

    def _ask(self, number: int, frame: FrameType | None) -> None:
        """Have every process save and stop; the second time all ends at once."""
        if self.asked:
            write_atomic(self.folder / DEAD, "asked twice\n")
        self.asked = True
        write_atomic(self.folder / STOP, "")

    def wait(self) -> int:
        """Until all have ended: by themselves, or because one is lost."""
        until = 0.0
        while any(child.poll() is None for child in self.children):
            lost = self._lost()
            if lost is not None and not until:
                print(f"dllm-run: {lost}: the others end as well", file=sys.stderr)
                write_atomic(self.folder / DEAD, f"{lost}\n")
                until = time.monotonic() + _LAST_SECONDS
            if until and time.monotonic() > until:
                for child in self.children:
                    if child.poll() is None:
                        child.terminate()
                until = time.monotonic() + _LAST_SECONDS
            time.sleep(_POLL_SECONDS)
        codes = [child.returncode for child in self.children]
        if self.entry.done:
            return 0
        if self.asked:
            return INTERRUPTED
        sys.stderr.write(self.log.read_text(encoding="utf-8", errors="replace")[-4000:])
        return next((code for code in codes if code > 0), 1)

    def _lost(self) -> str | None:
        """What makes it impossible to go on."""
        if (self.folder / DEAD).exists():
            return (self.folder / DEAD).read_text(encoding="utf-8").strip() or "a process is lost"
        if self.by_pdsh:
            found = _LOST.search(self.log.read_bytes())
            return f"{found[1].decode()}: exit code {found[2].decode()}" if found else None
        ended = [(host, child.returncode) for host, child in zip(self.run.hosts, self.children, strict=True) if child.poll()]
        return f"{ended[0][0].name}: exit code {ended[0][1]}" if ended else None


if __name__ == "__main__":
    sys.exit(main())
