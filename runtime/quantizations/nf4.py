"""4-bit NormalFloat through bitsandbytes."""

import torch
from transformers import BitsAndBytesConfig

from dllm_run.specs.vocabulary.quantizations.nf4 import Nf4


def build(word: Nf4) -> BitsAndBytesConfig:
    """Matrices are multiplied in float32; under autocast, which casts what they make, in bf16."""
    return BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=word.double,
        bnb_4bit_compute_dtype=torch.float32,
    )
