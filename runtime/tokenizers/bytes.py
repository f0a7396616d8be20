"""One token a byte: the id of a byte is its value."""

from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes


def build(word: Bytes, base: Path) -> PreTrainedTokenizerFast:
    """256 bytes, then end of text (256) and mask (257)."""
    # ByteLevel writes each byte as one printable character; sorting as it does would not give ids equal to values.
    vocabulary = {_character(value): value for value in range(256)}
    backend = Tokenizer(models.BPE(vocab=vocabulary, merges=[]))
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)
    backend.decoder = decoders.ByteLevel()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", pad_token="<eos>", mask_token="<mask>")


def quick(text: str) -> list[int]:
    """The bytes of a text."""
    return list(text.encode())


def _character(value: int) -> str:
    """The character that byte-level pre-tokenisation uses for a byte: itself where printable in Latin-1, else from 256 on (GPT-2)."""
    printable = [*range(0x21, 0x7F), *range(0xA1, 0xAD), *range(0xAE, 0x100)]
    if value in printable:
        return chr(value)
    return chr(256 + [other for other in range(256) if other not in printable].index(value))
