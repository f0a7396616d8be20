"""Seconds of a training step by objective, in pairs: `python tests/benchmarks/objectives.py [--pairs N]`, from the root of the repository.

Every step of an objective is timed beside a step of mdlm on the same network and rows, in alternating order, by the processor time of
this process. What is printed is the median of the ratios with their smallest and largest: other work on the machine moves both sides.
Llama with 12 layers of width 768, 32,768 tokens of vocabulary, fp32, micro batch 4, rows of 256 tokens, unless said otherwise.
"""

import argparse
import statistics
import time

import torch
from transformers import LlamaConfig, LlamaForCausalLM

from dllm_run.runtime.build import build
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.objectives import Objective
from dllm_run.runtime.rows import Rows, pad_rows
from dllm_run.specs.vocabulary.objectives.bd3lm import Bd3lm
from dllm_run.specs.vocabulary.objectives.dream import Dream
from dllm_run.specs.vocabulary.objectives.mdlm import Mdlm

WORDS = {
    "dream": Dream(time_sampling="stratified"),
    "mdlm, complementary": Mdlm(time_sampling="stratified", complementary=True),
    "bd3lm, blocks of 32": Bd3lm(time_sampling="stratified", block_size=32),
    "bd3lm, blocks of 128": Bd3lm(time_sampling="stratified", block_size=128),
    "bd3lm, one block": Bd3lm(time_sampling="stratified", block_size=1 << 20),
    "bd3lm 32, complementary": Bd3lm(time_sampling="stratified", block_size=32, complementary=True),
}


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = {"pairs": 5, "layers": 12, "width": 768, "vocabulary": 32768, "micro": 4, "length": 256, "threads": 1}
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    parser.add_argument("--only", help="part of the name of an objective")
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    denoiser = network(options)
    rows = some_rows(options)
    base = build(Mdlm(time_sampling="stratified"))
    step(denoiser, base, rows, 0)
    for name, word in WORDS.items():
        if options.only is None or options.only in name:
            report(name, denoiser, rows, base, build(word), options.pairs)


def report(name: str, denoiser: Denoiser, rows: Rows, base: Objective, objective: Objective, pairs: int) -> None:
    """Time one objective against mdlm and print a line."""
    ratios, seconds = [], []
    for pair in range(pairs):
        both = (base, objective) if pair % 2 else (objective, base)
        times = {one: step(denoiser, one, rows, pair) for one in both}
        ratios.append(times[objective] / times[base])
        seconds.append(times[objective])
    spread = f"{min(ratios):.2f} to {max(ratios):.2f}"
    print(f"{name:<26} {statistics.median(ratios):.2f} x mdlm ({spread}, {pairs} pairs), {statistics.median(seconds):.1f} s", flush=True)


def network(options: argparse.Namespace) -> Denoiser:
    """A fresh Llama."""
    config = LlamaConfig(
        hidden_size=options.width,
        intermediate_size=options.width * 8 // 3 // 32 * 32,
        num_hidden_layers=options.layers,
        num_attention_heads=options.width // 64,
        vocab_size=options.vocabulary,
        tie_word_embeddings=True,
        is_causal=False,
        use_cache=False,
    )
    return Denoiser(LlamaForCausalLM(config).train(), mask_token=options.vocabulary - 1)


def some_rows(options: argparse.Namespace) -> Rows:
    """Full rows of random tokens."""
    tokens = torch.randint(0, options.vocabulary - 1, (options.micro, options.length), generator=torch.Generator().manual_seed(0))
    count = range(options.micro)
    return pad_rows(
        tokens.tolist(),
        [0] * options.micro,
        pad=0,
        samples=list(count),
        visits=[0] * options.micro,
        slots=list(count),
        batch=options.micro,
    )


def step(denoiser: Denoiser, objective: Objective, rows: Rows, seed: int) -> float:
    """Processor seconds of a loss and its gradient."""
    denoiser.zero_grad(set_to_none=True)
    started = time.process_time()
    loss = objective.loss(denoiser, rows, objective.draw(Stream(seed, "noise"), rows))
    (loss.numerator / loss.denominator).backward()
    return time.process_time() - started


if __name__ == "__main__":
    main()
