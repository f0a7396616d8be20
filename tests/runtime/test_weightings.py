"""Weightings: what a masked token counts at time t."""

import math

import pytest
import torch

from dllm_run.runtime.build import build
from dllm_run.runtime.schedules import Schedule
from dllm_run.runtime.weightings.schedule import elbo_weight
from dllm_run.specs.vocabulary.schedules import Schedule as ScheduleWord
from dllm_run.specs.vocabulary.weightings import Weighting as WeightingWord
from dllm_run.specs.word import members

SCHEDULES, WEIGHTINGS = members(ScheduleWord), members(WeightingWord)
T = torch.linspace(0.01, 1, 100, dtype=torch.float64)
NONE = torch.zeros(100, 4, dtype=torch.bool)
KNOWN = {
    ("schedule", "linear"): lambda t: 1 / t,
    # -alpha' / (1 - alpha) = (pi/2) sin(x) / cos(x) at x = pi/2 (1 - t).
    ("schedule", "cosine"): lambda t: math.pi / 2 * math.tan(math.pi / 2 * (1 - t)),
    ("uniform", "linear"): lambda t: 1.0,
    ("uniform", "cosine"): lambda t: 1.0,
}


@pytest.fixture(params=SCHEDULES.values(), ids=SCHEDULES)
def schedule(request: pytest.FixtureRequest) -> Schedule:
    built: Schedule = build(request.param())
    return built


def test_every_pair_of_weighting_and_schedule_has_a_known_formula() -> None:
    assert set(KNOWN) == {(weighting, schedule) for weighting in WEIGHTINGS for schedule in SCHEDULES}


@pytest.mark.parametrize(("weighting", "schedule_word"), KNOWN, ids=map("-".join, KNOWN))
def test_weights_are_those_of_the_formula(weighting: str, schedule_word: str) -> None:
    found = build(WEIGHTINGS[weighting]())(build(SCHEDULES[schedule_word]()), T, NONE, NONE)[:, 0]
    expected = torch.tensor([KNOWN[weighting, schedule_word](float(t)) for t in T], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("weighting", WEIGHTINGS.values(), ids=WEIGHTINGS)
def test_weights_are_never_negative_and_keep_the_shape(weighting: type[WeightingWord], schedule: Schedule) -> None:
    found = build(weighting())(schedule, T, NONE, NONE)
    assert found.shape in ((100, 1), (100, 4)) and bool((found >= 0).all())


def test_the_weight_of_the_bound_is_minus_the_derivative_of_log_move_chance(schedule: Schedule) -> None:
    t, h = torch.linspace(0.05, 0.95, 50, dtype=torch.float64), 1e-6
    # w = -alpha'/(1 - alpha) = d/dt log(1 - alpha).
    slope = ((1 - schedule.alpha(t + h)).log() - (1 - schedule.alpha(t - h)).log()) / (2 * h)
    torch.testing.assert_close(elbo_weight(schedule, t), slope, rtol=1e-7, atol=1e-7)
