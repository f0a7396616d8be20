"""Block diffusion against a case worked by hand, the likelihood that it bounds, and the pass that a sampler would make."""

import itertools
import math
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
import torch
from runtime_toys import StubDenoiser, rows, tiny_llama
from torch import Tensor
from transformers import BertConfig, BertForMaskedLM, GPT2Config, GPT2LMHeadModel

from dllm_run.runtime.blocks import _alike
from dllm_run.runtime.build import build
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.likelihood import Scored, averaged
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.noising import Noisy
from dllm_run.runtime.objectives.bd3lm import Bd3lmObjective, BlockDraws, scored
from dllm_run.runtime.rows import Rows
from dllm_run.runtime.seen import block_causal
from dllm_run.specs.vocabulary.objectives.bd3lm import Bd3lm
from dllm_run.specs.vocabulary.schedules.cosine import Cosine
from dllm_run.specs.vocabulary.schedules.polynomial import Polynomial
from dllm_run.specs.vocabulary.weightings.uniform import UniformWeighting

M = 2
"""The mask of the toys whose vocabulary is {0, 1}."""
NEVER = -math.inf


def objective(block_size: int, **fields: Any) -> Bd3lmObjective:
    found: Bd3lmObjective = build(Bd3lm(block_size=block_size, **fields))
    return found


def draws(time: list[list[float]], mask: list[list[float]]) -> BlockDraws:
    return BlockDraws(torch.tensor(time, dtype=torch.float64), torch.tensor(mask, dtype=torch.float64))


# --- By hand ----------------------------------------------------------------------------------------------------------------
# The row (0, 1, 1, 0) in blocks of 2. Block 1 at t = 1/2 (w = 2) with position 0 masked, block 2 at t = 1/4 (w = 4) with both.
# Position 0 sees its own block alone, positions 2 and 3 the clean first block and their own:
#   p(0 | M 1) = 3/4, p(1 | 0 1 M M) = 4/5, p(0 | 0 1 M M) = 2/3.
# Loss = 2 ln(4/3) + 4 (ln(5/4) + ln(3/2)).
BY_HAND = {
    ((M, 1), 0): (math.log(3), 0.0, NEVER),
    ((0, 1, M, M), 2): (0.0, math.log(4), NEVER),
    ((0, 1, M, M), 3): (math.log(2), 0.0, NEVER),
}
GIVEN = draws([[0.5, 0.5, 0.25, 0.25]], [[0.4, 0.6, 0.2, 0.1]])
FIRST, SECOND = 2 * math.log(4 / 3), 4 * (math.log(5 / 4) + math.log(3 / 2))


@pytest.mark.parametrize(
    ("normalise", "numerator", "denominator"),
    [("token", FIRST + SECOND, 4), ("sequence", (FIRST + SECOND) / 4, 1), ("batch", FIRST + SECOND, 1)],
    ids=["token", "sequence", "batch"],
)
def test_the_loss_of_a_row_is_that_worked_by_hand(normalise: str, numerator: float, denominator: int) -> None:
    stub = StubDenoiser(lambda seen, position: BY_HAND[seen, position], mask_token=M)
    loss = objective(2, normalise=normalise).loss(stub, rows([[0, 1, 1, 0]]), GIVEN)  # type: ignore[arg-type]
    assert loss.numerator.item() == pytest.approx(numerator, abs=1e-12)
    assert loss.denominator.item() == denominator
    assert stub.body_passes == 1 and stub.head_rows == 3


# --- The loss is a bound ----------------------------------------------------------------------------------------------------
# Within a block the argument of test_mdlm holds, conditioned on the clean blocks before it; the bounds of all blocks add up to one on
# -log p(x), tight for every x where the denoiser is the exact posterior given what it sees.
LENGTH = 4
WORLD = list(itertools.product((0, 1), repeat=LENGTH))
JOINT = torch.softmax(torch.randn(2**LENGTH, generator=torch.Generator().manual_seed(3), dtype=torch.float64), 0).view(2, 2, 2, 2)


def posterior(seen: tuple[int, ...], position: int) -> tuple[float, ...]:
    """log p(x_position | what is seen and not masked), by summing the joint distribution; of what is not seen nothing is known."""
    weight = [0.0, 0.0]
    for x in WORLD:
        if all(token in (M, value) for token, value in zip(seen, x, strict=False)):
            weight[x[position]] += float(JOINT[x])
    return (math.log(weight[0] / sum(weight)), math.log(weight[1] / sum(weight)), NEVER)


