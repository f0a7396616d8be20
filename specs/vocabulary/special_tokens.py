"""The special tokens of a model, where they are not those of its tokenizer."""

from dataclasses import dataclass

from dllm_run.specs.field import leaf


@dataclass(frozen=True, slots=True, kw_only=True)
class SpecialTokens:
    """Texts of tokens that the vocabulary has; what is null stays as tokenizer and family have it."""

    mask: str | None = leaf(
        "The mask; null: that of the tokenizer, else of the family, else one is added behind the last token.",
        default=None,
        example="<|mask|>",
    )
    end: str | None = leaf("Ends every text.", default=None, example="<|endoftext|>")
    pad: str | None = leaf("Fills rows up; nobody attends to it.", default=None, example="<|endoftext|>")
    end_of_turn: str | None = leaf("Ends a message of a chat, and an answer with it.", default=None, example="<|im_end|>")
