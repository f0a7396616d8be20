"""One token a character of printable ASCII."""

from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dllm_run.specs.vocabulary.tokenizers.characters import Characters

_IDS = {character: index for index, character in enumerate(["\n", *map(chr, range(0x20, 0x7F))])}


def build(word: Characters, base: Path) -> PreTrainedTokenizerFast:
    """Newline and the 95 printable characters, then end of text and mask."""
    backend = Tokenizer(models.WordLevel(_IDS, unk_token="<unknown>"))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(r"[\s\S]"), behavior="isolated")
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", pad_token="<eos>", mask_token="<mask>")


def quick(text: str) -> list[int] | None:
    """The places of its characters; None where it has others."""
    try:
        return [_IDS[character] for character in text]
    except KeyError:
        return None
