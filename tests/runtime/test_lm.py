"""The model class that lm-eval sees, through lm-eval itself on small tasks, and its three questions one by one."""

import json
import math
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from lm_eval import simple_evaluate
from lm_eval.api.instance import Instance
from lm_eval.tasks import TaskManager
from runtime_toys import StubDenoiser, compiled, context_of

from dllm_run.runtime.build import build
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.generate import Generator
from dllm_run.runtime.journal import Journal
from dllm_run.runtime.lm import DiffusionLM, Settings
from dllm_run.runtime.models import Loaded
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.precision import precision_of
from dllm_run.runtime.scoring import Scorer, Text
from dllm_run.runtime.tokenizers import from_word
from dllm_run.specs.vocabulary.likelihoods import Likelihood
from dllm_run.specs.vocabulary.likelihoods.elbo import Elbo
from dllm_run.specs.vocabulary.samplers.llada import Llada
from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes
from dllm_run.specs.vocabulary.tokenizers.pattern import Pattern

MASK, EOS = 257, 256
PLAN = """
version: 1
name: toy
model: {scratch: {family: llama, layers: 1, width: 32, heads: 2}, tokenizer: bytes}
data:
  toy: {sources: [{generate: sudoku}], holdout: 2 rows, max_length: 64}
stages:
  train: {kind: pretrain, data: "${data.toy}", objective: mdlm, batch: 4, optimizer: {learning_rate: 1e-3}, duration: 2 steps}
  ask: {kind: eval, model: "${stages.train}", data: "${data.toy}", tasks: [held_out_text], likelihood: {estimator: elbo, samples: 4}}
"""
Build = Callable[..., DiffusionLM]
GREEDY, WARM = Llada(), Llada(temperature=1.0)
KNOWN = ["2+2= 4.", "3+4= 7.", "5+1= 6."]
"""What the stub has learned by heart."""


def learned(seen: tuple[int, ...], position: int) -> list[float]:
    """Sure of the next character of a line of KNOWN that fits what is not masked; else every byte is as likely."""
    logits = [0.0] * 258
    logits[MASK] = -math.inf
    for line in KNOWN:
        text = line.encode()
        fits = all(token in (MASK, text[place] if place < len(text) else EOS) for place, token in enumerate(seen))
        if fits:
            logits[text[position] if position < len(text) else EOS] = 9.0
            break
    return logits


@pytest.fixture
def lm(tmp_path: Path) -> Build:
    plan = compiled(tmp_path, PLAN)

    def made(
        logits_of: Callable[[tuple[int, ...], int], list[float]] = learned,
        *,
        samples: int | None = 8,
        batch: int = 4,
        max_length: int = 64,
        max_new_tokens: int = 6,
        sampler: Llada | None = GREEDY,
        word: Any = None,
        word_of: Likelihood | None = None,
        folder: Path | None = None,
    ) -> DiffusionLM:
        context = context_of(plan, "ask", tmp_path)
        tokens = from_word(word or Bytes(), tmp_path)
        stub = StubDenoiser(logits_of, mask_token=tokens.mask, dtype=torch.float32)
        loaded = Loaded(stub, tokens)  # type: ignore[arg-type]
        settings = Settings(
            max_length=max_length,
            max_new_tokens=max_new_tokens,
            sampler={} if sampler is None else {"temperature": sampler.temperature},
            asks_greedy=lambda task: task in ("choice", "asked"),
        )
        journal = Journal(folder).open()
        scorer = None
        if samples is not None:
            estimator = build(word_of or Elbo(samples=samples))
            scorer = Scorer(denoiser=stub, estimator=estimator, stream=Stream(0, "likelihood"), batch=batch, journal=journal)  # type: ignore[arg-type]
        precision = precision_of(context.compute)
        stream = Stream(context.seed, "sample")
        generator = Generator(loaded, build(sampler), stream, batch, precision) if sampler is not None else None
        greedy = Generator(loaded, build(Llada()), stream, batch, precision)
        return DiffusionLM(context, loaded, settings, scorer=scorer, generator=generator, greedy=greedy, journal=journal)

    return made


def ask(kind: str, *arguments: Any, task: str = "asked") -> Instance:
    return Instance(request_type=kind, doc={}, arguments=arguments, idx=0, metadata=(task, 0, 1))


def scored_of(model: DiffusionLM, context: str, continuation: str) -> Text:
    return model.asked.scored(context, continuation, {})


