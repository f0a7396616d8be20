"""The denoiser: a stock architecture read as `Seen` says, body and head apart. B rows, L positions, R chosen positions, V, D.

Nobody computes a logit that is not used: `hidden` gives states for every position, `head` and `cross_entropy` score those asked for.
"""

from collections.abc import Callable
from typing import Any, Concatenate, ParamSpec, TypeVar

import torch
import torch._inductor.config
from torch import Tensor, nn
from transformers.modeling_layers import GradientCheckpointingLayer

from dllm_run.specs.arithmetic import rows_of_chunk

from .cross_entropy import CrossEntropy, through, within
from .head import Head, is_divided
from .seen import Seen
from .work import Work

P = ParamSpec("P")
T = TypeVar("T")


class Denoiser(nn.Module):
    """(noisy tokens, who sees whom) -> logits of the clean token at chosen positions."""

    def __init__(self, network: Any, *, mask_token: int, logit_shift: int = 0) -> None:
        """`network` is a transformers model with a language-modelling head."""
        super().__init__()
        self.network = network
        self.mask_token = mask_token
        self.logit_shift = logit_shift
        self.body_passes = 0
        self.body_positions = 0
        self.body_pairs = 0
        self.head_rows = 0
        self._head = Head(network)
        self._first_position = _first_position(network)
        self._masked = is_masked_lm(network)
        self._windows = "sliding_attention" in (vars(network.config).get("layer_types") or ())

    def forward(self, function: Callable[Concatenate["Denoiser", P], T], *args: P.args, **kwargs: P.kwargs) -> T:
        """`function(denoiser, …)`, within whatever wraps this module: all work of a training step belongs inside one call."""
        return function(self, *args, **kwargs)

    def recompute(self) -> None:
        """Keep what a layer is given and nothing of what it computes: the backward pass computes that again."""
        # The reentrant form starts a backward pass of its own for each layer, which what gathers gradients on the way cannot follow.
        self.network.activation_checkpointing_enable({"use_reentrant": False})

    def compile_layers(self) -> None:
        """Compile every layer by itself: layers that are alike share what is compiled, and hooks around them stay what they are."""
        # Dropout as it is drawn without compiling, or the noise of a run would depend on it.
        torch._inductor.config.fallback_random = True
        for module in self.network.modules():
            if isinstance(module, GradientCheckpointingLayer):
                module.compile()

    def work(self) -> Work:
        """All that was asked of the network so far."""
        return Work(self.body_positions, self.body_pairs, self.head_rows)

    def body(self, tokens_BL: Tensor, seen: Seen) -> Tensor:
        """Hidden states [B, L, D], each where it stands."""
        self.body_passes += 1
        lengths: list[int] = seen.valid_BL.sum(-1).tolist()
        self.body_positions += sum(lengths)
        self.body_pairs += sum(length * length for length in lengths)
        found = self.network.base_model(input_ids=tokens_BL, **self._attention(tokens_BL, seen))
        hidden_BLD: Tensor = found.last_hidden_state
        return hidden_BLD

    def body_beside(self, tokens_BQ: Tensor, position_BQ: Tensor, mask_XQW: Tensor, cache: Any) -> Tensor:
        """Hidden states [B, Q, D] of tokens beside what a cache keeps; `mask_XQW` says whom of all of it they see."""
        self.body_passes += 1
        form = self._form(mask_XQW)
        mask = {"full_attention": form, "sliding_attention": form} if self._windows else form
        found = self.network.base_model(
            input_ids=tokens_BQ,
            position_ids=position_BQ + self._first_position,
            attention_mask=mask,
            past_key_values=cache,
            use_cache=True,
            is_causal=False,
        )
        hidden_BQD: Tensor = found.last_hidden_state
        return hidden_BQD

    @property
    def layers(self) -> int | None:
        """Layers that keep keys and values; None of an architecture that has no place for a cache."""
        return None if self._masked else int(self.network.config.num_hidden_layers)

    def hidden(self, tokens_BL: Tensor, seen: Seen) -> Tensor:
        """Hidden states [B, L, D], each where the token stands that it speaks of."""
        hidden_BLD = self.body(tokens_BL, seen)
        return self.shifted(hidden_BLD, seen) if self.logit_shift else hidden_BLD

    def shifted(self, hidden_BLD: Tensor, seen: Seen) -> Tensor:
        """Of weights that were trained to predict the next token: what position i holds is said at i - 1. The first has but itself."""
        follows_BL = nn.functional.pad(seen.valid_BL[:, :-1], (1, 0))
        if seen.position_BL is not None:
            follows_BL = follows_BL & (seen.position_BL > 0)
        return torch.where(follows_BL[:, :, None], hidden_BLD.roll(1, dims=1), hidden_BLD)

    def head(self, hidden_RD: Tensor) -> Tensor:
        """Logits [R, V] in float32 at least; the mask itself is never predicted (SUBS, arXiv 2406.07524, section 3.2.3)."""
        self.head_rows += hidden_RD.shape[0]
        return self._scored(hidden_RD)

    def features(self, hidden_RD: Tensor) -> Tensor:
        """What the last linear layer of the head multiplies, [R, D']: hidden states after the transform that some heads have."""
        return self._head.features(hidden_RD)

    def logits(self, tokens_BL: Tensor, seen: Seen, chosen_BL: Tensor) -> Tensor:
        """Logits [R, V] of the R positions where `chosen_BL` is True, in row-major order."""
        return self.head(self.hidden(tokens_BL, seen)[chosen_BL])

    def cross_entropy(self, hidden_RD: Tensor, target_R: Tensor, weight_R: Tensor) -> CrossEntropy:
        """Weighted sum of -log p of the targets; no tensor of the size of all logits exists."""
        self.head_rows += hidden_RD.shape[0]
        last = self._head.last()
        if last is None:
            return through(self._scored, hidden_RD, target_R, weight_R, self.rows_of_chunk(hidden_RD))
        return within(last, self._head.features(hidden_RD), target_R, weight_R, self.mask_token)

    def rows_of_chunk(self, hidden_RD: Tensor) -> int:
        """Positions that a head which is no plain layer reads at once."""
        if is_divided(self.network):
            return max(1, len(hidden_RD))  # one pass, even over nothing: other processes wait for this one in each
        return rows_of_chunk(int(self.network.config.vocab_size))

    def precision(self) -> torch.dtype:
        """The dtype that matrix products run in just now."""
        kind = next(self.parameters()).device.type
        found: torch.dtype = torch.get_autocast_dtype(kind) if torch.is_autocast_enabled(kind) else self.network.dtype
        return found

    def _scored(self, hidden_RD: Tensor) -> Tensor:
        return self.without_mask(self._head.logits(hidden_RD))

    def without_mask(self, logits_RV: Tensor) -> Tensor:
        """Logits in float32 at least, that of the mask token minus infinity."""
        wide_RV = logits_RV if logits_RV.dtype == torch.float64 else logits_RV.float()
        never = torch.tensor([self.mask_token], device=wide_RV.device)
        # Nobody goes back through it: a copy of all logits is then for nothing.
        return wide_RV.index_fill(-1, never, float("-inf")) if torch.is_grad_enabled() else wide_RV.index_fill_(-1, never, float("-inf"))

    def _attention(self, tokens_BL: Tensor, seen: Seen) -> dict[str, Any]:
        """The arguments by which this architecture is told who sees whom."""
        # A causal architecture is read bidirectionally; a masked one knows neither of these two.
        options: dict[str, Any] = {} if self._masked else {"use_cache": False, "is_causal": False}
        position_BL, mask_BLL = seen.position_BL, seen.mask_BLL
        if self._first_position and position_BL is None:
            position_BL = torch.arange(tokens_BL.shape[1], device=tokens_BL.device)[None].expand_as(tokens_BL)
        options["position_ids"] = None if position_BL is None else position_BL + self._first_position
        # Causal architectures would put windows on what is left to them: they are told whom a token sees, layer kind by layer kind.
        if mask_BLL is None and (self._masked or not self._windows) and bool(seen.valid_BL.all()):
            return {**options, "attention_mask": None}
        if not self._windows:
            return {**options, "attention_mask": seen.valid_BL if mask_BLL is None else self._form(mask_BLL)}
        if mask_BLL is None:
            mask_BLL = seen.valid_BL[:, None, :].expand(-1, tokens_BL.shape[1], -1)
        near_BLL = self._near(mask_BLL, seen) if self._masked else mask_BLL
        return {**options, "attention_mask": {"full_attention": self._form(mask_BLL), "sliding_attention": self._form(near_BLL)}}

    def _near(self, mask_BLL: Tensor, seen: Seen) -> Tensor:
        """Encoders were trained with their windows: a token sees half of one on each side."""
        length = mask_BLL.shape[-1]
        position_BL = torch.arange(length, device=mask_BLL.device)[None] if seen.position_BL is None else seen.position_BL
        distance_BLL = (position_BL[:, None, :] - position_BL[:, :, None]).abs()
        return mask_BLL & (distance_BLL <= int(self.network.config.sliding_window))

    def _form(self, mask_BLL: Tensor) -> Tensor:
        """Eager attention adds its mask: True would count as 1 there, and hide nothing."""
        mask = mask_BLL[:, None]
        if self.network.config._attn_implementation != "eager":
            return mask
        number = self.network.dtype if self.network.dtype.is_floating_point else torch.float32
        return torch.zeros(mask.shape, dtype=number, device=mask.device).masked_fill_(~mask, torch.finfo(number).min)


def is_masked_lm(network: Any) -> bool:
    """Whether the architecture was made to fill in masks, so that nothing of it is causal."""
    return type(network).__name__.endswith("ForMaskedLM")


def _first_position(network: Any) -> int:
    """RoBERTa and its kin count positions from behind the padding token's."""
    embeddings = network.base_model._modules.get("embeddings")
    table = None if embeddings is None else embeddings._modules.get("position_embeddings")
    padding = table.padding_idx if isinstance(table, nn.Embedding) else None
    return 0 if padding is None else int(padding) + 1
