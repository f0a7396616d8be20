"""How long planning takes, measured side by side in one run: start-up, validate, sweeps of 1,000 and 10,000 points, Hydra's compose.

    python tests/benchmarks/compiler.py [--hydra]

`--hydra` installs hydra-core into a throw-away environment and composes 100 points of a like configuration there.
"""

import argparse
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dllm_run.cli.specs import recipes

REPEATS = 5
COMPOSE = """
import sys, time
from hydra import compose, initialize_config_dir
started = time.perf_counter()
with initialize_config_dir(config_dir=sys.argv[1], version_base=None):
    for index in range(100):
        compose("config", overrides=[f"stages.train.optimizer.learning_rate={1e-4 * (index + 1)}"])
print(time.perf_counter() - started)
"""


def swept(points: int) -> str:
    """The sudoku recipe under a grid of three axes."""
    rates = ", ".join(f"{1e-5 * (index + 1):.6g}" for index in range(points // 50))
    batches = ", ".join(str(8 * (index + 1)) for index in range(10))
    axes = f"stages.train.optimizer.learning_rate: [{rates}], stages.train.batch: [{batches}], stages.solve.sampler.steps: [1, 2, 4, 8, 16]"
    return recipes()["sudoku"].read_text(encoding="utf-8") + f"sweep: {{grid: {{{axes}}}}}\n"


def long_spec() -> str:
    """A spec of about 150 lines: the quickstart with many evaluations."""
    text = recipes()["quickstart"].read_text(encoding="utf-8")
    more = "".join(
        f"  look{index}:\n    kind: sample\n    model: ${{stages.train}}\n    prompts: [Once]\n    max_new_tokens: 64\n    sampler: llada\n"
        for index in range(18)
    )
    return text + more


def timed(command: list[str], folder: Path, repeats: int = REPEATS) -> tuple[float, float, int]:
    """Median and spread of the wall seconds, and the largest resident size of a child so far in KiB."""
    seconds = []
    for _ in range(repeats):
        started = time.perf_counter()
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
        seconds.append(time.perf_counter() - started)
    return statistics.median(seconds), max(seconds) - min(seconds), resource.getrusage(resource.RUSAGE_CHILDREN).ru_maxrss


def hydra(folder: Path) -> float:
    """Seconds that Hydra takes to compose 100 points of the quickstart."""
    environment = folder / "venv"
    subprocess.run([sys.executable, "-m", "venv", str(environment)], check=True)
    python = environment / "bin" / "python"
    subprocess.run([str(python), "-m", "pip", "install", "-q", "hydra-core"], check=True)
    (folder / "hydra").mkdir()
    text = "\n".join(line for line in recipes()["quickstart"].read_text(encoding="utf-8").splitlines() if "${" not in line)
    (folder / "hydra" / "config.yaml").write_text(text, encoding="utf-8")
    done = subprocess.run([str(python), "-c", COMPOSE, str(folder / "hydra")], check=True, capture_output=True, text=True)
    return float(done.stdout)


def main() -> None:
    """Print the table."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--hydra", action="store_true", help="compare with Hydra's compose at 100 points")
    options = parser.parse_args()
    tool = [sys.executable, "-m", "dllm_run.cli.main"]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for points in (100, 1000, 10000):
            (folder / f"{points}.yaml").write_text(swept(points), encoding="utf-8")
        (folder / "long.yaml").write_text(long_spec(), encoding="utf-8")
        bare = timed([sys.executable, "-c", "pass"], folder)
        rows = [
            ("python -c pass", *bare, ""),
            ("--help", *timed([*tool, "--help"], folder), "python -c pass + 0.1 s"),
            (f"validate, {len(long_spec().splitlines())} lines", *timed([*tool, "validate", "long.yaml"], folder), "0.3 s"),
            ("plan, 100 points", *timed([*tool, "plan", "100.yaml"], folder), ""),
            ("plan, 1,000 points", *timed([*tool, "plan", "1000.yaml"], folder), "1 s"),
            ("plan, 10,000 points", *timed([*tool, "plan", "10000.yaml"], folder, 3), "5 s, 300 MB"),
        ]
        print(f"{'':22}{'median s':>10}{'spread':>9}{'MB':>6}   target")
        for label, median, spread, size, target in rows:
            print(f"{label:22}{median:>10.3f}{spread:>9.3f}{size // 1024:>6}   {target}")
        growth = (rows[5][1] - rows[4][1]) / 9000 * 1000, (rows[4][1] - rows[3][1]) / 900 * 1000
        print(f"a further point: {growth[1]:.2f} ms up to 1,000, {growth[0]:.2f} ms up to 10,000")
        if options.hydra:
            compose, ours = hydra(folder), rows[3][1]
            print(f"100 points: Hydra's compose {compose:.2f} s, plan with checks and ids {ours:.2f} s, ratio {compose / ours:.1f}")


if __name__ == "__main__":
    main()
