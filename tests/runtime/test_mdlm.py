"""The masked diffusion objective against a case worked by hand, and against the likelihood that it bounds."""

import itertools
import math
from typing import Any

import numpy as np
import pytest
import torch
from runtime_toys import StubDenoiser, rows, subset_weight, tiny_llama
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

from dllm_run.runtime import noising
from dllm_run.runtime.build import build
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.objectives import Draws, Loss
from dllm_run.runtime.objectives.mdlm import MdlmObjective
from dllm_run.runtime.rows import Rows
from dllm_run.runtime.schedules import Schedule
from dllm_run.specs.vocabulary.objectives.mdlm import Mdlm
from dllm_run.specs.vocabulary.schedules.cosine import Cosine
from dllm_run.specs.vocabulary.weightings.uniform import UniformWeighting

M = 2
"""The mask of the toys whose vocabulary is {0, 1}."""
NEVER = -math.inf
BY_HAND = {
    ((M, 1), 0): (math.log(3), 0.0, NEVER),  # p(0) = 3/4
    ((M, M), 0): (0.0, 0.0, NEVER),  # p(0) = 1/2
    ((M, M), 1): (0.0, math.log(4), NEVER),  # p(1) = 4/5
    ((1, M), 1): (0.0, math.log(9), NEVER),  # p(1) = 9/10
}


def known(seen: tuple[int, ...], position: int) -> tuple[float, ...]:
    return BY_HAND[seen, position]


def draws(time: list[float], mask: list[list[float]]) -> Draws:
    return Draws(torch.tensor(time, dtype=torch.float64), torch.tensor(mask, dtype=torch.float64))


def objective(**fields: object) -> MdlmObjective:
    found: MdlmObjective = build(Mdlm(**fields))  # type: ignore[arg-type]
    return found


def masked_positions(schedule: Schedule, batch: Rows, given: Draws) -> Tensor:
    return noising.masked_positions(schedule, given.time_B[:, None], given.mask_BL, batch)


# The row (0, 1) at t = 1/2: the mask rate is 1/2 and w = 1/t = 2.
#   uniforms (0.2, 0.7): position 0 is masked. L = 2 ln(4/3).
#   uniforms (0.2, 0.4): both are.             L = 2 (ln 2 + ln(5/4)) = 2 ln(5/2).
#   uniforms (0.9, 0.6): none is.              L = 0.
@pytest.mark.parametrize(
    ("mask", "expected"),
    [((0.2, 0.7), 2 * math.log(4 / 3)), ((0.2, 0.4), 2 * math.log(5 / 2)), ((0.9, 0.6), 0.0)],
    ids=["first", "both", "none"],
)
def test_the_loss_of_a_row_is_that_worked_by_hand(mask: tuple[float, float], expected: float) -> None:
    loss = objective().loss(StubDenoiser(known, mask_token=M), rows([[0, 1]]), draws([0.5], [list(mask)]))
    assert loss.numerator.item() == pytest.approx(expected, abs=1e-12)
    assert loss.denominator.item() == 2


# Two rows: (0, 1), both maskable, at t = 1/2 with position 0 masked: 2 ln(4/3);
# and (1, 1), whose first token is given, at t = 1/4 (w = 4, rate 1/4) with position 1 masked: 4 ln(10/9).
#   token:    (2 ln(4/3) + 4 ln(10/9)) / (2 + 1 maskable tokens)
#   sequence: (2 ln(4/3) / 2 + 4 ln(10/9) / 1) / 2 rows
#   batch:    (2 ln(4/3) + 4 ln(10/9)) / 2 rows
FIRST, SECOND = 2 * math.log(4 / 3), 4 * math.log(10 / 9)


