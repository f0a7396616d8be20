"""Noise schedules: the derivative is that of alpha, and alpha falls from 1 to 0."""

import pytest
import torch

from dllm_run.runtime.build import build
from dllm_run.runtime.schedules import Schedule
from dllm_run.specs.vocabulary.schedules import Schedule as ScheduleWord
from dllm_run.specs.vocabulary.schedules.loglinear import Loglinear
from dllm_run.specs.vocabulary.schedules.polynomial import Polynomial
from dllm_run.specs.word import members

WORDS = members(ScheduleWord)


@pytest.fixture(params=WORDS.values(), ids=WORDS)
def schedule(request: pytest.FixtureRequest) -> Schedule:
    built: Schedule = build(request.param())
    return built


def test_there_are_schedules() -> None:
    assert {"linear", "cosine", "polynomial", "loglinear"} <= set(WORDS)


def test_the_derivative_equals_finite_differences(schedule: Schedule) -> None:
    t, h = torch.linspace(0.01, 0.99, 99, dtype=torch.float64), 1e-5
    difference = (schedule.alpha(t + h) - schedule.alpha(t - h)) / (2 * h)
    torch.testing.assert_close(schedule.derivative(t), difference, rtol=1e-8, atol=1e-8)


LEFT = {"loglinear": 1e-3}
"""What is clean at t = 1, where that is not 0."""


@pytest.mark.parametrize("word", WORDS)
def test_alpha_starts_at_1_and_ends_at_0_or_at_what_the_word_says(word: str) -> None:
    ends = build(WORDS[word]()).alpha(torch.tensor([0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(ends, torch.tensor([1.0, LEFT.get(word, 0.0)], dtype=torch.float64), rtol=0, atol=1e-15)


def test_the_time_of_an_alpha_is_the_one_that_has_it(schedule: Schedule) -> None:
    t = torch.linspace(0.01, 1, 100, dtype=torch.float64)
    torch.testing.assert_close(schedule.time(schedule.alpha(t)), t, rtol=1e-12, atol=1e-12)


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
    [
        ("linear", 0.25, 0.75),
        ("cosine", 0.5, 1 - 0.5**0.5),
        ("cosine", 1 / 3, 0.5),
        ("cosine", 2 / 3, 1 - 3**0.5 / 2),
        ("polynomial", 0.5, 0.75),
        ("polynomial", 0.1, 0.99),
        ("loglinear", 0.5, 0.5005),
    ],
)
def test_alpha_has_the_values_of_its_formula(word: str, t: float, alpha: float) -> None:
    assert float(build(WORDS[word]()).alpha(torch.tensor(t, dtype=torch.float64))) == pytest.approx(alpha, abs=1e-15)


def test_the_power_of_a_polynomial_is_that_of_the_mask_rate() -> None:
    root, t = build(Polynomial(power=0.5)), torch.tensor([0.25, 0.64], dtype=torch.float64)
    assert root.alpha(t).tolist() == pytest.approx([0.5, 0.2], abs=1e-15)
    assert root.derivative(t).tolist() == pytest.approx([-1.0, -0.625], abs=1e-15)


def test_the_log_linear_schedule_is_the_exponential_of_its_sigma() -> None:
    # MDLM's own form: sigma(t) = -log(1 - (1 - eps) t), alpha = exp(-sigma).
    t = torch.linspace(0, 1, 11, dtype=torch.float64)
    sigma = -torch.log1p(-(1 - 0.2) * t)
    torch.testing.assert_close(build(Loglinear(epsilon=0.2)).alpha(t), torch.exp(-sigma), rtol=0, atol=1e-15)