def stub_of(model: DiffusionLM) -> StubDenoiser:
    found: Any = model.loaded.denoiser
    assert isinstance(found, StubDenoiser)
    return found


CHOICE = """
task: choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {docs}}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: label
target_delimiter: " "
metric_list: [{{metric: acc}}, {{metric: acc_norm}}]
"""
ANSWER = """
task: answer
dataset_path: json
dataset_kwargs: {{data_files: {{test: {docs}}}}}
test_split: test
output_type: generate_until
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: {until}}}
filter_list:
  - name: strict
    filter:
      - {{function: regex, regex_pattern: "([0-9]+)"}}
      - {{function: take_first}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""
ROLLING = """
task: rolling
dataset_path: json
dataset_kwargs: {{data_files: {{test: {docs}}}}}
test_split: test
output_type: loglikelihood_rolling
doc_to_text: ""
doc_to_target: "{{{{text}}}}"
metric_list: [{{metric: byte_perplexity}}, {{metric: bits_per_byte}}]
"""


def evaluate(model: DiffusionLM, folder: Path, form: str, docs: list[dict[str, Any]], **fields: str) -> dict[str, Any]:
    (folder / "docs.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs), encoding="utf-8")
    (folder / "task.yaml").write_text(form.format(docs=folder / "docs.jsonl", **fields), encoding="utf-8")
    manager = TaskManager(include_defaults=False)
    found = simple_evaluate(model=model, tasks=[str(folder / "task.yaml")], task_manager=manager, bootstrap_iters=10, log_samples=True)
    scores: dict[str, Any] = next(iter(found["results"].values()))
    return scores


QUESTIONS = [
    {"question": "2+2=", "choices": ["3.", "4.", "5."], "label": 1, "answer": "4"},
    {"question": "3+4=", "choices": ["7.", "8.", "9."], "label": 0, "answer": "7"},
    {"question": "5+1=", "choices": ["1.", "2.", "9."], "label": 2, "answer": "8"},
]


@pytest.mark.parametrize("batch", [1, 5, 64])
def test_multiple_choice_counts_the_questions_whose_right_answer_is_likeliest(lm: Build, tmp_path: Path, batch: int) -> None:
    # The stub knows the first two answers; the third question's right label is not what it would say, so chance decides alike for all.
    scores = evaluate(lm(batch=batch), tmp_path, CHOICE, QUESTIONS[:2])
    assert scores["acc,none"] == 1.0 and scores["acc_norm,none"] == 1.0
    wrong = [{**QUESTIONS[0], "label": 0}, QUESTIONS[1]]
    assert evaluate(lm(batch=batch), tmp_path, CHOICE, wrong)["acc,none"] == 0.5


@pytest.mark.parametrize("until", ['"."', '[".", "!"]'], ids=["string", "list"])
@pytest.mark.parametrize("batch", [1, 2])
def test_generated_answers_are_cut_filtered_and_compared(lm: Build, tmp_path: Path, until: str, batch: int) -> None:
    scores = evaluate(lm(batch=batch), tmp_path, ANSWER, QUESTIONS, until=until)
    assert scores["exact_match,strict"] == pytest.approx(2 / 3)


def flat_abcd(seen: tuple[int, ...], position: int) -> list[float]:
    """a, b, c and d are equally likely, nothing else is possible."""
    return [0.0 if chr(token) in "abcd" else -math.inf for token in range(258)]


def test_rolling_likelihood_gives_the_bits_of_the_model(lm: Build, tmp_path: Path) -> None:
    model = lm(flat_abcd, samples=200, batch=100)
    scores = evaluate(model, tmp_path, ROLLING, [{"text": "abcdabcdabcd"}, {"text": "ddd"}])
    # Whatever is masked, a flat model pays two bits a byte: counts of masks have no noise left.
    assert scores["bits_per_byte,none"] == pytest.approx(2.0, abs=1e-6)
    assert all(one.error is not None and one.error < 1e-6 for group in model.estimates.values() for one in group)
    assert scores["byte_perplexity,none"] == pytest.approx(2 ** scores["bits_per_byte,none"])


def certain(text: str) -> Callable[[tuple[int, ...], int], list[float]]:
    return lambda seen, position: [60.0 if token == text.encode()[position] else 0.0 for token in range(257)] + [-math.inf]


def test_what_the_model_is_certain_of_costs_nothing(lm: Build) -> None:
    [(logp, greedy)] = lm(certain("the cat sat")).loglikelihood([ask("loglikelihood", "the cat", " sat")])
    assert logp == pytest.approx(0, abs=1e-6) and greedy is True


@pytest.mark.parametrize("continuation", [" 4.", " 5."])
def test_the_greedy_answer_is_told_from_any_other(lm: Build, continuation: str) -> None:
    [(_, greedy)] = lm().loglikelihood([ask("loglikelihood", "2+2=", continuation)])
    assert greedy == (continuation == " 4.")
    [(_, unasked)] = lm().loglikelihood([ask("loglikelihood", "2+2=", continuation, task="no-such-question")])
    assert unasked is False


@pytest.mark.parametrize(
    ("context", "continuation", "scored"),
    [("ab", " cd", " cd"), ("ab ", "cd", " cd"), ("ab \n ", "cd", " \n cd"), ("", "cd", "cd"), ("  ", "c", "  c")],
    ids=["none", "one-space", "spaces-and-line", "no-context", "only-spaces"],
)
def test_trailing_spaces_of_the_context_belong_to_the_continuation(lm: Build, context: str, continuation: str, scored: str) -> None:
    model = lm()
    model.loglikelihood([ask("loglikelihood", context, continuation)])
    whole = context + continuation
    positions = {position for seen, position in stub_of(model).asked if len(seen) == len(whole)}
    assert positions <= set(range(len(whole) - len(scored), len(whole)))
    item = scored_of(model, context, continuation)
    assert list(item.tokens) == list(whole.encode()) and item.prompt == len(whole) - len(scored)


def test_a_likelihood_is_the_same_in_any_batch_order_and_task(lm: Build) -> None:
    pairs = [("2+2=", " 4."), ("3+4=", " 8."), ("what", " is a longer text"), ("", "x")]
    requests = [ask("loglikelihood", *pair) for pair in pairs]
    expected = lm(batch=1).loglikelihood(requests)
    assert lm(batch=3).loglikelihood(requests) == expected
    assert lm(batch=64).loglikelihood(requests[::-1])[::-1] == expected
    assert [logp for logp, _ in lm().loglikelihood([ask("loglikelihood", *pairs[1], task="other")])] == [expected[1][0]]


def test_a_long_context_loses_its_beginning_and_a_long_answer_is_refused(lm: Build) -> None:
    model = lm(max_length=8)
    item = scored_of(model, "0123456789", "abc")
    assert bytes(item.tokens) == b"56789abc" and item.prompt == 5
    assert scored_of(model, "x", "12345678").prompt == 0
    with pytest.raises(Failure, match="an answer of 9 tokens is longer than the model's 8"):
        model.loglikelihood([ask("loglikelihood", "x", "123456789")])


def test_rolling_windows_cover_every_token_once(lm: Build) -> None:
    model = lm(max_length=5)
    windows = model.asked.windows("abcdefghijkl")
    assert [bytes(window.tokens) for window in windows] == [b"abcde", b"fghij", b"kl"]
    assert [window.prompt for window in windows] == [0, 0, 0] and len({window.id for window in windows}) == 3
    [total] = model.loglikelihood_rolling([ask("loglikelihood_rolling", "abcdefghijkl")])
    assert total == pytest.approx(-sum(found.nll for found in model.estimates["asked", 0, 0]))
    assert model.loglikelihood_rolling([ask("loglikelihood_rolling", "")]) == [0]


def test_the_token_before_a_text_is_in_every_window_and_never_scored(lm: Build, tmp_path: Path) -> None:
    (tmp_path / "v.txt").write_text("[PAD]\n[UNK]\n[CLS]\n[SEP]\na\nb\nc\n[MASK]\n", encoding="utf-8")
    model = lm(lambda seen, position: [0.0] * 7 + [-math.inf], max_length=3, word=Pattern(vocabulary="./v.txt"))
    assert [(list(window.tokens), window.prompt) for window in model.asked.windows("abc")] == [([2, 4, 5], 1), ([2, 6], 1)]
    item = scored_of(model, "a", "b")
    assert (list(item.tokens), item.prompt) == ([2, 4, 5], 2)


def canvas_text(seen: tuple[int, ...], position: int) -> list[float]:
    text = b"yes. no\nSTOP and on"
    return [40.0 - position if token == text[position % len(text)] else 0.0 for token in range(257)] + [-math.inf]


@pytest.mark.parametrize(
    ("until", "answer", "passes"),
    [
        ([], "yes. no\nSTOP and on", 19),
        (" and", "yes. no\nSTOP", 16),
        (["\n"], "yes. no", 8),
        (["STOP", "\n", "no"], "yes. ", 7),
        (["", "and"], "yes. no\nSTOP ", 16),
        (None, "yes. no\nSTOP and on", 19),
    ],
    ids=["nothing", "text", "list", "earliest-of-many", "empty-stop", "null"],
)
def test_an_answer_ends_before_the_first_stop_and_nothing_behind_it_is_asked(lm: Build, until: Any, answer: str, passes: int) -> None:
    model = lm(lambda seen, position: canvas_text(seen, position - 3), max_new_tokens=19)
    assert model.generate_until([ask("generate_until", "Q: ", {"until": until})]) == [answer]
    assert model.passes == passes


def test_an_answer_ends_at_the_end_of_text(lm: Build) -> None:
    def ended(seen: tuple[int, ...], position: int) -> list[float]:
        return [9.0 - position if token == (EOS if position == 3 else 97) else 0.0 for token in range(257)] + [-math.inf]

    assert lm(ended).generate_until([ask("generate_until", "x", {})]) == ["aa"]


def test_infilling_fills_the_masks_of_the_context(lm: Build) -> None:
    model = lm()
    assert model.generate_until([ask("generate_until", "2+<mask>= <mask>.", {"infill": True, "until": []})]) == ["2+2= 4."]
    [plain] = model.generate_until([ask("generate_until", "<mask>", {"until": []})])
    assert len(plain.encode()) <= 6, "without infill the name of the mask is text"


@pytest.mark.parametrize("sampler", [GREEDY, WARM], ids=["greedy", "warm"])
def test_answers_are_the_same_in_any_batch_and_order(lm: Build, sampler: Llada) -> None:
    requests = [ask("generate_until", text, {"until": []}) for text in ("2+2=", "a much longer question", "", "z")]
    expected = lm(batch=1, sampler=sampler).generate_until(requests)
    assert lm(batch=3, sampler=sampler).generate_until(requests) == expected
    assert lm(batch=4, sampler=sampler).generate_until(requests[::-1])[::-1] == expected


def test_a_long_prompt_loses_its_beginning_and_no_room_for_an_answer_is_refused(lm: Build) -> None:
    model = lm(max_length=10, max_new_tokens=6)
    model.generate_until([ask("generate_until", "0123456789", {})])
    assert bytes(stub_of(model).asked[0][0][:4]) == b"6789" and len(stub_of(model).asked[0][0]) == 10
    with pytest.raises(Failure, match="a prompt with an answer of 6 tokens does not fit the model's 6"):
        lm(max_length=6, max_new_tokens=6).generate_until([ask("generate_until", "0123456789", {})])
    with pytest.raises(Failure, match="a canvas of 8 tokens does not fit the model's 6"):
        lm(max_length=6).generate_until([ask("generate_until", "012345<mask>", {"infill": True})])


def test_a_canvas_ends_as_the_rows_do_that_the_model_was_trained_on(lm: Build) -> None:
    model = lm()
    model.generate_until([ask("generate_until", "01<mask>", {"infill": True})])
    assert stub_of(model).asked[0][0][-1] == model.loaded.tokens.end[0]


def test_what_the_plan_has_no_settings_for_is_refused(lm: Build) -> None:
    with pytest.raises(Failure, match="the evaluation has no `sampler`"):
        lm(sampler=None).generate_until([ask("generate_until", "x", {})])
    with pytest.raises(Failure, match="the evaluation has no `likelihood`"):
        lm(samples=None).loglikelihood([ask("loglikelihood", "x", "y")])


def test_notes_are_told_of_every_canvas_that_is_shown(lm: Build) -> None:
    model = lm()
    model.notes["asked"] = lambda answer: f"said {answer}"
    model.generate_until([ask("generate_until", "2+2=", {"until": "."})])
    events = [json.loads(line) for line in model.context.attempt.events.read_text(encoding="utf-8").splitlines()]
    assert [event["note"] for event in events if event["event"] == "canvas_done"] == ["said  4"]
    revealed = sorted(position for event in events if event["event"] == "reveal" for position in event["positions"])
    assert revealed == [4, 5, 6], "nothing behind the stop is filled in"
