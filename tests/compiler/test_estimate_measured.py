"""Memory by formula against that of a process that trains."""

import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

from dllm_run.compiler.estimate import Memory, Setting
from dllm_run.compiler.estimate.memory import training_memory
from dllm_run.specs.vocabulary.families.llama import Llama

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="needs Linux to count a peak from a moment on"),
]

# layers, width, heads, mlp, vocabulary, micro batch, length
# `wide` has so many words that all of its logits together would take three times what training takes.
MODELS = {"tiny": (4, 128, 4, 352, 258, 64, 256), "110M": (12, 768, 12, 2048, 32000, 4, 128), "wide": (2, 256, 4, 704, 64000, 32, 256)}


def estimated(name: str) -> Memory:
    layers, width, heads, mlp, vocabulary, micro, length = MODELS[name]
    geometry = Llama(layers=layers, width=width, heads=heads, mlp=mlp).geometry(vocabulary)
    assert geometry is not None
    return training_memory(geometry, Setting(micro=micro, length=length, precision="fp32", device="cpu"))


def measured(name: str, **environment: str) -> int:
    """Bytes that training adds to a process that has built the model."""
    child = Path(__file__).with_name("step_in_a_child.py")
    command = [sys.executable, str(child), *map(str, MODELS[name])]
    done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, **environment}, check=False)
    assert done.returncode == 0, done.stderr
    return int(json.loads(done.stdout.splitlines()[-1])["growth"])


@pytest.mark.parametrize("name", MODELS)
def test_what_training_adds_to_a_process_is_between_the_estimates(name: str) -> None:
    """How much freed memory glibc keeps differs between runs and machines: for `wide` 905 to 1172 MB were measured, 715 are allocated."""
    memory = estimated(name)
    stored = memory.weights + memory.context
    assert 0.9 * (memory.low - stored) <= measured(name) <= 1.1 * (memory.high - stored)


@pytest.mark.parametrize("name", MODELS)
def test_what_is_allocated_is_what_was_estimated_without_fragmentation(name: str) -> None:
    """Where every tensor has pages of its own, freed pages go back at once: 7 % above for the tiny model, 2 and 4 % below."""
    memory = estimated(name)
    assert memory.low - memory.weights - memory.context == pytest.approx(measured(name, MALLOC_MMAP_THRESHOLD_="65536"), rel=0.15)
