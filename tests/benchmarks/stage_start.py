"""How long a training stage takes from its start to the end of its first step, on a tiny model, against importing Trainer alone.

    python tests/benchmarks/stage_start.py [--repeats 5]

Both are whole processes, in turn, by the clock and by CPU time; the data are prepared before. Run alone on a quiet machine.
"""

import argparse
import os
import resource
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from dllm_run.cli.specs import find
from dllm_run.specs.canonical import canonical

TARGET = 1.5
SPEC = """
version: 1
name: start
model: {scratch: {family: llama, layers: 1, width: 32, heads: 2}, tokenizer: bytes}
stages:
  train:
    kind: pretrain
    data: {sources: [{generate: sudoku}], max_length: 64}
    objective: mdlm
    batch: 4
    optimizer: {learning_rate: 1e-3}
    duration: 1000 steps
"""
IMPORT = "from transformers import Trainer"
FIRST_STEP = """
import os, runpy
from dllm_run.runtime import context
context.Context.metric = lambda self, step, values: os._exit(17)
runpy.run_module("dllm_run.runtime", run_name="__main__")
"""


def timed(command: list[str], folder: Path, code: int) -> tuple[float, float]:
    """Seconds, and those of CPU time, of a process that ends with this code."""
    environment = {**os.environ, "OMP_WAIT_POLICY": "PASSIVE", "HF_HUB_OFFLINE": "1"}
    started, before = time.perf_counter(), resource.getrusage(resource.RUSAGE_CHILDREN)
    done = subprocess.run(command, cwd=folder, env=environment, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE, check=False)
    seconds, after = time.perf_counter() - started, resource.getrusage(resource.RUSAGE_CHILDREN)
    assert done.returncode == code, done.stderr.decode()
    return seconds, after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime


def main() -> None:
    """Print both times and the median of the ratios of neighbours."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--repeats", type=int, default=5)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        (folder / "spec.yaml").write_text(SPEC, encoding="utf-8")
        plan = find(str(folder / "spec.yaml"), []).compile().plan
        (folder / "plan.json").write_text(canonical(plan.to_json()), encoding="utf-8")
        stages = next(iter(plan.points.values())).stages
        timed([sys.executable, "-m", "dllm_run.runtime", "plan.json", stages["train.data"]], folder, 0)
        pairs = []
        for repeat in range(options.repeats + 1):
            alone = timed([sys.executable, "-c", IMPORT], folder, 0)
            stage = timed([sys.executable, "-c", FIRST_STEP, "plan.json", stages["train"]], folder, 17)
            if repeat:  # the first one reads files that are then in memory
                pairs.append((stage, alone))
    for index, measure in enumerate(("by the clock", "by CPU time")):
        ratios = sorted(stage[index] / alone[index] for stage, alone in pairs)
        stage, alone = (statistics.median(seconds[index] for seconds in column) for column in zip(*pairs, strict=True))
        print(f"  {measure}: start to first step {stage:.2f} s, {IMPORT!r} {alone:.2f} s")
        print(f"    ratio {statistics.median(ratios):.2f} [{ratios[0]:.2f}-{ratios[-1]:.2f}]  target <= {TARGET}")


if __name__ == "__main__":
    main()
