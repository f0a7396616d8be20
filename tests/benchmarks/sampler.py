"""A step of the sampler against the least that it can be and against the published loop. Run alone on a quiet machine.

    python tests/benchmarks/sampler.py [--quick] [--models M W] [--repeats 5] [--steps 8]

Prompt 64, 128 new tokens, blocks of 32, one token a step, float32. M is 12 x 768 with 32,768 tokens, W 8 x 512 with 151,936.
"""

import argparse

import torch
from sampling import Loop, bare, load, milliseconds, model, paired, ratio, requests, started, timed

from dllm_run.runtime.denoiser import Denoiser
from dllm_run.specs.vocabulary.samplers.llada import Llada

BLOCK, PROMPT, NEW = 32, 64, 128
OVERHEAD = {"M": 1.03, "W": 1.08}
GAIN = {("M", 1, 0.0): 1.25, ("M", 4, 0.0): 1.25, ("M", 1, 1.0): 2.0, ("M", 4, 1.0): 2.3, ("W", 1, 0.0): 3.2, ("W", 1, 1.0): 9.0}


@torch.inference_mode()
def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="one batch size, few repeats")
    parser.add_argument("--models", nargs="+", default=["M", "W"])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--steps", type=int, default=8, help="steps that are timed together; the block has 32")
    options = parser.parse_args()
    repeats, steps = (2, 4) if options.quick else (options.repeats, options.steps)
    print(load())
    for name in options.models:
        denoiser = model(name)
        for batch in (1,) if options.quick or name == "W" else (1, 4):
            for temperature in (0.0, 1.0):
                measured(name, denoiser, batch, temperature, repeats, steps)
        same(name, denoiser, steps)
    print(load(), "- median of paired ratios [least-most]")


def measured(name: str, denoiser: Denoiser, batch: int, temperature: float, repeats: int, steps: int) -> None:
    """One line."""
    asked = requests(denoiser, [PROMPT] * batch, NEW)
    canvas = Loop(denoiser, asked, BLOCK, temperature).tokens

    def engine() -> float:
        made = started(denoiser, Llada(block_size=BLOCK, temperature=temperature), asked)
        return timed(lambda: [made.step() for _ in range(steps)])

    def loop() -> float:
        made = Loop(denoiser, asked, BLOCK, temperature)
        return timed(lambda: [made.step(0) for _ in range(steps)])

    def least() -> float:
        return timed(lambda: [bare(denoiser, canvas, None, batch * (BLOCK - step)) for step in range(steps)])

    found = paired({"engine": engine, "loop": loop, "least": least}, repeats)
    per_step = [seconds / steps for seconds in found["engine"]]
    print(
        f"{name} batch {batch} T={temperature:g}: {milliseconds(per_step)} a step; over body and head "
        f"{ratio(found['engine'], found['least'])} (goal {OVERHEAD[name]}); published loop over it "
        f"{ratio(found['loop'], found['engine'])} (goal {GAIN[name, batch, temperature]})",
        flush=True,
    )


def same(name: str, denoiser: Denoiser, steps: int) -> None:
    """Whether the two write the same tokens at temperature 0."""
    asked = requests(denoiser, [PROMPT, PROMPT - 7], NEW)
    made, by_hand = started(denoiser, Llada(block_size=BLOCK), asked), Loop(denoiser, asked, BLOCK, 0.0)
    for _ in range(steps):
        made.step()
        by_hand.step(0)
    assert made.board is not None
    print(f"{name}: tokens of the two at T=0 are {'' if torch.equal(made.board.tokens_BL, by_hand.tokens) else 'NOT '}the same")


if __name__ == "__main__":
    main()
