"""Prefix and dual cache against the published loop and the sampler without a cache. Run alone on a quiet machine.

    python tests/benchmarks/cache.py [--quick] [--repeats 5]

12 x 768, 32,768 tokens, float32, 128 new tokens in blocks of 32, one token a step; a block reads everything once and 31 times beside the
cache, and that is the mean told here, of steps that are timed one by one.
"""

import argparse
import statistics

import torch
from sampling import Loop, load, milliseconds, model, paired, ratio, requests, started, timed

from dllm_run.runtime.canvas import Request
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.specs.vocabulary.samplers.fast_dllm import FastDllm

BLOCK, NEW = 32, 128
PROMPTS = {4: [64, 48, 57, 33], 1: [64]}
GOALS = {(4, "prefix"): 2.4, (4, "dual"): 4.0, (1, "prefix"): 1.8, (1, "dual"): 2.5}


def mean_step(denoiser: Denoiser, asked: list[Request], kind: str) -> float:
    """Seconds of a step, of all four blocks, weighted as 32 steps a block would be."""
    # Two steps a block are enough to time both kinds; 16 tokens are committed in each.
    engine = started(denoiser, FastDllm(steps=2 * NEW // BLOCK, block_size=BLOCK, cache=kind), asked)
    whole, beside = [], []
    for step in range(2 * NEW // BLOCK):
        (beside if step % 2 else whole).append(timed(engine.step))
    if kind == "none":
        return statistics.mean([*whole, *beside])
    return (statistics.mean(whole) + (BLOCK - 1) * statistics.mean(beside)) / BLOCK


@torch.inference_mode()
def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few repeats")
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    repeats = 1 if options.quick else options.repeats
    print(load())
    denoiser = model("M")
    for batch, prompts in PROMPTS.items():
        asked = requests(denoiser, prompts, NEW)

        def loop(asked: list[Request] = asked) -> float:
            made = Loop(denoiser, asked, BLOCK, 0.0)
            return timed(lambda: [made.step(0) for _ in range(4)]) / 4

        kinds = {kind: (lambda kind=kind, asked=asked: mean_step(denoiser, asked, kind)) for kind in ("none", "prefix", "dual")}
        found = paired({"loop": loop, **kinds}, repeats)
        for kind in ("prefix", "dual"):
            print(
                f"M batch {batch}, prompts {prompts}: {kind} {milliseconds(found[kind])} a step; published loop over it "
                f"{ratio(found['loop'], found[kind])} (goal {GOALS[batch, kind]}), "
                f"without a cache over it {ratio(found['none'], found[kind])}",
                flush=True,
            )
    print(load())


if __name__ == "__main__":
    main()
