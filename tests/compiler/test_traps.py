"""Traps that other tools let people fall into, each of which ends here before anything runs; the name of a case is the trap.

Traps that need words of later issues, with the word that brings its row (the frame is tested in test_compatibility.py):

    a model trained with cubic kappa and sampled with linear          edit_flow (objective and sampler): `trained.objective.schedule`
    a rate schedule given to a mask objective                         edit_flow: kappa schedules against mdlm
    a Dream checkpoint read without its logit shift                   dream family: shift from the family (from stages: E421 here)
    blocks of 32 in training and of 64 in sampling                    bd3lm: W421 on `trained.objective.block_size`
    a guidance scale that nobody reads (likelihoods, fast samplers)   cfg_scale: inert row of fast_dllm, requirement of likelihood
    threshold and factor together, steps beside a threshold           fast_dllm: inert rows
    dual cache without position replacement, cache beside revision    cache: requirements on `model`, remdm
    default `alg` that the sampler itself refuses                     dream: every default of a word compiles (tested here)
    a CART weight outside Dream, its geometric rate outside (0, 1)    cart: requirement on `objective`, bounds of its field
    causal attention under a mask objective                           attention: causal / block_causal: the row of mdlm is here
    LLaDA2 that falls back to a causal mask                           llada2 family: requirement on `model.attention`
    quantised weights under zero3 or fsdp2, paged Adam on a CPU       quantization, strategy: requirements on `compute.strategy`
    fsdp2 on a CPU that silently is ddp                               strategy: requirement on `compute.device`
    flash attention with a four-dimensional mask                      attention_kernel: flash
    two processes asked for and one run                               processes, launch: deepspeed / torchrun
    batch that micro batches times processes do not divide            processes: arithmetic beside E311
    a "no LoRA" run that trains LoRA                                  lora: null is the default, nothing else turns it on
    an adapter merged with another class than it was trained on       merge, adapter
    rewards, generations that do not divide the batch                 grpo
    hub data sets: columns, splits, `[trian:5]`                       data: hub sources
    slices of a stream                                                streaming
    an array larger than MaxArraySize                                 launch: slurm limits
    tasks that generate code without leave to run it                  allow_code_execution

Not the compiler's: whether a CPU has bf16 instructions is told by the stage when it starts (bf16 under autocast works on any).
"""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.vocabulary.stages.eval import Eval
from dllm_run.specs.vocabulary.training import Training

Diagnose = Callable[..., tuple[Diagnostic, ...]]

SPEC = """\
version: 1
name: traps
data:
  docs: {sources: [./docs.txt], holdout: 0.1, max_length: 64}
stages:
  train:
    kind: pretrain
    model: {scratch: {family: llama, layers: 2, width: 64}, tokenizer: bytes}
    data: ${data.docs}
    objective: {type: mdlm}
    batch: {global: 32, micro: 8}
    optimizer: {learning_rate: 1e-3, warmup: 0.1}
    duration: 100 steps
  bound:
    kind: eval
    model: ${stages.train}
    data: ${data.docs}
    tasks: [held_out_text]
    likelihood: {estimator: elbo, samples: 8}
  look:
    kind: sample
    model: ${stages.train}
    prompts: ["Once "]
    max_new_tokens: 64
    sampler: {type: llada}
compute: {device: cpu}
"""


@pytest.fixture(autouse=True)
def docs(tmp_path: Path) -> None:
    (tmp_path / "docs.txt").write_text("A text.\n", encoding="utf-8")


def edited(old: str, new: str) -> str:
    assert SPEC.count(old) == 1, old
    return SPEC.replace(old, new)


def test_the_spec_without_traps_is_quiet(diagnosing: Diagnose) -> None:
    assert diagnosing(SPEC) == ()


