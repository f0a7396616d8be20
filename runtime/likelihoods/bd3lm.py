"""The bound that the objective of block diffusion has of a row, averaged over masks; blocks of one token need no mask drawn."""

from dllm_run.specs.vocabulary.likelihoods.bd3lm import BlockElbo
from dllm_run.specs.vocabulary.objectives.bd3lm import Bd3lm

from ..objectives.bd3lm import Bd3lmObjective
from . import Estimator, sampled


def build(word: BlockElbo) -> Estimator:
    """The estimator of the word."""
    bound = Bd3lmObjective(Bd3lm(block_size=word.block_size)).bound
    if word.block_size > 1:
        return sampled(word, bound)
    return Estimator(name=word.word, value=bound, draws=lambda scored: 1, exact=lambda scored: True)
