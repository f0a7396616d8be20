"""What objectives ask of body and head: the estimate against torch's count of a step, and the settings that memory is estimated by."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
import transformers
from torch.utils.flop_counter import FlopCounterMode

from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.estimate import Setting
from dllm_run.compiler.estimate.facts import Kept
from dllm_run.compiler.estimate.memory import training_memory
from dllm_run.compiler.estimate.settings import training_setting
from dllm_run.compiler.estimate.stage import estimate
from dllm_run.runtime.build import build
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.rows import pad_rows
from dllm_run.specs.flops import training_flops
from dllm_run.specs.geometry import Geometry
from dllm_run.specs.published import PUBLISHED
from dllm_run.specs.vocabulary.compute import Compute
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.families.llama import Llama
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.objectives import Objective
from dllm_run.specs.vocabulary.objectives.bd3lm import Bd3lm
from dllm_run.specs.vocabulary.objectives.dream import Dream
from dllm_run.specs.vocabulary.objectives.mdlm import Mdlm
from dllm_run.specs.vocabulary.source import Source
from dllm_run.specs.vocabulary.stages.pretrain import Pretrain
from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes
from dllm_run.specs.vocabulary.training import Batch, Optimizer

ROWS, LENGTH = 8, 96
KEPT = Kept("float32", None, None)
OBJECTIVES = {
    "mdlm": Mdlm(),
    "dream": Dream(),
    "complement": Mdlm(complementary=True),
    "bd3lm": Bd3lm(block_size=4),
    "bd3lm-complement": Bd3lm(block_size=4, complementary=True),
    "bd3lm-exact": Bd3lm(block_size=1),
    "bd3lm-clipped": Bd3lm(block_size=4, time_range=(0.4, 0.6)),
}


@pytest.mark.parametrize("word", OBJECTIVES.values(), ids=OBJECTIVES)
def test_a_step_costs_what_torch_counts_and_scores_the_share_that_the_word_says(word: Objective) -> None:
    config = transformers.LlamaConfig(
        hidden_size=64, num_hidden_layers=3, num_attention_heads=4, intermediate_size=160, vocab_size=300, attn_implementation="eager"
    )
    geometry = Geometry.from_config(config.to_dict())
    assert geometry is not None
    denoiser, objective = Denoiser(transformers.AutoModelForCausalLM.from_config(config).train(), mask_token=299), build(word)
    count = list(range(ROWS))
    rows = pad_rows([[1] * LENGTH] * ROWS, [0] * ROWS, pad=0, samples=count, visits=[0] * ROWS, slots=count, batch=ROWS)
    stream = Stream(0, "noise")
    scored = 0.0
    for visit in range(20):
        given = objective.draw(stream, _again(rows, visit))
        denoiser.head_rows = 0
        with torch.no_grad():
            objective.loss(denoiser, rows, given)
        scored += denoiser.head_rows / (20 * ROWS * LENGTH)
    assert word.scored_share() == pytest.approx(scored, abs=0.1)
    denoiser.head_rows = 0
    with FlopCounterMode(display=False) as counter:
        objective.loss(denoiser, rows, given).numerator.backward()
    passed = word.passed()
    tokens = ROWS * LENGTH * passed.positions
    predicted = training_flops(geometry, tokens=tokens, length=LENGTH * passed.length, scored_share=denoiser.head_rows / tokens)
    # The clean tokens of the last block are counted, and not read.
    assert 0.97 < predicted / counter.get_total_flops() < 1.08


def _again(rows: Any, visit: int) -> Any:
    return type(rows)(**{name: getattr(rows, name) for name in rows.__slots__} | {"visit_B": rows.visit_B + visit})


def setting_of(objective: Objective, **fields: Any) -> Setting:
    stage = Pretrain(
        model=Model(scratch=Llama(layers=2, width=64)),
        data=Data(sources=(Source(path="./x.txt"),)),
        objective=objective,
        batch=Batch(global_=8, micro=4),
        optimizer=Optimizer(learning_rate=1e-3),
        duration=None,  # type: ignore[arg-type]  # no setting asks for it
        compute=Compute(device="cpu", **fields),
    )
    return training_setting(stage, 512, KEPT)


# Of 512 tokens a row: positions that the body reads, and the share of them that reaches the head, in the mean and at the most.
@pytest.mark.parametrize(
    ("name", "copies", "length", "scored", "most"),
    [
        ("mdlm", 1, 512, 0.5, 1.0),
        ("complement", 2, 512, 0.5, 0.5),
        ("bd3lm", 1, 1024, 0.25, 0.5),
        ("bd3lm-complement", 1, 1536, 1 / 3, 1 / 3),
        ("bd3lm-exact", 1, 1024, 0.5, 0.5),
    ],
)
def test_the_setting_counts_every_position_of_the_body(name: str, copies: int, length: int, scored: float, most: float) -> None:
    found = setting_of(OBJECTIVES[name])
    assert (found.micro, found.copies, found.length) == (4, copies, length)
    assert (found.scored, found.most) == (pytest.approx(scored), pytest.approx(most))


def test_a_row_and_its_copy_take_what_two_rows_take() -> None:
    geometry = PUBLISHED["Qwen/Qwen3-0.6B"]
    pair = training_memory(geometry, setting_of(OBJECTIVES["complement"], attention_kernel="eager"))
    two = training_memory(geometry, Setting(micro=8, length=512, precision="fp32", accumulation=2, attention="eager", device="cpu"))
    assert (pair.total, pair.activations, pair.logits) == (two.total, two.activations, two.logits)
    # All is masked once: no batch has more of it than another.
    assert pair.high <= two.high


def test_times_of_blocks_are_in_no_order_but_those_of_rows_are() -> None:
    assert Bd3lm(block_size=4, time_sampling="stratified", time_per="sequence").in_strata()
    assert not Bd3lm(block_size=4, time_sampling="stratified").in_strata()
    assert not Bd3lm(block_size=1, time_sampling="stratified", time_per="sequence").in_strata()
    assert Mdlm(time_sampling="stratified").in_strata() and not Mdlm(time_sampling="stratified", complementary=True).in_strata()


BLOCKS = """
version: 1
name: blocks
stages:
  train:
    kind: pretrain
    model: {scratch: {family: llama, layers: 4, width: 256}, tokenizer: bytes, attention: ATTENTION}
    data: {sources: [./x.txt], max_length: 512, packing: cut}
    objective: OBJECTIVE
    batch: 8
    optimizer: {learning_rate: 1e-3}
    duration: 10 steps
compute: {device: cpu}
"""


def test_the_estimate_of_a_stage_has_the_operations_of_all_positions(compiling: Callable[..., Compiled]) -> None:
    def flops(objective: str, attention: str) -> tuple[float, float]:
        plan = compiling(BLOCKS.replace("OBJECTIVE", objective).replace("ATTENTION", attention)).plan
        stage = next(stage.body for stage in plan.stages.values() if isinstance(stage.body, Pretrain))
        found = estimate(stage, lambda stage_id: plan.stages[stage_id].body, None, 2).flops
        assert found is not None
        return found

    geometry = Llama(layers=4, width=256, heads=4, mlp=672).geometry(Bytes().size)
    assert geometry is not None
    tokens = 10 * 8 * 512
    plain, blocks = flops("mdlm", "bidirectional"), flops("{type: bd3lm, block_size: 32}", "block_causal")
    assert plain[0] == pytest.approx(training_flops(geometry, tokens=tokens, length=512, scored_share=0.5), rel=1e-9)
    assert blocks[0] == pytest.approx(training_flops(geometry, tokens=2 * tokens, length=1024, scored_share=0.25), rel=1e-9)
