"""Launchers: where the stages of a plan run."""

from dataclasses import dataclass

from dllm_run.specs.field import leaf
from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch(Word):
    """Base of the launchers."""

    profile: str | None = leaf(
        "File of keys of `launch` that this one is laid over, shared by the specs of a cluster: a path, or NAME for profiles/NAME.yaml.",
        default=None,
        example="jean-zay",
    )