@pytest.mark.parametrize(
    ("normalise", "numerator", "denominator"),
    [("token", FIRST + SECOND, 3), ("sequence", FIRST / 2 + SECOND, 2), ("batch", FIRST + SECOND, 2)],
    ids=["token", "sequence", "batch"],
)
def test_each_normalisation_divides_by_what_it_names(normalise: str, numerator: float, denominator: int) -> None:
    given = draws([0.5, 0.25], [[0.2, 0.7], [0.01, 0.2]])
    loss = objective(normalise=normalise).loss(StubDenoiser(known, mask_token=M), rows([[0, 1], [1, 1]], prompts=[0, 1]), given)
    assert loss.numerator.item() == pytest.approx(numerator, abs=1e-12)
    assert loss.denominator.item() == denominator


def test_the_uniform_weighting_counts_every_masked_token_once() -> None:
    loss = objective(weighting=UniformWeighting()).loss(StubDenoiser(known, mask_token=M), rows([[0, 1]]), draws([0.5], [[0.2, 0.4]]))
    assert loss.numerator.item() == pytest.approx(math.log(5 / 2), abs=1e-12)


def test_a_position_is_masked_where_its_uniform_is_below_the_move_chance() -> None:
    given = draws([0.5, 0.5], [[0.49999, 0.50001], [0.3, 0.28]])
    linear = masked_positions(objective().noising.schedule, rows([[0, 1], [0, 1]]), given)
    waves = draws([0.5, 1 / 3], [[0.70, 0.71], [0.49, 0.51]])
    cosine = masked_positions(objective(schedule=Cosine()).noising.schedule, rows([[0, 1], [0, 1]]), waves)
    assert linear.tolist() == [[True, False], [True, True]]
    # 1 - alpha of the cosine schedule is sin(pi t / 2): 0.707 at 1/2, 0.5 at 1/3.
    assert cosine.tolist() == [[True, False], [True, False]]


def padded() -> Rows:
    return rows([[3, 4, 5, 6, 7], [8, 9], [1, 2, 3]], prompts=[2, 1, 0])


def test_given_and_padded_positions_are_never_masked_and_never_counted() -> None:
    batch = padded()
    masked = masked_positions(objective().noising.schedule, batch, Draws(torch.ones(3), torch.full((3, 5), 1e-6)))
    assert masked.tolist() == [[False, False, True, True, True], [False, True, False, False, False], [True, True, True, False, False]]
    assert objective(normalise="token").denominator(batch).item() == 3 + 1 + 3
    assert objective(normalise="batch").denominator(batch).item() == 3
    assert objective(normalise="token").denominator(batch).dtype == torch.float64


class Shapes(TorchDispatchMode):
    """Notes the shape of every tensor that comes to be."""

    def __init__(self, found: set[tuple[int, ...]]) -> None:
        super().__init__()
        self.found = found

    def __torch_dispatch__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        out = func(*args, **(kwargs or {}))
        self.found.update(tuple(item.shape) for item in (out if isinstance(out, tuple) else (out,)) if isinstance(item, Tensor))
        return out


def test_only_masked_positions_reach_the_head_and_nothing_has_the_shape_of_all_logits() -> None:
    denoiser = tiny_llama(vocabulary=11)
    shapes: set[tuple[int, ...]] = set()
    batch = rows([[1, 2, 3, 4, 5, 6], [2, 3, 4, 5, 6, 7]])
    given = Draws(torch.full((2,), 0.5), torch.tensor([[0.1, 0.9, 0.1, 0.9, 0.9, 0.9], [0.9, 0.9, 0.9, 0.9, 0.9, 0.1]]))
    with Shapes(shapes):
        objective().loss(denoiser, batch, given).numerator.backward()
    assert denoiser.head_rows == 3 and denoiser.body_passes == 1
    assert {shape for shape in shapes if shape[-1:] == (11,)} <= {(3, 11), (11,), (32, 11), (2, 11), (1, 2, 11)}


def test_the_denoiser_sees_the_mask_exactly_where_tokens_are_masked() -> None:
    stub = StubDenoiser(lambda seen, position: (0.0,) * 9, mask_token=8)
    objective().loss(stub, rows([[3, 4, 5]]), draws([0.5], [[0.9, 0.1, 0.1]]))
    assert stub.asked == [((3, 8, 8), 1), ((3, 8, 8), 2)]


