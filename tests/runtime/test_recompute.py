"""Gradient checkpointing: layers run again in the backward pass, and nothing that is computed changes."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from runtime_toys import rows, tiny_llama
from torch import Tensor, nn

from dllm_run.runtime.adapters import freeze, fresh_adapter
from dllm_run.runtime.build import build
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.noise import Stream
from dllm_run.specs.vocabulary.families.bert import Bert
from dllm_run.specs.vocabulary.families.llama import Llama
from dllm_run.specs.vocabulary.lora import Lora
from dllm_run.specs.vocabulary.objectives.bd3lm import Bd3lm
from dllm_run.specs.vocabulary.objectives.mdlm import Mdlm

V = 21


def llama() -> Denoiser:
    return tiny_llama(vocabulary=V)


def bert() -> Denoiser:
    from transformers import AutoModelForMaskedLM

    config = build(Bert(layers=2, width=32, heads=2, mlp=48, positions=64))
    config.vocab_size = V
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Denoiser(AutoModelForMaskedLM.from_config(config), mask_token=V - 1)


def adapted() -> Denoiser:
    """Everything but the adapter frozen, the embeddings too: the first layer's input needs no gradient."""
    denoiser = tiny_llama(vocabulary=V)
    freeze(denoiser.network)
    fresh_adapter(denoiser.network, Lora(r=2).completed(), Stream(0, "adapter"), None)
    for parameter in denoiser.network.parameters():
        if parameter.requires_grad:
            parameter.data += 0.1
    return denoiser


def dropping() -> Denoiser:
    """With dropout, which the layers draw again: from the same state of the generator."""
    from transformers import LlamaForCausalLM

    config = build(Llama(layers=2, width=32, heads=2, mlp=48, positions=64))
    config.vocab_size, config.attention_dropout = V, 0.5
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Denoiser(LlamaForCausalLM(config), mask_token=V - 1)


def gradients(denoiser: Denoiser, word: Any) -> tuple[dict[str, Tensor], int]:
    """The gradient of every trained weight after one step, and how often the first linear layer of the last layer ran."""
    denoiser.double().train()
    ran = 0

    def count(*_: object) -> None:
        nonlocal ran
        ran += 1

    layers = next(module for module in denoiser.network.modules() if isinstance(module, nn.ModuleList))
    linear = next(module for module in layers[-1].modules() if isinstance(module, nn.Linear))
    linear.register_forward_hook(count)
    objective, batch = build(word), rows([[3, 4, 5, 6, 7, 8], [9, 10, 11, 12]])
    with torch.random.fork_rng():
        torch.manual_seed(1)
        loss = denoiser(objective.loss, batch, objective.draw(Stream(0, "noise"), batch))
        loss.numerator.backward()
    assert denoiser.body_passes == 1
    return {name: value.grad for name, value in denoiser.named_parameters() if value.grad is not None}, ran


@pytest.mark.parametrize(
    ("make", "word"),
    [
        pytest.param(llama, Mdlm(), id="llama"),
        pytest.param(bert, Mdlm(), id="bert"),
        pytest.param(adapted, Mdlm(), id="lora"),
        pytest.param(dropping, Mdlm(), id="dropout"),
        pytest.param(llama, Bd3lm(block_size=2), id="blocks"),
    ],
)
def test_layers_run_twice_and_gradients_are_the_same(make: Callable[[], Denoiser], word: Any) -> None:
    plain, once = gradients(make(), word)
    denoiser = make()
    denoiser.recompute()
    found, twice = gradients(denoiser, word)
    assert (once, twice) == (1, 2)
    assert found.keys() == plain.keys() == {name for name, value in denoiser.named_parameters() if value.requires_grad}
    for name, value in plain.items():
        torch.testing.assert_close(found[name], value, rtol=1e-12, atol=1e-14, msg=name)
    assert any(float(value.abs().max()) > 0 for value in plain.values())


def test_nothing_runs_twice_where_nothing_goes_backwards() -> None:
    denoiser = llama()
    denoiser.recompute()
    denoiser.eval()
    ran = []
    denoiser.network.model.layers[-1].mlp.down_proj.register_forward_hook(lambda *_: ran.append(1))
    objective, batch = build(Mdlm()), rows([[3, 4, 5, 6]])
    with torch.no_grad():
        denoiser(objective.loss, batch, objective.draw(Stream(0, "noise"), batch))
    assert len(ran) == 1


def test_the_backward_pass_is_one() -> None:
    denoiser = llama()
    denoiser.recompute()
    assert [layer._gradient_checkpointing_func.keywords for layer in denoiser.network.model.layers] == 2 * [{"use_reentrant": False}]
