"""Held-out sequences: only what is learned is scored, and texts that share a row do not see each other."""

import math

import pytest
from runtime_toys import StubDenoiser, subset_weight

from dllm_run.runtime.likelihood import Scored, averaged, whole_rows
from dllm_run.runtime.noise import Stream

M = 3


def logits_of(seen: tuple[int, ...], position: int) -> tuple[float, ...]:
    """Logits over {0, 1, 2} that depend on everything that is seen."""
    place = sum((index + 2) * (token + 1) for index, token in enumerate(seen))
    return (*(1.5 * math.sin(place * (token + 1) + position) for token in range(3)), -math.inf)


def enumerated(tokens: list[int], learned: list[bool]) -> float:
    """The bound of one text by all masks of its learned tokens."""
    places, total = [index for index, is_learned in enumerate(learned) if is_learned], 0.0
    for chosen in range(1, 2 ** len(places)):
        masked = {place for bit, place in enumerate(places) if chosen >> bit & 1}
        seen = tuple(M if index in masked else token for index, token in enumerate(tokens))
        for index in masked:
            logits = logits_of(seen, index)
            nll = math.log(sum(math.exp(value) for value in logits)) - logits[tokens[index]]
            total += subset_weight(len(masked), len(places)) * nll
    return total


def bound(**fields: object) -> tuple[float, float, StubDenoiser]:
    denoiser = StubDenoiser(logits_of, mask_token=M)
    item = Scored(id=3, **fields)  # type: ignore[arg-type]
    [found] = averaged(whole_rows, denoiser, [item], stream=Stream(0, "likelihood"), samples=4000, batch=4000, across=False)
    return found.nll, found.error, denoiser


def test_only_learned_tokens_are_scored_wherever_they_stand() -> None:
    tokens, learned = [2, 0, 1, 2, 1], [False, True, False, False, True]
    found, error, denoiser = bound(tokens=tokens, prompt=1, learned=learned)
    assert {position for _, position in denoiser.asked} == {1, 4}
    assert abs(found - enumerated(tokens, learned)) < 4 * error < 0.2


def test_texts_that_share_a_row_are_scored_each_alone() -> None:
    """By one draw of masks over the row; each text sees its own tokens alone, counted from its own start."""
    denoiser = bound(tokens=[2, 0, 1, 1, 2], documents=[2, 3])[2]
    assert {(len(seen), position) for seen, position in denoiser.asked} == {(2, 0), (2, 1), (3, 0), (3, 1), (3, 2)}


@pytest.mark.parametrize("learned", [[False] * 3, [True] * 3])
def test_a_text_of_which_nothing_is_learned_has_the_bound_nothing(learned: list[bool]) -> None:
    found, _, _ = bound(tokens=[0, 1, 2], learned=learned)
    assert (found == 0) == (not any(learned))
