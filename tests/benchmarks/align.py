"""How long an alignment takes, beside the same table written out cell by cell in Python, in one run.

python tests/benchmarks/align.py [LENGTH]
"""

import random
import statistics
import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[1] / "runtime"))

from test_align import written_out

from dllm_run.runtime.align import align

REPEATS = 7


def timed(function: Callable[[list[int], list[int]], object], source: list[int], goal: list[int], repeats: int) -> tuple[float, float]:
    """Median and spread in milliseconds."""
    found = []
    for _ in range(repeats):
        started = time.perf_counter()
        function(source, goal)
        found.append(1000 * (time.perf_counter() - started))
    return statistics.median(found), max(found) - min(found)


def main() -> None:
    """Unrelated texts over few and many tokens, an edited text, and masks."""
    length = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    generator = random.Random(0)
    pairs = {}
    for tokens in (4, 30_000):
        pairs[f"random, {tokens} tokens"] = tuple([generator.randrange(tokens) for _ in range(length)] for _ in range(2))
    source = pairs["random, 30000 tokens"][0]
    pairs["a tenth edited"] = source, [token if generator.random() > 0.1 else -2 for token in source]
    pairs["64 masks"] = [-3] * 64, source
    print(f"{length} x {length} tokens, {REPEATS} repeats (plain Python: 3), median and spread in ms")
    for name, (left, right) in pairs.items():
        fast, plain = timed(align, left, right, REPEATS), timed(written_out, left, right, 3)
        print(f"  {name:22} {fast[0]:8.2f} +- {fast[1]:5.2f}   plain {plain[0]:8.0f} +- {plain[1]:4.0f}   {plain[0] / fast[0]:6.0f} times")


if __name__ == "__main__":
    main()
