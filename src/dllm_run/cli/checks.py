"""What this machine has of what a run needs: each finding with what to do about it. torch is asked in a process of its own."""

import fcntl
import importlib.metadata
import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from rich.filesize import decimal

from dllm_run import __version__
from dllm_run.specs.hub import cache_folder
from dllm_run.specs.store import Runs

_PACKAGES = ("torch", "transformers", "accelerate", "deepspeed", "peft", "bitsandbytes", "datasets", "lm-eval", "submitit")
_SECONDS = 300
_LITTLE_SPACE = 20 * 2**30
_STALE_SECONDS = 900


@dataclass(frozen=True, slots=True, kw_only=True)
class Check:
    """One finding."""

    name: str
    state: str
    """`ok`, `note` (fine unless it is needed) or `problem`."""
    found: str
    cure: str = ""


def ok(name: str, found: str) -> Check:
    """Nothing to do."""
    return Check(name=name, state="ok", found=found)


def note(name: str, found: str, cure: str = "") -> Check:
    """Fine, unless it is needed."""
    return Check(name=name, state="note", found=found, cure=cure)


def problem(name: str, found: str, cure: str) -> Check:
    """Something is in the way."""
    return Check(name=name, state="problem", found=found, cure=cure)


def machine(runs: Runs) -> Iterator[Check]:
    """Everything that needs no spec."""
    yield _packages()
    yield from _torch()
    yield from _scheduler()
    yield _disk("runs", runs.root)
    yield _locks(runs.root)
    yield _disk("hub cache", cache_folder())
    yield _compiler()
    yield from _stale_builds()
    yield _name()


def _packages() -> Check:
    found, missing = [], []
    for name in _PACKAGES:
        try:
            found.append(f"{name} {importlib.metadata.version(name)}")
        except importlib.metadata.PackageNotFoundError:
            missing.append(name)
    here = f"dllm-run {__version__}, Python {'.'.join(map(str, sys.version_info[:3]))}, {', '.join(found)}"
    if missing:
        return problem("packages", f"{here}; missing: {', '.join(missing)}", "`pip install dllm-run` again")
    return ok("packages", here)


def probe() -> dict[str, Any] | str:
    """What torch says of this machine, or why it says nothing."""
    words = [sys.executable, "-m", "dllm_run.runtime.probe"]
    try:
        done = subprocess.run(words, capture_output=True, text=True, timeout=_SECONDS, check=False)
    except subprocess.TimeoutExpired:
        return f"no answer within {_SECONDS} s"
    if done.returncode != 0:
        return (done.stderr.strip().splitlines() or [f"exit code {done.returncode}"])[-1]
    found: dict[str, Any] = json.loads(done.stdout.strip().splitlines()[-1])
    return found


def _torch() -> Iterator[Check]:
    driver = _driver()
    told = probe()
    if isinstance(told, str):
        yield problem("torch", told, "`python -c 'import torch'` shows the whole error")
        return
    devices = told["devices"]
    build = f"torch {told['torch']}, built for " + (f"CUDA {told['built_for']}" if told["built_for"] else "CPUs")
    if devices:
        names = ", ".join(f"{device['name']} {decimal(device['memory'])}" for device in devices)
        yield ok("GPU", f"{len(devices)}: {names}; {driver or 'no nvidia-smi'}; {build}")
    elif driver is not None:
        cure = (
            "install a torch built for CUDA"
            if not told["built_for"]
            else "the driver may be too old for that CUDA: `nvidia-smi` says which it has"
        )
        yield problem("GPU", f"{driver}, and torch sees none: {build}", cure)
    else:
        yield note("GPU", f"none: stages run on the CPU; {build}")
    for backend in ("gloo", "nccl_works"):
        if backend in told:
            name, wrong = backend.removesuffix("_works"), told[backend]
            cure = "GLOO_SOCKET_IFNAME, or for nccl NCCL_SOCKET_IFNAME and NCCL_DEBUG=INFO, name the network card and the reason"

            name = f"collectives, {name}"
            yield ok(name, "processes add up") if wrong is None else problem(name, f"processes do not add up: {wrong}", cure)


