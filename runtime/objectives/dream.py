"""Dream's objective (arXiv 2508.15487): masked diffusion under another weighting. The shift of its logits belongs to the model."""

from dllm_run.specs.vocabulary.objectives.dream import Dream

from . import Objective
from .mdlm import MdlmObjective


def build(word: Dream) -> Objective:
    """The objective of the word."""
    return MdlmObjective(word)
