"""Edit Flows: how its steps and tokens are chosen; `edit_engine.py` is the loop that runs it, since rows do not keep their length."""

from dataclasses import dataclass

from dllm_run.specs.vocabulary.proposing import TokenName
from dllm_run.specs.vocabulary.samplers.edit_flow import EditFlowSampler

from ..proposal import Proposal


@dataclass(frozen=True, slots=True, kw_only=True)
class EditChoices:
    """What the sampler of Edit Flows is told."""

    steps: int
    proposal: Proposal
    edit_prompt: bool
    """Whether a prompt is edited too, but for the token that begins a text."""
    never: tuple[TokenName, ...]
    """Tokens that are never written."""


def build(word: EditFlowSampler) -> EditChoices:
    """The choices of the word."""
    return EditChoices(
        steps=word.steps,
        proposal=Proposal(temperature=word.temperature, top_k=word.top_k, top_p=word.top_p),
        edit_prompt=word.edit_prompt,
        never=word.suppress_tokens,
    )
