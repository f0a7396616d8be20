"""Starting from masks."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from . import Start


@dataclass(frozen=True, slots=True, kw_only=True)
class Masks(Start):
    """A row of masks: they are substituted; those too many are deleted, and what is missing is inserted."""

    word: ClassVar[str] = "masks"

    length: int = leaf("Masks.", unit="tokens", default=64, minimum=1)