# --- The loss is a bound ---------------------------------------------------------------------------------------------------
# For a set S of k masked positions out of L, P(S | t) = (1 - alpha)^k alpha^(L-k), and with w = -alpha'/(1 - alpha) and
# r = 1 - alpha (dr = -alpha' dt) the integral of w P(S | t) over t is that of r^(k-1) (1-r)^(L-k) over r in [0, 1], which is
# B(k, L-k+1) = (k-1)! (L-k)! / L!, whatever the schedule. Hence NELBO(x) = sum over S of B(|S|) sum over i in S of -log p(x_i | rest).
# (k-1)! (L-k)! / L! is also the chance that a random order reveals first all outside S, then i, then the rest of S: so NELBO(x)
# is the mean over all orders of the chain rule, and for a denoiser that is the exact posterior of a joint distribution every
# order gives -log p(x). The bound is then tight for every x, not only on average.
LENGTH = 3
JOINT = torch.softmax(torch.tensor([0.3, -1.2, 0.8, 0.1, -0.4, 1.5, -2.0, 0.6], dtype=torch.float64), 0).view(2, 2, 2)
WORLD = list(itertools.product((0, 1), repeat=LENGTH))
SUBSETS = [subset for size in range(1, LENGTH + 1) for subset in itertools.combinations(range(LENGTH), size)]


def posterior(seen: tuple[int, ...], position: int) -> tuple[float, ...]:
    """log p(x_position | what is not masked), by summing the joint distribution."""
    weight = [0.0, 0.0]
    for x in WORLD:
        if all(token in (M, value) for token, value in zip(seen, x, strict=True)):
            weight[x[position]] += float(JOINT[x])
    return (math.log(weight[0] / sum(weight)), math.log(weight[1] / sum(weight)), NEVER)


def some_other(seen: tuple[int, ...], position: int) -> tuple[float, ...]:
    """Logits of no joint distribution at all."""
    return (math.sin(7 * position + 3 * sum(seen)), math.cos(5 * position + 2 * seen[0]), NEVER)


def enumerated(logits_of: object, x: tuple[int, ...]) -> float:
    total = 0.0
    for subset in SUBSETS:
        seen = tuple(M if index in subset else token for index, token in enumerate(x))
        for index in subset:
            logits = logits_of(seen, index)  # type: ignore[operator]
            total += subset_weight(len(subset), LENGTH) * (math.log(sum(map(math.exp, logits))) - logits[x[index]])
    return total


def integrated(word: Mdlm, logits_of: object, x: tuple[int, ...], points: int) -> float:
    """E_t E_S of the objective's own loss: Gauss and Legendre over t, every set of masked positions at each t."""
    node, weight = np.polynomial.legendre.leggauss(points)
    times = [(float(t) + 1) / 2 for t in node]
    found = build(word)
    jobs = [(t, subset, w / 2) for t, w in zip(times, weight, strict=True) for subset in SUBSETS]
    # Uniforms of 0 and 1 force a position into the set or out of it.
    given = draws([t for t, *_ in jobs], [[0.0 if index in subset else 1.0 for index in range(LENGTH)] for _, subset, _ in jobs])
    stub = StubDenoiser(logits_of, mask_token=M)  # type: ignore[arg-type]
    total = 0.0
    for index, (t, subset, w) in enumerate(jobs):
        one = Draws(given.time_B[index : index + 1], given.mask_BL[index : index + 1])
        rate = 1 - float(found.noising.schedule.alpha(torch.tensor(t, dtype=torch.float64)))
        chance = rate ** len(subset) * (1 - rate) ** (LENGTH - len(subset))
        total += w * chance * found.loss(stub, rows([list(x)]), one).numerator.item()
    return total


