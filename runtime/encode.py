"""Rows as sequences of tokens, each row for itself: laid out, tokenised, cut, aligned, filled up. The same in every process."""

from collections.abc import Iterable, Iterator
from collections.abc import Sequence as Several
from dataclasses import dataclass, field
from pathlib import Path

from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.starts import Start as StartWord

from .align import Alignment
from .chat import Turns
from .edit_rows import aligned, merged, opened, start_of
from .failure import Failure
from .sequence import Sequence
from .sources import Row
from .tokenizers import Tokens


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder:
    """What turns rows into tokens."""

    data: Data
    tokens: Tokens
    start: StartWord | None = None
    """What an objective edits into each sequence."""
    template: str | None = None
    """Of conversations, where the data set names one of its own."""

    def encoded(self, rows: Several[Row]) -> "Encoded":
        """Rows as sequences of at most `max_length` tokens; without one for a row that is dropped. Raises Failure."""
        data, found = self.data, Encoded()
        tokens = self.tokens if self.start is None else opened(self.tokens)
        first = None if self.start is None else start_of(self.start, tokens)
        for number, (ids, runs) in enumerate(self._laid_out(rows, tokens)):
            found.bytes += sum(len(text.encode()) for text in texts_of(rows[number]))
            if data.packing == "cut" or (data.packing == "documents" and "text" in rows[number]):
                found.add(ids, runs)  # whatever its length: it is cut or split when rows are joined
                continue
            too_long = len(ids) > data.max_length
            kept = clipped(runs, data.max_length) if too_long else runs
            if (too_long and data.truncation == "drop") or len(kept) < 2:
                found.dropped += 1
                continue
            ids = ids[: data.max_length]
            if first is not None:
                kept = merged(kept)
                if len(kept) < 2 or kept[0] + len(first) > data.max_length:
                    found.dropped += 1
                    continue
                found.alignments.append(aligned(ids, kept[0], first))
            found.cut += too_long
            found.add(*self._filled(ids, kept, tokens))
        return found

    def one(self, row: Row) -> Sequence:
        """A row as a sequence, also one of which nothing is learned: where rows are numbered before, none can be dropped."""
        found = self.encoded([row])
        if found.tokens:
            return Sequence(tokens=found.tokens[0], runs=found.runs[0])
        [(ids, _)] = self._laid_out([row], self.tokens)
        given = ids[: self.data.max_length] or [self.tokens.pad]
        return Sequence(tokens=given, runs=[len(given)])

    def refuse_if_no_room(self) -> None:
        """Raises Failure where no row could be kept since the start of edits needs all room."""
        if self.start is not None:
            count = len(start_of(self.start, opened(self.tokens)))
            raise Failure(f"no prompt leaves room for a start of {count} tokens in sequences of {self.data.max_length}")

    def _laid_out(self, rows: Several[Row], tokens: Tokens) -> Iterator[tuple[list[int], list[int]]]:
        """Tokens and runs of each row, whole."""
        as_chat = [self._messages(row) for row in rows]
        texts = [text for row, messages in zip(rows, as_chat, strict=True) if messages is None for text in texts_of(row)]
        ids_of = iter(tokens.encode_all(texts))
        for row, messages in zip(rows, as_chat, strict=True):
            if messages is not None:
                yield self._turns(messages, tokens)
                continue
            given = next(ids_of) if "prompt" in row else []
            answer = next(ids_of)
            ids = [*tokens.begin, *given, *answer, *tokens.end]
            lead = len(tokens.begin) + len(given)
            yield ids, [lead, len(ids) - lead] if len(ids) > lead else [lead]

    def _turns(self, messages: list[dict[str, str]], tokens: Tokens) -> Turns:
        found = tokens.turns(messages, self.template)
        if self.start is None or tokens.begin == self.tokens.begin:
            return found
        # Of a layout without a token that begins a text, edits still need one to insert behind.
        runs = found.runs or [0]
        return Turns([*tokens.begin, *found.tokens], [runs[0] + len(tokens.begin), *runs[1:]])

    def _messages(self, row: Row) -> list[dict[str, str]] | None:
        """A row as a conversation, where it is laid out as one."""
        if "messages" in row:
            found: list[dict[str, str]] = row["messages"]
            return found
        if "prompt" not in row or self.data.chat_template is False:
            return None
        return [{"role": "user", "content": row["prompt"]}, {"role": "assistant", "content": row["response"]}]

    def _filled(self, ids: list[int], runs: list[int], tokens: Tokens) -> tuple[list[int], list[int]]:
        """Filled up with ends of texts that are learned, where the data set says so."""
        if self.data.padding != "train_eos" or self.data.packing != "none":
            return ids, runs
        if not tokens.end:
            raise Failure("padding train_eos fills up with end-of-text tokens, and the tokenizer has none")
        multiple = self.data.padding_multiple or self.data.max_length
        missing = min(-(-len(ids) // multiple) * multiple, self.data.max_length) - len(ids)
        if not missing:
            return ids, runs
        added = runs if len(runs) % 2 == 0 else [*runs, 0]
        return [*ids, *[tokens.end[-1]] * missing], [*added[:-1], added[-1] + missing]


@dataclass(slots=True)
class Encoded:
    """Sequences of some rows."""

    tokens: list[list[int]] = field(default_factory=list)
    runs: list[list[int]] = field(default_factory=list)
    alignments: list[Alignment] = field(default_factory=list)
    """Of each sequence with its start, where an objective edits one into the other."""
    cut: int = 0
    """Rows that lost their end."""
    dropped: int = 0
    """Rows that were too long to keep, or of which nothing is learned."""
    bytes: int = 0
    """UTF-8 bytes of their texts."""

    def add(self, tokens: list[int], runs: list[int]) -> None:
        """One more sequence."""
        self.tokens.append(tokens)
        self.runs.append(runs)


def texts_of(row: Row) -> Iterable[str]:
    """The texts of a row in the order in which they stand."""
    if "messages" in row:
        return [message["content"] for message in row["messages"]]
    return row.values()


def clipped(runs: list[int], length: int) -> list[int]:
    """The runs of the first `length` tokens."""
    found: list[int] = []
    for run in runs:
        if length <= 0:
            break
        found.append(min(run, length))
        length -= run
    return found


def template_text(data: Data, read: "Path | None") -> str | None:
    """The chat template that a data set names: its text, or that of the file `read`."""
    if read is not None:
        return read.read_text(encoding="utf-8")
    return data.chat_template if isinstance(data.chat_template, str) else None
