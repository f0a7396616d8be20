"""A look into the folder of a model: its config, its weights, its tokenizer. JSON files alone are read."""

import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dllm_run.specs.problem import Problem

_TOKENIZER_FILES = frozenset({"tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model", "spm.model", "vocab.bpe"})
_NO_MASK_OF_THEIR_OWN = frozenset(
    {
        "PreTrainedTokenizerFast", "TokenizersBackend", "GPT2Tokenizer", "GPT2TokenizerFast", "GPTNeoXTokenizerFast", "LlamaTokenizer",
        "LlamaTokenizerFast", "CodeLlamaTokenizer", "CodeLlamaTokenizerFast", "Qwen2Tokenizer", "Qwen2TokenizerFast", "GemmaTokenizer",
        "GemmaTokenizerFast",
    }
)  # fmt: skip
"""Classes of transformers that have no mask token unless the folder names one; BERT's and its kin's have."""
_NO_HEAD = ("Model", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")
_LARGEST = 1 << 24
"""Bytes of JSON that are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What lies in the folder of a model."""

    path: Path
    files: frozenset[str]
    config: dict[str, Any] | None
    """None: there is none that can be read."""

    def number(self, *names: str) -> int | None:
        """The first of these entries of the config that is a whole number."""
        found = (self.config or {}).get
        return next((value for name in names if isinstance(value := found(name), int) and not isinstance(value, bool)), None)

    @property
    def window(self) -> int | None:
        """Tokens of a sliding window, where some layer has one."""
        config = self.config or {}
        kinds = config.get("layer_types")
        slides = "sliding_attention" in kinds if isinstance(kinds, list) else config.get("use_sliding_window", True)
        return self.number("sliding_window") if slides else None


def look_into(path: Path) -> Folder | None:
    """The folder; None where it is no folder."""
    if not path.is_dir():
        return None
    return Folder(path=path, files=frozenset(item.name for item in path.iterdir()), config=_json(path / "config.json"))


def model_problems(folder: Folder) -> Iterator[Problem]:
    """What this version could not build or load; paths are those of a model."""
    where = ("from",)
    if folder.config is None:
        what = "a config.json that is not JSON" if "config.json" in folder.files else "no config.json"
        yield Problem(code="E515", message=f"{folder.path.name} has {what}: it is no folder of a model", path=where)
        return
    kind, known = folder.config.get("model_type"), _known_types()
    code = "auto_map" in folder.config
    architectures = [name for name in folder.config.get("architectures") or () if isinstance(name, str)]
    if not isinstance(kind, str):
        yield Problem(code="E515", message=f"config.json of {folder.path.name} has no model_type", path=where)
    elif known and kind not in known:
        note = ("it brings code of its own, which is never run",) if code else ()
        message = f"the transformers installed here knows no model_type {kind!r}"
        yield Problem(code="W512", severity="warning", message=message, path=where, notes=note)
    elif folder.config.get("is_encoder_decoder") is True:
        yield Problem(code="E516", message=f"a model of type {kind} has an encoder and a decoder: it cannot fill in masks", path=where)
    elif architectures and not code and all(name.endswith(_NO_HEAD) and not name.endswith("LMHeadModel") for name in architectures):
        message = f"the weights have no language-modelling head: {', '.join(architectures)}"
        yield Problem(code="E516", message=message, path=where, label="a ...ForMaskedLM or a ...ForCausalLM is needed")
    if not any(name.endswith((".safetensors", ".bin")) for name in folder.files):
        yield Problem(code="E516", message=f"{folder.path.name} holds no weights", path=where, label="no *.safetensors and no *.bin in it")


def tokenizer_problems(folder: Folder) -> Iterator[Problem]:
    """What is missing for a tokenizer that diffusion can use; paths are left open."""
    name = folder.path.name
    if not folder.files & _TOKENIZER_FILES:
        label = "name one beside it: `tokenizer: bytes`, or ${stages.X}"
        yield Problem(code="E518", message=f"{name} holds no tokenizer", label=label)
        return
    settings = [found for file in ("tokenizer_config.json", "special_tokens_map.json") if (found := _json(folder.path / file))]
    plain = any(found.get("tokenizer_class") in _NO_MASK_OF_THEIR_OWN for found in settings)
    if plain and not any(found.get("mask_token") for found in settings):
        yield Problem(code="E518", message=f"the tokenizer of {name} has no mask token", label="diffusion needs one")


def _json(path: Path) -> dict[str, Any] | None:
    try:
        if path.stat().st_size > _LARGEST:
            return None
        found = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None
    return found if isinstance(found, dict) else None


def _known_types() -> frozenset[str]:
    """Model types of the installed transformers, read from its text since importing it takes seconds; empty where that fails."""
    found = importlib.util.find_spec("transformers")
    if found is None or found.origin is None:
        return frozenset()
    types: set[str] = set()
    for name in ("configuration_auto.py", "auto_mappings.py"):
        path = Path(found.origin).parent / "models" / "auto" / name
        if path.is_file():
            types.update(re.findall(r'\("([\w.-]+)",\s*"\w+Config"\)', path.read_text(encoding="utf-8")))
    return frozenset(types) if "llama" in types else frozenset()
