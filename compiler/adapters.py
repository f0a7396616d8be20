"""Adapters before anything runs: what lies in the folder of one, and layers that one cannot stand beside."""

from collections.abc import Iterator
from typing import Any

from dllm_run.specs.problem import Problem
from dllm_run.specs.vocabulary.families import Family
from dllm_run.specs.vocabulary.lora import Lora

from .folders import ADAPTER, Folder
from .shorten import listed
from .suggest import nearest

_WEIGHTS = ("adapter_model.safetensors", "adapter_model.bin")
_KIND = "LORA"
"""The `peft_type` that is read."""


def adapter_problems(folder: Folder) -> Iterator[Problem]:
    """A folder that holds no adapter, or one of a kind that is not read; paths are those of a model."""
    name, where = folder.path.name, ("adapter_from",)
    if folder.adapter is None:
        what = f"an {ADAPTER} that is not JSON" if ADAPTER in folder.files else f"no {ADAPTER}"
        note = ("it holds a model: weights are named by `from`",) if folder.config is not None else ()
        yield Problem(code="E537", message=f"{name} has {what}: it is no folder of an adapter", path=where, notes=note)
        return
    kind = folder.adapter.get("peft_type")
    if kind != _KIND:
        said = kind if isinstance(kind, str) else "no type"
        yield Problem(code="E537", message=f"{name} holds an adapter of type {said}", path=where, label=f"{_KIND} is what is read")
    elif not folder.files & set(_WEIGHTS):
        label = f"no {' and no '.join(_WEIGHTS)} in it"
        yield Problem(code="E537", message=f"{name} holds no weights of an adapter", path=where, label=label)


def target_problems(lora: Lora, family: type[Family]) -> Iterator[Problem]:
    """Layers that the family does not have: where others are found, PEFT passes over them. Paths are those of the adapter."""
    known = (*family.linear_layers, *family.tables)
    if isinstance(lora.targets, str) or not family.linear_layers:
        return
    ends = {target: target.rpartition(".")[2] for target in lora.targets}
    strange = [target for target, end in ends.items() if end not in known]
    if not strange:
        return
    guesses = {target: nearest(ends[target], known) for target in strange}
    meant = dict.fromkeys(target.removesuffix(ends[target]) + (guesses.get(target) or ends[target]) for target in lora.targets)
    yield Problem(
        code="E536",
        message=f"no layer of {family.word} has the name {listed(strange)}",
        path=("targets",),
        notes=(f"its linear layers: {', '.join(family.linear_layers)}",),
        fix=(("targets",), list(meant)) if all(guesses.values()) else None,
    )


def adapter_of_folder(said: dict[str, Any]) -> Lora | None:
    """What an adapter_config.json says of its size; None where it says nothing that is understood."""
    rank, saved = said.get("r"), said.get("modules_to_save") or ()
    if not isinstance(rank, int) or isinstance(rank, bool) or rank < 1 or not isinstance(saved, (list, tuple)):
        return None
    return Lora(r=rank, modules_to_save=tuple(name for name in saved if isinstance(name, str)))
