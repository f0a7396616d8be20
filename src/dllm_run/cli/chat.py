"""`dllm-run chat SPEC_OR_RUN`: a conversation with a model, whose answers fill in as they are written."""

import argparse
import contextlib
import importlib
import json
import signal
import sys
from collections.abc import Iterator
from pathlib import Path
from types import FrameType

from rich.console import Console

from dllm_run.specs.store import Runs

from .answers import Answers
from .child import Child
from .kept_spec import find_spec
from .sampled import Sampled, Wish, sampled
from .turns import Conversation
from .usage import Usage

SCHEMA = "dllm-run/chat/1"
PROMPT = "> "


def main(options: argparse.Namespace) -> int:
    """0 at the end of the conversation; 1 where the model does not load, 2 where it does not chat, 5 where it is not trained."""
    runs = Runs(Path(options.runs))
    wish = Wish(
        stage=options.stage,
        point=options.point,
        sampler=options.sampler,
        steps=options.steps,
        temperature=options.temperature,
        seed=options.seed,
        max_new_tokens=options.max_new_tokens,
    )
    found = sampled(find_spec(options.spec, options.set, runs), wish, runs, Console(highlight=False, stderr=True))
    console = Console(highlight=False, stderr=options.json)
    conversation = Conversation(options.system)
    with Child(found, runs) as child, Answers(console) as answers:
        answers.loading(found.source)
        ready = child.ready(answers.handle)
        if ready["no_chat"] is not None:
            raise Usage(_no_chat(found, options.spec, ready["no_chat"]))
        answers.loaded()
        # A document holds the conversation, so that nothing else may be on standard output.
        _converse(conversation, child, answers, quiet=options.json)
    if options.json:
        print(json.dumps(_document(found, conversation), indent=2, ensure_ascii=False))
    return 0


def _no_chat(found: Sampled, spec: str | None, why: str) -> str:
    again = f"dllm-run sample {spec} --prompt TEXT" if spec is not None else "dllm-run sample --prompt TEXT"
    return f"{found.source} does not chat: {why}. `{again}` goes on from a text"


def _document(found: Sampled, conversation: Conversation) -> dict[str, object]:
    about = {"model": found.source, "stage": found.name, "id": found.stage_id}
    return {"schema": SCHEMA, **about, "messages": conversation.so_far()}


def _converse(conversation: Conversation, child: Child, answers: Answers, *, quiet: bool) -> None:
    for line in _lines():
        question = line.strip()
        if not question:
            continue
        if question.startswith("/") and not question.startswith("//"):
            said = conversation.command(question)
            if said is None:
                return
            answers.say(said)
            continue
        question = question.removeprefix("/") if question.startswith("//") else question
        answer = _answer(conversation.messages(question), child, answers)
        if answer is None:
            continue
        conversation.answered(question, answer)
        if answers.on_terminal or not quiet:
            answers.answer(answer)


def _answer(messages: list[dict[str, str]], child: Child, answers: Answers) -> str | None:
    """The answer; None where it was cancelled or refused."""
    text = None
    with _cancelling(child) as asked:
        number = asked.begin(child.ask("answer", {"messages": messages}))
        for event in child.told(number):
            if event["event"] == "filled":
                text = str(event["text"])
            answers.handle(event)
    return text


class _Asked:
    """What Ctrl-C cancels."""

    def __init__(self, child: Child) -> None:
        self._child = child
        self._number: int | None = None
        self._early = False

    def begin(self, number: int) -> int:
        """From here on there is something to cancel."""
        self._number = number
        if self._early:
            self._child.cancel(number)
        return number

    def cancel(self, signum: int, frame: FrameType | None) -> None:
        """Ctrl-C while an answer is written; before the question is out it waits for that."""
        self._early = True
        if self._number is not None:
            self._child.cancel(self._number)


@contextlib.contextmanager
def _cancelling(child: Child) -> Iterator[_Asked]:
    asked = _Asked(child)
    before = signal.signal(signal.SIGINT, asked.cancel)
    try:
        yield asked
    finally:
        signal.signal(signal.SIGINT, before)


def _lines() -> Iterator[str]:
    """What the user says: at a prompt that remembers lines, or from a pipe."""
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        yield from sys.stdin
        return
    with contextlib.suppress(ImportError):
        importlib.import_module("readline")  # input() then edits lines, and remembers them
    while True:
        try:
            yield input(PROMPT)
        except EOFError:
            print()
            return
        except KeyboardInterrupt:
            print("\n/quit or Ctrl-D ends the conversation")
