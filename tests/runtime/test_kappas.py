"""Kappa schedules: the derivative is that of kappa, kappa rises from 0 to 1, and its mean is what the vocabulary says."""

import itertools

import pytest
import torch

from dllm_run.runtime.build import build
from dllm_run.runtime.kappas import Kappa, rate_weight
from dllm_run.specs.vocabulary.kappas import Kappa as KappaWord
from dllm_run.specs.vocabulary.kappas.cosine import CosineKappa
from dllm_run.specs.vocabulary.kappas.cubic import CubicKappa
from dllm_run.specs.vocabulary.kappas.linear import LinearKappa
from dllm_run.specs.word import members

WORDS: list[KappaWord] = [
    LinearKappa(),
    CosineKappa(),
    *(CubicKappa(a=a, b=b) for a, b in itertools.product((0.0, 0.5, 1.0, 2.0), repeat=2)),
]


def name(word: KappaWord) -> str:
    return f"{word.word} {word.a:g} {word.b:g}" if isinstance(word, CubicKappa) else word.word


@pytest.fixture(params=WORDS, ids=name)
def word(request: pytest.FixtureRequest) -> KappaWord:
    found: KappaWord = request.param
    return found


@pytest.fixture
def schedule(word: KappaWord) -> Kappa:
    built: Kappa = build(word)
    return built


def test_every_schedule_is_looked_at() -> None:
    assert {word.word for word in WORDS} == set(members(KappaWord))


def test_the_derivative_equals_finite_differences(schedule: Kappa) -> None:
    t, h = torch.linspace(0.01, 0.99, 99, dtype=torch.float64), 1e-5
    difference = (schedule.kappa(t + h) - schedule.kappa(t - h)) / (2 * h)
    torch.testing.assert_close(schedule.derivative(t), difference, rtol=1e-8, atol=1e-8)


def test_kappa_starts_at_0_and_ends_at_1(schedule: Kappa) -> None:
    ends = schedule.kappa(torch.tensor([0.0, 1.0], dtype=torch.float64))
    torch.testing.assert_close(ends, torch.tensor([0.0, 1.0], dtype=torch.float64), rtol=0, atol=1e-15)


def test_kappa_rises(schedule: Kappa) -> None:
    kappa = schedule.kappa(torch.linspace(0, 1, 1001, dtype=torch.float64))
    assert bool((kappa.diff() > 0).all())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_shape_and_precision_are_those_of_the_time(schedule: Kappa, dtype: torch.dtype) -> None:
    t = torch.rand(2, 3, dtype=dtype, generator=torch.Generator().manual_seed(0))
    for found in (schedule.kappa(t), schedule.derivative(t)):
        assert found.shape == t.shape and found.dtype == dtype


def test_the_mean_of_what_remains_is_the_integral_of_the_schedule(word: KappaWord, schedule: Kappa) -> None:
    t = (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    assert word.mean_remaining() == pytest.approx(float((1 - schedule.kappa(t)).mean()), rel=1e-6)


@pytest.mark.parametrize(
    ("word", "t", "kappa", "slope"),
    [
        (LinearKappa(), 0.25, 0.25, 1.0),
        (CosineKappa(), 2 / 3, 0.5, torch.pi / 2 * 3**0.5 / 2),
        (CubicKappa(), 0.5, 0.5, 0.5),  # 2/8 - 3/4 + 2/2; 6/4 - 6/2 + 2
        (CubicKappa(a=0, b=2), 0.5, 1 - 0.5**3, 0.75),  # 1 - (1 - t)^3
    ],
    ids=["linear", "cosine", "cubic", "cubic 0 2"],
)
def test_the_values_are_those_of_the_formula(word: KappaWord, t: float, kappa: float, slope: float) -> None:
    schedule: Kappa = build(word)
    time = torch.tensor(t, dtype=torch.float64)
    assert float(schedule.kappa(time)) == pytest.approx(kappa, abs=1e-15)
    assert float(schedule.derivative(time)) == pytest.approx(slope, abs=1e-15)


def test_the_weight_of_the_linear_schedule_is_1_over_the_time_that_is_left_and_no_more_than_the_most() -> None:
    time = torch.tensor([0.0, 0.5, 0.9, 0.99, 1 - 1e-6])
    expected = torch.tensor([1.0, 2.0, 10.0, 20.0, 20.0], dtype=torch.float64)
    torch.testing.assert_close(rate_weight(build(LinearKappa()), time, 20.0), expected, rtol=1e-6, atol=0)
