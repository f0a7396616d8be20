"""Dream's objective: a case worked by hand, and masked diffusion under its weights on weights that predict the next token."""

import math

import pytest
import torch
from runtime_toys import StubDenoiser, rows, tiny_llama

from dllm_run.runtime.build import build
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.objectives import Draws
from dllm_run.runtime.objectives.mdlm import MdlmObjective
from dllm_run.runtime.seen import everyone
from dllm_run.specs.vocabulary.objectives.dream import Dream
from dllm_run.specs.vocabulary.objectives.mdlm import Mdlm
from dllm_run.specs.vocabulary.weightings.cart import Cart

M = 2
# The row (0, 1, 1, 0) at t = 1/2 with positions 1 and 2 masked: p(1 | 0 M M 0) is 4/5 and 2/3. Clean are 0 and 3; at p = 0.3 either mask
# has one of them at distance 1 and the other at 2: 0.15 (1 + 0.7) = 0.255.
KNOWN = {((0, M, M, 0), 1): (0.0, math.log(4), -math.inf), ((0, M, M, 0), 2): (0.0, math.log(2), -math.inf)}
GIVEN = Draws(torch.tensor([0.5], dtype=torch.float64), torch.tensor([[0.9, 0.1, 0.1, 0.9]], dtype=torch.float64))


def objective(word: Dream | Mdlm) -> MdlmObjective:
    found: MdlmObjective = build(word)
    return found


def test_the_loss_of_a_row_is_that_worked_by_hand() -> None:
    stub = StubDenoiser(lambda seen, position: KNOWN[seen, position], mask_token=M)
    loss = objective(Dream()).loss(stub, rows([[0, 1, 1, 0]]), GIVEN)  # type: ignore[arg-type]
    assert loss.numerator.item() == pytest.approx(0.255 * (math.log(5 / 4) + math.log(3 / 2)), abs=1e-12)
    assert loss.denominator.item() == 4


def test_it_is_mdlm_with_other_defaults() -> None:
    batch, denoiser = rows([[1, 2, 3, 4, 5], [3, 2, 1]]), tiny_llama(vocabulary=9)
    one, two = objective(Dream()), objective(Mdlm(weighting=Cart()))
    given = one.draw(Stream(0, "noise"), batch)
    assert torch.equal(given.mask_BL, two.draw(Stream(0, "noise"), batch).mask_BL)
    assert one.loss(denoiser, batch, given).numerator.item() == two.loss(denoiser, batch, given).numerator.item()


def test_on_weights_that_predict_the_next_token_a_mask_is_predicted_at_the_position_before() -> None:
    denoiser, x = tiny_llama(vocabulary=9, shift=1), torch.tensor([[1, 2, 3, 4]])
    noisy = torch.tensor([[8, 2, 8, 4]])
    with torch.no_grad():
        hidden = denoiser.body(noisy, everyone(torch.ones(1, 4, dtype=torch.bool)))
        # The first token has nothing before it: its own logits; the third is said at the second.
        entropy = torch.nn.functional.cross_entropy(denoiser.head(hidden[0, [0, 1]]), x[0, [0, 2]], reduction="none").double()
    given = Draws(torch.tensor([0.5]), torch.tensor([[0.1, 0.9, 0.1, 0.9]]))
    loss = objective(Dream()).loss(denoiser, rows([[1, 2, 3, 4]]), given)
    # Clean are 1 and 3: at distances 1 and 3 of the first mask, at 1 and 1 of the second.
    expected = 0.15 * (1 + 0.49) * entropy[0] + 0.15 * 2 * entropy[1]
    assert loss.numerator.item() == pytest.approx(float(expected), rel=1e-5)