SILENT_ELSEWHERE = {
    # Text that means something else than it seems.
    "a-key-twice-of-which-the-last-wins": ("duration: 100 steps", "duration: 100 steps\n    duration: 10 steps", "E107"),
    "a-misspelt-option-that-is-dropped": ("{type: llada}", "{type: llada, block_length: 32}", "E102"),
    "an-option-of-another-version-that-is-dropped": ("warmup: 0.1", "warmup_ratio: 0.1", "E102"),
    "two-names-for-one-length": ("max_new_tokens: 64", "max_new_tokens: 64\n    max_length: 128", "E102"),
    "a-wrong-word-that-fails-after-the-first-step": ("{type: mdlm}", "{type: mdlm, normalise: tokens}", "E103"),
    "a-parameter-packed-into-a-text": ("{type: mdlm}", '{type: mdlm, weighting: "cart[geo_p:0.3]"}', "E103"),
    "a-precision-by-its-long-name": ("device: cpu", "device: cpu, precision: bfloat16", "E103"),
    "a-limit-in-percent": ("max_length: 64", 'max_length: 64, limit: "10%"', "E104"),
    "a-batch-that-finds-itself": ("samples: 8}", "samples: 8}\n    batch: auto", "E104"),
    "yes-as-truth": ("max_length: 64", "max_length: 64, packing: yes", "E103"),
    "a-number-with-underscores": ("global: 32", "global: 3_2", "E104"),
    "a-duration-without-a-unit": ("100 steps", "100", "E104"),
    "a-time-outside-of-its-range": ("{type: mdlm}", "{type: mdlm, time_epsilon: 1.5}", "E106"),
    "a-merge-key-that-hides-values": ("    kind: sample", "    <<: {seed: 1}\n    kind: sample", "E109"),
    # Arithmetic that ends in an assertion, or in rounding, hours later.
    "steps-that-blocks-do-not-divide": ("{type: llada}", "{type: llada, steps: 10, block_size: 16}", "E317"),
    "tokens-that-blocks-do-not-fill": ("{type: llada}", "{type: llada, block_size: 48}", "E316"),
    "more-steps-than-tokens": ("{type: llada}", "{type: llada, steps: 128}", "W316"),
    "a-batch-that-does-not-divide": ("micro: 8", "micro: 5", "E311"),
    "heads-that-do-not-divide": ("width: 64", "width: 64, heads: 3", "E310"),
    "a-warm-up-longer-than-the-run": ("warmup: 0.1", "warmup: 101 steps", "E312"),
    "an-evaluation-that-never-comes": ("100 steps", "100 steps\n    evaluate: {every: 101 steps}", "E313"),
    "a-checkpoint-that-never-comes": ("100 steps", "100 steps\n    checkpoint: {every: 101 steps}", "E313"),
    "sequences-longer-than-the-model": ("width: 64", "width: 64, positions: 63", "E315"),
    "answers-longer-than-the-model": ("max_new_tokens: 64", "max_new_tokens: 4097", "E318"),
    # Data that are not what the stage takes them for.
    "no-rows-for-the-test-but-those-of-training": (", holdout: 0.1", "", "E314"),
    "prompts-that-are-learned-because-rows-were-joined": ("max_length: 64", "max_length: 64, packing: cut", "sft E420"),
    "a-hold-out-of-everything": ("[./docs.txt], holdout: 0.1", "[{generate: sudoku}], holdout: 288 rows", "E323"),
    "puzzles-that-never-end": ("[./docs.txt], holdout: 0.1, max_length: 64", "[{generate: sudoku}], holdout: 0.1, max_length: 16", "E315"),
    "columns-that-nobody-reads": ("max_length: 64", "max_length: 64, columns: {response: answer}", "E430"),
    # Facts of weights that are stated again, otherwise.
    "a-logit-shift-that-is-lost": ("${stages.train}\n    prompts", '{from: "${stages.train}", logit_shift: 1}\n    prompts', "E421"),
    "a-tokenizer-that-is-not-the-one-of-the-weights": (
        "${stages.train}\n    prompts", '{from: "${stages.train}", tokenizer: characters}\n    prompts', "E421"),
    # Options that are accepted and ignored.
    "a-seed-of-what-draws-nothing": ("max_new_tokens: 64", "max_new_tokens: 64\n    seed: 1", "E430"),
    "a-sampler-beside-likelihoods-alone": ("samples: 8}", "samples: 8}\n    sampler: llada", "E430"),
    "examples-before-questions-that-take-none": ("samples: 8}", "samples: 8}\n    num_fewshot: 5", "E322"),
    "a-data-set-that-no-stage-reads": ("  docs:", "  more: {sources: [./docs.txt]}\n  docs:", "W431"),
}  # fmt: skip


@pytest.mark.parametrize("trap", SILENT_ELSEWHERE)
def test_a_trap_is_told_before_anything_runs(trap: str, diagnosing: Diagnose) -> None:
    old, new, expected = SILENT_ELSEWHERE[trap]
    text = edited(old, new)
    if expected.startswith("sft "):
        text = text.replace("pretrain", "sft")
    assert expected.rpartition(" ")[2] in {item.code for item in diagnosing(text)}


