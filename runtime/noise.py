"""Counter-based randomness: every number is a pure function of (seed, purpose, components), on every device.

splitmix64 on int64 with wraparound (Steele, Lea, Flood, OOPSLA 2014). Nothing here reads or moves the global generator.
"""

import hashlib

import torch
from torch import Tensor

_GOLDEN = 0x9E3779B97F4A7C15
_FIRST = 0xBF58476D1CE4E5B9
_SECOND = 0x94D049BB133111EB
_MASK = (1 << 64) - 1


def _signed(value: int) -> int:
    """The int64 with the same bits: tensors hold no unsigned 64-bit integers that add and multiply."""
    value &= _MASK
    return value - (1 << 64) if value >> 63 else value


def mix_int(value: int) -> int:
    """One step of splitmix64 on a Python integer, unsigned."""
    z = (value + _GOLDEN) & _MASK
    z = ((z ^ (z >> 30)) * _FIRST) & _MASK
    z = ((z ^ (z >> 27)) * _SECOND) & _MASK
    return z ^ (z >> 31)


def _shift_right(value: Tensor, by: int) -> Tensor:
    # `>>` on int64 copies the sign bit, so what it brings in is masked away.
    return (value >> by) & ((1 << (64 - by)) - 1)


def mix(value: Tensor) -> Tensor:
    """One step of splitmix64 on int64, elementwise; the same bits as `mix_int`."""
    z = value + _signed(_GOLDEN)
    z = (z ^ _shift_right(z, 30)) * _signed(_FIRST)
    z = (z ^ _shift_right(z, 27)) * _signed(_SECOND)
    return z ^ _shift_right(z, 31)


class Stream:
    """The random numbers of one purpose under one seed."""

    def __init__(self, seed: int, purpose: str) -> None:
        named = int.from_bytes(hashlib.sha256(purpose.encode()).digest()[:8], "big")
        self._key = mix_int(mix_int(seed & _MASK) ^ named)

    def bits(self, *components: Tensor) -> Tensor:
        """64 random bits for every element of the broadcast int64 components; each is folded through the mixer in turn."""
        state = torch.tensor(_signed(self._key), dtype=torch.int64, device=components[0].device)
        for component in components:
            state = mix(state ^ component)
        return state

    def uniform(self, *components: Tensor) -> Tensor:
        """float32 in (0, 1), never 0 and never 1: (k + 1/2) 2^-23 of the top 23 bits (24 would round to 1.0)."""
        return (_shift_right(self.bits(*components), 41).to(torch.float32) + 0.5) * 2.0**-23

    def integer(self, *components: int) -> int:
        """One non-negative 63-bit integer, from Python integers alone."""
        state = self._key
        for component in components:
            state = mix_int(state ^ (component & _MASK))
        return state >> 1

    def permutation(self, length: int, visit: int) -> Tensor:
        """A permutation of `range(length)`, int64, another one for every visit."""
        index = torch.arange(length, dtype=torch.int64)
        return torch.argsort(self.bits(torch.tensor(visit, dtype=torch.int64), index), stable=True)
