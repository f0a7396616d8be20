"""A mask token that the weights do not know: its rows are the means of the others, and training keeps it."""

from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from runtime_toys import compiled, context_of, run_stage

from dllm_run.runtime.models import load
from dllm_run.runtime.tokenizers import from_folder, from_word
from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes
from dllm_run.specs.vocabulary.training import Training

SPEC = """\
version: 1
name: masks
stages:
  train:
    kind: pretrain
    model: ./model
    data: {sources: [{generate: sudoku}], max_length: 32}
    objective: mdlm
    batch: 4
    optimizer: {learning_rate: 1e-3}
    duration: 2 steps
compute: {device: cpu, precision: fp32}
"""


def folder(path: Path, *, rows: int, tied: bool, kind: str = "llama") -> Path:
    """A causal model whose tokenizer has 258 tokens and no mask, with weights of so many rows."""
    fast = from_word(Bytes(), path).fast
    fast.mask_token = None
    fast.save_pretrained(str(path))
    torch.manual_seed(0)
    network: Any
    if kind == "gpt2":
        ends = {"bos_token_id": None, "eos_token_id": None}
        config = transformers.GPT2Config(vocab_size=rows, n_embd=32, n_head=2, n_layer=1, n_positions=64, **ends)
        network = transformers.GPT2LMHeadModel(config)
    else:
        sizes = {"hidden_size": 32, "num_hidden_layers": 1, "num_attention_heads": 2, "intermediate_size": 32}
        network = transformers.LlamaForCausalLM(transformers.LlamaConfig(vocab_size=rows, tie_word_embeddings=tied, **sizes))
    network.save_pretrained(str(path))
    return path


def loaded(path: Path) -> Any:
    plan = compiled(path.parent, SPEC)
    context = context_of(plan, "train", path.parent)
    body = context.stage.body
    assert isinstance(body, Training)
    return load(context, body.model)


@pytest.mark.parametrize("tied", [True, False], ids=["tied", "untied"])
@pytest.mark.parametrize("rows", [258, 300], ids=["no room", "spare rows"])
def test_its_rows_are_the_means_of_those_of_the_other_tokens(rows: int, tied: bool, tmp_path: Path) -> None:
    before = transformers.AutoModelForCausalLM.from_pretrained(folder(tmp_path / "model", rows=rows, tied=tied)).state_dict()
    found = loaded(tmp_path / "model")
    after = found.denoiser.network.state_dict()
    assert found.tokens.mask == found.denoiser.mask_token == 258
    for name in ("model.embed_tokens.weight", "lm_head.weight"):
        assert after[name].shape[0] == max(rows, 259)
        torch.testing.assert_close(after[name][258], before[name][:258].mean(0))
        assert torch.equal(after[name][:258], before[name][:258]) and torch.equal(after[name][259:], before[name][259:])


def test_gpt_2_has_no_spare_row_and_gets_one(tmp_path: Path) -> None:
    network = loaded(folder(tmp_path / "model", rows=258, tied=True, kind="gpt2")).denoiser.network
    assert network.config.vocab_size == 259 and network.transformer.wte.weight is network.lm_head.weight


def test_rows_that_are_no_token_are_never_written(tmp_path: Path) -> None:
    forbidden = loaded(folder(tmp_path / "model", rows=300, tied=True)).tokens.forbidden
    assert set(range(259, 300)) <= set(forbidden) and 258 in forbidden and not set(range(257)) & set(forbidden)


def test_after_training_it_is_there_and_nothing_is_added_again(tmp_path: Path) -> None:
    folder(tmp_path / "model", rows=258, tied=False)
    plan = compiled(tmp_path, SPEC)
    run_stage(plan, "train.data", tmp_path)
    context = run_stage(plan, "train", tmp_path)
    tokens = from_folder(context.entry.output("model"))
    assert (tokens.mask, tokens.size, tokens.added_mask) == (258, 259, False)
    trained = transformers.AutoModelForCausalLM.from_pretrained(context.entry.output("model"))
    first = loaded(tmp_path / "model").denoiser.network.state_dict()["model.embed_tokens.weight"][258]
    assert trained.config.vocab_size == 259
    assert not torch.equal(trained.get_input_embeddings().weight[258], first), "it has learned"
