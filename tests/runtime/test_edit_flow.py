"""Edit Flows: the loss by hand, by the formula written out and by enumerating times and columns; the chain that it learns."""

import itertools
import math
import random
from dataclasses import replace
from typing import Any

import pytest
import torch
from edit_toys import constant_model, edit_model, edit_rows, text_of
from torch import Tensor

from dllm_run.runtime.align import BLANK
from dllm_run.runtime.build import build
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.edit_heads import DELETE, INSERT, SUBSTITUTE, Edits
from dllm_run.runtime.kappas import Kappa, rate_weight
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.objectives import edit_flow
from dllm_run.runtime.objectives.edit_flow import EditDraws, EditFlowObjective, compacted
from dllm_run.runtime.rows import Rows
from dllm_run.runtime.seen import everyone
from dllm_run.specs.vocabulary.kappas.cosine import CosineKappa
from dllm_run.specs.vocabulary.kappas.cubic import CubicKappa
from dllm_run.specs.vocabulary.kappas.linear import LinearKappa
from dllm_run.specs.vocabulary.objectives.edit_flow import EditFlow

MASK = 11
LINEAR = EditFlow(schedule=LinearKappa())
GOALS = [[0, 3, 4, 5, 6], [0, 7, 8], [0, 1, 2, 2, 9, 9, 3], [0, 5]]
STARTS = [[MASK, MASK], [MASK] * 4, [], [MASK] * 3]
PROMPTS = [1, 2, 3, 1]


def objective(word: EditFlow) -> EditFlowObjective:
    found = build(word)
    assert isinstance(found, EditFlowObjective)
    return found


def draws(time: list[float], columns: Tensor) -> EditDraws:
    return EditDraws(torch.tensor(time), columns)


# --- by hand


def test_a_row_of_two_tokens_by_hand() -> None:
    """Prompt b, goal 1 2 from one mask: 1 is to be inserted behind b, the mask to become 2. At t = 1/2 nothing has happened yet.

    x_t = b M; w = 1 / (1 - 1/2) = 2; all rates: 2 (0.2 + 0.3 + 0.5) = 2. Remaining: insertion of 1, log 0.5 + log 0.6;
    substitution by 2, log 0.2 + log 0.7. Two goal tokens: loss = 2/2 (2 - log 0.5 - log 0.6 - log 0.2 - log 0.7).
    """
    denoiser = constant_model([0.2, 0.3, 0.5], [0.1, 0.2, 0.7], [0.1, 0.6, 0.3])
    rows = edit_rows([[0, 1, 2]], [[3]], [1])
    assert rows.start_BC is not None and rows.start_BC.tolist() == [[0, BLANK, 3]]
    found = objective(LINEAR).loss(denoiser, rows, draws([0.5], torch.full((1, 3), 0.9)))
    assert found.numerator.item() == pytest.approx(2 - math.log(0.5 * 0.6 * 0.2 * 0.7), abs=1e-6)
    assert float(found.denominator) == 1


def test_what_has_happened_costs_its_rates_alone() -> None:
    """The same row with the insertion done: x_t = b 1 M, three tokens, the substitution remains."""
    denoiser = constant_model([0.2, 0.3, 0.5], [0.1, 0.2, 0.7], [0.1, 0.6, 0.3])
    columns = torch.tensor([[0.9, 0.1, 0.9]])
    found = objective(LINEAR).loss(denoiser, edit_rows([[0, 1, 2]], [[3]], [1]), draws([0.5], columns))
    assert found.numerator.item() == pytest.approx(3 - math.log(0.2 * 0.7), abs=1e-6)


def test_a_deletion_has_a_rate_and_no_token() -> None:
    """Goal 1 from two masks: the first of them goes, the second becomes 1."""
    denoiser = constant_model([0.2, 0.3, 0.5], [0.1, 0.2, 0.7], [0.1, 0.6, 0.3])
    found = objective(LINEAR).loss(denoiser, edit_rows([[0, 1]], [[3, 3]], [1]), draws([0.5], torch.full((1, 3), 0.9)))
    assert found.numerator.item() == pytest.approx(2 * (3 - math.log(0.3 * 0.2 * 0.2)), abs=1e-6)


