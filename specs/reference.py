"""An edge of the stage graph: `${stages.X}` or `${stages.X.out.NAME}`."""

import re
from dataclasses import dataclass

EDGE = r"^\$\{stages\.([A-Za-z0-9_-]+)(?:\.out\.([A-Za-z0-9_]+))?\}$"
_EDGE = re.compile(EDGE)


@dataclass(frozen=True, slots=True)
class Reference:
    """One output of one stage. In a spec `stage` is a name, in a plan it is an id; `output` is empty for the principal one."""

    stage: str
    output: str = ""

    @staticmethod
    def matches(text: str) -> bool:
        """Whether `text` is written as an edge."""
        return _EDGE.match(text) is not None

    def text(self) -> str:
        """The edge as users write it."""
        return f"${{stages.{self.stage}.out.{self.output}}}" if self.output else f"${{stages.{self.stage}}}"

    @classmethod
    def parse(cls, text: str) -> "Reference":
        """Read an edge as users write it. Raises ValueError for any other text."""
        match = _EDGE.match(text)
        if match is None:
            raise ValueError(f"{text!r} is not a reference to a stage")
        return cls(match.group(1), match.group(2) or "")
