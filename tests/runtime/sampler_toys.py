"""Requests, logits and random numbers that the tests of the samplers share."""

import math
import random

import torch
from runtime_toys import StubDenoiser
from torch import Tensor

from dllm_run.runtime.build import build
from dllm_run.runtime.canvas import Request, lay_out
from dllm_run.runtime.decode import Decoded, decode
from dllm_run.runtime.marked import Marked
from dllm_run.runtime.noise import Stream
from dllm_run.specs.vocabulary.samplers import Sampler

V = 13
M = V - 1
CPU = torch.device("cpu")


def logits_of(seen: tuple[int, ...], position: int) -> tuple[float, ...]:
    """Unlike for every content and position, without ties; the mask has none."""
    drawn = random.Random(repr((seen, position)))
    sharpness = drawn.choice((0.5, 1.5, 4.0))
    return (*(drawn.gauss(0, sharpness) for _ in range(M)), -math.inf)


def chance_of(row: int, step: int, position: int, purpose: int) -> float:
    return random.Random(repr((row, step, position, purpose))).uniform(0.001, 0.999)


class Given(Stream):
    """Uniforms out of a table instead of the generator."""

    def __init__(self) -> None:
        super().__init__(0, "given")

    def uniform(self, *components: Tensor) -> Tensor:
        parts = torch.broadcast_tensors(*components)
        drawn = [chance_of(*key) for key in zip(*(part.flatten().tolist() for part in parts), strict=True)]
        return torch.tensor(drawn).view(parts[0].shape)


def continuation(prompt: list[int], new: int, identity: int) -> Request:
    return Request(tokens=[*prompt, *[M] * new], id=identity, prompt=len(prompt))


RAGGED = [
    continuation([3, 1, 4, 1, 5], 8, 0),
    continuation([2], 8, 1),
    continuation([], 8, 2),
    continuation([9, 9, 8, 7, 6, 5, 4, 3, 2, 1], 8, 3),
]
SCATTERED = [
    Request(tokens=[M, 2, M, M, 5, 6, M, 8, 9, M, 1], id=10),
    Request(tokens=[1, 2, 3, M], id=11),
    Request(tokens=[M] * 7, id=12),
    Request(tokens=[4, M, M, M, M, M, M, 3, 3, 3, 3, 3, M, M], id=13),
]
UNEVEN = [continuation([1, 2], 3, 20), continuation([5], 11, 21), continuation([7, 7, 7], 6, 22)]
REQUESTS = {"ragged-prompts": RAGGED, "scattered-masks": SCATTERED, "uneven-lengths": UNEVEN}


def run(
    requests: list[Request], word: Sampler, *, forbidden: tuple[int, ...] = (), stream: Stream | None = None
) -> tuple[Decoded, StubDenoiser]:
    denoiser = StubDenoiser(logits_of, mask_token=M, dtype=torch.float32)
    canvas = lay_out(requests, mask_token=M, pad=0, device=CPU)
    marked = Marked.nothing(CPU, never=forbidden)
    return decode(denoiser, canvas, build(word), stream or Given(), marked=marked), denoiser  # type: ignore[arg-type]


def tokens_of(found: Decoded, requests: list[Request]) -> list[list[int]]:
    return [found.tokens_BL[row, : len(request.tokens)].tolist() for row, request in enumerate(requests)]