@pytest.mark.parametrize(
    ("sources", "holdout", "codes"),
    [
        ("{generate: sudoku}", "287 rows", set()),
        ("{generate: sudoku}", "288 rows", {"E323"}),
        ("{generate: sudoku, limit: 10}", "10 rows", {"E323"}),
        ("{generate: sudoku, limit: 1000}", "287 rows", set()),
        ("{generate: sudoku}, {generate: sudoku}", "288 rows", set()),
        ("{generate: sudoku}, {path: ./docs.txt}", "288 rows", set()),
    ],
)
def test_a_hold_out_leaves_rows_where_their_number_is_known(sources: str, holdout: str, codes: set[str], diagnosing: Diagnose) -> None:
    found = diagnosing(edited("[./docs.txt], holdout: 0.1", f"[{sources}], holdout: {holdout}"))
    assert {item.code for item in found} == codes


def test_a_generator_gives_as_many_rows_as_it_says() -> None:
    from dllm_run.runtime.generators.sudoku import build
    from dllm_run.specs.vocabulary.generators.sudoku import Sudoku

    assert len(build(Sudoku())) == Sudoku.total


# --- text that is read as it is meant


def value_of(compiled: Compiled, name: str) -> Training:
    body = next(stage.body for stage in compiled.plan.stages.values() if isinstance(stage.body, Training))
    assert name == "train"
    return body


@pytest.mark.parametrize(
    ("spelling", "value"),
    [("1e-3", 0.001), ("1E-3", 0.001), ("1.e-3", 0.001), (".001", 0.001), ("0.001", 0.001)],
)
def test_a_number_with_an_exponent_is_a_number_however_it_is_written(
    spelling: str, value: float, compiling: Callable[..., Compiled]
) -> None:
    """To YAML 1.1 `1e-3` is a text."""
    assert value_of(compiling(edited("1e-3", spelling)), "train").optimizer.learning_rate == value


@pytest.mark.parametrize("spelling", ["no", "off", "n", "NO", "2024-01-01", "12:30:00", "1_000", "0o17x"])
def test_a_prompt_that_looks_like_something_else_is_the_text_that_was_written(spelling: str, compiling: Callable[..., Compiled]) -> None:
    """To YAML 1.1 `no` is false, a date is an object and 12:30:00 is 45,000 seconds."""
    plan = compiling(edited('["Once "]', f"[{spelling}]")).plan
    (prompts,) = [body["prompts"] for body in bodies(plan.to_json()) if body["kind"] == "sample"]
    assert prompts == [spelling]


def bodies(plan: dict[str, Any]) -> list[dict[str, Any]]:
    return [stage["body"] for stage in plan["stages"].values()]


@pytest.mark.parametrize("spelling", ["1000", "1e3", "1000.0"])
def test_a_count_with_an_exponent_is_a_count(spelling: str, compiling: Callable[..., Compiled]) -> None:
    """`[train:1e4]` fails in a library, or counts nothing."""
    compiled = compiling(edited("samples: 8}", f"samples: 8}}\n    limit: {spelling}"))
    (body,) = [stage.body for stage in compiled.plan.stages.values() if isinstance(stage.body, Eval)]
    assert body.limit == 1000 and isinstance(body.limit, int)


# --- choices that are made for the user, and shown


@pytest.mark.parametrize("word", ["{type: mdlm}", "mdlm"])
def test_every_default_of_a_word_compiles(word: str, diagnosing: Diagnose) -> None:
    """Dream's sampler refuses its own default."""
    assert diagnosing(edited("{type: mdlm}", word).replace("{type: llada}", "llada")) == ()


def test_evaluating_on_the_way_changes_no_result(compiling: Callable[..., Compiled]) -> None:
    """Elsewhere it moves the random numbers of the training."""
    before, after = (compiling(text).plan for text in (SPEC, edited("100 steps", "100 steps\n    evaluate: {every: 10 steps}")))
    assert set(before.stages) == set(after.stages)


def test_bf16_on_a_cpu_is_another_result_and_no_error(compiling: Callable[..., Compiled], diagnosing: Diagnose) -> None:
    bf16 = edited("device: cpu", "device: cpu, precision: bf16")
    assert diagnosing(bf16) == ()
    assert not {stage.body.word for key, stage in compiling(bf16).plan.stages.items() if key in compiling(SPEC).plan.stages} - {"data"}


def test_a_greedy_sampler_of_a_model_from_scratch_has_the_seed_that_its_weights_are_drawn_with(compiling: Callable[..., Compiled]) -> None:
    fresh = edited("${stages.train}\n    prompts", "{scratch: {family: llama, layers: 1, width: 32}, tokenizer: bytes}\n    prompts")
    (body,) = [stage.body for stage in compiling(fresh, "seed=3").plan.stages.values() if stage.body.word == "sample"]
    assert body.seed == 3
