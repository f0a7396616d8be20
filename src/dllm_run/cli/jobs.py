"""What launchers say of the jobs of a run, whichever sent them off: asked once for all of them."""

from collections.abc import Collection, Iterable
from dataclasses import replace

from dllm_run.launchers import local, slurm
from dllm_run.specs.jobs import JobState, Sending, all_sendings
from dllm_run.specs.store import Runs


def job_states(found: Iterable[Sending], stages: Collection[str] | None = None) -> dict[str, JobState]:
    """The state of the last job of each stage, or of the one that lives; `stages`: only of jobs that have one of these."""
    wanted = [item for item in found if stages is None or any(stage in stages for job in item.jobs for stage in job.stages)]
    states: dict[str, JobState] = {}
    # One call for all: squeue takes as long for one job as for a thousand.
    at_slurm = slurm.state(job for item in wanted if item.launcher == "slurm" for job in item.jobs)
    for item in wanted:
        mine = local.state(item.jobs, item.host) if item.launcher == "local" else _of(item, at_slurm)
        for stage, state in mine.items():
            if stage not in states or state.lives or not states[stage].lives:
                states[stage] = state
    return states


def living(runs: Runs, stages: Collection[str]) -> dict[str, JobState]:
    """Stages that a job works on, or will, whichever run has sent it off."""
    found = job_states((item for item in all_sendings(runs) if not item.cancelled), set(stages))
    return {stage: state for stage, state in found.items() if state.lives and stage in stages}


def cancel(sending: Sending) -> str | None:
    """End what one sending has left; what went wrong, or None. Raises OSError where the marker cannot be written."""
    sending.cancel()
    return local.cancel(sending.jobs, sending.host) if sending.launcher == "local" else slurm.cancel(sending.jobs)


def _of(item: Sending, at_slurm: dict[str, JobState]) -> dict[str, JobState]:
    return {
        stage: replace(at_slurm[job.id_of(index)], alone=len(task) == 1)
        for job in item.jobs
        for index, task in enumerate(job.tasks)
        for stage in task
    }
