"""Seconds of the likelihood service beside bare batches of the same tokens: `python tests/benchmarks/likelihood.py [--pairs N]`.

The bare side runs the same masked batches through body and head with everything laid out before the clock starts: no masks drawn, no
sorting, no journal. Both sides alternate, by the processor time of this process; what is printed is the median of the ratios with their
smallest and largest. Llama with 12 layers of width 768, 32,768 tokens of vocabulary, fp32, texts of 20 to 200 tokens by default.
"""

import argparse
import statistics
import tempfile
import time
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import LlamaConfig, LlamaForCausalLM

from dllm_run.runtime.build import build
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.journal import Journal
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.scoring import Scorer, Text
from dllm_run.runtime.seen import Seen
from dllm_run.specs.vocabulary.likelihoods.elbo import Elbo


class Noting(Denoiser):
    """A denoiser that notes its batches while `notes` is a list."""

    def __init__(self, network: Any, **facts: Any) -> None:
        super().__init__(network, **facts)
        self.__dict__["notes"] = None

    def hidden(self, tokens_BL: Tensor, seen: Seen) -> Tensor:
        found = super().hidden(tokens_BL, seen)
        if self.__dict__["notes"] is not None:
            self.__dict__["notes"].append((tokens_BL, seen, tokens_BL == self.mask_token))
        return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    numbers = {"pairs": 5, "layers": 12, "width": 768, "vocabulary": 32768, "texts": 12, "masks": 8, "batch": 8, "threads": 1}
    for name, default in numbers.items():
        parser.add_argument(f"--{name}", type=int, default=default)
    options = parser.parse_args()
    torch.set_num_threads(options.threads)
    denoiser, texts = network(options), some_texts(options)
    denoiser.__dict__["notes"] = batches = []
    score(denoiser, texts, options)
    denoiser.__dict__["notes"] = None
    ratios = []
    for pair in range(options.pairs):
        sides = {"bare": lambda: bare(denoiser, batches), "service": lambda: score(denoiser, texts, options)}
        times = {name: seconds(sides[name]) for name in (sides if pair % 2 else reversed(sides))}
        ratios.append(times["service"] / times["bare"])
    padded = sum(tokens_BL.numel() for tokens_BL, _, _ in batches)
    real = sum(int(seen.valid_BL.sum()) for _, seen, _ in batches)
    print(f"service / bare: {statistics.median(ratios):.3f} ({min(ratios):.3f} to {max(ratios):.3f}), {len(batches)} batches")
    print(f"padded / real tokens: {padded / real:.3f}")


def network(options: argparse.Namespace) -> Noting:
    """A model with random weights."""
    config = LlamaConfig(
        vocab_size=options.vocabulary,
        hidden_size=options.width,
        intermediate_size=4 * options.width,
        num_hidden_layers=options.layers,
        num_attention_heads=12,
        max_position_embeddings=1024,
    )
    torch.manual_seed(0)
    return Noting(LlamaForCausalLM(config).eval(), mask_token=options.vocabulary - 1)


def some_texts(options: argparse.Namespace) -> list[Text]:
    """Texts of many lengths, a third of each given."""
    generator = torch.Generator().manual_seed(0)
    lengths = torch.randint(20, 200, (options.texts,), generator=generator).tolist()
    rows = [torch.randint(0, options.vocabulary - 1, (length,), generator=generator).tolist() for length in lengths]
    return [Text(tokens=tuple(row), id=index, prompt=len(row) // 3) for index, row in enumerate(rows)]


def score(denoiser: Noting, texts: list[Text], options: argparse.Namespace) -> None:
    """The service, with answers on disk."""
    with tempfile.TemporaryDirectory() as folder:
        journal = Journal(Path(folder)).open()
        word = Elbo(samples=options.masks)
        Scorer(denoiser=denoiser, estimator=build(word), stream=Stream(0, "x"), batch=options.batch, journal=journal).score(texts)


@torch.inference_mode()
def bare(denoiser: Noting, batches: list[tuple[Tensor, Seen, Tensor]]) -> None:
    """Body and head over the masked positions of batches that lie ready."""
    for tokens_BL, seen, masked_BL in batches:
        hidden_RD = denoiser.hidden(tokens_BL, seen)[masked_BL]
        target_R = torch.zeros(len(hidden_RD), dtype=torch.int64)
        denoiser.cross_entropy(hidden_RD, target_R, torch.ones(len(hidden_RD))).nll_R.sum().item()


def seconds(run: Any) -> float:
    """Processor time of a call."""
    start = time.process_time()
    run()
    return time.process_time() - start


if __name__ == "__main__":
    main()
