"""Noise schedules: the derivative is that of alpha, and alpha falls from 1 to 0."""

import pytest
import torch

from dllm_run.runtime.build import build
from dllm_run.runtime.schedules import Schedule
from dllm_run.specs.vocabulary.schedules import Schedule as ScheduleWord
from dllm_run.specs.word import members

WORDS = members(ScheduleWord)


@pytest.fixture(params=WORDS.values(), ids=WORDS)
def schedule(request: pytest.FixtureRequest) -> Schedule:
    built: Schedule = build(request.param())
    return built


def test_there_are_schedules() -> None:
    assert {"linear", "cosine"} <= set(WORDS)


def test_the_derivative_equals_finite_differences(schedule: Schedule) -> None:
    t, h = torch.linspace(0.01, 0.99, 99, dtype=torch.float64), 1e-5
    difference = (schedule.alpha(t + h) - schedule.alpha(t - h)) / (2 * h)
    torch.testing.assert_close(schedule.derivative(t), difference, rtol=1e-8, atol=1e-8)


def test_alpha_starts_at_1_and_ends_at_0(schedule: Schedule) -> None:
    ends = schedule.alpha(torch.tensor([0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(ends, torch.tensor([1.0, 0.0], dtype=torch.float64), rtol=0, atol=1e-15)


def test_alpha_falls(schedule: Schedule) -> None:
    alpha = schedule.alpha(torch.linspace(0, 1, 1001, dtype=torch.float64))
    assert bool((alpha.diff() < 0).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_shape_and_precision_are_those_of_the_time(schedule: Schedule, dtype: torch.dtype) -> None:
    t = torch.rand(2, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for found in (schedule.alpha(t), schedule.derivative(t)):
        assert found.shape == t.shape and found.dtype == dtype


@pytest.mark.parametrize(
    ("word", "t", "alpha"),
    [("linear", 0.25, 0.75), ("cosine", 0.5, 1 - 0.5**0.5), ("cosine", 1 / 3, 0.5), ("cosine", 2 / 3, 1 - 3**0.5 / 2)],
)
def test_alpha_has_the_values_of_its_formula(word: str, t: float, alpha: float) -> None:
    assert float(build(WORDS[word]()).alpha(torch.tensor(t, dtype=torch.float64))) == pytest.approx(alpha, abs=1e-15)
