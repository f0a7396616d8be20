"""The row of a mask token that the weights were not trained with."""

from typing import Any

import torch
from torch import Tensor

from .tokenizers import Tokens


@torch.no_grad()
def fill_row_of_mask(network: Any, tokens: Tokens) -> None:
    """Make room for an added mask token: its row of every matrix of the vocabulary is the mean of those of the other tokens."""
    if "published" in vars(network.config):
        network.config.mask_token_id = tokens.mask  # the code that published it finds it there
    if not tokens.added_mask:
        return
    known = int(network.get_input_embeddings().weight.shape[0])
    # A tokenizer that lacks more than the mask does not belong to these weights: the caller refuses it.
    if known == tokens.mask == tokens.size - 1:
        network.resize_token_embeddings(tokens.size, mean_resizing=False)
    if tokens.mask >= network.config.vocab_size:
        return
    output = network.get_output_embeddings()
    tables: list[Tensor | None] = [network.get_input_embeddings().weight, output.weight, output.bias]
    for table in {id(table): table for table in tables if table is not None}.values():
        others = torch.arange(tokens.size, device=table.device) != tokens.mask
        table[tokens.mask] = table[: tokens.size][others].mean(0)
