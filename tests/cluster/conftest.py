"""A Slurm for the tests of this folder, started once; where there can be none, they are skipped and say why."""

import warnings
from collections.abc import Iterator

import pytest
from mini_slurm import Cluster, why_not


@pytest.fixture(scope="session")
def cluster() -> Iterator[Cluster]:
    """Three nodes, with accounting."""
    reason = why_not()
    if reason is not None:
        warnings.warn(f"NOT TESTED: nothing of Slurm was run on this machine: {reason}", stacklevel=1)
        pytest.skip(f"no Slurm on this machine: {reason}")
    found = Cluster()
    try:
        found.up()
        yield found
    finally:
        found.down()
