"""Launchers: where the stages of a plan run."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf
from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Launch(Word):
    """Base of the launchers; the limits are those of a stage."""

    here: ClassVar[bool] = False
    """Whether stages run on the machine of whoever starts them."""
    watched: ClassVar[bool] = False
    """Whether the command that starts them stays and looks after them; else they are sent off."""

    profile: str | None = leaf(
        "File of keys of `launch` that this one is laid over, shared by the specs of a cluster: a path, or NAME for profiles/NAME.yaml.",
        default=None,
        example="jean-zay",
    )

    def time_limit(self) -> int | None:
        """Seconds after which a stage is ended; None: never."""
        return None

    def memory_limit(self) -> int | None:
        """Bytes of main memory; None: not said."""
        return None

    def cores(self) -> int | None:
        """CPU cores of a process; None: not said."""
        return None
