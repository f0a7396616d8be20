"""Which jobs a run becomes: every stage once, nothing before what it needs, limits kept; checked by letting a queue play it through."""

import itertools
import random
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.launchers.sent import After, Limits, NewJob, jobs_of
from dllm_run.launchers.slurm_scripts import groups
from dllm_run.specs.plan import Plan

Compile = Callable[..., Compiled]
SWEEP = "sweep: {grid: {stages.train.optimizer.learning_rate: [1e-3, 3e-4], stages.look.sampler.steps: [16, 32, 64]}}\n"
SEEDS = "sweep: {grid: {stages.train.seed: [0, 1, 2, 3, 4, 5, 6]}}\n"


@pytest.fixture
def plan(examples: dict[str, str], compiling: Compile, tmp_path: Path) -> Callable[[str], Plan]:
    """The quickstart under a sweep."""
    base = examples["quickstart"].replace("package:pydoc_data/topics", "./docs.txt")
    (tmp_path / "docs.txt").write_text("A text.\n", encoding="utf-8")
    return lambda sweep: compiling(base + "launch: slurm\n" + sweep).plan


def sent(
    plan: Plan,
    *,
    parallel: int | None = None,
    chunk: int = 1000,
    missing: set[str] | None = None,
    running: dict[str, str] | None = None,
    together: int = 1,
) -> list[NewJob]:
    among = (missing if missing is not None else set(plan.stages)) - (running or {}).keys()
    alike = [ids for _, ids in groups(plan, among)]
    return jobs_of(plan, alike, {ids[0]: Limits(chunk=chunk, parallel=parallel, together=together) for ids in alike}, running or {})


@dataclass
class Queue:
    """Slurm's rules for dependencies of arrays, stage by stage, in any order that they allow."""

    plan: Plan
    jobs: list[NewJob]
    fails: set[str] = field(default_factory=set)
    ended: dict[tuple[int, int], str] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    done: set[str] = field(default_factory=set)

    def play(self, seed: int) -> "Queue":
        chance = random.Random(seed)
        rest = [(number, index) for number, job in enumerate(self.jobs) for index in range(len(job.tasks))]
        while rest:
            verdicts = {place: self._may(*place) for place in rest}
            never = [place for place in rest if verdicts[place] == "never"]
            self.ended.update(dict.fromkeys(never, "cancelled"))
            rest = [place for place in rest if place not in never]
            ready = [place for place in rest if verdicts[place] == "now"]
            assert ready or never, "it waits for ever"
            if not ready:
                continue
            place = chance.choice(ready)
            rest.remove(place)
            good = [self._runs(stage) for stage in self.jobs[place[0]].tasks[place[1]]]
            self.ended[place] = "ok" if all(good) else "failed"
        return self

    def _runs(self, stage: str) -> bool:
        needs = {need.stage for need in self.plan.stages[stage].needs}
        good = stage not in self.fails and needs <= self.done
        self.order.append(stage)
        if good:
            self.done.add(stage)
        return good

    def _may(self, number: int, index: int) -> str:
        verdict = "now"
        for after in self.jobs[number].after:
            assert after.job is not None and after.job < number, "a job follows jobs that have an id already"
            length = len(self.jobs[after.job].tasks)
            if after.kind == "aftercorr":
                assert length == len(self.jobs[number].tasks)
                places = [(after.job, index)]
            else:
                places = [(after.job, at) for at in ([after.index] if after.index is not None else range(length))]
            states = [self.ended.get(place) for place in places]
            if after.kind != "afterany" and any(state in ("failed", "cancelled") for state in states):
                return "never"
            if None in states:
                verdict = "later"
        return verdict


