"""A mask and its complement: every token once, and the same mean loss; weights under a cap."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from runtime_toys import StubDenoiser, rows, subset_weight
from torch import Tensor

from dllm_run.runtime.build import build
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.objectives import Draws
from dllm_run.runtime.objectives.mdlm import MdlmObjective
from dllm_run.specs.vocabulary.objectives.mdlm import Mdlm
from dllm_run.specs.vocabulary.schedules.cosine import Cosine
from dllm_run.specs.vocabulary.schedules.linear import Linear
from dllm_run.specs.vocabulary.schedules.loglinear import Loglinear
from dllm_run.specs.vocabulary.schedules.polynomial import Polynomial
from dllm_run.specs.vocabulary.weightings.cart import Cart
from dllm_run.specs.vocabulary.weightings.schedule import ScheduleWeighting
from dllm_run.specs.vocabulary.weightings.uniform import UniformWeighting

M, LENGTH = 2, 3
NEVER = -math.inf
SUBSETS = [subset for size in range(LENGTH + 1) for subset in itertools.combinations(range(LENGTH), size)]
SCHEDULES = [Linear(), Cosine(), Polynomial(power=2), Polynomial(power=0.5), Loglinear(epsilon=0)]


def objective(**fields: Any) -> MdlmObjective:
    found: MdlmObjective = build(Mdlm(**fields))
    return found


def logits_of(seen: tuple[int, ...], position: int) -> tuple[float, ...]:
    return (math.sin(7 * position + 3 * sum(seen)), math.cos(5 * position + 2 * seen[0]), NEVER)


def nll_of(subset: tuple[int, ...], x: tuple[int, ...]) -> float:
    seen = tuple(M if index in subset else token for index, token in enumerate(x))
    return sum(math.log(sum(map(math.exp, logits_of(seen, i)))) - logits_of(seen, i)[x[i]] for i in subset)


def weights(found: MdlmObjective, time: float, mask: tuple[bool, ...]) -> list[list[float]]:
    uniform_BL = torch.tensor([[0.0 if masked else 1.0 for masked in mask]], dtype=torch.float64)
    noisy = found.noising.noisy(rows([[1] * len(mask)]), torch.tensor([[time]], dtype=torch.float64), uniform_BL)
    return [torch.where(one.masked_BL, one.weight_BL, 0)[0].tolist() for one in noisy]


# At t = 1/4 of the linear schedule a mask counts 4 and its complement, a mask of rate 3/4, 4/3.
# At t = 1/3 of the cosine schedule alpha = 1/2: both have rate 1/2, and w = (pi/2) cos(pi/6) / (1/2) = pi/2 sqrt(3).
# At t = 1/2 of the square alpha = 3/4: 2t/t^2 = 4; the complement, of rate 3/4, has -alpha'/alpha = 1 / (3/4).
@pytest.mark.parametrize(
    ("schedule", "time", "own", "other"),
    [
        (Linear(), 0.25, 4, 4 / 3),
        (Cosine(), 1 / 3, math.pi / 2 * math.sqrt(3), math.pi / 2 * math.sqrt(3)),
        (Polynomial(power=2), 0.5, 4, 4 / 3),
    ],
    ids=str,
)
def test_a_mask_and_its_complement_count_as_worked_by_hand(schedule: Any, time: float, own: float, other: float) -> None:
    found = weights(objective(schedule=schedule, complementary=True), time, (True, False, False, True))
    assert found == [pytest.approx([own, 0, 0, own], rel=1e-12), pytest.approx([0, other, other, 0], rel=1e-12)]


def test_every_maskable_token_is_predicted_once_and_given_ones_never() -> None:
    found, batch = objective(complementary=True), rows([[1, 0, 1, 1], [0, 1]], prompts=[1, 0])
    stub = StubDenoiser(logits_of, mask_token=M)
    given = Draws(torch.tensor([0.5, 0.5]), torch.tensor([[0.1, 0.1, 0.9, 0.1], [0.9, 0.1, 0.1, 0.1]]))
    loss = found.loss(stub, batch, given)  # type: ignore[arg-type]
    assert stub.asked == [((1, 2, 1, 2), 1), ((1, 2, 1, 2), 3), ((0, 2), 1), ((1, 0, 2, 1), 2), ((2, 1), 0)]
    assert loss.denominator.item() == 2 * (3 + 2)
    assert objective(complementary=True, normalise="batch").denominator(batch).item() == 2 * 2


def mean_loss(found: MdlmObjective, x: tuple[int, ...], points: int) -> float:
    """E_t E_S of the loss over its denominator: Gauss and Legendre over s, t = s^2 (3 - 2s), which has no roots left at either end."""
    node, weight = np.polynomial.legendre.leggauss(points)
    stub, total = StubDenoiser(logits_of, mask_token=M), 0.0
    for s, ds in zip((node + 1) / 2, weight / 2, strict=True):
        t, w = s * s * (3 - 2 * s), 6 * s * (1 - s) * ds
        rate = 1 - float(found.noising.schedule.alpha(torch.tensor(float(t), dtype=torch.float64)))
        for subset in SUBSETS:
            uniform = torch.tensor([[0.0 if index in subset else 1.0 for index in range(LENGTH)]], dtype=torch.float64)
            loss = found.loss(stub, rows([list(x)]), Draws(torch.tensor([float(t)], dtype=torch.float64), uniform))  # type: ignore[arg-type]
            chance = rate ** len(subset) * (1 - rate) ** (LENGTH - len(subset))
            total += w * chance * loss.numerator.item() / loss.denominator.item()
    return total


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_the_mean_over_times_and_masks_is_the_bound_with_and_without_the_complement(schedule: Any) -> None:
    for x in ((0, 1, 1), (1, 0, 0)):
        expected = sum(subset_weight(len(subset), LENGTH) * nll_of(subset, x) for subset in SUBSETS if subset) / LENGTH
        for complementary in (False, True):
            found = objective(schedule=schedule, complementary=complementary)
            assert mean_loss(found, x, points=20) == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("weighting", [UniformWeighting(), Cart(p=0.4), ScheduleWeighting()], ids=str)
def test_the_complement_keeps_the_mean_of_every_weighting(weighting: Any) -> None:
    # The cosine schedule is not its own mirror image: without |dt/dt'| these would differ.
    alone, both = (objective(schedule=Cosine(), weighting=weighting, complementary=complementary) for complementary in (False, True))
    assert mean_loss(both, (0, 1, 1), points=20) == pytest.approx(mean_loss(alone, (0, 1, 1), points=20), rel=1e-9)


def test_the_complement_lowers_the_variance_of_the_loss() -> None:
    x, count = [1, 0, 1], 2000

    def spread(found: MdlmObjective) -> float:
        given = found.draw(Stream(1, "noise"), rows([x] * count))
        stub, values = StubDenoiser(logits_of, mask_token=M), []
        for row in range(count):
            loss = found.loss(stub, rows([x]), Draws(given.time_B[row : row + 1], given.mask_BL[row : row + 1]))  # type: ignore[arg-type]
            values.append(loss.numerator.item() / loss.denominator.item())
        return float(np.var(values))

    # Two independent masks would halve it.
    alone, both = (spread(objective(weighting=UniformWeighting(), complementary=complementary)) for complementary in (False, True))
    assert both < alone / 4


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_neither_the_time_of_a_mask_nor_that_of_its_complement_is_below_the_smallest(schedule: Any) -> None:
    found = objective(schedule=schedule, complementary=True, time_epsilon=0.1)
    time_B = found.draw(Stream(0, "noise"), rows([[1]] * 4000)).time_B.double()
    other_B = found.noising.schedule.time(1 - found.noising.schedule.alpha(time_B))
    for times in (time_B, other_B):
        assert 0.1 - 1e-6 <= float(times.min()) < 0.11


def test_weights_above_the_cap_count_as_much_as_the_cap() -> None:
    assert weights(objective(max_weight=3), 0.25, (True, False))[0] == pytest.approx([3, 0])
    assert weights(objective(max_weight=5), 0.25, (True, False))[0] == pytest.approx([4, 0])
    assert weights(objective(max_weight=2, complementary=True), 0.75, (True, False)) == [pytest.approx([4 / 3, 0]), pytest.approx([0, 2])]
    # The cap is on the weight of a token, not on its share of a row.
    assert weights(objective(max_weight=3, normalise="sequence"), 0.25, (True, False))[0] == pytest.approx([1.5, 0])


def test_small_mask_rates_keep_their_digits_in_float32() -> None:
    # 1 - alpha = t^2 = 1e-6 has one digit and a half as a difference of float32 numbers.
    time_BX = torch.tensor([[1e-3]], dtype=torch.float32)
    noisy = objective(schedule=Polynomial(power=2)).noising.noisy(rows([[1]]), time_BX, torch.zeros(1, 1))
    weight: Tensor = noisy[0].weight_BL
    assert weight.dtype == torch.float32 and float(weight[0, 0]) == pytest.approx(2000, rel=1e-6)
