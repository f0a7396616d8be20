"""torchrun on hosts."""

from dataclasses import dataclass
from typing import ClassVar

from ..over_hosts import OverHosts


@dataclass(frozen=True, slots=True, kw_only=True)
class Torchrun(OverHosts):
    """Stages run on hosts, one after the other: torchrun starts the processes of each host."""

    word: ClassVar[str] = "torchrun"
