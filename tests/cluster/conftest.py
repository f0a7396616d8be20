"""A Slurm for the tests of this folder, started once; where there can be none, they are skipped and say why."""

import fcntl
import tempfile
import warnings
from collections.abc import Iterator
from pathlib import Path

import pytest
from mini_slurm import Cluster, why_not


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes, with accounting."""
    # Nodes have names and addresses of their own, and there can be one of each: of several test processes one waits for the other.
    with (Path(tempfile.gettempdir()) / "dllm-run-tests-cluster.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        found = Cluster()
        reason = why_not() or found.install()
        if reason is not None:
            warnings.warn(f"NOT TESTED: nothing of Slurm was run on this machine: {reason}", stacklevel=1)
            pytest.skip(f"no Slurm on this machine: {reason}")
        try:
            found.up()
            yield found
        finally:
            found.down()