def some_other(seen: tuple[int, ...], position: int) -> tuple[float, ...]:
    """Logits of no joint distribution at all."""
    return (math.sin(7 * position + 3 * sum(seen) + len(seen)), math.cos(5 * position + 2 * seen[0]), NEVER)


def nll(logits: tuple[float, ...], token: int) -> float:
    return math.log(sum(map(math.exp, logits))) - logits[token]


def blocks_of(size: int) -> list[range]:
    return [range(start, min(LENGTH, start + size)) for start in range(0, LENGTH, size)]


def enumerated(logits_of: Any, x: tuple[int, ...], size: int) -> float:
    """Sum over blocks, over masked sets S of a block of n tokens, of (k-1)! (n-k)! / n! times the cross-entropy on S."""
    total = 0.0
    for block in blocks_of(size):
        for count in range(1, len(block) + 1):
            for subset in itertools.combinations(block, count):
                seen = tuple(M if index in subset else x[index] for index in range(block.stop))
                weight = math.factorial(count - 1) * math.factorial(len(block) - count) / math.factorial(len(block))
                total += weight * sum(nll(logits_of(seen, index), x[index]) for index in subset)
    return total


def integrated(found: Bd3lmObjective, logits_of: Any, x: tuple[int, ...], points: int) -> float:
    """The objective's own loss, integrated over the time of each block (Gauss and Legendre) and summed over the sets masked in it."""
    node, weight = np.polynomial.legendre.leggauss(points)
    stub, total = StubDenoiser(logits_of, mask_token=M), 0.0
    for block in blocks_of(found.block_size):
        for t, w in zip((node + 1) / 2, weight / 2, strict=True):
            rate = 1 - float(found.noising.schedule.alpha(torch.tensor(t, dtype=torch.float64)))
            for count in range(len(block) + 1):
                for subset in itertools.combinations(block, count):
                    # Uniforms of 0 and 1 force a position into the set or out of it.
                    given = draws([[float(t)] * LENGTH], [[0.0 if index in subset else 1.0 for index in range(LENGTH)]])
                    chance = rate**count * (1 - rate) ** (len(block) - count)
                    total += w * chance * found.loss(stub, rows([list(x)]), given).numerator.item()  # type: ignore[arg-type]
    return total


@pytest.mark.parametrize("size", [2, 3, 4, 9])
def test_the_bound_is_tight_where_the_denoiser_is_the_exact_posterior(size: int) -> None:
    for x in WORLD:
        expected = -math.log(float(JOINT[x]))
        assert enumerated(posterior, x, size) == pytest.approx(expected, abs=1e-12)
        assert integrated(objective(size), posterior, x, points=4) == pytest.approx(expected, abs=1e-12)


@pytest.mark.parametrize("schedule", [Cosine(), Polynomial(power=3)], ids=str)
def test_the_bound_is_the_same_under_every_schedule(schedule: Any) -> None:
    for x in WORLD[::5]:
        found = integrated(objective(3, schedule=schedule), some_other, x, points=24)
        assert found == pytest.approx(enumerated(some_other, x, 3), abs=1e-9)


@pytest.mark.parametrize("fields", [{}, {"complementary": True}], ids=["one mask", "with its complement"])
def test_the_mean_loss_over_the_objectives_own_draws_is_the_bound(fields: dict[str, Any]) -> None:
    x, count = (1, 0, 1, 1), 3000
    found = objective(2, time_epsilon=1e-5, **fields)
    batch, stub = rows([list(x)] * count), StubDenoiser(some_other, mask_token=M)
    given = found.draw(Stream(5, "noise"), batch)
    values = []
    for part in range(30):
        cut = slice(part * 100, part * 100 + 100)
        piece = BlockDraws(given.time_BL[cut], given.mask_BL[cut])
        loss = found.loss(stub, _cut(batch, cut), piece)  # type: ignore[arg-type]
        values.append(loss.numerator.item() / (loss.denominator.item() / LENGTH))
    assert abs(float(np.mean(values)) - enumerated(some_other, x, 2)) < 4 * float(np.std(values)) / math.sqrt(30)


