"""Recipes made tiny by flags: weights of the same architecture in the format of their family, a few rows, two steps."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from transformers import PreTrainedTokenizerFast

from dllm_run.runtime.checkpoint import fresh, save
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.tokenizers import bytes as byte_tokens
from dllm_run.runtime.tokenizers import from_folder, from_word
from dllm_run.specs.vocabulary.compute import Compute
from dllm_run.specs.vocabulary.families import Family
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes
from dllm_run.specs.word import members

_CHATML = (
    "{% for message in messages %}{{ '<|im_start|>' + message.role + '\n' + message.content + '<|im_end|>\n' }}{% endfor %}"
    "{% if add_generation_prompt %}{{ '<|im_start|>assistant\n' }}{% endif %}"
)
_SPECIALS: dict[str, dict[str, Any]] = {
    "llada": {
        "bos_token": "<|startoftext|>",
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "additional_special_tokens": ["<|start_header_id|>", "<|end_header_id|>", "<|eot_id|>", "<|mdm_mask|>"],
    },
    "dream": {
        "eos_token": "<|endoftext|>",
        "pad_token": "<|endoftext|>",
        "additional_special_tokens": ["<|im_start|>", "<|im_end|>", "<|mask|>"],
    },
    "qwen3": {"eos_token": "<|im_end|>", "pad_token": "<|endoftext|>", "additional_special_tokens": ["<|im_start|>"]},
    "modernbert": {"cls_token": "[CLS]", "sep_token": "[SEP]", "pad_token": "[PAD]", "mask_token": "[MASK]"},
}
"""Special tokens as the published tokenizer of each family names them. Qwen3's has no mask."""
_TEMPLATED = ("dream", "qwen3")
"""Families whose chat template is their tokenizer's."""
_SPARE_ROWS = 40
"""Rows of a published vocabulary that are no token: a mask that is added finds its place there."""


def tiny_weights(folder: Path, family: str, **sizes: Any) -> Path:
    """A folder as its family publishes it, with random weights."""
    fast = _tokenizer(family)
    fast.save_pretrained(str(folder))
    cls = members(Family)[family]
    word = cls(**{"layers": 1, "width": 32, "heads": 2, "mlp": 32, "positions": 288, "tie_embeddings": False, **sizes})
    model = Model(scratch=word, tokenizer=Bytes(), dtype="float32").completed()
    tokens = from_word(Bytes(), Path())
    tokens.fast.add_tokens([f"<spare {index}>" for index in range(len(fast) + _SPARE_ROWS - len(tokens.fast))])
    save(fresh(model, tokens, Compute(), Stream(1, "weights")), folder)
    config = json.loads((folder / "config.json").read_text(encoding="utf-8"))
    config["pad_token_id"] = fast.pad_token_id
    if config.get("mask_token_id") is not None:
        config["mask_token_id"] = from_folder(folder).mask
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    return folder


def _tokenizer(family: str) -> PreTrainedTokenizerFast:
    made = byte_tokens.build(Bytes(), Path())
    fast = PreTrainedTokenizerFast(tokenizer_object=made.backend_tokenizer)
    fast.add_special_tokens(_SPECIALS[family])
    if family in _TEMPLATED:
        fast.chat_template = _CHATML
    return fast


def rows_in(folder: Path, count: int = 24) -> Path:
    """Rows with the columns of every data set that a recipe reads: conversations, plain text, instructions."""
    file = folder / "rows.jsonl"
    file.write_text("".join(json.dumps(_row(index)) + "\n" for index in range(count)), encoding="utf-8")
    return file


def _row(index: int) -> Mapping[str, Any]:
    question, answer = f"What is {index} and 1?", f"It is {index + 1}."
    messages = [{"role": "user", "content": question}, {"role": "assistant", "content": answer}]
    return {"messages": messages, "text": f"{question} {answer}", "instruction": question, "input": "", "output": answer}


def made_tiny(weights: Path, rows: Path, *, data: str, model: str = "model.from", processes: int = 1, nodes: int = 1) -> tuple[str, ...]:
    """Flags that leave of a recipe what it does, and take from it how large that is."""
    return (
        f"{model}={weights}",
        f"data.{data}.sources=[{rows}]",
        f"data.{data}.holdout=4 rows",
        f"data.{data}.max_length=256",
        "stages.train.duration=2 steps",
        "stages.train.batch=4",
        f"compute={{device: cpu, nodes: {nodes}, gpus_per_node: 0, processes: {processes}, gpu: null, threads: 1}}",
        *(("compute.strategy=null",) if processes == 1 else ()),
    )
