"""Memory by formula against the peak of a real process: three AdamW steps of two small models on a CPU."""

import json
import os
import subprocess
import sys
from dataclasses import replace

import pytest

from dllm_run.compiler.estimate import Setting
from dllm_run.compiler.estimate.memory import training_memory
from dllm_run.specs.geometry import Geometry

pytestmark = pytest.mark.slow

MB = 1e6
SIZES = {"hidden_size": 768, "num_hidden_layers": 11, "num_attention_heads": 12, "intermediate_size": 2048}
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 96}

STEPS = """
import json, re, sys
import torch, transformers
from pathlib import Path
from dllm_run.runtime.denoiser import Denoiser

def resident(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1)) * 1024

sizes, micro, length, checkpointing, bf16, attention = json.loads(sys.argv[1])
torch.manual_seed(0)
torch.set_num_threads(1)

def run(config, steps):
    denoiser = Denoiser(transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**config), attn_implementation=attention), mask_token=1).train()
    if checkpointing:
        denoiser.network.gradient_checkpointing_enable()
    optimizer = torch.optim.AdamW(denoiser.parameters())
    chosen = torch.arange(length).expand(micro, length) % 2 == 0
    for step in range(steps):
        tokens = torch.randint(2, config["vocab_size"], (micro, length))
        with torch.autocast("cpu", torch.bfloat16, enabled=bf16):
            logits = denoiser(tokens.masked_fill(chosen, 1), torch.ones_like(chosen), chosen)
        loss = torch.nn.functional.cross_entropy(logits, tokens[chosen])
        del logits
        loss.backward()
        optimizer.step()
        optimizer.zero_grad(set_to_none=True)

# Kernels and lazily imported modules are paid for once, before the measurement starts.
run(dict(sizes, hidden_size=64, intermediate_size=64, num_attention_heads=2, num_hidden_layers=1, vocab_size=64), 1)
before = resident("VmRSS")
Path("/proc/self/clear_refs").write_text("5")
run(sizes, 3)
print(json.dumps({"growth": resident("VmHWM") - before, "before": before}))
"""


def measured(sizes: dict[str, object], setting: Setting) -> dict[str, int]:
    """Growth of the peak resident set. Blocks of a megabyte are given back to the system when they are freed, as on a GPU."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000", "CUDA_VISIBLE_DEVICES": ""}
    arguments = json.dumps(
        [sizes, setting.micro, setting.length, setting.gradient_checkpointing, setting.precision == "bf16", setting.attention]
    )
    done = subprocess.run([sys.executable, "-c", STEPS, arguments], env=environment, capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def compared(sizes: dict[str, object], setting: Setting) -> tuple[float, float]:
    """(predicted, measured) in bytes, without the process itself and without fragmentation, which the setting above avoids."""
    geometry = Geometry.from_config({"model_type": "llama", "max_position_embeddings": 2048, **sizes})
    assert geometry is not None
    memory = training_memory(geometry, setting)
    predicted = memory.total - memory.context - memory.fragmentation
    found = measured(sizes, setting)
    print(
        f"\n{geometry.parameters() / 1e6:.1f} M parameters: predicted {predicted / MB:.0f} MB at the moment `{memory.moment}`, measured "
        f"{found['growth'] / MB:.0f} MB, off by {predicted / found['growth'] - 1:+.1%}; process before {found['before'] / MB:.0f} MB; "
        + ", ".join(f"{name} {size / MB:.0f}" for name, size in memory.table())
    )
    return predicted, found["growth"]


SETTING = Setting(micro=4, length=128, precision="fp32", device="cpu")
LONG = replace(SETTING, micro=8, length=192)
CASES = {
    "tied": (True, SETTING),
    "untied": (False, SETTING),
    "long": (True, LONG),
    "long-checkpointing": (True, replace(LONG, gradient_checkpointing=True)),
    "long-eager": (True, replace(LONG, attention="eager")),
    "long-bf16": (True, replace(LONG, precision="bf16")),
    "long-untied-bf16": (False, replace(LONG, precision="bf16")),
}


@pytest.mark.parametrize("case", CASES)
def test_a_model_of_a_hundred_million_parameters_needs_what_was_predicted(case: str) -> None:
    tied, setting = CASES[case]
    predicted, growth = compared({**SIZES, "vocab_size": 32768, "tie_word_embeddings": tied}, setting)
    assert predicted == pytest.approx(growth, rel=0.10)


def test_a_model_of_a_million_parameters_is_off_by_no_more_than_a_small_sum() -> None:
    predicted, growth = compared({**TINY, "vocab_size": 32768, "tie_word_embeddings": True}, SETTING)
    assert predicted == pytest.approx(growth, abs=30 * MB)