# --- Blocks of one token ----------------------------------------------------------------------------------------------------


def chain_rule(x: tuple[int, ...], prompt: int = 0) -> float:
    return sum(nll(some_other((*x[:index], M), index), x[index]) for index in range(prompt, len(x)))


EXACT: list[dict[str, Any]] = [
    {},
    {"schedule": Cosine()},
    {"weighting": UniformWeighting()},
    {"time_range": (0.1, 0.2)},
    {"time_per": "sequence", "time_sampling": "stratified"},
]


@pytest.mark.parametrize("fields", EXACT, ids=str)
@pytest.mark.parametrize("prompt", [0, 2])
def test_with_blocks_of_one_token_the_loss_is_the_autoregressive_likelihood(fields: dict[str, Any], prompt: int) -> None:
    found, stub = objective(1, **fields), StubDenoiser(some_other, mask_token=M)
    batch = rows([[1, 0, 1, 1]], prompts=[prompt])
    for seed in range(3):
        loss = found.loss(stub, batch, found.draw(Stream(seed, "noise"), batch))  # type: ignore[arg-type]
        # The weight 1 is float32; no draw changes anything.
        assert loss.numerator.item() == pytest.approx(chain_rule((1, 0, 1, 1), prompt), abs=1e-12)
        assert loss.denominator.item() == 4 - prompt


def test_with_blocks_of_one_token_every_normalisation_is_that_of_its_name() -> None:
    batch, stub = rows([[1, 0, 1, 1], [0, 1, 1]], prompts=[0, 2]), StubDenoiser(some_other, mask_token=M)
    first, second = chain_rule((1, 0, 1, 1)), chain_rule((0, 1, 1), 2)
    for normalise, expected in (("token", (first + second) / 5), ("sequence", (first / 4 + second) / 2), ("batch", (first + second) / 2)):
        found = objective(1, normalise=normalise)
        loss = found.loss(stub, batch, found.draw(Stream(0, "noise"), batch))  # type: ignore[arg-type]
        assert loss.numerator.item() / loss.denominator.item() == pytest.approx(expected, rel=1e-6)


# --- What training reads is what sampling reads -----------------------------------------------------------------------------
VOCABULARY = 13


def network(kind: str, shift: int) -> Denoiser:
    if kind == "llama":
        return Denoiser(tiny_llama(vocabulary=VOCABULARY).network.double(), mask_token=VOCABULARY - 1, logit_shift=shift)
    with torch.random.fork_rng():
        torch.manual_seed(0)
        if kind == "gpt2":
            made: Any = GPT2LMHeadModel(
                GPT2Config(vocab_size=VOCABULARY, n_embd=32, n_layer=2, n_head=2, n_positions=64, initializer_range=0.3)
            )
        else:
            made = BertForMaskedLM(
                BertConfig(
                    vocab_size=VOCABULARY, hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=48,
                    max_position_embeddings=40, initializer_range=0.3,
                )
            )  # fmt: skip
    return Denoiser(made.eval().double(), mask_token=VOCABULARY - 1, logit_shift=shift)


def tokens(length: int, seed: int) -> list[int]:
    found: list[int] = torch.randint(0, VOCABULARY - 1, (length,), generator=torch.Generator().manual_seed(seed)).tolist()
    return found


def sampled(denoiser: Denoiser, x: list[int], masked: list[bool], size: int) -> list[float]:
    """-log p of each masked token where its block is open, what came before is done, and nothing lies behind."""
    found = []
    for start in range(0, len(x), size):
        stop = min(len(x), start + size)
        block = [denoiser.mask_token if masked[index] else x[index] for index in range(start, stop)]
        canvas = torch.tensor([x[:start] + block])
        valid = torch.ones_like(canvas, dtype=torch.bool)
        chosen = torch.tensor([[False] * start + masked[start:stop]])
        with torch.no_grad():
            logits = denoiser.logits(canvas, block_causal(valid, size), chosen)
        targets = torch.tensor([x[index] for index in range(start, stop) if masked[index]], dtype=torch.int64)
        found += torch.nn.functional.cross_entropy(logits, targets, reduction="none").tolist()
    return found


def masked_half(length: int, seed: int) -> list[bool]:
    found: list[bool] = (torch.rand(length, generator=torch.Generator().manual_seed(100 + seed)) < 0.6).tolist()
    return found


