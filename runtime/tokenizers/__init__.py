"""Tokenizers as stock fast tokenizers of transformers. Every module has `build(word, base) -> PreTrainedTokenizerFast`."""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from transformers import AutoTokenizer, PreTrainedTokenizerFast

from dllm_run.specs.vocabulary.tokenizers import Tokenizer as TokenizerWord

from ..build import module_of
from ..failure import Failure


@dataclass(frozen=True, slots=True)
class Tokens:
    """A tokenizer with the tokens that diffusion needs."""

    fast: PreTrainedTokenizerFast
    begin: tuple[int, ...]
    """Before every text."""
    end: tuple[int, ...]
    """After every text."""

    @property
    def mask(self) -> int:
        """The mask token."""
        return int(self.fast.mask_token_id)

    @property
    def pad(self) -> int:
        """The padding token; nobody attends to it."""
        return int(self.fast.pad_token_id if self.fast.pad_token_id is not None else self.fast.mask_token_id)

    @property
    def size(self) -> int:
        """Tokens, with the special ones."""
        return len(self.fast)

    @property
    def forbidden(self) -> tuple[int, ...]:
        """Special tokens that a sampler never writes: all but the end of a text."""
        return tuple(sorted(set(self.fast.all_special_ids) - set(self.end)))

    def encode(self, text: str, *, specials: bool = False) -> list[int]:
        """Token ids of a text, nothing added. With `specials`, the names of special tokens in the text stand for them."""
        backend = self.fast.backend_tokenizer
        backend.encode_special_tokens = not specials
        try:
            ids = list(backend.encode(text, add_special_tokens=False).ids)
        except Exception:  # noqa: BLE001 - the library raises a bare Exception for a character it has no token for
            place = next((index for index, character in enumerate(text) if backend.token_to_id(character) is None), 0)
            around = text[max(0, place - 20) : place + 20]
            raise Failure(f"the tokenizer has no token for {text[place : place + 1]!r} in {around!r}") from None
        unknown = self.fast.unk_token_id
        if specials or unknown is None:
            return ids
        # A vocabulary of whole words spells its special tokens too, and text that names one must not become it.
        special = set(self.fast.all_special_ids)
        return [int(unknown) if token in special else token for token in ids]

    def pieces(self, ids: list[int]) -> list[str]:
        """The text of each token on its own."""
        return [self.fast.decode([token], clean_up_tokenization_spaces=False) for token in ids]

    def decode(self, ids: list[int]) -> str:
        """The text of a sequence, special tokens left out."""
        return str(self.fast.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def from_word(word: TokenizerWord, base: Path) -> Tokens:
    """The tokenizer of a word; `base` is where relative paths start."""
    return _wrapped(module_of(type(word)).build(word, base))


def from_folder(folder: Path) -> Tokens:
    """The tokenizer that lies in a folder. Raises Failure if there is none, or it has no mask token."""
    try:
        fast: Any = AutoTokenizer.from_pretrained(folder, local_files_only=True)
    except (OSError, ValueError, TypeError) as error:
        raise Failure(f"{folder} holds no tokenizer that transformers can read: {str(error).splitlines()[0]}") from None
    if fast.mask_token_id is None:
        raise Failure(f"the tokenizer of {folder} has no mask token: diffusion needs one")
    return _wrapped(fast)


def _wrapped(fast: Any) -> Tokens:
    end = fast.sep_token_id if fast.sep_token_id is not None else fast.eos_token_id
    begin = fast.cls_token_id if fast.sep_token_id is not None else None
    if begin is None and getattr(fast, "add_bos_token", False):
        begin = fast.bos_token_id
    return Tokens(fast, () if begin is None else (int(begin),), () if end is None else (int(end),))