@pytest.mark.parametrize(("normalise", "numerator", "denominator"), [("sequence", 0.5, 1), ("token", 1, 2), ("batch", 1, 1)])
def test_the_loss_is_divided_as_the_word_says(normalise: str, numerator: float, denominator: int) -> None:
    denoiser = constant_model([0.2, 0.3, 0.5], [0.1, 0.2, 0.7], [0.1, 0.6, 0.3])
    rows = edit_rows([[0, 1, 2]], [[3]], [1])
    found = objective(replace(LINEAR, normalise=normalise)).loss(denoiser, rows, draws([0.5], torch.full((1, 3), 0.9)))
    whole = 2 * (2 - math.log(0.5 * 0.6 * 0.2 * 0.7))
    assert found.numerator.item() == pytest.approx(numerator * whole, abs=1e-6)
    assert float(found.denominator) == denominator


def test_the_weight_is_capped() -> None:
    denoiser = constant_model([0.2, 0.3, 0.5], [0.1, 0.2, 0.7], [0.1, 0.6, 0.3])
    rows, columns = edit_rows([[0, 1, 2]], [[3]], [1]), torch.full((1, 3), 0.999)
    capped, more = (
        float(objective(replace(LINEAR, max_weight=most)).loss(denoiser, rows, draws([0.99], columns)).numerator) for most in (5, 50)
    )
    assert more == pytest.approx(10 * capped, rel=1e-9)


# --- written out: one row after the other, all logits, as the formula stands


def written_out(denoiser: Denoiser, rows: Rows, given: EditDraws, word: EditFlow) -> float:
    schedule: Kappa = build(word.schedule)
    assert rows.start_BC is not None and rows.goal_BC is not None
    total, mean_of = 0.0, len(rows.sample_B)
    for index in range(mean_of):
        kappa = float(schedule.kappa(given.time_B[index]))
        weight = min(float(schedule.derivative(given.time_B[index].double())) / (1 - kappa), word.max_weight)
        start, goal = rows.start_BC[index].tolist(), rows.goal_BC[index].tolist()
        mixed = [goal[c] if float(given.column_BC[index, c]) < kappa else start[c] for c in range(len(goal))]
        text = text_of(mixed)
        hidden = denoiser.body(torch.tensor([text]), everyone(torch.ones(1, len(text), dtype=torch.bool)))[0]
        network = denoiser.network
        rate = torch.nn.functional.softplus(network.rate_heads[0](hidden))
        tokens = {}
        for edit, head in ((SUBSTITUTE, network.sub_logits), (INSERT, network.ins_logits)):
            logits = head(hidden)
            logits[:, MASK] = -torch.inf
            tokens[edit] = logits.log_softmax(-1)
        if denoiser.logit_shift:
            rate = torch.cat([torch.cat([torch.zeros(1, 2, dtype=rate.dtype), rate[:-1, :2]]), rate[:, 2:]], 1)
            tokens[SUBSTITUTE] = torch.cat([torch.zeros_like(tokens[SUBSTITUTE][:1]), tokens[SUBSTITUTE][:-1]])
        loss = float(rate.sum())
        for column, (here, there) in enumerate(zip(mixed, goal, strict=True)):
            before = len(text_of(mixed[:column]))
            if here == there:
                continue
            if here == BLANK:
                loss -= float(rate[before - 1, INSERT].log() + tokens[INSERT][before - 1, there])
            elif there == BLANK:
                loss -= float(rate[before, DELETE].log())
            else:
                loss -= float(rate[before, SUBSTITUTE].log() + tokens[SUBSTITUTE][before, there])
        total += weight * loss / (sum(map(bool, rows.maskable_BL[index].tolist())))
    return total / mean_of


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("schedule", [LinearKappa(), CubicKappa(), CosineKappa()], ids=lambda word: word.word)
def test_the_loss_is_the_formula_written_out(schedule: Any, shift: int) -> None:
    word = EditFlow(schedule=schedule)
    denoiser, rows = edit_model(shift=shift), edit_rows(GOALS, STARTS, PROMPTS)
    for seed in range(5):
        given = objective(word).draw(Stream(seed, "noise"), rows)
        found = objective(word).loss(denoiser, rows, given)
        assert float(found.numerator / found.denominator) == pytest.approx(written_out(denoiser, rows, given, word), rel=1e-6)


# --- all times and all columns


def expected_loss(rates: list[float], substituted: list[float], inserted: list[float], times: list[float], most: float) -> float:
    """E over t and columns, of prompt 0 and goal 1 0 from one mask: an insertion of 1 and a substitution by 0, independent of each other.

    At time t each has happened with probability t. The text has 2 tokens, and one more once the insertion has happened.
    """
    total = 0.0
    for t in times:
        tokens = 2 + t
        remaining = math.log(rates[INSERT] * inserted[1]) + math.log(rates[SUBSTITUTE] * substituted[0])
        total += min(1 / (1 - t), most) * (tokens * sum(rates) - (1 - t) * remaining)
    return total / len(times) / 2  # two goal tokens