def noisy_of(batch: Rows, masked: list[list[bool]]) -> Noisy:
    width = batch.tokens_BL.shape[1]
    masked_BL = torch.tensor([row + [False] * (width - len(row)) for row in masked])
    return Noisy(masked_BL, torch.ones(masked_BL.shape, dtype=torch.float64))


@pytest.mark.parametrize("size", [1, 3, 4, 12, 20])
@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("kind", ["llama", "gpt2", "bert"])
def test_every_masked_token_is_scored_as_a_sampler_would_that_has_filled_in_the_blocks_before(kind: str, shift: int, size: int) -> None:
    denoiser = network(kind, shift)
    texts = [tokens(12, 1), tokens(12, 2)]
    masked = [masked_half(12, seed) for seed in range(2)]
    batch = rows(texts)
    with torch.no_grad():
        found = scored(denoiser, batch, [noisy_of(batch, masked)], size).nll_R.tolist()
    expected = [value for text, mask in zip(texts, masked, strict=True) for value in sampled(denoiser, text, mask, size)]
    assert found == pytest.approx(expected, rel=1e-9)


@pytest.mark.parametrize("shift", [0, 1])
def test_padding_and_the_rows_beside_it_change_no_score(shift: int) -> None:
    denoiser, texts = network("llama", shift), [tokens(11, 1), tokens(4, 2), tokens(7, 3)]
    masked = [masked_half(len(text), seed) for seed, text in enumerate(texts)]
    batch = rows(texts)
    for filler in (0, 5):
        changed = replace(batch, tokens_BL=torch.where(batch.valid_BL, batch.tokens_BL, filler))
        with torch.no_grad():
            found = scored(denoiser, changed, [noisy_of(batch, masked)], 3).nll_R.tolist()
        assert found == pytest.approx([v for x, m in zip(texts, masked, strict=True) for v in sampled(denoiser, x, m, 3)], rel=1e-9)


@pytest.mark.parametrize("shift", [0, 1])
def test_a_text_among_others_in_its_row_is_scored_as_alone(shift: int) -> None:
    denoiser, texts = network("llama", shift), [tokens(5, 1), tokens(7, 2), tokens(3, 3)]
    masked = [masked_half(len(text), seed) for seed, text in enumerate(texts)]
    joined = rows([[*texts[0], *texts[1], *texts[2]], tokens(12, 9)])
    document_BL = torch.tensor([[0] * 5 + [1] * 7 + [2] * 3, [0] * 15])
    packed = replace(joined, document_BL=document_BL)
    with torch.no_grad():
        found = scored(denoiser, packed, [noisy_of(joined, [[*masked[0], *masked[1], *masked[2]], [False] * 12])], 3).nll_R.tolist()
    assert found == pytest.approx([v for x, m in zip(texts, masked, strict=True) for v in sampled(denoiser, x, m, 3)], rel=1e-9)


@pytest.mark.parametrize("shift", [0, 1])
def test_a_mask_and_its_complement_do_not_see_each_other(shift: int) -> None:
    denoiser, text = network("llama", shift), tokens(10, 1)
    mask = masked_half(10, 0)
    other, batch = [not value for value in mask], rows([text])
    with torch.no_grad():
        found = scored(denoiser, batch, [noisy_of(batch, [mask]), noisy_of(batch, [other])], 4).nll_R.tolist()
    assert found == pytest.approx(sampled(denoiser, text, mask, 4) + sampled(denoiser, text, other, 4), rel=1e-9)


# --- What a step costs ------------------------------------------------------------------------------------------------------


def test_only_masked_noisy_tokens_reach_the_head_in_one_pass_without_the_clean_tokens_of_the_last_block() -> None:
    denoiser, read = tiny_llama(vocabulary=VOCABULARY), []
    hook = denoiser.network.base_model.register_forward_pre_hook(
        lambda _, args, kwargs: read.append(tuple(kwargs["input_ids"].shape)), with_kwargs=True
    )
    found, batch = objective(4), rows([tokens(10, 1), tokens(10, 2)])
    given = found.draw(Stream(1, "noise"), batch)
    found.loss(denoiser, batch, given).numerator.backward()
    objective(10).loss(denoiser, batch, given)
    hook.remove()
    assert read == [(2, 10 + 8), (2, 10)], "a row of one block has nothing clean to read"
    assert denoiser.body_passes == 2
    assert denoiser.head_rows == 2 * int((given.mask_BL < given.time_BL).sum())


