"""The settings of a task: honoured or refused. And what lm-eval asks, as tokens: conversations, boundaries, repeats."""

import dataclasses
import re
from pathlib import Path
from typing import Any

import pytest
from lm_eval.api.instance import Instance

from dllm_run.runtime.asked import Asked, repeats_of
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.gen_kwargs import KNOWN, Wanted, wanted
from dllm_run.runtime.tokenizers import Tokens, from_word
from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes

GREEDY: dict[str, Any] = {"temperature": 0.0}
WARM: dict[str, Any] = {"temperature": 0.5, "top_p": 0.9, "top_k": None}


@pytest.mark.parametrize(
    ("arguments", "found"),
    [
        ({}, Wanted(length=64, until=())),
        ({"until": "stop"}, Wanted(length=64, until=("stop",))),
        ({"until": ["a", "", "b"]}, Wanted(length=64, until=("a", "b"))),
        ({"until": None, "max_gen_toks": 8}, Wanted(length=8, until=())),
        ({"max_gen_toks": 80, "max_new_tokens": 16}, Wanted(length=16, until=())),
        ({"max_tokens": 500}, Wanted(length=64, until=())),
        ({"infill": True}, Wanted(length=64, until=(), infill=True)),
        ({"do_sample": False, "temperature": 0.0, "top_p": 0.3}, Wanted(length=64, until=())),
    ],
    ids=str,
)
def test_stops_and_limits_are_honoured(arguments: dict[str, Any], found: Wanted) -> None:
    assert wanted(arguments, most=64, sampler=GREEDY) == found


@pytest.mark.parametrize(
    ("arguments", "sampler", "message"),
    [
        ({"num_beams": 4}, GREEDY, f"it asks for num_beams=4; known are {', '.join(KNOWN)}"),
        ({"max_gen_toks": 0}, GREEDY, "max_gen_toks=0, and that is no number of tokens"),
        ({"max_gen_toks": "many"}, GREEDY, "max_gen_toks='many', and that is no number of tokens"),
        ({"until": [3]}, GREEDY, "until=[3], and stops are texts"),
        ({"temperature": 0.8}, GREEDY, "temperature 0.8, and the sampler has 0: -s stages.NAME.sampler.temperature=0.8"),
        ({"do_sample": True}, GREEDY, "temperature 1, and the sampler has 0"),
        ({"do_sample": True, "temperature": 0.8}, WARM, "temperature 0.8, and the sampler has 0.5"),
        ({"temperature": 0.5, "top_p": 0.95}, WARM, "top_p=0.95, and the sampler has 0.9: -s stages.NAME.sampler.top_p=0.95"),
        ({"temperature": 0.5, "top_k": 50}, WARM, "top_k=50, and the sampler has None"),
    ],
    ids=str,
)
def test_what_the_plan_does_not_do_is_refused(arguments: dict[str, Any], sampler: dict[str, Any], message: str) -> None:
    with pytest.raises(Failure, match=re.escape(message)):
        wanted(arguments, most=64, sampler=sampler)


def test_the_plans_sampler_answers_a_task_that_asks_for_the_likeliest_answer_and_that_is_told() -> None:
    told = "the task asks for the likeliest answer, and the sampler draws at temperature 0.5"
    assert wanted({"do_sample": False}, most=4, sampler=WARM).overruled == told
    assert wanted({"temperature": 0.0}, most=4, sampler=WARM).overruled == told
    assert wanted({"temperature": 0.5, "top_p": 0.9, "top_k": 0}, most=4, sampler=WARM).overruled is None
    assert wanted({"do_sample": False}, most=4, sampler=GREEDY).overruled is None


def asked(tokens: Tokens | None = None, **rest: Any) -> Asked:
    return Asked(tokens=tokens or from_word(Bytes(), Path()), max_length=64, **rest)


class Joined:
    """A tokenizer that has one token for `ab`."""

    begin, end, stops, mask = (9,), (8,), (8,), 7

    def encode(self, text: str, *, specials: bool = False) -> list[int]:
        return [5 if part == "ab" else ord(part) for part in re.findall("ab|.", text, re.DOTALL)]


def test_a_token_over_the_boundary_is_scored_and_specials_never_are() -> None:
    made = asked(Joined())  # type: ignore[arg-type]
    text = made.scored("xa", "bc", {})
    assert (text.tokens, text.prompt, text.scored) == ((9, ord("x"), 5, ord("c")), 2, 2)
    text = made.scored("x", " c", {})
    assert (text.tokens, text.prompt, text.scored) == ((9, ord("x"), ord(" "), ord("c")), 2, 2)
    assert made.scored("x", "", {}).scored == 0


def test_the_end_stands_behind_what_is_scored_where_the_estimator_says_so() -> None:
    text = asked(Joined(), append_end=True).scored("x", "c", {})  # type: ignore[arg-type]
    assert (text.tokens, text.prompt, text.tail, text.scored) == ((9, ord("x"), ord("c"), 8), 2, 1, 1)


def test_choices_of_a_question_share_their_noise_and_questions_do_not() -> None:
    made, doc, other = asked(), {"question": "which", "choices": ["a", "b"]}, {"question": "what", "choices": ["a", "b"]}
    first, second = made.scored("which", " a", doc), made.scored("which is", " b", doc)
    assert first.id == second.id != made.scored("which", " a", other).id
    assert made.scored("which", " a", {}).id == made.scored("which", " b", {}).id != made.scored("what", " a", {}).id


TEMPLATE = "{% for m in messages %}[{{ m.role }}]{{ m.content }}{% if not loop.last or m.role != 'assistant' %}[/]{% endif %}{% endfor %}"
TEMPLATE += "{% if add_generation_prompt %}[assistant]\n{% endif %}"


def test_a_conversation_is_answered_where_its_tokens_end_and_what_is_said_in_it_is_only_text() -> None:
    tokens = dataclasses.replace(from_word(Bytes(), Path()), template=TEMPLATE)
    made = asked(tokens)
    text = made.chat([{"role": "user", "content": "a <mask> b"}])
    assert text == "[user]a <mask> b[/][assistant]\n"
    scored = made.scored(text, "yes", {})
    assert bytes(scored.tokens) == b"[user]a <mask> b[/][assistant]\nyes"
    assert scored.scored == 3, "the line break that the template ends with is given"
    request = made.prompt(text, Wanted(length=2, until=()), 0)
    assert request.tokens == [*text.encode(), tokens.mask, tokens.mask] and request.prompt == len(text)
    begun = made.chat([{"role": "user", "content": "q"}, {"role": "assistant", "content": "so"}])
    assert begun == "[user]q[/][assistant]so"
    with pytest.raises(Failure, match="has a chat template"):
        asked().chat([{"role": "user", "content": "q"}])


def test_repeats_of_a_question_are_told_apart_and_equal_questions_are_not() -> None:
    first = Instance(request_type="generate_until", doc={}, arguments=("q", {}), idx=0, metadata=("task", 0, 3))
    other = Instance(request_type="generate_until", doc={}, arguments=("q", {}), idx=0, metadata=("task", 1, 3))
    assert repeats_of([first, first, first, other, other, other]) == [0, 1, 2, 0, 1, 2]
    made, settings = asked(), Wanted(length=2, until=())
    ids = [made.prompt("q", settings, repeat).id for repeat in range(3)]
    assert len(set(ids)) == 3 and made.prompt("q", settings, 0).id == ids[0]
