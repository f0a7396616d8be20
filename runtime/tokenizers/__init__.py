"""Tokenizers as stock fast tokenizers of transformers. Every module has `build(word, base) -> PreTrainedTokenizerFast`.

Where ids need no library it has `quick(text)` too, which gives the same ids, or None for a text that it does not know.
"""

import difflib
import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import transformers
from transformers import AutoTokenizer, PreTrainedTokenizerFast

from dllm_run.specs.vocabulary.families import Family, family_for
from dllm_run.specs.vocabulary.special_tokens import SpecialTokens
from dllm_run.specs.vocabulary.tokenizers import Tokenizer as TokenizerWord

from ..build import module_of
from ..chat import Chat, Message, Turns, chat, turns
from ..failure import Failure
from ..families import format_of

ADDED_MASK = "<|mask|>"
"""The mask token of a tokenizer that has none."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Tokens:
    """A tokenizer with the tokens that diffusion needs."""

    fast: PreTrainedTokenizerFast
    mask: int
    """The mask token."""
    begin: tuple[int, ...]
    """Before every text."""
    end: tuple[int, ...]
    """After every text."""
    turn: tuple[int, ...] = ()
    """Ends a message of a chat."""
    turn_text: str | None = None
    """The same where the vocabulary has no token for it."""
    template: str | None = None
    """Jinja template of a chat."""
    added_mask: bool = False
    """Whether the mask token is new, so that the weights have no row for it that means anything."""
    quick: Callable[[str], list[int] | None] | None = None
    """Ids of a text where they need no library, which spends most of its time on what is not asked for; None for what it does not know."""
    rows: int = 0
    """Rows of the model's vocabulary, where that has more than there are tokens."""

    @property
    def pad(self) -> int:
        """The padding token; nobody attends to it."""
        return int(self.fast.pad_token_id if self.fast.pad_token_id is not None else self.mask)

    @property
    def size(self) -> int:
        """Tokens, with the special ones."""
        return len(self.fast)

    @property
    def stops(self) -> tuple[int, ...]:
        """Tokens after which an answer is over."""
        return (*self.end, *self.turn)

    @property
    def forbidden(self) -> tuple[int, ...]:
        """What a sampler never writes: special tokens but the end of a text or message, and rows that are no token."""
        return (*sorted(set(self.fast.all_special_ids) - set(self.stops)), *range(self.size, self.rows))

    def chat(self, messages: Sequence[Message], *, answer: bool) -> Chat:
        """A conversation as tokens; with `answer` its last message is one. Raises Failure."""
        return chat(self.fast, self.template, messages, answer=answer)

    def turns(self, messages: Sequence[Message], template: str | None = None) -> Turns:
        """A conversation to learn from, laid out by a template of its own where one is given. Raises Failure."""
        return turns(self.fast, self.template if template is None else template, messages)

    def encode_all(self, texts: list[str]) -> list[list[int]]:
        """Token ids of texts, nothing added: `encode` of each, in a fraction of the time."""
        if self.quick is not None:
            return [self.encode(text) if (ids := self.quick(text)) is None else ids for text in texts]
        backend = self.fast.backend_tokenizer
        backend.encode_special_tokens = True
        try:
            found = [list(item.ids) for item in backend.encode_batch_fast(texts, add_special_tokens=False)]
        except Exception:  # noqa: BLE001 - the library raises a bare Exception for a character it has no token for
            return [self.encode(text) for text in texts]  # one by one, so that the text is told
        if self.fast.unk_token_id is None and not any(self.mask in ids for ids in found):
            return found
        return [self._plain(text, ids) for text, ids in zip(texts, found, strict=True)]

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
        return ids if specials else self._plain(text, ids)

    def _plain(self, text: str, ids: list[int]) -> list[int]:
        """Ids of a text that is only text: no special token may come of it. Raises Failure."""
        unknown = self.fast.unk_token_id
        if unknown is None:
            if self.mask in ids:
                raise Failure(f"a text holds the mask token {self.fast.mask_token!r}, which its vocabulary has as a word: {text[:80]!r}")
            return ids
        # A vocabulary of whole words spells its special tokens too, and text that names one must not become it.
        special = set(self.fast.all_special_ids)
        return [int(unknown) if token in special else token for token in ids]

    def pieces(self, ids: list[int]) -> list[str]:
        """The text of each token on its own."""
        return [self.fast.decode([token], clean_up_tokenization_spaces=False) for token in ids]

    def silent_pieces(self, ids: list[int]) -> list[str]:
        """The same, with nothing for the tokens that open and close texts and messages."""
        silent = {*self.begin, *self.stops}
        return ["" if token in silent else piece for token, piece in zip(ids, self.pieces(ids), strict=True)]

    def decode(self, ids: list[int]) -> str:
        """The text of a sequence, special tokens left out."""
        return str(self.fast.decode(ids, skip_special_tokens=True, clean_up_tokenization_spaces=False))


