"""A training step of masked diffusion against a hand-written loop and against transformers with all logits. Run alone on a quiet machine.

    python tests/benchmarks/training_step.py [--vocabulary 32768 65536] [--repeats 7] [--rows 4] [--length 256]

12 layers x 768, untied, float32, forward and backward without an optimizer. Ratios are medians over repeats in which every way takes a
step in random order; memory is the growth of peak resident memory after the model is built, less the gradients, in processes of their own
(with MALLOC_MMAP_THRESHOLD_=1000000, or what the allocator keeps hides it).
"""

import argparse
import gc
import json
import os
import random
import statistics
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dllm_run.runtime.build import build
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.rows import Rows, pad_rows
from dllm_run.specs.vocabulary.families.llama import Llama
from dllm_run.specs.vocabulary.objectives.mdlm import Mdlm

TARGETS = {("ours / hand-written", 32768): 1.05, ("ours / all logits", 32768): 0.97, ("ours / all logits", 65536): 0.93}
MEMORY_TARGET = 0.45
Step = Callable[[], Tensor]


class Setting:
    """A model, a batch and its noise; every way of taking a step works on these."""

    def __init__(self, vocabulary: int, rows: int, length: int) -> None:
        from transformers import AutoModelForCausalLM

        config = build(Llama(layers=12, width=768, heads=12, mlp=2048, tie_embeddings=False))
        config.vocab_size = vocabulary
        config._attn_implementation = "sdpa"
        torch.manual_seed(0)
        self.network = AutoModelForCausalLM.from_config(config).train()
        self.denoiser = Denoiser(self.network, mask_token=vocabulary - 1)
        self.objective = build(Mdlm(time_sampling="stratified"))
        ids = list(range(rows))
        texts = torch.randint(0, vocabulary - 1, (rows, length)).tolist()
        self.rows: Rows = pad_rows(texts, [0] * rows, pad=0, samples=ids, visits=[0] * rows, slots=ids, batch=rows)
        self.draws = self.objective.draw(Stream(0, "noise"), self.rows)
        self.masked = self.draws.mask_BL < self.draws.time_B[:, None]
        self.noisy = self.rows.tokens_BL.masked_fill(self.masked, vocabulary - 1)
        self.weights = (1 / self.draws.time_B)[:, None].expand_as(self.masked) / self.masked.numel()

    def ours(self) -> Tensor:
        """The objective of the runtime."""
        loss = self.denoiser(self.objective.loss, self.rows, self.draws)
        return loss.numerator / loss.denominator.float()

    def by_hand(self) -> Tensor:
        """The least that this step can be: body, masked rows, a chunked loss that forms its gradient as it goes."""
        hidden = self.network.model(input_ids=self.noisy, use_cache=False, is_causal=False).last_hidden_state[self.masked]
        found: Tensor = _ByHand.apply(hidden, self.network.lm_head.weight, self.rows.tokens_BL[self.masked], self.weights[self.masked])  # type: ignore[no-untyped-call]
        return found

    def all_logits(self) -> Tensor:
        """Plain transformers: logits of every position, cross-entropy of every position."""
        logits = self.network(input_ids=self.noisy, use_cache=False, is_causal=False).logits
        entropy = nn.functional.cross_entropy(logits.flatten(0, 1).float(), self.rows.tokens_BL.flatten(), reduction="none")
        return (entropy.view_as(self.weights) * self.weights * self.masked).sum()


class _ByHand(torch.autograd.Function):
    @staticmethod
    def forward(ctx: Any, hidden: Tensor, matrix: Tensor, target: Tensor, weight: Tensor) -> Tensor:
        grad_hidden, grad_matrix = torch.empty_like(hidden), torch.zeros_like(matrix)
        total = hidden.new_zeros(())
        for start in range(0, len(hidden), 128):
            part = slice(start, start + 128)
            logits = hidden[part] @ matrix.T
            logits[:, -1] = float("-inf")
            lse = logits.logsumexp(-1, keepdim=True)
            at = target[part, None]
            total += (weight[part] * (lse - logits.gather(-1, at))[:, 0]).sum()
            logits.sub_(lse).exp_().scatter_add_(-1, at, torch.full_like(lse, -1.0))
            logits *= weight[part, None]
            torch.mm(logits, matrix, out=grad_hidden[part])
            grad_matrix.addmm_(logits.T, hidden[part])
        ctx.grads = grad_hidden, grad_matrix
        return total

    @staticmethod
    def backward(ctx: Any, grad: Tensor) -> tuple[Tensor | None, ...]:
        (grad_hidden, grad_matrix), ctx.grads = ctx.grads, None
        return grad_hidden.mul_(grad), grad_matrix.mul_(grad), None, None


WAYS: dict[str, Callable[[Setting], Tensor]] = {
    "ours": Setting.ours,
    "hand-written": Setting.by_hand,
    "all logits": Setting.all_logits,
}


