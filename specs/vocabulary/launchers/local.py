"""This machine."""

from dataclasses import dataclass
from typing import ClassVar

from . import Launch


@dataclass(frozen=True, slots=True, kw_only=True)
class Local(Launch):
    """Stages run here, one after the other, each in a process of its own."""

    word: ClassVar[str] = "local"
    here: ClassVar[bool] = True
