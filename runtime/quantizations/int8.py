"""8-bit integers through bitsandbytes."""

from transformers import BitsAndBytesConfig

from dllm_run.specs.vocabulary.quantizations.int8 import Int8


def build(word: Int8) -> BitsAndBytesConfig:
    """Weights in 8 bits, outliers apart."""
    return BitsAndBytesConfig(load_in_8bit=True, llm_int8_threshold=word.threshold)