@pytest.mark.parametrize("x", WORLD, ids=str)
def test_the_bound_is_tight_where_the_denoiser_is_the_exact_posterior(x: tuple[int, ...]) -> None:
    assert enumerated(posterior, x) == pytest.approx(-math.log(float(JOINT[x])), abs=1e-12)
    assert integrated(Mdlm(), posterior, x, points=4) == pytest.approx(-math.log(float(JOINT[x])), abs=1e-12)


def test_the_mean_bound_of_the_exact_posterior_is_the_entropy_of_the_data() -> None:
    mean = sum(float(JOINT[x]) * integrated(Mdlm(), posterior, x, points=4) for x in WORLD)
    assert mean == pytest.approx(float(-(JOINT * JOINT.log()).sum()), abs=1e-12)


@pytest.mark.parametrize("schedule", [Mdlm().schedule, Cosine()], ids=["linear", "cosine"])
def test_the_bound_is_the_same_under_every_schedule(schedule: object) -> None:
    for x in WORLD:
        assert integrated(Mdlm(schedule=schedule), some_other, x, points=24) == pytest.approx(enumerated(some_other, x), abs=1e-9)  # type: ignore[arg-type]


@pytest.mark.parametrize("sampling", ["uniform", "stratified"])
def test_the_mean_loss_over_the_objectives_own_draws_is_the_bound(sampling: str) -> None:
    x, count = (1, 0, 1), 4000
    found = objective(time_epsilon=1e-6, time_sampling=sampling)
    batch = rows([list(x)] * count)
    given = found.draw(Stream(5, "noise"), batch)
    masked = masked_positions(found.noising.schedule, batch, given)
    stub = StubDenoiser(some_other, mask_token=M)
    loss = found.loss(stub, batch, given).numerator.item() / count
    # The spread over t alone is at most that of all draws, so this error serves both ways of sampling.
    entropy = {}
    for subset in SUBSETS:
        seen = tuple(M if index in subset else token for index, token in enumerate(x))
        entropy[subset] = sum(math.log(sum(map(math.exp, some_other(seen, i)))) - some_other(seen, i)[x[i]] for i in subset)
    values = [
        entropy.get(tuple(index for index in range(LENGTH) if row[index]), 0.0) / float(t)
        for row, t in zip(masked.tolist(), given.time_B, strict=True)
    ]
    assert loss == pytest.approx(sum(values) / count, rel=1e-6)
    assert abs(loss - enumerated(some_other, x)) < 4 * float(np.std(values)) / math.sqrt(count)


# --- Draws ------------------------------------------------------------------------------------------------------------------


def global_batch(size: int, micro: int) -> list[Rows]:
    sequences = [[1, 2, 3, 4]] * size
    whole = rows(sequences, samples=[100 + 7 * index for index in range(size)])
    parts = []
    for start in range(0, size, micro):
        cut = slice(start, start + micro)
        parts.append(
            Rows(
                tokens_BL=whole.tokens_BL[cut],
                valid_BL=whole.valid_BL[cut],
                maskable_BL=whole.maskable_BL[cut],
                sample_B=whole.sample_B[cut],
                visit_B=whole.visit_B[cut],
                slot_B=whole.slot_B[cut],
                batch=size,
            )
        )
    return parts


@pytest.mark.parametrize("micro", [1, 2, 4, 8])
def test_stratified_times_put_one_row_in_each_stratum_however_the_batch_is_split(micro: int) -> None:
    found = objective(time_sampling="stratified", time_epsilon=0.01)
    times = torch.cat([found.draw(Stream(0, "noise"), part).time_B for part in global_batch(8, micro)])
    share = (times.double() - 0.01) / 0.99
    assert (share * 8).floor().int().tolist() == list(range(8))
    assert torch.equal(times, found.draw(Stream(0, "noise"), global_batch(8, 8)[0]).time_B)


