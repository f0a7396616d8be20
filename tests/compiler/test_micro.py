"""The micro batch that a spec leaves open: the largest that fits, by the text of the spec alone."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.estimate import Setting
from dllm_run.compiler.estimate.memory import training_memory
from dllm_run.compiler.micro import COMFORT, largest_micro
from dllm_run.compiler.sizes import Sizes
from dllm_run.specs.devices import DEVICES
from dllm_run.specs.published import PUBLISHED

Compile = Callable[..., Compiled]

SPEC = """\
version: 1
name: open
data: {{docs: {{sources: [a/b], max_length: 1024, packing: cut}}}}
stages:
  train:
    kind: pretrain
    model: {model}
    data: ${{data.docs}}
    objective: mdlm
    batch: 48
    optimizer: {{learning_rate: 1e-4}}
    duration: 10 steps
    compute: {{precision: bf16}}
compute: {{gpus_per_node: 1, gpu: a100-40gb}}
"""
QWEN = SPEC.format(model="Qwen/Qwen3-0.6B")


def body(compiled: Compiled) -> Any:
    return next(stage.body for stage in compiled.plan.stages.values() if stage.body.word == "pretrain")


def by_brute_force(name: str, setting: Setting, rows: int, gpu: str) -> int | None:
    limit = COMFORT * DEVICES[gpu].memory
    fitting = [
        micro
        for micro in range(1, rows + 1)
        if rows % micro == 0 and training_memory(PUBLISHED[name], replace(setting, micro=micro, accumulation=rows // micro)).total <= limit
    ]
    return max(fitting, default=None)


@pytest.mark.parametrize("name", ["Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B", "answerdotai/ModernBERT-large", "GSAI-ML/LLaDA-8B-Base"])
@pytest.mark.parametrize("rows", [1, 48, 97, 256])
@pytest.mark.parametrize("gpu", DEVICES)
def test_it_is_the_largest_divisor_that_fits(name: str, rows: int, gpu: str) -> None:
    setting = Setting(micro=rows, length=512, stratified=True)
    assert largest_micro(PUBLISHED[name], setting, rows, DEVICES[gpu].memory) == by_brute_force(name, setting, rows, gpu)


def test_the_plan_holds_it(compiling: Compile) -> None:
    found = body(compiling(QWEN)).batch.micro
    assert found == by_brute_force("Qwen/Qwen3-0.6B", Setting(micro=48, length=1024), 48, "a100-40gb")
    assert 1 < found < 48


def test_a_larger_gpu_holds_more_and_changes_no_id(compiling: Compile) -> None:
    small, large = compiling(QWEN), compiling(QWEN, "compute.gpu=h200-141gb")
    assert body(small).batch.micro < body(large).batch.micro
    assert list(small.plan.stages) == list(large.plan.stages)


@pytest.mark.parametrize(
    "flag",
    ["compute.gpu=null", "model=./weights", "stages.train.batch.micro=3"],
)
def test_it_is_left_alone_where_the_text_does_not_say_enough_or_all(flag: str, compiling: Compile, tmp_path: Path) -> None:
    """Weights in a folder have a geometry at hand: that may warn, but not decide what the plan holds."""
    (tmp_path / "weights").mkdir()
    for name, text in {"model.safetensors": "", "tokenizer.json": "{}", "tokenizer_config.json": '{"mask_token": "<mask>"}'}.items():
        (tmp_path / "weights" / name).write_text(text)
    config = {
        "model_type": "llama", "num_hidden_layers": 13, "hidden_size": 1024, "num_attention_heads": 8, "intermediate_size": 2048,
        "vocab_size": 32000, "max_position_embeddings": 2048,
    }  # fmt: skip
    (tmp_path / "weights" / "config.json").write_text(json.dumps(config))
    text = QWEN.replace("    model: Qwen/Qwen3-0.6B\n", "") + "model: Qwen/Qwen3-0.6B\n"
    assert body(compiling(text, flag)).batch.micro == (3 if "micro" in flag else 48)
    at_hand = Sizes(tmp_path).geometry("./weights")
    solved = largest_micro(at_hand, Setting(micro=1, length=1024), 48, DEVICES["a100-40gb"].memory) if at_hand is not None else None
    assert solved is not None and solved < 48


def test_a_model_that_is_trained_further_has_the_geometry_of_its_origin(compiling: Compile) -> None:
    again = (
        "  again:\n    kind: pretrain\n    model: {from: '${stages.train}'}\n"
        + QWEN[QWEN.index("    data: $") : QWEN.index("compute: {gpus")]
    )
    text = QWEN.replace("compute: {gpus", again + "compute: {gpus")
    micros = [stage.body.batch.micro for stage in compiling(text).plan.stages.values() if stage.body.word == "pretrain"]
    assert len(micros) == 2 and micros[0] == micros[1]


def test_rows_that_are_all_alike_are_as_long_as_they_are(compiling: Compile) -> None:
    """16 digits and an end, where max_length allows 1024: sixty times the rows fit."""
    scratch = "{scratch: {family: llama, layers: 24, width: 1024}, tokenizer: characters}"
    text = SPEC.format(model=scratch).replace("a/b", "{generate: sudoku}").replace("packing: cut", "packing: none")
    short = body(compiling(text, "stages.train.batch=4096")).batch.micro
    packed = body(compiling(text.replace("packing: none", "packing: cut"), "stages.train.batch=4096")).batch.micro
    assert short >= 32 * packed


def test_ten_thousand_points_solve_it_once(compiling: Compile) -> None:
    largest_micro.cache_clear()
    compiling(QWEN + f"sweep: {{grid: {{seed: {list(range(50))}}}}}\n")
    assert largest_micro.cache_info().misses == 1
    assert largest_micro.cache_info().hits >= 50


def test_solving_takes_few_estimates(monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[int] = []

    def total(geometry: object, setting: Setting) -> int:
        asked.append(setting.micro)
        return setting.micro

    monkeypatch.setattr("dllm_run.compiler.micro.training_total", total)
    largest_micro.cache_clear()
    assert largest_micro(PUBLISHED["Qwen/Qwen3-0.6B"], Setting(micro=1, length=1), 5040, 100) == 90
    assert len(asked) <= 7  # 60 divisors
    largest_micro.cache_clear()
