"""Memory by formula against the peak of a real process: three AdamW steps of two small models on a CPU."""

import json
import os
import subprocess
import sys

import pytest

from dllm_run.compiler.estimate import Setting
from dllm_run.compiler.estimate.memory import training_memory
from dllm_run.specs.geometry import Geometry

pytestmark = pytest.mark.slow

MB = 1e6
MICRO, LENGTH = 4, 128
SIZES = {"hidden_size": 768, "num_hidden_layers": 11, "num_attention_heads": 12, "intermediate_size": 2048}
TINY = {"hidden_size": 32, "num_hidden_layers": 2, "num_attention_heads": 2, "intermediate_size": 96}

STEPS = """
import json, re, sys
import torch, transformers
from pathlib import Path
from dllm_run.runtime.denoiser import Denoiser

def resident(name):
    return int(re.search(name + r":\\s+(\\d+) kB", Path("/proc/self/status").read_text()).group(1)) * 1024

sizes, micro, length, steps = json.loads(sys.argv[1])
torch.manual_seed(0)
torch.set_num_threads(1)

def run(config, steps):
    denoiser = Denoiser(transformers.AutoModelForCausalLM.from_config(transformers.LlamaConfig(**config)), mask_token=1).train()
    optimizer = torch.optim.AdamW(denoiser.parameters())
    chosen = torch.arange(length).expand(micro, length) % 2 == 0
    for step in range(steps):
        tokens = torch.randint(2, config["vocab_size"], (micro, length))
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
run(sizes, steps)
print(json.dumps({"growth": resident("VmHWM") - before, "before": before}))
"""


def measured(sizes: dict[str, object]) -> dict[str, int]:
    """Growth of the peak resident set. Blocks of a megabyte are given back to the system when they are freed, as on a GPU."""
    environment = {**os.environ, "MALLOC_MMAP_THRESHOLD_": "1000000", "CUDA_VISIBLE_DEVICES": ""}
    arguments = json.dumps([sizes, MICRO, LENGTH, 3])
    done = subprocess.run([sys.executable, "-c", STEPS, arguments], env=environment, capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout.splitlines()[-1])
    return found


def compared(label: str, sizes: dict[str, object]) -> tuple[float, float]:
    """(predicted, measured) in bytes, without the process itself and without fragmentation, which the setting above avoids."""
    geometry = Geometry.from_config({"model_type": "llama", "max_position_embeddings": 2048, **sizes})
    assert geometry is not None
    memory = training_memory(geometry, Setting(micro=MICRO, length=LENGTH, precision="fp32", device="cpu"))
    predicted = memory.total - memory.context - memory.fragmentation
    found = measured(sizes)
    print(
        f"\n{label}: {geometry.parameters() / 1e6:.1f} M parameters; predicted {predicted / MB:.0f} MB at `{memory.moment}`, measured "
        f"{found['growth'] / MB:.0f} MB, off by {predicted / found['growth'] - 1:+.1%}; process before {found['before'] / MB:.0f} MB; "
        + ", ".join(f"{name} {size / MB:.0f}" for name, size in memory.table())
    )
    return predicted, found["growth"]


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
def test_a_model_of_a_hundred_million_parameters_needs_what_was_predicted(tied: bool) -> None:
    predicted, growth = compared("100 M", {**SIZES, "vocab_size": 32768, "tie_word_embeddings": tied})
    assert predicted == pytest.approx(growth, rel=0.15)


def test_a_model_of_a_million_parameters_is_off_by_no_more_than_a_small_sum() -> None:
    predicted, growth = compared("1 M", {**TINY, "vocab_size": 32768, "tie_word_embeddings": True})
    assert predicted == pytest.approx(growth, abs=60 * MB)