def test_uniform_times_lie_between_epsilon_and_1_and_fill_the_interval() -> None:
    batch = rows([[1, 2]] * 4000)
    time = objective(time_epsilon=0.2).draw(Stream(0, "noise"), batch).time_B
    assert 0.2 <= float(time.min()) < 0.205 and 0.995 < float(time.max()) < 1
    assert abs(float(time.mean()) - 0.6) < 4 * 0.8 / math.sqrt(12 * 4000)


def test_what_is_drawn_for_a_row_depends_neither_on_its_batch_nor_on_padding() -> None:
    stream, found = Stream(3, "noise"), objective()
    together = found.draw(stream, rows([[1, 2, 3], [4, 5, 6, 7, 8], [9]], samples=[5, 9, 2]))
    alone = found.draw(stream, rows([[1, 2, 3]], samples=[5], batch=3))
    assert torch.equal(alone.time_B[0], together.time_B[0])
    assert torch.equal(alone.mask_BL[0], together.mask_BL[0, :3])


def test_another_sample_and_another_visit_have_other_draws() -> None:
    stream, found = Stream(3, "noise"), objective()
    batch = rows([[1, 2, 3]] * 3, samples=[5, 6, 5])
    again = Rows(**{name: getattr(batch, name) for name in batch.__slots__} | {"visit_B": torch.tensor([0, 0, 1])})
    given = found.draw(stream, again)
    assert len(set(given.time_B.tolist())) == 3
    assert len(set(map(tuple, given.mask_BL.tolist()))) == 3


def test_a_rows_time_is_none_of_its_mask_uniforms() -> None:
    given = objective(time_epsilon=1e-9).draw(Stream(3, "noise"), rows([[1] * 64] * 50))
    assert not (given.time_B[:, None] - given.mask_BL).abs().lt(1e-7).any()


# --- Micro batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalise", ["token", "sequence", "batch"])
@pytest.mark.parametrize("micro", [1, 2, 4])
def test_micro_batches_add_up_to_the_loss_and_gradient_of_the_whole_batch(normalise: str, micro: int) -> None:
    found, stream = objective(normalise=normalise, time_sampling="stratified"), Stream(1, "noise")
    denoiser = Denoiser(tiny_llama(vocabulary=12).network.double(), mask_token=11)
    whole = rows([[1, 2, 3, 4, 5, 6], [7, 8], [3, 1, 2, 9], [4, 4, 4, 4, 4]], prompts=[2, 0, 1, 0], samples=[9, 4, 30, 2])

    def gradients(parts: list[Rows]) -> tuple[float, Tensor]:
        denoiser.zero_grad()
        losses: list[Loss] = [found.loss(denoiser, part, _double(found.draw(stream, part))) for part in parts]
        denominator = sum(loss.denominator.item() for loss in losses)
        total = sum((loss.numerator for loss in losses), torch.zeros((), dtype=torch.float64)) / denominator
        total.backward()
        return total.item(), torch.cat([parameter.grad.flatten() for parameter in denoiser.parameters() if parameter.grad is not None])

    parts = [_narrowed(whole, start, start + micro) for start in range(0, 4, micro)]
    (loss, gradient), (expected, expected_gradient) = gradients(parts), gradients([whole])
    assert loss == pytest.approx(expected, abs=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=1e-12)


def _double(given: Draws) -> Draws:
    return Draws(given.time_B.double(), given.mask_BL.double())


def _narrowed(whole: Rows, start: int, stop: int) -> Rows:
    """Some rows of a batch, with no more padding than they need themselves."""
    cut, length = slice(start, stop), int(whole.valid_BL[start:stop].sum(-1).max())
    return Rows(
        tokens_BL=whole.tokens_BL[cut, :length],
        valid_BL=whole.valid_BL[cut, :length],
        maskable_BL=whole.maskable_BL[cut, :length],
        sample_B=whole.sample_B[cut],
        visit_B=whole.visit_B[cut],
        slot_B=whole.slot_B[cut],
        batch=whole.batch,
    )
