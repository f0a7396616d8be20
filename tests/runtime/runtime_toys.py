"""Small stand-ins that the tests of the runtime share: denoisers with known logits, plans compiled from a few lines of YAML."""

import math
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from dllm_run.compiler.compile import Source, compile_spec
from dllm_run.compiler.lock import Lock
from dllm_run.runtime.build import build, module_of
from dllm_run.runtime.context import Context
from dllm_run.runtime.cross_entropy import CrossEntropy
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.rows import Rows, pad_rows
from dllm_run.runtime.seen import Seen
from dllm_run.specs.canonical import pretty
from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Runs, write_atomic
from dllm_run.specs.vocabulary.families.llama import Llama

LogitsOf = Callable[[tuple[int, ...], int], Sequence[float]]
"""(the valid tokens that a position sees, in the order of their positions; where it stands among them) -> logits."""


class StubDenoiser(nn.Module):
    """Logits from a plain Python function; it remembers what it was asked."""

    def __init__(self, logits_of: LogitsOf, *, mask_token: int, dtype: torch.dtype = torch.float64) -> None:
        super().__init__()
        self.anchor = nn.Parameter(torch.zeros(1, dtype=dtype))
        self.logits_of = logits_of
        self.mask_token = mask_token
        self.logit_shift = 0
        self.dtype = dtype
        self.body_passes = 0
        self.head_rows = 0
        self.asked: list[tuple[tuple[int, ...], int]] = []
        self.batches: list[int] = []
        self._questions: list[tuple[tuple[int, ...], int] | None] = []
        self._known: dict[tuple[tuple[int, ...], int], Tensor] = {}

    def forward(self, function: Callable[..., Any], *arguments: Any) -> Any:
        return function(self, *arguments)

    def hidden(self, tokens_BL: Tensor, seen: Seen) -> Tensor:
        return self.body(tokens_BL, seen)

    def body(self, tokens_BL: Tensor, seen: Seen) -> Tensor:
        """What is asked of each position stands for its hidden state: an index into the questions, [B, L, 1]."""
        self.body_passes += 1
        self.batches.append(len(tokens_BL))
        first = len(self._questions)
        for index, (row, valid) in enumerate(zip(tokens_BL.tolist(), seen.valid_BL.tolist(), strict=True)):
            if seen.mask_BLL is not None:
                place = seen.position_BL[index].tolist() if seen.position_BL is not None else list(range(len(row)))
                looks = seen.mask_BLL[index % len(seen.mask_BLL)].tolist()
                self._questions += [_question(row, place, look, column) if valid[column] else None for column, look in enumerate(looks)]
                continue
            known, start = tuple(token for token, good in zip(row, valid, strict=True) if good), valid.index(True)
            self._questions += [(known, column - start) if good else None for column, good in enumerate(valid)]
        return torch.arange(first, len(self._questions)).view(*tokens_BL.shape, 1)

    def head(self, hidden_RD: Tensor) -> Tensor:
        found = []
        for index in hidden_RD[:, 0].tolist():
            key = self._questions[index]
            assert key is not None, "padding reached the head"
            self.asked.append(key)
            if key not in self._known:
                self._known[key] = torch.tensor(self.logits_of(*key), dtype=self.dtype)
            found.append(self._known[key])
        self.head_rows += len(found)
        if not found:
            return torch.zeros(0, self.mask_token + 1, dtype=self.dtype)
        return torch.stack(found) + 0 * self.anchor

    def precision(self) -> torch.dtype:
        return self.dtype

    def logits(self, tokens_BL: Tensor, seen: Seen, chosen_BL: Tensor) -> Tensor:
        return self.head(self.hidden(tokens_BL, seen)[chosen_BL])

    def cross_entropy(self, hidden_RD: Tensor, target_R: Tensor, weight_R: Tensor) -> CrossEntropy:
        nll_R = torch.nn.functional.cross_entropy(self.head(hidden_RD), target_R, reduction="none")
        return CrossEntropy((weight_R * nll_R).sum(), nll_R.detach())


def _question(row: list[int], place: list[int], look: list[bool], column: int) -> tuple[tuple[int, ...], int]:
    """The tokens that a column sees, by position, and where it stands among them."""
    seen = sorted((index for index, sees in enumerate(look) if sees), key=lambda index: place[index])
    return tuple(row[index] for index in seen), seen.index(column)


def rows(
    sequences: list[list[int]], *, prompts: list[int] | None = None, samples: list[int] | None = None, batch: int | None = None
) -> Rows:
    """Rows in which everything after the prompts is maskable."""
    count = len(sequences)
    return pad_rows(
        sequences,
        prompts or [0] * count,
        pad=0,
        samples=samples or list(range(count)),
        visits=[0] * count,
        slots=list(range(count)),
        batch=batch or count,
    )


def subset_weight(masked: int, length: int) -> float:
    """Integral over t of (1/t) t^k (1-t)^(L-k): the beta function B(k, L-k+1) = (k-1)! (L-k)! / L!."""
    return math.factorial(masked - 1) * math.factorial(length - masked) / math.factorial(length)


def tiny_llama(*, vocabulary: int, layers: int = 2, width: int = 32, heads: int = 2, seed: int = 0, shift: int = 0) -> Denoiser:
    """A Llama with random weights large enough that its logits differ from token to token; its mask is the last token."""
    from transformers import LlamaForCausalLM

    config = build(Llama(layers=layers, width=width, heads=heads, mlp=48, positions=128))
    config.vocab_size = vocabulary
    with torch.random.fork_rng():
        torch.manual_seed(seed)
        network = LlamaForCausalLM(config).eval()
        for parameter in network.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    return Denoiser(network, mask_token=vocabulary - 1, logit_shift=shift)


def compiled(folder: Path, text: str, *flags: str) -> Plan:
    """The plan of a spec whose relative paths start at `folder`."""
    return compile_spec(Source(file="spec.yaml", data=text.encode(), flags=flags), Lock(folder)).plan


def stage_id(plan: Plan, name: str) -> str:
    """The id of a stage of a plan with one point."""
    return next(iter(plan.points.values())).stages[name]


def context_of(plan: Plan, name: str, folder: Path) -> Context:
    """A new attempt at a stage, with its store in `folder`/runs."""
    runs, found = Runs(folder / "runs"), stage_id(plan, name)
    attempt = runs.entry(found).new_attempt()
    return Context(plan=plan, stage_id=found, runs=runs, base=folder, attempt=attempt)


def run_stage(plan: Plan, name: str, folder: Path) -> Context:
    """Run a stage in this process, to its DONE."""
    context = context_of(plan, name, folder)
    results = module_of(type(context.stage.body)).run(context)
    write_atomic(context.entry.results_file, pretty(results))
    context.entry.finish()
    return context
