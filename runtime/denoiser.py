"""The denoiser: a stock architecture read bidirectionally, body and head apart. B rows, L positions, R chosen positions, V, D.

Nobody computes a logit that is not used: `body` gives hidden states, `head` scores the positions that are asked for.
"""

from typing import Any

import torch
from torch import Tensor, nn


class Denoiser(nn.Module):
    """(noisy tokens, which are valid) -> logits of the clean token at chosen positions."""

    def __init__(self, network: Any, *, mask_token: int, logit_shift: int = 0) -> None:
        """`network` is a transformers model with a language-modelling head."""
        super().__init__()
        self.network = network
        self.mask_token = mask_token
        self.logit_shift = logit_shift
        self.body_passes = 0
        self.head_rows = 0

    def body(self, tokens_BL: Tensor, valid_BL: Tensor) -> Tensor:
        """Hidden states [B, L, D]. Positions count valid tokens, so padding on either side changes nothing."""
        self.body_passes += 1
        padded = not bool(valid_BL.all())
        positions_BL = (valid_BL.cumsum(-1) - 1).clamp_(min=0) if padded else None
        mask_BL = valid_BL if padded else None
        # A causal architecture is read bidirectionally; a masked one knows neither of these two.
        options = {} if _is_masked_lm(self.network) else {"use_cache": False, "is_causal": False}
        found = self.network.base_model(input_ids=tokens_BL, attention_mask=mask_BL, position_ids=positions_BL, **options)
        hidden_BLD: Tensor = found.last_hidden_state
        return hidden_BLD

    def head(self, hidden_RD: Tensor) -> Tensor:
        """float32 logits [R, V]; the mask itself is never predicted (SUBS, arXiv 2406.07524, section 3.2.3)."""
        self.head_rows += hidden_RD.shape[0]
        logits_RV: Tensor = _head_of(self.network)(hidden_RD).float()
        never = torch.tensor([self.mask_token], device=logits_RV.device)
        return logits_RV.index_fill(-1, never, float("-inf"))

    def forward(self, tokens_BL: Tensor, valid_BL: Tensor, chosen_BL: Tensor) -> Tensor:
        """float32 logits [R, V] of the R positions where `chosen_BL` is True, in row-major order."""
        hidden_BLD = self.body(tokens_BL, valid_BL)
        if self.logit_shift:
            # Weights that were trained to predict the next token: what position i holds is said at i - 1. The first has but itself.
            follows_BL = torch.nn.functional.pad(valid_BL[:, :-1], (1, 0))
            hidden_BLD = torch.where(follows_BL[:, :, None], hidden_BLD.roll(1, dims=1), hidden_BLD)
        return self.head(hidden_BLD[chosen_BL])


def _is_masked_lm(network: Any) -> bool:
    return type(network).__name__.endswith("ForMaskedLM")


def _head_of(network: Any) -> Any:
    """The module from hidden states to logits: the one beside the body."""
    beside = [module for name, module in network.named_children() if name != network.base_model_prefix]
    if len(beside) != 1:
        raise TypeError(f"{type(network).__name__} has {len(beside)} modules beside its body, expected its head alone")
    return beside[0]
