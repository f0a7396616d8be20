"""Two steps of training in a process of its own, which then prints by how much they raised its memory. Not a test."""

import gc
import json
import sys
from pathlib import Path

import torch
from transformers import AutoModelForCausalLM

from dllm_run.runtime.build import build
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.objectives import Draws
from dllm_run.runtime.rows import pad_rows
from dllm_run.specs.vocabulary.families.llama import Llama
from dllm_run.specs.vocabulary.objectives.mdlm import Mdlm


def status(name: str) -> int:
    """A size that the kernel keeps of this process, in bytes."""
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def main(layers: int, width: int, heads: int, mlp: int, vocabulary: int, micro: int, length: int) -> None:
    """Half of the positions are masked, as on average. The second step has the moments that the first one made."""
    torch.set_num_threads(1)
    config = build(Llama(layers=layers, width=width, heads=heads, mlp=mlp))
    config.vocab_size = vocabulary
    config._attn_implementation = "sdpa"
    denoiser = Denoiser(AutoModelForCausalLM.from_config(config).train(), mask_token=vocabulary - 1)
    objective = build(Mdlm())
    optimizer = torch.optim.AdamW(denoiser.parameters(), lr=1e-4)
    ids, tokens = list(range(micro)), [[(7 * row + column) % (vocabulary - 1) for column in range(length)] for row in range(micro)]
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak is counted from here
    before = status("VmRSS")
    for visit in range(2):
        rows = pad_rows(tokens, [0] * micro, pad=0, samples=ids, visits=[visit] * micro, slots=ids, batch=micro)
        draws = Draws(torch.full((micro,), 0.5), objective.draw(Stream(0, "noise"), rows).mask_BL)
        loss = objective.loss(denoiser, rows, draws)
        (loss.numerator / loss.denominator).backward()
        torch.nn.utils.clip_grad_norm_(denoiser.parameters(), 1.0)
        optimizer.step()
        optimizer.zero_grad()
    print(json.dumps({"growth": status("VmHWM") - before}))


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
