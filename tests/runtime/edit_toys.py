"""Stand-ins for tests of Edit Flows: rows with their columns, a model with heads, and heads that depend on nothing."""

from collections.abc import Sequence

import torch
from runtime_toys import tiny_llama
from torch import nn

from dllm_run.runtime.align import BLANK
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.edit_heads import add_heads
from dllm_run.runtime.edit_rows import aligned
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.rows import Rows, pad_rows


def edit_rows(
    goals: Sequence[list[int]], starts: Sequence[list[int]], prompts: Sequence[int], *, samples: Sequence[int] | None = None, batch: int = 0
) -> Rows:
    """Rows of which the first `prompts[b]` tokens are given, and the start of each stands behind these."""
    count = len(goals)
    pairs = [aligned(goal, prompt, start) for goal, start, prompt in zip(goals, starts, prompts, strict=True)]
    return pad_rows(
        list(goals),
        list(prompts),
        pad=0,
        samples=list(samples or range(count)),
        visits=[0] * count,
        slots=list(range(count)),
        batch=batch or count,
        aligned=[(pair.source.tolist(), pair.goal.tolist()) for pair in pairs],
    )


def edit_model(*, vocabulary: int = 12, seed: int = 0, shift: int = 0) -> Denoiser:
    """A tiny Llama in float64 with heads whose rates differ from place to place; its mask is the last token."""
    denoiser = tiny_llama(vocabulary=vocabulary, seed=seed, shift=shift)
    add_heads(denoiser.network, Stream(seed, "edit heads"))
    with torch.random.fork_rng(), torch.no_grad():
        torch.manual_seed(seed)
        for head in (denoiser.network.sub_logits, denoiser.network.ins_logits, denoiser.network.rate_heads[0]):
            for parameter in head.parameters():
                parameter += 0.3 * torch.randn_like(parameter)
    return denoiser.double()


def constant_model(rates: Sequence[float], substituted: Sequence[float], inserted: Sequence[float]) -> Denoiser:
    """Rates and probabilities of tokens that depend on nothing; the mask is one token more."""
    denoiser = edit_model(vocabulary=len(substituted) + 1)
    network = denoiser.network
    for name, shares in (("sub_logits", substituted), ("ins_logits", inserted)):
        head = nn.Linear(32, len(shares) + 1, dtype=torch.float64)
        head.weight.data.zero_()
        head.bias.data = torch.tensor([*shares, 1.0], dtype=torch.float64).log()
        network.add_module(name, head)
    network.rate_heads[0].weight.data.zero_()
    network.rate_heads[0].bias.data = torch.tensor(rates, dtype=torch.float64).expm1().log()
    return denoiser


def text_of(columns: Sequence[int]) -> list[int]:
    """Columns without their blanks."""
    return [token for token in columns if token != BLANK]
