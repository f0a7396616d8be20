"""Weightings: what a masked token counts at time t."""

import math
from dataclasses import replace

import pytest
import torch
from runtime_toys import rows
from torch import Tensor

from dllm_run.runtime.build import build
from dllm_run.runtime.rows import Rows
from dllm_run.runtime.schedules import Schedule
from dllm_run.runtime.weightings.schedule import elbo_weight
from dllm_run.specs.vocabulary.schedules import Schedule as ScheduleWord
from dllm_run.specs.vocabulary.schedules.linear import Linear
from dllm_run.specs.vocabulary.weightings import Weighting as WeightingWord
from dllm_run.specs.vocabulary.weightings.cart import Cart
from dllm_run.specs.word import members

SCHEDULES, WEIGHTINGS = members(ScheduleWord), members(WeightingWord)
T = torch.linspace(0.01, 1, 100, dtype=torch.float64)[:, None]
BATCH = rows([[1, 2, 3, 4]] * 100)
HALF = torch.tensor([[True, False, False, True]] * 100)
# At the masked position 0 of (masked, clean, clean, masked): 0.3/2 (1 + 0.7).
CART = 0.15 * 1.7
KNOWN = {
    ("schedule", "linear"): lambda t: 1 / t,
    # -alpha' / (1 - alpha) = (pi/2) sin(x) / cos(x) at x = pi/2 (1 - t).
    ("schedule", "cosine"): lambda t: math.pi / 2 * math.tan(math.pi / 2 * (1 - t)),
    # 2 t / t^2, and (1 - eps) / ((1 - eps) t).
    ("schedule", "polynomial"): lambda t: 2 / t,
    ("schedule", "loglinear"): lambda t: 1 / t,
    **{("uniform", schedule): lambda t: 1.0 for schedule in SCHEDULES},
    **{("cart", schedule): lambda t: CART for schedule in SCHEDULES},
}


@pytest.fixture(params=SCHEDULES.values(), ids=SCHEDULES)
def schedule(request: pytest.FixtureRequest) -> Schedule:
    built: Schedule = build(request.param())
    return built


def test_every_pair_of_weighting_and_schedule_has_a_known_formula() -> None:
    assert set(KNOWN) == {(weighting, schedule) for weighting in WEIGHTINGS for schedule in SCHEDULES}


@pytest.mark.parametrize(("weighting", "schedule_word"), KNOWN, ids=map("-".join, KNOWN))
def test_weights_are_those_of_the_formula(weighting: str, schedule_word: str) -> None:
    found = build(WEIGHTINGS[weighting]())(build(SCHEDULES[schedule_word]()), T, HALF, BATCH)[:, 0]
    expected = torch.tensor([KNOWN[weighting, schedule_word](float(t)) for t in T[:, 0]], dtype=torch.float64)
    torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


@pytest.mark.parametrize("weighting", WEIGHTINGS.values(), ids=WEIGHTINGS)
def test_weights_are_never_negative_and_keep_the_shape(weighting: type[WeightingWord], schedule: Schedule) -> None:
    found = build(weighting())(schedule, T, HALF, BATCH)
    assert found.shape in ((100, 1), (100, 4)) and bool((found >= 0).all())


def test_the_weight_of_the_bound_is_minus_the_derivative_of_log_move_chance(schedule: Schedule) -> None:
    t, h = torch.linspace(0.05, 0.95, 50, dtype=torch.float64), 1e-6
    # w = -alpha'/(1 - alpha) = d/dt log(1 - alpha).
    slope = ((1 - schedule.alpha(t + h)).log() - (1 - schedule.alpha(t - h)).log()) / (2 * h)
    torch.testing.assert_close(elbo_weight(schedule, t), slope, rtol=1e-7, atol=1e-7)


# --- cart


def double_sum(clean: list[bool], document: list[int], p: float) -> list[float]:
    places = range(len(clean))
    return [sum(p * (1 - p) ** (abs(i - j) - 1) / 2 for j in places if j != i and clean[j] and document[i] == document[j]) for i in places]


def cart(masked_BL: Tensor, batch: Rows, p: float) -> Tensor:
    found: Tensor = build(Cart(p=p))(build(Linear()), torch.full((len(masked_BL), 1), 0.5, dtype=torch.float64), masked_BL, batch)
    return found


@pytest.mark.parametrize("p", [0.3, 0.05, 1.0])
@pytest.mark.parametrize("length", [1, 2, 3, 7, 8, 33])
@pytest.mark.parametrize("documents", [False, True], ids=["one-text", "documents"])
def test_cart_is_the_double_sum_over_clean_tokens_of_the_same_text(length: int, p: float, documents: bool) -> None:
    generator = torch.Generator().manual_seed(length)
    batch = rows([[1] * length, [1] * max(1, length - 2)], prompts=[length // 3, 0])
    masked = (torch.rand(2, length, generator=generator) < 0.5) & batch.maskable_BL
    document_BL = (torch.arange(length) // 5).expand(2, length) if documents else torch.zeros(2, length, dtype=torch.int64)
    found = cart(masked, replace(batch, document_BL=document_BL if documents else None), p)
    for row in range(2):
        clean = (batch.valid_BL[row] & ~masked[row]).tolist()
        assert found[row].tolist() == pytest.approx(double_sum(clean, document_BL[row].tolist(), p), abs=1e-14)


def test_cart_is_1_at_most_and_reaches_it_in_the_middle_of_a_long_clean_text() -> None:
    batch, masked = rows([[1] * 401]), torch.zeros(1, 401, dtype=torch.bool)
    masked[0, 200] = True
    found = cart(masked, batch, 0.3)
    assert float(found.max()) <= 1 and float(found[0, 200]) == pytest.approx(1, abs=1e-12)
    assert float(cart(torch.ones_like(masked), batch, 0.3).max()) == 0
