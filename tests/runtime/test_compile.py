"""Compiled layers: the same training up to rounding, also with dropout, and what is compiled is what says so."""

import copy
import json
from pathlib import Path
from typing import Any

import pytest
import safetensors.torch
import torch
from runtime_toys import compiled, context_of, run_stage, tiny_llama
from torch import Tensor

from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.history import history
from dllm_run.runtime.seen import everyone
from dllm_run.runtime.train import train

SPEC = """
version: 1
name: toy
model: {scratch: {family: FAMILY, layers: 2, width: 32, heads: 2, positions: 64}, tokenizer: characters}
stages:
  train:
    kind: pretrain
    data: {sources: [./texts.jsonl], holdout: 2 rows, max_length: 16}
    objective: mdlm
    batch: {global: 4, micro: 2}
    optimizer: {learning_rate: 1e-2, epsilon: 1e-3}
    duration: 2 steps
    evaluate: {every: 2 steps}
compute: {threads: 1}
"""


@pytest.fixture(autouse=True)
def forgotten(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    """What another test has compiled, and what one that was killed has left half-written."""
    monkeypatch.setenv("TORCHINDUCTOR_CACHE_DIR", str(tmp_path / "inductor"))
    torch._dynamo.reset()
    yield
    torch._dynamo.reset()


def trained(folder: Path, family: str, *flags: str) -> tuple[list[tuple[int, float]], list[tuple[int, float]], dict[str, Tensor]]:
    folder.mkdir()
    texts = [{"text": f"{index} some words to learn"[: 16 if index % 2 else 9]} for index in range(8)]
    (folder / "texts.jsonl").write_text("".join(json.dumps(text) + "\n" for text in texts), encoding="utf-8")
    plan = compiled(folder, SPEC.replace("FAMILY", family), *flags)
    run_stage(plan, "train.data", folder)
    context = context_of(plan, "train", folder)
    train(context)
    found = history(context.entry)
    return found.train, found.held_out, safetensors.torch.load_file(str(context.entry.output("model") / "model.safetensors"))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("family", "flags"),
    [("llama", ()), ("bert", ("model.dropout=0.3",)), ("llama", ("compute.gradient_checkpointing=true",))],
    ids=["llama", "dropout", "checkpointing"],
)
def test_compiling_changes_rounding_only(family: str, flags: tuple[str, ...], tmp_path: Path) -> None:
    plain = trained(tmp_path / "plain", family, *flags)
    counters = torch._dynamo.utils.counters
    counters.clear()
    fast = trained(tmp_path / "compiled", family, "compute.compile=true", *flags)
    assert counters["frames"]["ok"] > 0 and not counters["graph_break"]
    for mine, expected in zip(fast[:2], plain[:2], strict=True):
        assert [step for step, _ in mine] == [step for step, _ in expected]
        assert [value for _, value in mine] == pytest.approx([value for _, value in expected], rel=1e-5)
    assert fast[2].keys() == plain[2].keys(), "names of weights are those of the network"
    for name, weight in plain[2].items():
        torch.testing.assert_close(fast[2][name], weight, rtol=0, atol=2e-6)


def test_layers_that_are_alike_are_compiled_once_and_nothing_but_layers(monkeypatch: pytest.MonkeyPatch) -> None:
    plain = tiny_llama(vocabulary=11, layers=3)
    denoiser = Denoiser(copy.deepcopy(plain.network), mask_token=10)
    graphs: list[Any] = []
    compile = torch.nn.Module.compile

    def backend(graph: Any, inputs: Any) -> Any:
        graphs.append(graph)
        return graph.forward

    def noted(module: torch.nn.Module, *arguments: Any, **options: Any) -> None:
        compile(module, *arguments, backend=backend, **options)

    monkeypatch.setattr(torch.nn.Module, "compile", noted)
    denoiser.compile_layers()
    tokens_BL = torch.arange(10)[None]
    seen, chosen_BL = everyone(torch.ones(1, 10, dtype=torch.bool)), torch.ones(1, 10, dtype=torch.bool)
    with torch.no_grad():
        found, expected = denoiser.logits(tokens_BL, seen, chosen_BL), plain.logits(tokens_BL, seen, chosen_BL)
    assert len(graphs) == 1
    torch.testing.assert_close(found, expected)
