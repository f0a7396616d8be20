"""Merging an adapter, and a folder to publish: the same logits from plain transformers, without this package."""

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from runtime_toys import compiled, context_of, run_stage
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoModelForMaskedLM, AutoTokenizer

from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.models import load
from dllm_run.runtime.seen import everyone
from dllm_run.specs.errors import SpecError
from dllm_run.specs.reference import Reference

SPEC = """
version: 1
name: toy
data: {{rows: {{sources: [{{generate: sudoku}}], limit: 64, max_length: 32}}}}
stages:
  first:
    kind: pretrain
    model: {{scratch: {{family: {family}, layers: 2, width: 32, heads: 2}}, tokenizer: characters}}
    data: "${{data.rows}}"
    objective: mdlm
    batch: 4
    optimizer: {{learning_rate: 1e-3}}
    duration: 2 steps
  second:
    kind: pretrain
    model: {{from: "${{stages.first}}", lora: {{r: 4}}}}
    data: "${{data.rows}}"
    objective: mdlm
    batch: 8
    optimizer: {{learning_rate: 3e-2}}
    duration: 6 steps
  merged: {{kind: merge, model: "${{stages.second}}"}}
  published: {{kind: convert, model: "${{stages.second}}", to: {{type: hub, dtype: float32, shard_size: 40KB}}}}
  narrow: {{kind: convert, model: "${{stages.merged}}", to: hub}}
  look: {{kind: sample, model: "${{stages.narrow}}", prompts: ["12"], max_new_tokens: 4, sampler: llada}}
"""
FULL = torch.ones(2, 7, dtype=torch.bool)


def tokens() -> Tensor:
    return torch.randint(0, 97, (2, 7), generator=torch.Generator().manual_seed(0))


def logits_of(network: Any) -> Tensor:
    with torch.no_grad():
        return Denoiser(network.eval(), mask_token=97).logits(tokens(), everyone(FULL), FULL)[:, :97]


def network_of(plan: Any, name: str, folder: Path) -> Any:
    context = context_of(plan, name, folder)
    return load(context, Reference(context.stage_id, "model")).denoiser.network


@pytest.mark.parametrize("family", ["llama", "llada", "bert"])
def test_what_is_merged_and_published_gives_the_logits_that_were_trained(tmp_path: Path, family: str) -> None:
    plan = compiled(tmp_path, SPEC.format(family=family))
    done = {name: run_stage(plan, name, tmp_path) for name in ("first.data", "first", "second", "merged", "published", "narrow")}
    expected = logits_of(network_of(plan, "second", tmp_path))
    assert float((expected - logits_of(network_of(plan, "first", tmp_path))).abs().max()) > 1e-2
    torch.testing.assert_close(logits_of(network_of(plan, "merged", tmp_path)), expected, rtol=1e-4, atol=1e-5)
    folder = done["published"].entry.output("model")
    shards = sorted(folder.glob("*.safetensors"))
    assert len(shards) > 1 and all(path.stat().st_size < 80_000 for path in shards)
    text = (folder / "README.md").read_text(encoding="utf-8")
    assert text.startswith("---\nlibrary_name: transformers\n") and "`<mask>` (token 97)" in text
    assert not (folder / "adapter_config.json").exists()
    torch.testing.assert_close(logits_of(network_of(plan, "published", tmp_path)), expected, rtol=1e-4, atol=1e-5)
    if family != "llada":  # that one is loaded by the code of its family
        auto = AutoModelForMaskedLM if family == "bert" else AutoModelForCausalLM
        with torch.no_grad():
            plain = auto.from_pretrained(folder).eval()(input_ids=tokens()).logits.flatten(0, 1)[:, :97]
        torch.testing.assert_close(plain, expected, rtol=1e-4, atol=1e-5)
        assert AutoTokenizer.from_pretrained(folder).mask_token_id == 97
    narrow = network_of(plan, "narrow", tmp_path)
    torch.testing.assert_close(logits_of(narrow), expected, rtol=0.1, atol=0.2)
    run_stage(plan, "look", tmp_path)


@pytest.mark.parametrize("family", ["llama", "dream"])
def test_a_config_says_the_numbers_that_were_written(tmp_path: Path, family: str) -> None:
    plan = compiled(tmp_path, SPEC.format(family=family))
    for name in ("first.data", "first", "second"):
        run_stage(plan, name, tmp_path)
    # As published configs do, of their own weights.
    for name, wanted in (("published", "float32"), ("merged", None), ("narrow", "bfloat16")):
        folder = run_stage(plan, name, tmp_path).entry.output("model")
        said = json.loads((folder / "config.json").read_text(encoding="utf-8"))
        assert wanted is None or (said["dtype"] == wanted and "torch_dtype" not in said)


def test_readers_of_a_merged_model_do_not_quantise_it_again(tmp_path: Path) -> None:
    plan = compiled(tmp_path, SPEC.format(family="llama").replace("lora: {r: 4}", "lora: {r: 4}, quantization: nf4"))
    for name in ("first.data", "first", "second", "merged"):
        run_stage(plan, name, tmp_path)
    assert torch.uint8 in {value.dtype for value in network_of(plan, "second", tmp_path).parameters()}
    assert {value.dtype for value in network_of(plan, "merged", tmp_path).parameters()} == {torch.float32}


def test_the_name_of_a_spec_is_nowhere_in_what_a_stage_writes(tmp_path: Path) -> None:
    plan = compiled(tmp_path, SPEC.format(family="llama").replace("name: toy", "name: harlequin"))
    for name in ("first.data", "first", "second", "published"):
        done = run_stage(plan, name, tmp_path)
    assert "harlequin" not in (done.entry.output("model") / "README.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("model", ["${stages.nosuch}", '{from: "${stages.merged}"}'], ids=["missing", "circle"])
def test_of_a_model_that_leads_nowhere_only_that_is_told(tmp_path: Path, model: str) -> None:
    with pytest.raises(SpecError) as caught:
        compiled(
            tmp_path, f"version: 1\nname: toy\nstages: {{merged: {{kind: merge, model: {model if model[0] == '{' else repr(model)}}}}}\n"
        )
    assert "E534" not in {item.code for item in caught.value.diagnostics}


def test_there_must_be_an_adapter_to_merge(tmp_path: Path) -> None:
    with pytest.raises(SpecError, match="E534"):
        compiled(tmp_path, SPEC.format(family="llama").replace('merge, model: "${stages.second}"', 'merge, model: "${stages.first}"'))
