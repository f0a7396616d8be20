"""`python -m dllm_run.runtime.probe`: what torch finds on this machine, as JSON.

With `rank FILE N COUNT BACKEND` it is one of several processes that add up a number.
"""

import json
import subprocess
import sys
import tempfile
from datetime import timedelta
from pathlib import Path
from typing import Any

import torch
from torch import distributed

_SECONDS = 90


def main() -> int:
    """0; what does not work is in the document."""
    if sys.argv[1:2] == ["rank"]:
        return _rank(sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5])
    cuda = torch.cuda.is_available()
    devices = [_device(number) for number in range(torch.cuda.device_count())] if cuda else []
    found: dict[str, Any] = {
        "torch": torch.__version__,
        "built_for": torch.version.cuda,
        "devices": devices,
        "gloo": _together(2, "gloo"),
    }
    if len(devices) > 1:
        found["nccl_works"] = _together(len(devices), "nccl")
    print(json.dumps(found))
    return 0


def _device(number: int) -> dict[str, Any]:
    properties = torch.cuda.get_device_properties(number)
    return {"name": properties.name, "memory": properties.total_memory, "capability": f"{properties.major}.{properties.minor}"}


def _together(count: int, backend: str) -> str | None:
    """Whether so many processes can add up a number; what went wrong, or None."""
    with tempfile.TemporaryDirectory() as folder:
        words = [sys.executable, "-m", "dllm_run.runtime.probe", "rank", str(Path(folder) / "store")]
        started = [
            subprocess.Popen([*words, str(rank), str(count), backend], stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
            for rank in range(count)
        ]
        problem = None
        for process in started:
            try:
                _, said = process.communicate(timeout=_SECONDS)
            except subprocess.TimeoutExpired:
                process.kill()
                process.communicate()
                problem = problem or f"no answer within {_SECONDS} s"
                continue
            if process.returncode != 0:
                problem = problem or (said.strip().splitlines() or [f"exit code {process.returncode}"])[-1]
        return problem


def _rank(file: str, rank: int, count: int, backend: str) -> int:
    store = distributed.FileStore(file, count)  # type: ignore[attr-defined]  # from C
    if backend == "nccl":
        torch.cuda.set_device(rank)
    distributed.init_process_group(backend, store=store, rank=rank, world_size=count, timeout=timedelta(seconds=_SECONDS))
    value = torch.ones(1, device="cuda" if backend == "nccl" else "cpu")
    distributed.all_reduce(value)
    distributed.destroy_process_group()
    return 0 if value.item() == count else 1


if __name__ == "__main__":
    sys.exit(main())