def from_word(word: TokenizerWord, base: Path, special: SpecialTokens | None = None) -> Tokens:
    """The tokenizer of a word; `base` is where relative paths start."""
    module = module_of(type(word))
    found = _wrapped(module.build(word, base), special or SpecialTokens(), None)
    return replace(found, quick=vars(module).get("quick"))


def from_folder(source: Path, special: SpecialTokens | None = None) -> Tokens:
    """The tokenizer that lies in a folder or a GGUF file; one without a mask token is given one. Raises Failure if there is none."""
    family = family_for(_beside(source, "config.json").get("model_type"))
    try:
        if source.suffix == ".gguf":
            fast: Any = AutoTokenizer.from_pretrained(str(source.parent), gguf_file=source.name, local_files_only=True)
        else:
            fast = _class(source, family).from_pretrained(source, local_files_only=True)
    except (OSError, ValueError, TypeError, KeyError, ImportError) as error:
        raise Failure(f"{source} holds no tokenizer that transformers can read: {(str(error).splitlines() or [''])[0]}") from None
    if not isinstance(fast, PreTrainedTokenizerFast):
        raise Failure(f"the tokenizer of {source} is a {type(fast).__name__}, for which transformers has no fast one")
    return _wrapped(fast, special or SpecialTokens(), family)


def _class(folder: Path, family: type[Family] | None) -> Any:
    """The class that reads the tokenizer in a folder; code that lies there is never run, nor asked about."""
    settings, form = _beside(folder, "tokenizer_config.json"), format_of(family)
    foreign = "auto_map" in settings
    if not foreign and "auto_map" not in _beside(folder, "config.json"):
        return AutoTokenizer
    if foreign and form is not None and form.tokenizer is not None:
        return getattr(transformers, form.tokenizer)
    named = settings.get("tokenizer_class")
    return getattr(transformers, named) if isinstance(named, str) and hasattr(transformers, named) else PreTrainedTokenizerFast


def _beside(folder: Path, name: str) -> dict[str, Any]:
    try:
        found = json.loads((folder / name).read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return {}
    return found if isinstance(found, dict) else {}


def _wrapped(fast: Any, special: SpecialTokens, family: type[Family] | None) -> Tokens:
    vocabulary: dict[str, int] = fast.get_vocab()
    for field in ("mask", "end", "pad", "end_of_turn"):
        _check(field, getattr(special, field), vocabulary, fast)
    mask = special.mask or fast.mask_token
    if mask is None:
        theirs = family.mask_token if family is not None else None
        mask = theirs if theirs in vocabulary else ADDED_MASK
    if fast.mask_token != mask:
        fast.add_special_tokens({"mask_token": mask})
    if special.pad is not None:
        fast.add_special_tokens({"pad_token": special.pad})
    if special.end is not None:
        fast.add_special_tokens({"sep_token" if fast.sep_token_id is not None else "eos_token": special.end})
    end = fast.sep_token_id if fast.sep_token_id is not None else fast.eos_token_id
    begin = fast.cls_token_id if fast.sep_token_id is not None else None
    if begin is None and getattr(fast, "add_bos_token", False):
        begin = fast.bos_token_id
    turn = special.end_of_turn or (family.end_of_turn if family is not None else None)
    known = None if turn is None else vocabulary.get(turn)
    return Tokens(
        fast=fast,
        mask=int(fast.mask_token_id),
        begin=() if begin is None else (int(begin),),
        end=() if end is None else (int(end),),
        turn=() if known is None or known == end else (int(known),),
        turn_text=turn if known is None else None,
        template=family.chat_template if family is not None and family.chat_template is not None else fast.chat_template,
        added_mask=mask not in vocabulary,
    )


def _check(field: str, text: str | None, vocabulary: dict[str, int], fast: Any) -> None:
    if text is None or text in vocabulary:
        return
    likely = [*fast.get_added_vocab(), *fast.all_special_tokens]
    near = difflib.get_close_matches(text, likely or list(vocabulary), n=3, cutoff=0.4)
    hint = f": near are {', '.join(near)}" if near else ""
    raise Failure(f"special_tokens.{field} is {text!r}, which the vocabulary does not have{hint}")
