"""Slurm's amounts, against its manual's forms worked out by hand."""

import pytest

from dllm_run.specs.slurm_amounts import slurm_bytes, slurm_seconds, slurm_time


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("90", 90 * 60),
        ("90:30", 90 * 60 + 30),
        ("02:00:00", 7200),
        ("1-12", 36 * 3600),
        ("1-12:30", 36 * 3600 + 1800),
        ("2-00:00:01", 172801),
        ("0", None),
        ("00:00:00", None),
    ],
)
def test_a_time_limit_is_read_as_sbatch_reads_it(text: str, seconds: int | None) -> None:
    assert slurm_seconds(text) == seconds


@pytest.mark.parametrize(("text", "count"), [("512", 512 * 2**20), ("64G", 64 * 2**30), ("1T", 2**40), ("10K", 10240), ("0", None)])
def test_a_memory_limit_is_in_megabytes_unless_a_unit_follows(text: str, count: int | None) -> None:
    assert slurm_bytes(text) == count


@pytest.mark.parametrize("seconds", [1, 3600, 3601, 86399, 86400, 1e6, 36 * 3600 + 0.5])
def test_a_time_that_is_written_is_at_least_what_was_asked_and_less_than_an_hour_more(seconds: float) -> None:
    found = slurm_seconds(slurm_time(seconds))
    assert found is not None and 0 <= found - seconds < 3600
