"""What the vocabulary says of words for estimates, against what the runtime does."""

from pathlib import Path

import pytest
import torch

from dllm_run.runtime.build import build
from dllm_run.runtime.tokenizers import from_word
from dllm_run.specs.devices import DEVICES
from dllm_run.specs.field import fields_of
from dllm_run.specs.vocabulary.compute import Compute
from dllm_run.specs.vocabulary.families import Family
from dllm_run.specs.vocabulary.generators import Generator
from dllm_run.specs.vocabulary.objectives.bd3lm import Bd3lm
from dllm_run.specs.vocabulary.objectives.mdlm import Mdlm
from dllm_run.specs.vocabulary.samplers.llada import Llada
from dllm_run.specs.vocabulary.schedules import Schedule
from dllm_run.specs.vocabulary.schedules.cosine import Cosine
from dllm_run.specs.vocabulary.schedules.linear import Linear
from dllm_run.specs.vocabulary.schedules.loglinear import Loglinear
from dllm_run.specs.vocabulary.schedules.polynomial import Polynomial
from dllm_run.specs.vocabulary.tokenizers import Tokenizer
from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes
from dllm_run.specs.vocabulary.tokenizers.characters import Characters
from dllm_run.specs.word import members

TEXTS = ["", "a", "Zwölf Boxkämpfer", "<mask>", "a<eos><mask>b"]


def mean_mask_rate(schedule: Schedule, low: float, high: float) -> float:
    """By the midpoint rule over the runtime's alpha."""
    t = low + (high - low) * (torch.arange(10_000, dtype=torch.float64) + 0.5) / 10_000
    return float((1 - build(schedule).alpha(t)).mean())


SCHEDULES = [
    Linear(), Cosine(), Polynomial(), Polynomial(power=0.5), Loglinear(epsilon=0.2)
]  # fmt: skip


@pytest.mark.parametrize("schedule", SCHEDULES, ids=str)
def test_the_mean_mask_rate_is_the_integral_of_the_schedule(schedule: Schedule) -> None:
    for low, high in ((0.0, 1.0), (0.45, 0.95), (0.1, 0.2)):
        assert schedule.mean_mask_rate(low, high) == pytest.approx(mean_mask_rate(schedule, low, high), rel=1e-6)
    assert Mdlm(schedule=schedule).scored_share() == schedule.mean_mask_rate(0.0, 1.0)
    clipped = Bd3lm(block_size=4, schedule=schedule, time_range=(0.45, 0.95))
    assert clipped.scored_share() == schedule.mean_mask_rate(0.45, 0.95)


def test_every_schedule_is_among_them() -> None:
    assert {schedule.word for schedule in SCHEDULES} == set(members(Schedule))


@pytest.mark.parametrize("tokenizer", [Bytes(), Characters()], ids=lambda tokenizer: tokenizer.word)
def test_a_tokenizer_has_as_many_tokens_as_it_says(tokenizer: Tokenizer, tmp_path: Path) -> None:
    tokens = from_word(tokenizer, tmp_path)
    assert tokenizer.size == tokens.size
    assert tokenizer.added == len(tokens.begin) + len(tokens.end)


@pytest.mark.parametrize("text", TEXTS)
def test_a_byte_is_a_token_and_so_is_the_name_of_a_special_one(text: str, tmp_path: Path) -> None:
    plain = text
    for name in Bytes.specials:
        plain = plain.replace(name, " ")
    assert len(from_word(Bytes(), tmp_path).encode(text, specials=True)) == len(plain.encode())


@pytest.mark.parametrize("word", [word for word, cls in members(Generator).items() if issubclass(cls, Generator) and cls.total is not None])
def test_a_generator_makes_the_rows_that_it_says(word: str) -> None:
    cls = members(Generator)[word]
    rows = build(cls())
    assert issubclass(cls, Generator)
    assert len(rows) == cls.total and {len(row["text"].encode()) for row in rows} == {cls.row_bytes}


@pytest.mark.parametrize("tied", [True, False])
@pytest.mark.parametrize("family", members(Family))
def test_the_geometry_of_a_model_from_scratch_is_that_of_the_network_that_is_built(family: str, tied: bool) -> None:
    from transformers import AutoModelForCausalLM, AutoModelForMaskedLM

    word = members(Family)[family](layers=3, width=96, heads=4, mlp=224, positions=77, tie_embeddings=tied).completed()
    assert isinstance(word, Family)
    config = build(word)
    config.vocab_size = 211
    config._attn_implementation = "eager"
    with torch.device("meta"):
        network = (AutoModelForMaskedLM if word.masked else AutoModelForCausalLM).from_config(config)
    geometry = word.geometry(211)
    assert geometry is not None and geometry.positions == 77
    assert geometry.parameters() == sum(parameter.numel() for parameter in network.parameters())


@pytest.mark.parametrize(
    ("sampler", "tokens", "window", "passes"),
    [
        (Llada(), 64, 64, 64),
        (Llada(steps=16), 64, 64, 16),
        (Llada(steps=128), 64, 64, 64),
        (Llada(block_size=16), 64, 16, 64),
        (Llada(block_size=16), 8, 8, 8),
    ],
)
def test_a_sampler_scores_a_block_and_makes_its_steps(sampler: Llada, tokens: int, window: int, passes: int) -> None:
    assert (sampler.window(tokens), sampler.passes(tokens)) == (window, passes)


def test_the_gpus_of_the_language_are_those_of_the_table() -> None:
    field = next(info for info in fields_of(Compute) if info.key == "gpu")
    assert field.leaf.choices == tuple(DEVICES)


@pytest.mark.parametrize("name", DEVICES)
def test_a_gpu_has_less_memory_than_its_name_says_in_gib_and_is_no_slower_in_bf16(name: str) -> None:
    nominal = int(name.rpartition("-")[2].removesuffix("gb"))
    device = DEVICES[name]
    assert 0.92 * nominal < device.memory / 2**30 < 1.02 * nominal
    assert device.tflops >= device.tflops_fp32
