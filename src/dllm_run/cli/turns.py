"""A conversation as the user steers it: what was said, and the commands that change it."""

from collections.abc import Callable
from dataclasses import dataclass, field

HELP = """\
/reset   forget the conversation
/undo    forget the last question and its answer
/help    these lines
/quit    end; so does Ctrl-D. Ctrl-C ends the answer that is being written
//text   a message that begins with /
"""


@dataclass(slots=True)
class Conversation:
    """Messages in turn: the user's, and the answers to them."""

    system: str | None = None
    said: list[tuple[str, str]] = field(default_factory=list)
    """Questions with their answers."""

    def messages(self, question: str) -> list[dict[str, str]]:
        """The whole conversation with another question, as a chat template takes it."""
        return [*self.so_far(), {"role": "user", "content": question}]

    def so_far(self) -> list[dict[str, str]]:
        """What was said, and what the system said before."""
        begin = [] if self.system is None else [{"role": "system", "content": self.system}]
        turns = [{"role": role, "content": text} for pair in self.said for role, text in zip(("user", "assistant"), pair, strict=True)]
        return [*begin, *turns]

    def answered(self, question: str, answer: str) -> None:
        """Both are part of what follows."""
        self.said.append((question, answer))

    def command(self, line: str) -> str | None:
        """Do what a line that begins with / says, and tell it; None: it ends the conversation."""
        known: dict[str, Callable[[], str | None]] = {
            "/reset": self._reset,
            "/undo": self._undo,
            "/help": lambda: HELP.rstrip(),
            "/quit": lambda: None,
        }
        do = known.get(line.strip())
        return do() if do is not None else f"there is no {line.split()[0]}: /help tells what there is"

    def _reset(self) -> str:
        self.said.clear()
        return "the conversation is forgotten"

    def _undo(self) -> str:
        if not self.said:
            return "there is nothing to forget"
        question, _ = self.said.pop()
        return f"forgotten: {question}"
