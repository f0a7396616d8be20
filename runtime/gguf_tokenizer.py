"""A byte-level BPE tokenizer as GGUF holds it: tokens, merges and what kind each token is."""

import json
from dataclasses import dataclass
from typing import Any

from gguf import TokenType

from .failure import Failure
from .tokenizers import Tokens

_GPT2 = r"'s|'t|'re|'ve|'m|'ll|'d| ?\p{L}+| ?\p{N}+| ?[^\s\p{L}\p{N}]+|\s+(?!\S)|\s+"
_LLAMA3 = r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+"
_SPLITS = {_GPT2: "gpt-2", _LLAMA3: "llama-bpe", _LLAMA3.replace(r"\p{N}{1,3}", r"\p{N}"): "qwen2"}
"""Patterns that texts are split by before pairs are merged, with the names that llama.cpp has for them."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Vocabulary:
    """The entries of a GGUF file that make a tokenizer."""

    tokens: tuple[str, ...]
    types: tuple[int, ...]
    merges: tuple[str, ...]
    split: str
    """Name of the pattern that texts are split by."""


def vocabulary_of(tokens: Tokens, size: int) -> Vocabulary:
    """The vocabulary, filled up to the `size` of the model's. Raises Failure for a tokenizer that the format cannot hold."""
    said = json.loads(tokens.fast.backend_tokenizer.to_str())
    kind, model = type(tokens.fast.backend_tokenizer.model).__name__, said["model"]
    decoder = (said["decoder"] or {}).get("type")
    if kind != "BPE" or decoder != "ByteLevel":
        found = f"{kind} decoded by {decoder}"
        raise Failure(f"GGUF holds tokenizers of byte-level byte-pair encoding, and this one is {found}: `to: hub` keeps it")
    normalizer = (said["normalizer"] or {"type": "NFC"})["type"]
    if normalizer != "NFC":  # readers of GGUF leave composed characters alone, as they do with Qwen's own files
        raise Failure(f"GGUF cannot say that a tokenizer normalises texts by {normalizer}: `to: hub` keeps it")
    names = {index: name for name, index in tokens.fast.get_vocab().items()}
    special = {int(index): bool(added.special) for index, added in tokens.fast.added_tokens_decoder.items()}
    kinds = {True: TokenType.CONTROL, False: TokenType.USER_DEFINED}

    def type_of(index: int) -> TokenType:
        if index in special:
            return kinds[special[index]]
        return TokenType.NORMAL if index in names else TokenType.UNUSED

    return Vocabulary(
        tokens=tuple(names.get(index, f"[PAD{index}]") for index in range(size)),
        types=tuple(int(type_of(index)) for index in range(size)),
        merges=tuple(pair if isinstance(pair, str) else " ".join(pair) for pair in model["merges"]),
        split=_split(said["pre_tokenizer"]),
    )


def _split(said: dict[str, Any] | None) -> str:
    """The name of the way in which a tokenizer splits texts."""
    steps = [] if said is None else said["pretokenizers"] if said["type"] == "Sequence" else [said]
    patterns = [step["pattern"].get("Regex") for step in steps if step["type"] == "Split" and step["behavior"] == "Isolated"]
    last = steps[-1] if steps else {"type": None}
    if last["type"] == "ByteLevel" and not last["add_prefix_space"] and len(steps) == len(patterns) + 1:
        found = [*patterns, *([_GPT2] if last["use_regex"] else [])]
        if len(found) == 1 and found[0] in _SPLITS:
            return _SPLITS[found[0]]
    raise Failure(f"GGUF has no name for the way in which this tokenizer splits texts; it knows those of {', '.join(_SPLITS.values())}")