@pytest.mark.parametrize("sweep", [SWEEP, SEEDS, ""], ids=["product", "seeds", "single"])
@pytest.mark.parametrize("parallel", [None, 2])
@pytest.mark.parametrize("chunk", [1, 3, 1000])
@pytest.mark.parametrize("together", [1, 2, 100])
def test_every_stage_is_sent_once_and_never_before_what_it_needs(
    sweep: str, parallel: int | None, chunk: int, together: int, plan: Callable[[str], Plan]
) -> None:
    found = plan(sweep)
    jobs = sent(found, parallel=parallel, chunk=chunk, together=together)
    stages = [stage for job in jobs for stage in job.stages]
    assert sorted(stages) == sorted(found.stages)
    assert all(len(job.tasks) <= chunk and max(map(len, job.tasks)) <= together for job in jobs)
    for seed in range(5):
        assert Queue(found, jobs).play(seed).done == set(found.stages)


@pytest.mark.parametrize("parallel", [None, 2])
@pytest.mark.parametrize("sweep", [SWEEP, SEEDS], ids=["product", "seeds"])
@pytest.mark.parametrize("chunk", [3, 1000])
def test_a_point_that_fails_takes_no_other_along(parallel: int | None, sweep: str, chunk: int, plan: Callable[[str], Plan]) -> None:
    found = plan(sweep)
    jobs = sent(found, parallel=parallel, chunk=chunk)
    trainings = [stage_id for stage_id, stage in found.stages.items() if stage.body.word == "pretrain"]
    broken = trainings[1]
    hit = {stage_id for stage_id, stage in found.stages.items() if broken in (stage_id, *(need.stage for need in stage.needs))}
    assert Queue(found, jobs, fails={broken}).play(3).done == set(found.stages) - hit


def test_points_of_one_shape_follow_each_other_index_by_index(plan: Callable[[str], Plan]) -> None:
    found = plan(SEEDS)
    jobs = sent(found, parallel=2)
    by_name = {job.name: job for job in jobs}
    number = jobs.index(by_name["train"])
    assert by_name["train"].after == (After(kind="afterok", job=0),)
    assert After(kind="aftercorr", job=number) in by_name["look"].after
    assert len(jobs) == len(by_name) == 4, "an array a stage"


def test_with_a_limit_a_name_is_one_array_and_the_next_chunk_waits_for_the_first(plan: Callable[[str], Plan]) -> None:
    found = plan(SWEEP)
    assert [len(job.stages) for job in sent(found, parallel=2) if job.name == "look"] == [6]
    assert [len(job.stages) for job in sent(found) if job.name == "look"] == [3, 3]
    jobs = sent(plan(SEEDS), parallel=2, chunk=3)
    trainings = [number for number, job in enumerate(jobs) if job.name == "train"]
    assert [len(jobs[number].stages) for number in trainings] == [3, 3, 1]
    for before, after in itertools.pairwise(trainings):
        assert After(kind="afterany", job=before) in jobs[after].after


def test_points_that_need_the_same_model_share_a_job_and_no_others_do(plan: Callable[[str], Plan]) -> None:
    found = plan(SWEEP)
    jobs = {job.name: job for job in sent(found, together=2, parallel=4)}
    assert [len(task) for task in jobs["look"].tasks] == [2, 1, 2, 1], "three samplers of each of two models"
    for job in jobs.values():
        for task in job.tasks:
            assert len({tuple(need.stage for need in found.stages[stage].needs) for stage in task}) == 1
    # Trainings need the same data.
    assert [len(task) for task in jobs["train"].tasks] == [2]


def test_what_is_done_is_not_sent_and_not_waited_for(plan: Callable[[str], Plan]) -> None:
    found = plan(SEEDS)
    data = {stage_id for stage_id, stage in found.stages.items() if stage.body.word == "data"}
    jobs = sent(found, missing=set(found.stages) - data)
    assert not data & {stage for job in jobs for stage in job.stages}
    assert next(job for job in jobs if job.name == "train").after == ()


def test_what_another_job_works_on_is_waited_for_and_not_sent_again(plan: Callable[[str], Plan]) -> None:
    found = plan(SEEDS)
    (data,) = [stage_id for stage_id, stage in found.stages.items() if stage.body.word == "data"]
    jobs = sent(found, running={data: "77_3"})
    assert data not in {stage for job in jobs for stage in job.stages}
    assert next(job for job in jobs if job.name == "train").after == (After(kind="afterok", id="77_3"),)