def test_the_mean_over_all_times_and_columns_is_that_of_an_independent_sum() -> None:
    """A vocabulary of two tokens and rates that depend on nothing: every subset of columns, at 200 times, with its probability."""
    rates, substituted, inserted = [0.4, 0.1, 0.7], [0.3, 0.7], [0.8, 0.2]
    denoiser, word = constant_model(rates, substituted, inserted), replace(LINEAR, max_weight=8.0)
    rows = edit_rows([[0, 1, 0]], [[2]], [1])
    times, found = [(index + 0.5) / 200 for index in range(200)], 0.0
    for t, moved in itertools.product(times, itertools.product((True, False), repeat=2)):
        columns = torch.tensor([[0.5, *(0.0 if there else 1.0 for there in moved)]])
        loss = float(objective(word).loss(denoiser, rows, draws([t], columns)).numerator)
        found += math.prod(t if there else 1 - t for there in moved) * loss / len(times)
    assert found == pytest.approx(expected_loss(rates, substituted, inserted, times, 8.0), rel=1e-5)


def test_drawn_losses_have_that_mean() -> None:
    rates, substituted, inserted = [0.4, 0.1, 0.7], [0.3, 0.7], [0.8, 0.2]
    denoiser, word = constant_model(rates, substituted, inserted), replace(LINEAR, max_weight=8.0, time_epsilon=1e-6)
    count = 4000
    rows = edit_rows([[0, 1, 0]] * count, [[2]] * count, [1] * count)
    with torch.no_grad():
        losses = objective(word).bound(denoiser, rows, Stream(0, "noise")) / 2
    fine = [(index + 0.5) / 5000 for index in range(5000)]
    error = float(losses.std()) / math.sqrt(count)
    assert float(losses.mean()) == pytest.approx(expected_loss(rates, substituted, inserted, fine, 8.0), abs=4 * error)


def test_the_loss_of_the_rows_sums_up_to_that_of_the_batch() -> None:
    denoiser, rows = edit_model(), edit_rows(GOALS, STARTS, PROMPTS)
    word = replace(LINEAR, normalise="batch", time_sampling="stratified")
    whole = objective(word).loss(denoiser, rows, objective(word).draw(Stream(3, "noise"), rows))
    each = objective(LINEAR).bound(denoiser, rows, Stream(3, "noise"))
    assert each.dtype == torch.float64 and each.shape == (4,)
    assert float(each.sum()) == pytest.approx(float(whole.numerator.detach()), rel=1e-9)


# --- what is learned


def free_rates(monkeypatch: pytest.MonkeyPatch, raw_BL3: Tensor) -> None:
    """Rates that are parameters of their own, a number for each place."""
    zeros = torch.zeros(*raw_BL3.shape[:2], 32, dtype=torch.float64)
    monkeypatch.setattr(edit_flow, "read", lambda *_: Edits(raw_BL3, zeros, zeros))


def test_the_rates_that_minimise_the_loss_of_a_pair_are_as_many_as_edits_remain_and_0_elsewhere(monkeypatch: pytest.MonkeyPatch) -> None:
    """Prompt 0; goal 1 1 2 from one mask: two insertions behind the prompt (rate 2 in all), one substitution (rate 1)."""
    denoiser, rows = constant_model([1.0, 1.0, 1.0], [0.2, 0.2, 0.6], [0.1, 0.6, 0.3]), edit_rows([[0, 1, 1, 2]], [[3]], [1])
    best = torch.zeros(1, 2, 3, dtype=torch.float64)
    best[0, 0, INSERT], best[0, 1, SUBSTITUTE] = 2.0, 1.0
    raw = torch.where(best > 0, best.expm1().log(), -30.0).requires_grad_()
    free_rates(monkeypatch, raw)
    objective(LINEAR).loss(denoiser, rows, draws([0.5], torch.full((1, 4), 0.9))).numerator.backward()
    assert raw.grad is not None
    torch.testing.assert_close(raw.grad, torch.zeros_like(raw), rtol=0, atol=1e-12)
    # Elsewhere it is no minimum: a rate that is too low is pushed up, one too high down, one that should be 0 down.
    other = torch.full((1, 2, 3), 1.5, dtype=torch.float64).expm1().log().requires_grad_()
    free_rates(monkeypatch, other)
    objective(LINEAR).loss(denoiser, rows, draws([0.5], torch.full((1, 4), 0.9))).numerator.backward()
    assert other.grad is not None
    assert other.grad[0].sign().tolist() == [[1, 1, -1], [1, 1, 1]]


