"""Which hosts a stage gets: from the spec, from a file, or from the allocation that this process is in; checked before anything starts."""

import os
import re
import subprocess
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.vocabulary.over_hosts import OverHosts

from .hostfile import Host, hostfile
from .nodes import node_names

_LINE = re.compile(r"(?P<name>\S+)(\s+slots=(?P<slots>\d+))?")
_REACH_SECONDS = 20


def hosts_of(launch: OverHosts, base: Path, environment: Mapping[str, str]) -> list[Host]:
    """All hosts there are. Raises EnvironmentProblem where none are said, or the file is wrong."""
    if launch.hosts:
        found = [Host(host.name, host.slots) for host in launch.hosts]
    elif launch.hostfile is not None:
        found = _from_file(base / launch.hostfile)
    else:
        found = _from_allocation(environment)
    hostfile(found)  # every host once, each with a place
    return found


def chosen(hosts: Sequence[Host], nodes: int, processes: int) -> list[Host]:
    """The first hosts that hold a stage, with as many slots as it uses. Raises EnvironmentProblem where they cannot."""
    wrong = []
    if len(hosts) < nodes:
        wrong.append(f"the stage is for {nodes} nodes, and there {'is' if len(hosts) == 1 else 'are'} {len(hosts)}")
    wrong += [
        f"{host.name} has {host.slots} slots, and {processes} processes are for it" for host in hosts[:nodes] if host.slots < processes
    ]
    if wrong:
        raise EnvironmentProblem("; ".join(wrong))
    return [Host(host.name, processes) for host in hosts[:nodes]]


def is_here(host: Host) -> bool:
    """Whether a host is this machine, which no ssh need reach."""
    return host.name in ("localhost", "127.0.0.1", os.uname().nodename)


def ssh_words(host: Host, options: Iterable[str]) -> list[str]:
    """ssh that asks no question, and notices within seconds when the other side is gone."""
    alive = ["-o", "ServerAliveInterval=5", "-o", "ServerAliveCountMax=3"]
    return ["ssh", "-o", "BatchMode=yes", "-o", "ConnectTimeout=10", *alive, *options, host.name]


def unreachable(hosts: Iterable[Host], options: Sequence[str], command: str) -> list[str]:
    """What keeps each host from running a command, all hosts asked at once; empty where nothing does."""
    asked = [
        (
            host,
            subprocess.Popen(
                [*ssh_words(host, options), command], stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.STDOUT
            ),
        )
        for host in hosts
        if not is_here(host)
    ]
    wrong = []
    for host, process in asked:
        try:
            output, _ = process.communicate(timeout=_REACH_SECONDS)
        except subprocess.TimeoutExpired:
            process.kill()
            wrong.append(f"{host.name}: no answer within {_REACH_SECONDS} s")
            continue
        if process.returncode != 0:
            said = output.decode(errors="replace").strip().splitlines()
            wrong.append(f"{host.name}: {said[-1] if said else f'exit code {process.returncode}'}")
    return wrong


def _from_file(path: Path) -> list[Host]:
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except OSError as error:
        raise EnvironmentProblem(f"the hostfile {path} cannot be read: {error.strerror}") from None
    found = []
    for number, line in enumerate(lines, 1):
        text = line.partition("#")[0].strip()
        match = _LINE.fullmatch(text)
        if text and match is None:
            raise EnvironmentProblem(f"{path}:{number}: {text!r} is not NAME slots=N")
        if match is not None and text:
            found.append(Host(match["name"], int(match["slots"] or 1)))
    return found


def _from_allocation(environment: Mapping[str, str]) -> list[Host]:
    if "SLURM_JOB_NODELIST" in environment:
        slots = re.match(r"\d+", environment.get("SLURM_GPUS_ON_NODE", environment.get("SLURM_CPUS_ON_NODE", "1")))
        return [Host(name, int(slots[0]) if slots else 1) for name in node_names(environment["SLURM_JOB_NODELIST"])]
    if "PBS_NODEFILE" in environment:
        lines = Path(environment["PBS_NODEFILE"]).read_text(encoding="utf-8").split()
        return [Host(name, count) for name, count in Counter(lines).items()]
    if "LSB_HOSTS" in environment:
        return [Host(name, count) for name, count in Counter(environment["LSB_HOSTS"].split()).items()]
    cure = "`launch: {hosts: [{name: node1, slots: 8}]}`, a `hostfile`, or an allocation of Slurm, PBS or LSF around this command"
    raise EnvironmentProblem(f"no hosts are said: {cure}")
