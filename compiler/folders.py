"""A look into the folder of a model: its config, its weights, its tokenizer. JSON files alone are read."""

import importlib.util
import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dllm_run.specs.geometry import bare_type
from dllm_run.specs.problem import Problem
from dllm_run.specs.vocabulary.families import family_for

from .shorten import listed

_TOKENIZER_FILES = frozenset({"tokenizer.json", "tokenizer.model", "vocab.txt", "vocab.json", "spiece.model", "spm.model", "vocab.bpe"})
_NO_HEAD = ("Model", "ForSequenceClassification", "ForTokenClassification", "ForQuestionAnswering", "ForMultipleChoice")
ADAPTER = "adapter_config.json"
"""What makes a folder that of an adapter."""
_CHECKPOINT = re.compile(r"checkpoint-(\d+)")
_LARGEST = 1 << 24
"""Bytes of JSON that are read."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Folder:
    """What lies in the folder of a model."""

    path: Path
    files: frozenset[str]
    config: dict[str, Any] | None
    """None: there is none that can be read."""
    adapter: dict[str, Any] | None
    """The same of an adapter."""
    checkpoints: tuple[str, ...] = ()
    """Folders inside that hold a step of training each, the newest last."""

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
    files = frozenset(item.name for item in path.iterdir())
    steps = sorted(int(found[1]) for name in files if (found := _CHECKPOINT.fullmatch(name)) and (path / name / "config.json").is_file())
    checkpoints = tuple(f"checkpoint-{step}" for step in steps)
    return Folder(path=path, files=files, config=read_map(path / "config.json"), adapter=read_map(path / ADAPTER), checkpoints=checkpoints)


def model_problems(folder: Folder, locator: str) -> Iterator[Problem]:
    """What this version could not build or load; paths are those of a model."""
    where = ("from",)
    if ADAPTER in folder.files:
        yield _adapter_alone(folder, locator)
        return
    if folder.config is None and folder.checkpoints and "config.json" not in folder.files:
        newest = f"{locator.rstrip('/')}/{folder.checkpoints[-1]}"
        message = f"{folder.path.name} holds no model, but checkpoints of one: {listed(folder.checkpoints)}"
        yield Problem(code="E520", message=message, path=where, label="name one of them", fix=(where, newest))
        return
    if folder.config is None:
        what = "a config.json that is not JSON" if "config.json" in folder.files else "no config.json"
        yield Problem(code="E515", message=f"{folder.path.name} has {what}: it is no folder of a model", path=where)
        return
    kind, known = folder.config.get("model_type"), _known_types()
    code = "auto_map" in folder.config
    architectures = [name for name in folder.config.get("architectures") or () if isinstance(name, str)]
    if not isinstance(kind, str):
        yield Problem(code="E515", message=f"config.json of {folder.path.name} has no model_type", path=where)
    elif known and bare_type(kind) not in known and family_for(kind) is None:
        note = ("it brings code of its own, which is never run",) if code else ()
        message = f"the transformers installed here knows no model_type {kind!r}"
        yield Problem(code="W512", severity="warning", message=message, path=where, notes=note)
    elif folder.config.get("is_encoder_decoder") is True:
        yield Problem(code="E516", message=f"a model of type {kind} has an encoder and a decoder: it cannot fill in masks", path=where)
    elif architectures and kind in known and not code and all(_is_headless(name) for name in architectures):
        message = f"the weights have no language-modelling head: {', '.join(architectures)}"
        yield Problem(code="E516", message=message, path=where, label="a ...ForMaskedLM or a ...ForCausalLM is needed")
    if not any(name.endswith((".safetensors", ".bin")) for name in folder.files):
        yield Problem(code="E516", message=f"{folder.path.name} holds no weights", path=where, label="no *.safetensors and no *.bin in it")


def _adapter_alone(folder: Folder, locator: str) -> Problem:
    base = (folder.adapter or {}).get("base_model_name_or_path")
    found = base if isinstance(base, str) and base else None
    return Problem(
        code="E533",
        message=f"{folder.path.name} holds an adapter, and no model",
        path=("from",),
        label="weights are named by `from`, and an adapter over them by `adapter_from`",
        notes=(f"it says that it was trained over {found}",) if found else ("it does not say which weights it was trained over",),
        fix=((), {"from": found, "adapter_from": locator}) if found else None,
    )


def _is_headless(architecture: str) -> bool:
    return architecture.endswith(_NO_HEAD) and not architecture.endswith("LMHeadModel")


def shift_problems(folder: Folder, shift: int | None) -> Iterator[Problem]:
    """A logit shift that is not that of the family; paths are those of a model."""
    kind = (folder.config or {}).get("model_type")
    family = family_for(kind) if isinstance(kind, str) else None
    if shift is None or family is None or shift == family.logit_shift:
        return
    yield Problem(
        code="W520",
        severity="warning",
        message=f"logit_shift is {shift}, and weights of {family.word} were published with {family.logit_shift}",
        path=("logit_shift",),
        notes=(f"its config.json says model_type: {kind}",),
        fix=(("logit_shift",), family.logit_shift),
    )


def tokenizer_problems(folder: Folder) -> Iterator[Problem]:
    """Where there is no tokenizer; paths are left open. One without a mask token is given one."""
    if not folder.files & _TOKENIZER_FILES:
        label = "name one beside it: `tokenizer: bytes`, or ${stages.X}"
        yield Problem(code="E518", message=f"{folder.path.name} holds no tokenizer", label=label)


def read_map(path: Path) -> dict[str, Any] | None:
    """The map in a file of JSON; None where there is none that can be read."""
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