def test_a_rate_that_is_0_in_its_number_format_still_learns(monkeypatch: pytest.MonkeyPatch) -> None:
    denoiser, rows = constant_model([1.0, 1.0, 1.0], [0.2, 0.2, 0.6], [0.1, 0.6, 0.3]), edit_rows([[0, 1, 2]], [[3]], [1])
    raw = torch.full((1, 2, 3), -200.0, dtype=torch.float32, requires_grad=True)
    free_rates(monkeypatch, raw)
    loss = objective(LINEAR).loss(denoiser, rows, draws([0.5], torch.full((1, 3), 0.9))).numerator
    loss.backward()
    assert raw.grad is not None and math.isfinite(float(loss))
    assert float(raw.grad[0, 0, INSERT]) == pytest.approx(-1, abs=1e-6)


def edited(text: list[int], edit: int, position: int, token: int) -> list[int]:
    """A text after one edit, as the words say it."""
    if edit == INSERT:
        return [*text[: position + 1], token, *text[position + 1 :]]
    return [*text[:position], *([] if edit == DELETE else [token]), *text[position + 1 :]]


@pytest.mark.parametrize("schedule", [LinearKappa(), CubicKappa(), CosineKappa()], ids=lambda word: word.word)
def test_the_chain_with_the_best_rates_is_at_the_goal_at_time_1(schedule: Any) -> None:
    """Jumps of the exact chain, in any order: each edit that remains happens at rate kappa' / (1 - kappa), where it is told.

    With n edits left none has happened by t' with probability ((1 - kappa(t')) / (1 - kappa(t)))^n. Half of them have at kappa = 1/2.
    """
    generator, kappa = random.Random(0), build(schedule)
    halfway, everything = 0, 0
    for _ in range(60):
        goal = [0, *(generator.randrange(1, 4) for _ in range(generator.randrange(9)))]
        start = [generator.randrange(1, 4) for _ in range(generator.randrange(9))]
        rows = edit_rows([goal], [start], [1])
        assert rows.start_BC is not None and rows.goal_BC is not None
        columns, text, left = rows.start_BC.clone(), [0, *start], 1.0
        everything += int((columns != rows.goal_BC).sum())
        while True:
            noisy = compacted(columns, rows.goal_BC, fill=9)
            assert noisy.tokens_BL[0].tolist() == text
            edits = list(zip(noisy.edit_R.tolist(), noisy.position_R.tolist(), noisy.token_R.tolist(), strict=True))
            if not edits:
                break
            left *= generator.random() ** (1 / len(edits))  # 1 - kappa of the next jump
            assert 0 < left < 1
            halfway += left > 0.5
            chosen = generator.randrange(len(edits))
            text = edited(text, *edits[chosen])
            column = (columns != rows.goal_BC).nonzero()[chosen, 1]
            columns[0, column] = rows.goal_BC[0, column]
        assert text == goal
    assert float(kappa.kappa(torch.tensor(1.0))) == pytest.approx(1)
    assert halfway / everything == pytest.approx(0.5, abs=4 * 0.5 / math.sqrt(everything))


# --- batches


def test_draws_of_a_row_hang_on_neither_batch_nor_padding() -> None:
    whole = objective(LINEAR).draw(Stream(1, "noise"), edit_rows(GOALS, STARTS, PROMPTS))
    for index in range(len(GOALS)):
        alone = edit_rows([GOALS[index]], [STARTS[index]], [PROMPTS[index]], samples=[index])
        found = objective(LINEAR).draw(Stream(1, "noise"), alone)
        assert torch.equal(found.time_B, whole.time_B[index : index + 1])
        assert torch.equal(found.column_BC[0], whole.column_BC[index, : found.column_BC.shape[1]])