def test_the_mask_of_full_rows_is_built_once_and_serves_training_after_evaluation() -> None:
    denoiser, batch, found = tiny_llama(vocabulary=VOCABULARY), rows([tokens(9, 1)]), objective(2)
    _alike.cache_clear()
    with torch.inference_mode():
        found.bound(denoiser, batch, Stream(0, "x"))
    for step in range(3):
        found.loss(denoiser, batch, found.draw(Stream(step, "noise"), batch)).numerator.backward()
    assert _alike.cache_info().misses == 1 and _alike.cache_info().hits == 3


# --- Draws ------------------------------------------------------------------------------------------------------------------


def test_a_block_has_one_time_and_each_block_its_own() -> None:
    time_BL = objective(3).draw(Stream(0, "noise"), rows([[1] * 8] * 50)).time_BL
    assert torch.equal(time_BL[:, 0:3].amin(-1), time_BL[:, 0:3].amax(-1)) and torch.equal(time_BL[:, 6], time_BL[:, 7])
    assert len(set(time_BL[:, [0, 3, 6]].flatten().tolist())) == 150
    whole = objective(3, time_per="sequence").draw(Stream(0, "noise"), rows([[1] * 8] * 50)).time_BL
    assert torch.equal(whole.amin(-1), whole.amax(-1)) and len(set(whole[:, 0].tolist())) == 50


def test_times_lie_in_the_range_and_fill_it() -> None:
    time_BL = objective(1, time_range=(0.3, 0.8)).draw(Stream(0, "noise"), rows([[1] * 20] * 200)).time_BL
    assert 0.3 <= float(time_BL.min()) < 0.301 and 0.799 < float(time_BL.max()) < 0.8
    assert abs(float(time_BL.mean()) - 0.55) < 4 * 0.5 / math.sqrt(12 * 4000)
    full = objective(1, time_epsilon=0.2).draw(Stream(0, "noise"), rows([[1] * 20] * 200)).time_BL
    assert 0.2 <= float(full.min()) < 0.201 and 0.999 < float(full.max()) < 1


def test_what_is_drawn_for_a_row_depends_neither_on_its_batch_nor_on_padding() -> None:
    stream, found = Stream(3, "noise"), objective(2)
    together = found.draw(stream, rows([[1, 2, 3], [4, 5, 6, 7, 8], [9]], samples=[5, 9, 2]))
    alone = found.draw(stream, rows([[1, 2, 3]], samples=[5], batch=3))
    assert torch.equal(alone.time_BL[0], together.time_BL[0, :3])
    assert torch.equal(alone.mask_BL[0], together.mask_BL[0, :3])


def test_the_times_of_blocks_are_none_of_the_uniforms_of_masks() -> None:
    given = objective(4, time_epsilon=1e-9).draw(Stream(0, "noise"), rows([[1] * 64] * 20))
    assert not (given.time_BL[:, :, None] - given.mask_BL[:, None, :]).abs().lt(1e-8).any()


@pytest.mark.parametrize("micro", [1, 2, 8])
def test_stratified_times_put_one_row_in_each_stratum_for_every_block_however_the_batch_is_split(micro: int) -> None:
    found, whole = objective(2, time_sampling="stratified", time_epsilon=0.01), rows([[1] * 40] * 8)
    parts = [_cut(whole, slice(start, start + micro)) for start in range(0, 8, micro)]
    time_BL = torch.cat([found.draw(Stream(0, "noise"), part).time_BL for part in parts])
    stratum_BK = ((time_BL[:, ::2].double() - 0.01) / 0.99 * 8).floor().int()
    assert all(sorted(column) == list(range(8)) for column in stratum_BK.T.tolist())
    # The 20 blocks of a row spread over the strata too.
    assert all(len(set(row)) == 8 for row in stratum_BK.tolist())