def _driver() -> str | None:
    if shutil.which("nvidia-smi") is None:
        return None
    words = ["nvidia-smi", "--query-gpu=driver_version", "--format=csv,noheader"]
    done = subprocess.run(words, capture_output=True, text=True, check=False)
    versions = sorted(set(done.stdout.split()))
    return (
        f"driver {', '.join(versions)}"
        if done.returncode == 0 and versions
        else f"nvidia-smi fails: {done.stderr.strip() or done.stdout.strip()}"
    )


def _scheduler() -> Iterator[Check]:
    if shutil.which("sbatch") is None:
        yield note("scheduler", "no sbatch: `launch: slurm` needs a machine that has it")
        return
    done = subprocess.run(["sinfo", "--noheader", "--format=%P %D %G"], capture_output=True, text=True, check=False)
    if done.returncode != 0:
        cure = "`scontrol ping`; is SLURM_CONF right, and is this a submit host?"
        yield problem("scheduler", f"Slurm does not answer: {done.stderr.strip()}", cure)
        return
    yield ok("scheduler", f"Slurm: {'; '.join(done.stdout.splitlines())}")
    accounting = subprocess.run(["sacct", "--noheader", "--starttime=now"], capture_output=True, text=True, check=False)
    if accounting.returncode != 0:
        yield note("accounting", "none: how a job ended is known from squeue and from our own files alone")


def _disk(name: str, folder: Path) -> Check:
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    free = shutil.disk_usage(there).free
    try:
        with tempfile.NamedTemporaryFile(dir=there):
            pass
    except OSError as error:
        return problem(name, f"{there} cannot be written: {error.strerror}", "another folder: --runs DIR, HF_HOME")
    cure = "make room, or another folder: --runs DIR, HF_HOME"
    state = "problem" if free < _LITTLE_SPACE // 20 else "note" if free < _LITTLE_SPACE else "ok"
    return Check(name=name, state=state, found=f"{folder.absolute()}, {decimal(free)} free", cure="" if state == "ok" else cure)


def _locks(folder: Path) -> Check:
    there = folder.absolute()
    while not there.exists():
        there = there.parent
    try:
        with tempfile.NamedTemporaryFile(dir=there) as stream:
            fcntl.flock(stream, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        cure = "mount it with locks (`flock`, Lustre: `-o flock`): two runs could work on one stage at a time"
        return problem("locks", f"{there} has none: {error.strerror}", cure)
    return ok("locks", "files can be locked, so that runs share stages")


def _compiler() -> Check:
    found = [name for name in ("g++", "nvcc", "ninja") if shutil.which(name)]
    if "g++" in found:
        return ok("compiler", ", ".join(found))
    return note("compiler", "no g++: torch.compile and DeepSpeed's own kernels, which no default uses, need one")


def _stale_builds() -> Iterator[Check]:
    """DeepSpeed's build of a kernel that was killed leaves a lock, and the next one waits for it for ever."""
    root = Path(os.environ.get("TORCH_EXTENSIONS_DIR", "~/.cache/torch_extensions")).expanduser()
    for lock in sorted(root.glob("**/lock")) if root.is_dir() else ():
        if time.time() - lock.stat().st_mtime > _STALE_SECONDS:
            yield problem("extensions", f"{lock} is left of a build that was killed", f"`rm {lock}`")


def _name() -> Check:
    """The address that other machines would be told."""
    name = socket.gethostname()
    try:
        address = socket.gethostbyname(name)
    except OSError:
        return note("host name", f"{name} has no address", "over several hosts: an entry in /etc/hosts or DNS")
    if address.startswith("127."):
        cure = "over several hosts: GLOO_SOCKET_IFNAME and NCCL_SOCKET_IFNAME=eth0, or the card's name, or another line in /etc/hosts"
        return note("host name", f"{name} is {address}, which no other host reaches", cure)
    return ok("host name", f"{name} is {address}")