def timed(vocabulary: int, repeats: int, rows: int, length: int) -> None:
    """Seconds of a step each way, and ratios of steps of the same repeat."""
    setting = Setting(vocabulary, rows, length)
    losses, norms = {}, {}
    found: dict[str, list[float]] = {name: [] for name in WAYS}
    cpu: dict[str, list[float]] = {name: [] for name in WAYS}
    for repeat in range(repeats + 1):
        names = list(WAYS)
        random.Random(repeat).shuffle(names)
        for name in names:
            setting.network.zero_grad()
            gc.collect()
            start, busy = time.perf_counter(), time.process_time()
            loss = WAYS[name](setting)
            loss.backward()
            seconds, busy = time.perf_counter() - start, time.process_time() - busy
            losses[name] = float(loss.detach())
            norms[name] = float(torch.nn.utils.get_total_norm([p.grad for p in setting.network.parameters() if p.grad is not None]))
            if repeat:  # the first one warms up
                found[name].append(seconds)
                cpu[name].append(busy)
    print(f"\nV {vocabulary:,}, {rows} x {length} tokens, {int(setting.masked.sum())} masked, {repeats} repeats")
    for name in WAYS:
        print(f"  {name:14} {statistics.median(found[name]):6.2f} s  loss {losses[name]:.6f}  gradient norm {norms[name]:.6f}")
    for other in ("hand-written", "all logits"):
        wall = sorted(a / b for a, b in zip(found["ours"], found[other], strict=True))
        busy_ratio = statistics.median(a / b for a, b in zip(cpu["ours"], cpu[other], strict=True))
        label = f"ours / {other}"
        target = TARGETS.get((label, vocabulary))
        aim = "" if target is None else f"  target <= {target}"
        print(f"  {label:20} {statistics.median(wall):.3f} [{wall[0]:.3f}-{wall[-1]:.3f}], by CPU time {busy_ratio:.3f}{aim}")


def _status(name: str) -> int:
    lines = Path("/proc/self/status").read_text(encoding="utf-8").splitlines()
    return next(int(line.split()[1]) * 1024 for line in lines if line.startswith(name))


def growth(name: str, vocabulary: int, rows: int, length: int) -> None:
    """Print by how much two steps raise the peak of this process, and the bytes of its gradients."""
    setting = Setting(vocabulary, rows, length)
    gc.collect()
    Path("/proc/self/clear_refs").write_text("5", encoding="utf-8")  # the peak is counted from here
    before = _status("VmRSS")
    for _ in range(2):
        setting.network.zero_grad()
        WAYS[name](setting).backward()
    gradients = sum(p.grad.numel() * p.grad.element_size() for p in setting.network.parameters() if p.grad is not None)
    print(json.dumps({"growth": _status("VmHWM") - before, "gradients": gradients}))


def memory(vocabulary: int, rows: int, length: int) -> None:
    """Growth of each way less its gradients, in a process each."""
    left = {}
    for name in WAYS:
        command = [
            sys.executable,
            __file__,
            "--growth",
            name,
            "--vocabulary",
            str(vocabulary),
            "--rows",
            str(rows),
            "--length",
            str(length),
        ]
        environment = {**_quiet(), "MALLOC_MMAP_THRESHOLD_": "1000000"}
        done = subprocess.run(command, env=environment, capture_output=True, text=True, check=True)
        found = json.loads(done.stdout.splitlines()[-1])
        left[name] = found["growth"] - found["gradients"]
        print(f"  {name:14} peak grows by {found['growth'] / 1e6:,.0f} MB, {found['gradients'] / 1e6:,.0f} MB of it gradients")
    ratio = left["ours"] / left["all logits"]
    print(f"  less the gradients: ours / all logits {ratio:.2f}, {1 - ratio:.0%} lower  target at 65,536: >= {1 - MEMORY_TARGET:.0%} lower")


def _quiet() -> dict[str, str]:
    """As stages run: threads that wait do not spin, or one busy program beside them costs a factor."""
    return {**os.environ, "OMP_WAIT_POLICY": "PASSIVE"}


def main() -> None:
    """Time, then memory, for every vocabulary."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--vocabulary", type=int, nargs="+", default=[32768, 65536])
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--rows", type=int, default=4)
    parser.add_argument("--length", type=int, default=256)
    parser.add_argument("--growth", choices=list(WAYS), help=argparse.SUPPRESS)
    parser.add_argument("--timed", action="store_true", help=argparse.SUPPRESS)
    options = parser.parse_args()
    sizes = options.rows, options.length
    for vocabulary in options.vocabulary:
        if options.growth:
            growth(options.growth, vocabulary, *sizes)
        elif options.timed:
            timed(vocabulary, options.repeats, *sizes)
        else:
            own = ["--timed", "--vocabulary", vocabulary, "--repeats", options.repeats, "--rows", sizes[0], "--length", sizes[1]]
            subprocess.run([sys.executable, __file__, *map(str, own)], env=_quiet(), check=True)
            memory(vocabulary, *sizes)


if __name__ == "__main__":
    main()
