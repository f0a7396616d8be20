"""The tokens that a sampler treats apart, as numbers of one tokenizer."""

from dataclasses import dataclass

import torch
from torch import Tensor

from dllm_run.specs.vocabulary.proposing import TokenName

from .failure import Failure
from .samplers import Choices
from .samplers.edit_flow import EditChoices
from .tokenizers import Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Marked:
    """Each a vector of token numbers."""

    never_T: Tensor
    """Never written: special tokens but the ends, rows of the model that are no token, and what the sampler suppresses."""
    not_first_T: Tensor
    last_T: Tensor
    kept_T: Tensor
    """Stay visible to the pass without the prompt."""
    stops_T: Tensor
    """Ends of a text or message."""
    fill: int
    """Stands behind the end of an answer."""

    @classmethod
    def nothing(cls, device: torch.device, *, never: tuple[int, ...] = (), stops: tuple[int, ...] = (), fill: int = 0) -> "Marked":
        """Of a sampler that treats no token apart."""
        none = torch.zeros(0, dtype=torch.int64, device=device)
        return cls(never_T=_vector(never, device), not_first_T=none, last_T=none, kept_T=none, stops_T=_vector(stops, device), fill=fill)


def marked_of(choices: Choices, tokens: Tokens, device: torch.device) -> Marked:
    """What a sampler names, in the numbers of a tokenizer. Raises Failure for a text that is no token."""
    kept = choices.guidance.keep if choices.guidance is not None else ()
    return Marked(
        never_T=_vector((*tokens.forbidden, *_numbers(choices.never, tokens)), device),
        not_first_T=_vector(_numbers(choices.not_first, tokens), device),
        last_T=_vector(_numbers(choices.last, tokens), device),
        kept_T=_vector(_numbers(kept, tokens), device),
        stops_T=_vector(tokens.stops, device),
        fill=tokens.stops[0] if tokens.stops else tokens.pad,
    )


def marked_for_edits(choices: EditChoices, tokens: Tokens, device: torch.device) -> Marked:
    """The same of a sampler that edits."""
    never = (*tokens.forbidden, *_numbers(choices.never, tokens))
    return Marked.nothing(device, never=never, stops=tokens.stops, fill=tokens.pad)


def _numbers(names: tuple[TokenName, ...], tokens: Tokens) -> tuple[int, ...]:
    return tuple(_number(name, tokens) for name in names)


def _number(name: TokenName, tokens: Tokens) -> int:
    if isinstance(name, int):
        if not 0 <= name < tokens.size:
            raise Failure(f"the sampler names token {name}, and the tokenizer has {tokens.size}")
        return name
    found = tokens.fast.backend_tokenizer.token_to_id(name)
    if found is None:
        raise Failure(f"the sampler names the token {name!r}, and the tokenizer has none of that text")
    return int(found)


def _vector(numbers: tuple[int, ...], device: torch.device) -> Tensor:
    return torch.tensor(sorted(set(numbers)), dtype=torch.int64, device=device)