def _cut(whole: Rows, cut: slice) -> Rows:
    length = int(whole.valid_BL[cut].sum(-1).max())
    return Rows(
        tokens_BL=whole.tokens_BL[cut, :length],
        valid_BL=whole.valid_BL[cut, :length],
        maskable_BL=whole.maskable_BL[cut, :length],
        sample_B=whole.sample_B[cut],
        visit_B=whole.visit_B[cut],
        slot_B=whole.slot_B[cut],
        batch=whole.batch,
    )


# --- Micro batches ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("normalise", ["token", "sequence", "batch"])
@pytest.mark.parametrize("fields", [{}, {"complementary": True}, {"block_size": 1}], ids=["blocks", "complement", "exact"])
@pytest.mark.parametrize("micro", [1, 2])
def test_micro_batches_add_up_to_the_loss_and_gradient_of_the_whole_batch(micro: int, fields: dict[str, Any], normalise: str) -> None:
    found = objective(**{"block_size": 3, "normalise": normalise, "time_sampling": "stratified"} | fields)
    denoiser, stream = network("llama", 1), Stream(1, "noise")
    whole = rows([[1, 2, 3, 4, 5, 6], [7, 8], [3, 1, 2, 9], [4, 4, 4, 4, 4]], prompts=[2, 0, 1, 0], samples=[9, 4, 30, 2])

    def gradients(parts: list[Rows]) -> tuple[float, Tensor]:
        denoiser.zero_grad()
        given = [found.draw(stream, part) for part in parts]
        losses = [
            found.loss(denoiser, part, BlockDraws(one.time_BL.double(), one.mask_BL.double()))
            for part, one in zip(parts, given, strict=True)
        ]
        denominator = sum(loss.denominator.item() for loss in losses)
        total = sum((loss.numerator for loss in losses), torch.zeros((), dtype=torch.float64)) / denominator
        total.backward()
        return total.item(), torch.cat([parameter.grad.flatten() for parameter in denoiser.parameters() if parameter.grad is not None])

    parts = [_cut(whole, slice(start, start + micro)) for start in range(0, 4, micro)]
    (loss, gradient), (expected, expected_gradient) = gradients(parts), gradients([whole])
    assert loss == pytest.approx(expected, abs=1e-12)
    torch.testing.assert_close(gradient, expected_gradient, rtol=1e-12, atol=1e-12)


# --- Evaluation -------------------------------------------------------------------------------------------------------------


def bound_of(found: Bd3lmObjective, items: list[Scored], samples: int, batch: int = 500) -> list[Any]:
    stub: Any = StubDenoiser(some_other, mask_token=M)
    return averaged(found.bound, stub, items, stream=Stream(2, "evaluate"), samples=samples, batch=batch, across=False)


@pytest.mark.parametrize("size", [2, 3, 4])
def test_the_evaluated_bound_is_the_enumeration_of_all_masks(size: int) -> None:
    [found] = bound_of(objective(size), [Scored(tokens=[1, 0, 1, 1], id=3)], samples=3000)
    assert 0 < found.error < 0.05
    assert abs(found.nll - enumerated(some_other, (1, 0, 1, 1), size)) < 4 * found.error


def test_the_evaluated_bound_does_not_depend_on_how_the_loss_is_weighted() -> None:
    items = [Scored(tokens=[1, 0, 1, 1], id=3)]
    other = objective(2, weighting=UniformWeighting(), schedule=Cosine(), time_range=(0.4, 0.6), complementary=False)
    assert bound_of(other, items, 50) == bound_of(objective(2), items, 50)


def test_with_blocks_of_one_token_evaluation_is_exact_whatever_the_masks() -> None:
    items = [Scored(tokens=[1, 0, 1, 1], id=3), Scored(tokens=[0, 1, 1], id=4, prompt=2)]
    first, second = bound_of(objective(1), items, samples=3)
    assert (first.nll, first.error) == (pytest.approx(chain_rule((1, 0, 1, 1)), abs=1e-12), pytest.approx(0, abs=1e-12))
    assert second.nll == pytest.approx(chain_rule((0, 1, 1), 2), abs=1e-12)


def test_neither_batch_nor_padding_changes_an_evaluated_bound() -> None:
    items = [Scored(tokens=[1, 0, 1, 1], id=3), Scored(tokens=[0, 1], id=4), Scored(tokens=[1, 1, 0], id=9, prompt=1)]
    assert bound_of(objective(2), items, 8, batch=1) == bound_of(objective(2), items, 8, batch=24)
