"""Whose model talks, by which template, and what it is asked then."""

import io
import json
from dataclasses import replace
from pathlib import Path

import pytest
from runtime_toys import compiled, context_of

from dllm_run.runtime.conversing import conversation_template, turn_to_answer
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.line import Told, Waiting
from dllm_run.runtime.prompts import answer_of
from dllm_run.runtime.tokenizers import from_word
from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes

TOKENS = from_word(Bytes(), Path())
EOS = TOKENS.end[0]
TAGS = "{% for m in messages %}<{{ m.role[0] }}>{{ m.content }}<eos>{% endfor %}{% if add_generation_prompt %}<a>{% endif %}"
TRAIN = "objective: mdlm, batch: 2, optimizer: {learning_rate: 1e-3}, duration: 1 steps"
SCRATCH = "model: {scratch: {family: llama, layers: 1, width: 16}, tokenizer: bytes}"
STAGES = f"""\
version: 1
name: talk
data:
  pairs: {{sources: [./pairs.jsonl], max_length: 64, chat_template: "{TAGS}"}}
  glued: {{sources: [./pairs.jsonl], max_length: 64, chat_template: false}}
  texts: {{sources: [./texts.txt], max_length: 32}}
stages:
  talks: {{kind: sft, {SCRATCH}, data: "${{data.pairs}}", {TRAIN}}}
  later: {{kind: pretrain, model: "${{stages.talks}}", data: "${{data.texts}}", {TRAIN}}}
  glued: {{kind: sft, {SCRATCH}, data: "${{data.glued}}", {TRAIN}}}
  reads: {{kind: pretrain, {SCRATCH}, data: "${{data.texts}}", {TRAIN}}}
  look: {{kind: sample, model: "${{stages.MODEL}}", prompts: [""], max_new_tokens: 4, sampler: llada}}
"""


def template_for(model: str, folder: Path) -> str:
    (folder / "pairs.jsonl").write_text('{"prompt": "a", "response": "b"}\n' * 3, encoding="utf-8")
    (folder / "texts.txt").write_text("a text\nanother\n", encoding="utf-8")
    context = context_of(compiled(folder, STAGES.replace("MODEL", model)), "look", folder)
    return conversation_template(context, context.stage.body.model, TOKENS)  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", ["talks", "later"])
def test_a_model_talks_by_the_template_of_the_last_conversations_that_it_was_trained_on(model: str, tmp_path: Path) -> None:
    assert TOKENS.template is None
    assert template_for(model, tmp_path) == TAGS


@pytest.mark.parametrize(
    ("model", "why"),
    [("glued", "glued trained on prompts with responses that no chat template lays out"), ("reads", "trained on texts from scratch")],
)
def test_a_model_that_was_trained_on_no_conversation_says_why_it_does_not_talk(model: str, why: str, tmp_path: Path) -> None:
    with pytest.raises(Failure, match=why):
        template_for(model, tmp_path)


def test_a_question_is_the_whole_conversation_with_open_places_behind_it() -> None:
    said = [{"role": "user", "content": "one"}, {"role": "assistant", "content": "<eos>"}, {"role": "user", "content": "two"}]
    request = turn_to_answer(said, TAGS, TOKENS, id=7, answer=3, positions=64)
    shown = "".join("." if token == EOS else "_" if token == TOKENS.mask else chr(token) for token in request.tokens)
    # What somebody wrote never becomes a special token.
    assert shown == "<u>one.<a><eos>.<u>two.<a>___"
    assert (request.prompt, request.id, request.ends) == (len(shown) - 3, 7, True)
    with pytest.raises(Failure, match="a conversation of 26 tokens with an answer of 3 does not fit the model's 28"):
        turn_to_answer(said, TAGS, TOKENS, id=7, answer=3, positions=28)


def test_an_answer_ends_where_the_first_token_or_text_ends_it() -> None:
    request = turn_to_answer([{"role": "user", "content": "x"}], TAGS, TOKENS, id=0, answer=9, positions=64)
    full = [*request.tokens[: request.prompt], *b"yes]no", EOS, *b"z", EOS]
    assert answer_of(full, request, TOKENS) == "yes]no"
    assert answer_of(full, request, TOKENS, ["o"]) == "yes]n"
    assert answer_of(full, request, replace(TOKENS, turn_text="]")) == "yes"


def test_what_is_asked_comes_in_order_and_a_cancellation_comes_at_once() -> None:
    waiting = Waiting()
    lines = [{"ask": "own", "number": 1}, {"ask": "texts", "texts": ["ü"], "number": 2}, {"ask": "cancel", "number": 1}]
    waiting.read(io.StringIO("".join(json.dumps(line) + "\n" for line in lines)))
    assert list(waiting) == lines[:2]
    # Nobody is there any more: everything is cancelled.
    assert all(waiting.is_cancelled(number) for number in (1, 2, 3))


def test_what_is_told_is_one_line_at_once() -> None:
    out = io.StringIO()
    Told(out)("note", {"text": "a\nb"})
    (line,) = out.getvalue().splitlines()
    assert {**json.loads(line), "time": 0} == {"event": "note", "time": 0, "text": "a\nb"}