@pytest.mark.parametrize("shift", [0, 1])
def test_micro_batches_add_up_to_the_whole(shift: int) -> None:
    word = replace(LINEAR, time_sampling="stratified")

    def gradients(parts: list[list[int]]) -> tuple[float, list[Tensor]]:
        denoiser, total = edit_model(shift=shift), 0.0
        for part in parts:
            chosen = [[source[index] for index in part] for source in (GOALS, STARTS, PROMPTS)]
            rows = edit_rows(*chosen, samples=part, batch=4)  # type: ignore[misc]
            rows = replace(rows, slot_B=torch.tensor(part))
            loss = objective(word).loss(denoiser, rows, objective(word).draw(Stream(5, "noise"), rows))
            loss.numerator.backward()
            total += float(loss.numerator)
        return total, [parameter.grad for parameter in denoiser.parameters() if parameter.grad is not None]

    whole, split = gradients([[0, 1, 2, 3]]), gradients([[0], [1, 2], [3]])
    assert split[0] == pytest.approx(whole[0], rel=1e-12)
    assert len(whole[1]) == len(split[1])
    for one, other in zip(whole[1], split[1], strict=True):
        torch.testing.assert_close(other, one, rtol=1e-9, atol=1e-12)


def test_gradients_equal_finite_differences() -> None:
    denoiser, rows = edit_model(), edit_rows(GOALS, STARTS, PROMPTS)
    given = objective(LINEAR).draw(Stream(2, "noise"), rows)
    objective(LINEAR).loss(denoiser, rows, given).numerator.backward()
    network = denoiser.network
    with torch.no_grad():
        for parameter in (network.rate_heads[0].weight, network.sub_logits.weight, network.ins_logits.weight, network.model.norm.weight):
            gradient, index = parameter.grad.flatten(), int(parameter.grad.abs().argmax())
            place, step, found = parameter.view(-1), 1e-5, []
            for sign in (1, -1):
                place[index] += sign * step
                found.append(float(objective(LINEAR).loss(denoiser, rows, given).numerator))
                place[index] -= sign * step
            assert float(gradient[index]) == pytest.approx((found[0] - found[1]) / (2 * step), rel=1e-5)


def test_times_stay_below_1_and_each_row_has_its_stratum() -> None:
    count = 64
    rows = edit_rows([[0, 1]] * count, [[]] * count, [1] * count)
    uniform = objective(replace(LINEAR, time_epsilon=0.25)).draw(Stream(0, "noise"), rows).time_B
    assert float(uniform.min()) >= 0 and float(uniform.max()) < 0.75
    strata = objective(replace(LINEAR, time_epsilon=0.25, time_sampling="stratified")).draw(Stream(0, "noise"), rows).time_B
    assert (strata / 0.75 * count).floor().tolist() == list(range(count))


def test_only_what_remains_to_be_substituted_or_inserted_reaches_a_head_of_tokens() -> None:
    denoiser, rows = edit_model(), edit_rows(GOALS, STARTS, PROMPTS)
    columns = torch.full((4, 7), 0.9)
    objective(LINEAR).loss(denoiser, rows, draws([0.5] * 4, columns))
    # 2 insertions and 2 substitutions; 1 substitution (3 masks go); 4 insertions; 1 substitution (2 masks go).
    assert denoiser.head_rows == 4 + 1 + 4 + 1 and denoiser.body_passes == 1


def test_a_batch_without_an_edit_left_still_has_a_gradient_for_every_head() -> None:
    """Processes of a run wait for each other's gradients: one that has none for a head would keep all waiting."""
    denoiser, rows = edit_model(), edit_rows([[0, 1]], [[]], [1])
    objective(LINEAR).loss(denoiser, rows, draws([0.5], torch.full((1, 2), 0.1))).numerator.backward()
    for name in ("sub_logits", "ins_logits", "rate_heads"):
        assert all(parameter.grad is not None for parameter in denoiser.network.get_submodule(name).parameters())


def test_the_weight_of_the_schedule_is_read_at_the_time_of_the_row() -> None:
    """Rows that differ in nothing but their time cost as their weights."""
    denoiser = edit_model()
    rows = edit_rows([GOALS[0]] * 2, [STARTS[0]] * 2, [1] * 2)
    word = EditFlow(schedule=CubicKappa(), normalise="batch", max_weight=1000.0)
    columns = torch.full((1, 5), 0.9999)
    alone = [
        float(objective(word).loss(denoiser, edit_rows([GOALS[0]], [STARTS[0]], [1]), draws([t], columns)).numerator) for t in (0.1, 0.7)
    ]
    weight = rate_weight(build(CubicKappa()), torch.tensor([0.1, 0.7]), 1000.0)
    assert alone[1] / alone[0] == pytest.approx(float(weight[1] / weight[0]), rel=1e-9)
    both = objective(word).loss(denoiser, rows, draws([0.1, 0.7], columns.expand(2, -1)))
    assert float(both.numerator) == pytest.approx(sum(alone), rel=1e-9)
