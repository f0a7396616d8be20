"""What the benchmarks of sampling share: models with random weights, a straightforward loop, paired timing."""

import os

os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import random
import statistics
import time
from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from dllm_run.runtime.build import build
from dllm_run.runtime.canvas import Request, lay_out
from dllm_run.runtime.decode import Engine
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.ledger import Ledger
from dllm_run.runtime.marked import Marked
from dllm_run.runtime.noise import Stream
from dllm_run.specs.vocabulary.families.llama import Llama
from dllm_run.specs.vocabulary.samplers import Sampler

CPU = torch.device("cpu")


@dataclass(frozen=True)
class Size:
    layers: int
    width: int
    heads: int
    mlp: int
    vocabulary: int


SIZES = {"M": Size(12, 768, 12, 2048, 32768), "W": Size(8, 512, 8, 1536, 151936), "S": Size(2, 64, 2, 128, 500)}


def model(name: str) -> Denoiser:
    """A Llama with random weights, in float32; its mask is the last token."""
    from transformers import AutoModelForCausalLM

    size = SIZES[name]
    word = Llama(layers=size.layers, width=size.width, heads=size.heads, mlp=size.mlp, positions=8192, tie_embeddings=False)
    config = build(word)
    config.vocab_size = size.vocabulary
    config.initializer_range = 0.05
    config._attn_implementation = "sdpa"
    torch.manual_seed(0)
    return Denoiser(AutoModelForCausalLM.from_config(config).eval(), mask_token=size.vocabulary - 1)


def requests(denoiser: Denoiser, prompts: list[int], new: int) -> list[Request]:
    """Random prompts of these lengths."""
    generator = torch.Generator().manual_seed(1)
    mask, found = denoiser.mask_token, []
    for index, length in enumerate(prompts):
        tokens = torch.randint(0, mask, (length,), generator=generator).tolist()
        found.append(Request(tokens=[*tokens, *[mask] * new], id=index, prompt=length))
    return found


def started(denoiser: Denoiser, word: Sampler, asked: list[Request]) -> Engine:
    """An engine in which these requests have entered."""
    engine = Engine(denoiser, build(word), Stream(0, "sample"), marked=Marked.nothing(CPU), ledger=Ledger(), slots=len(asked))
    engine.enter(lay_out(asked, mask_token=denoiser.mask_token, pad=0, device=CPU), list(range(len(asked))))
    return engine


class Loop:
    """The published loop: logits of the whole canvas, float64 Gumbel noise over the vocabulary, softmax at every position, row by row."""

    def __init__(self, denoiser: Denoiser, asked: list[Request], block: int, temperature: float) -> None:
        canvas = lay_out(asked, mask_token=denoiser.mask_token, pad=0, device=CPU)
        self.denoiser, self.block, self.temperature = denoiser, block, temperature
        self.tokens, self.valid = canvas.tokens_BL.clone(), canvas.valid_BL
        self.mask = None if bool(canvas.valid_BL.all()) else canvas.valid_BL
        self.prompts = [request.prompt for request in asked]

    def step(self, number: int) -> None:
        """Commit one token of block `number` in each row."""
        denoiser, tokens = self.denoiser, self.tokens
        logits = denoiser.network(input_ids=tokens, attention_mask=self.mask, use_cache=False, is_causal=False).logits
        logits[:, :, denoiser.mask_token] = float("-inf")
        chosen = _gumbel(logits, self.temperature).argmax(-1)
        confidence = torch.softmax(logits, -1).gather(-1, chosen[:, :, None])[:, :, 0]
        masked = (tokens == denoiser.mask_token) & self.valid
        for row, prompt in enumerate(self.prompts):
            confidence[row, prompt + (number + 1) * self.block :] = float("-inf")
        confidence = torch.where(masked, confidence, float("-inf"))
        for row in range(len(tokens)):
            _, place = torch.topk(confidence[row], 1)
            tokens[row, place] = chosen[row, place]


def _gumbel(logits: Tensor, temperature: float) -> Tensor:
    if temperature == 0:
        return logits
    wide = logits.double()
    noise = torch.rand_like(wide)
    return wide.exp() / (-noise.log()) ** temperature


def bare(denoiser: Denoiser, tokens: Tensor, mask: Tensor | None, scored: int) -> None:
    """The least that a step can be: the body on the canvas and the head on as many rows as are scored."""
    hidden = denoiser.network.model(input_ids=tokens, attention_mask=mask, use_cache=False, is_causal=False).last_hidden_state
    denoiser.network.lm_head(hidden.reshape(-1, hidden.shape[-1])[:scored])


def timed(work: Callable[[], object]) -> float:
    """Seconds of one piece of work."""
    begun = time.perf_counter()
    work()
    return time.perf_counter() - begun


def paired(ways: dict[str, Callable[[], float]], repeats: int) -> dict[str, list[float]]:
    """Seconds of each way; within a repeat all are run, in random order. The first repeat warms up and is not kept."""
    found: dict[str, list[float]] = {name: [] for name in ways}
    for repeat in range(repeats + 1):
        names = list(ways)
        random.Random(repeat).shuffle(names)
        for name in names:
            seconds = ways[name]()
            if repeat:
                found[name].append(seconds)
    return found


def ratio(upper: list[float], lower: list[float]) -> str:
    """Median and spread of ratios of the same repeat."""
    found = [a / b for a, b in zip(upper, lower, strict=True)]
    return f"{statistics.median(found):.3f} [{min(found):.3f}-{max(found):.3f}]"


def milliseconds(seconds: list[float]) -> str:
    """Median, in milliseconds."""
    return f"{1e3 * statistics.median(seconds):.1f} ms"


def load() -> str:
    """How busy the machine is: figures of a busy one mean little."""
    return f"load {os.getloadavg()[0]:.1f} on {os.cpu_count()} cores, {torch.get_num_threads()} threads"
