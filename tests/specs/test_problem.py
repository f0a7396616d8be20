"""The nearest legal numbers that findings offer."""

import pytest

from dllm_run.specs.problem import nearest_divisors, nearest_multiples


@pytest.mark.parametrize("whole", [1, 2, 12, 36, 97, 360])
def test_the_nearest_divisors_are_those_that_counting_finds(whole: int) -> None:
    every = [number for number in range(1, whole + 1) if whole % number == 0]
    for wanted in range(1, whole + 3):
        sides = [max((n for n in every if n < wanted), default=None), min((n for n in every if n > wanted), default=None)]
        expected = sorted((n for n in sides if n is not None), key=lambda n: (abs(n - wanted), n))
        assert nearest_divisors(whole, wanted) == expected


def test_a_number_of_64_bits_is_answered_at_once() -> None:
    assert nearest_divisors(2**62, 3) == [2, 4]
    assert nearest_divisors(2**62, 2**61 + 1) == [2**61, 2**62]


def test_the_nearest_multiples_lie_on_both_sides() -> None:
    assert nearest_multiples(7, 32) == [35, 28] and nearest_multiples(7, 3) == [7]
