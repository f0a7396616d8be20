"""DeepSpeed's launcher on hosts."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf

from ..over_hosts import OverHosts


@dataclass(frozen=True, slots=True, kw_only=True)
class DeepSpeed(OverHosts):
    """Stages run on hosts, one after the other: DeepSpeed's launcher starts the processes."""

    word: ClassVar[str] = "deepspeed"

    via: str = leaf(
        "How hosts are reached: `ssh` starts `deepspeed --no_ssh` on each, `pdsh` lets DeepSpeed itself reach them.",
        default="ssh",
        choices=("ssh", "pdsh"),
    )
