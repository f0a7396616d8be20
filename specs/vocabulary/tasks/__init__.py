"""Tasks that come with dllm-run and need no network; all other names are lm-eval's."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class BuiltInTask(Word):
    """Base of the built-in tasks; the class attributes say what the evaluation must give."""

    tag: ClassVar[str] = "name"
    shorthand: ClassVar[str] = "name"
    needs: ClassVar[tuple[str, ...]] = ()
    """Fields of the evaluation that must be given."""
    emptied: ClassVar[float] = 0.0
    """Share of a held-out row that the sampler fills in; 0: the row is scored."""
    ignores: ClassVar[tuple[str, ...]] = ()
    """Optional fields of the evaluation that this task never reads."""
    takes_examples: ClassVar[bool] = True
    """Whether solved examples may stand before its questions."""
    questions: ClassVar[int | None] = None
    """Questions that the task makes up itself; None: as many as there are held-out rows."""
