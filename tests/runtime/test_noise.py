"""The counter-based generator: exact integers, uniforms that are uniform, and nothing that two draws share."""

import hashlib
import math
import random

import pytest
import torch
from torch import Tensor

from dllm_run.runtime.noise import Stream, mix, mix_int

MASK = (1 << 64) - 1
EDGES = [0, 1, 2, (1 << 62) - 1, (1 << 63) - 1, 1 << 63, (1 << 63) + 1, MASK - 1, MASK, 0x9E3779B97F4A7C15, MASK - 0x9E3779B97F4A7C15]


def reference_mix(value: int) -> int:
    """splitmix64 as published (Vigna's C), on Python integers."""
    z = (value + 0x9E3779B97F4A7C15) % 2**64
    z = ((z ^ (z // 2**30)) * 0xBF58476D1CE4E5B9) % 2**64
    z = ((z ^ (z // 2**27)) * 0x94D049BB133111EB) % 2**64
    return z ^ (z // 2**31)


def signed(value: int) -> int:
    return value - (1 << 64) if value >= 1 << 63 else value


def unsigned(value: Tensor) -> list[int]:
    return [int(item) & MASK for item in value.tolist()]


def integers(*values: int) -> Tensor:
    return torch.tensor(values, dtype=torch.int64)


def correlation(left: Tensor, right: Tensor) -> float:
    return float(torch.corrcoef(torch.stack([left.double(), right.double()]))[0, 1])


def test_zero_mixes_to_the_published_number() -> None:
    assert mix_int(0) == 0xE220A8397B1DCDAF
    assert unsigned(mix(integers(0))) == [0xE220A8397B1DCDAF]


def test_mixing_tensors_is_exact_against_python_integers() -> None:
    drawn = random.Random(7)
    values = EDGES + [drawn.getrandbits(64) for _ in range(2000)]
    expected = [reference_mix(value) for value in values]
    assert [mix_int(value) for value in values] == expected
    assert unsigned(mix(integers(*map(signed, values)))) == expected


def test_bits_fold_each_component_through_the_mixer() -> None:
    named = int.from_bytes(hashlib.sha256(b"noise").digest()[:8], "big")
    key = reference_mix(reference_mix(11) ^ named)
    expected = reference_mix(reference_mix(reference_mix(key ^ 3) ^ (-1 & MASK)) ^ 9)
    assert unsigned(Stream(11, "noise").bits(integers(3), integers(-1), integers(9))) == [expected]


def test_one_integer_is_the_upper_63_bits_of_the_same_fold() -> None:
    stream = Stream(5, "dropout")
    for components in ((0,), (1, 2), (2**40, 3, 17)):
        assert stream.integer(*components) == unsigned(stream.bits(*map(integers, components)))[0] >> 1


def test_uniforms_are_float32_strictly_between_0_and_1() -> None:
    u = Stream(0, "noise").uniform(torch.arange(1_000_000))
    assert u.dtype == torch.float32
    assert float(u.min()) > 0 and float(u.max()) < 1


@pytest.mark.parametrize(("bits", "expected"), [(0, 2.0**-24), (-1, 1 - 2.0**-24)], ids=["all-zero", "all-one"])
def test_the_extreme_bits_give_neither_0_nor_1(bits: int, expected: float, monkeypatch: pytest.MonkeyPatch) -> None:
    stream = Stream(0, "noise")
    monkeypatch.setattr(Stream, "bits", lambda self, *components: integers(bits))
    assert float(stream.uniform(integers(0))[0]) == expected


def test_uniforms_fill_the_interval_evenly() -> None:
    u = Stream(3, "noise").uniform(torch.arange(200_000))
    counts = torch.histc(u, bins=50, min=0, max=1)
    chi_squared = float(((counts - 4000) ** 2 / 4000).sum())
    assert chi_squared < 95, "49 degrees of freedom: 95 is exceeded once in 10,000 seeds"
    assert abs(float(u.double().mean()) - 0.5) < 4 / math.sqrt(12 * 200_000)


N = torch.arange(20_000)
PAIRS = {
    "purposes": (Stream(0, "noise").uniform(N), Stream(0, "order").uniform(N)),
    "neighbouring-seeds": (Stream(0, "noise").uniform(N), Stream(1, "noise").uniform(N)),
    "seed-and-first-component": (Stream(0, "noise").uniform(integers(1), N), Stream(1, "noise").uniform(integers(0), N)),
    "rows": (Stream(0, "noise").uniform(integers(4), N), Stream(0, "noise").uniform(integers(5), N)),
    "neighbouring-positions": (Stream(0, "noise").uniform(N), Stream(0, "noise").uniform(N + 1)),
    "row-against-position": (Stream(0, "noise").uniform(N, integers(8)), Stream(0, "noise").uniform(integers(8), N)),
    "position-minus-one": (Stream(0, "noise").uniform(N, integers(-1)), Stream(0, "noise").uniform(N, integers(0))),
}


@pytest.mark.parametrize("pair", PAIRS.values(), ids=PAIRS)
def test_two_streams_do_not_correlate(pair: tuple[Tensor, Tensor]) -> None:
    assert abs(correlation(*pair)) < 4 / math.sqrt(len(N))


@pytest.mark.parametrize("change", ["seed", "component"])
def test_no_stream_is_a_shifted_copy_of_another(change: str) -> None:
    here = Stream(0, "noise").bits(integers(0), N)
    there = Stream(1, "noise").bits(integers(0), N) if change == "seed" else Stream(0, "noise").bits(integers(1), N)
    assert not set(here.tolist()) & set(there.tolist()), "among 2 x 20,000 draws of 64 bits none repeats"


def test_the_order_of_row_step_and_position_matters() -> None:
    stream = Stream(0, "sample")
    found = {int(stream.bits(*map(integers, order))[0]) for order in ((1, 2, 3), (1, 3, 2), (2, 1, 3), (2, 3, 1), (3, 1, 2), (3, 2, 1))}
    assert len(found) == 6


def test_seeds_beyond_64_bits_and_negative_ones_are_taken_modulo_2_to_the_64() -> None:
    assert Stream(-1, "noise").integer(0) == Stream(MASK, "noise").integer(0)


@pytest.mark.parametrize("length", [1, 2, 7, 1000])
def test_a_permutation_holds_every_index_once(length: int) -> None:
    assert sorted(Stream(0, "order").permutation(length, 3).tolist()) == list(range(length))


def test_every_visit_has_a_permutation_of_its_own() -> None:
    found = [tuple(Stream(0, "order").permutation(50, visit).tolist()) for visit in range(20)]
    assert len(set(found)) == 20
    assert found[0] == tuple(Stream(0, "order").permutation(50, 0).tolist())


def test_every_place_of_a_permutation_is_as_likely() -> None:
    first = [int(Stream(0, "order").permutation(5, visit)[0]) for visit in range(5000)]
    for index in range(5):
        assert abs(first.count(index) - 1000) < 4 * math.sqrt(5000 * 0.2 * 0.8)


def test_torchs_global_generator_is_neither_read_nor_moved() -> None:
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    one = (Stream(0, "noise").uniform(N), Stream(0, "order").permutation(100, 1), Stream(0, "weights").integer())
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    two = (Stream(0, "noise").uniform(N), Stream(0, "order").permutation(100, 1), Stream(0, "weights").integer())
    assert torch.equal(one[0], two[0]) and torch.equal(one[1], two[1]) and one[2] == two[2]


def test_components_broadcast() -> None:
    stream = Stream(0, "noise")
    grid = stream.uniform(torch.arange(3)[:, None], torch.tensor(5), torch.arange(4)[None, :])
    assert grid.shape == (3, 4)
    assert float(grid[2, 1]) == float(stream.uniform(integers(2), integers(5), integers(1))[0])


def test_a_number_is_the_same_in_whichever_batch_it_is_asked_for() -> None:
    stream, samples = Stream(9, "noise"), torch.tensor([4, 17, 2, 30])
    whole = stream.uniform(samples[:, None], torch.arange(16)[None, :])
    for index in range(4):
        alone = stream.uniform(samples[index : index + 1, None], torch.arange(9)[None, :])
        assert torch.equal(alone[0], whole[index, :9])
