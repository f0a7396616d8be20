"""Rows as sequences in memory, by what the data stage uses for those on disk."""

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass

from dllm_run.runtime.align import Alignment
from dllm_run.runtime.encode import Encoder
from dllm_run.runtime.prepare import Piece, packed
from dllm_run.runtime.sequence import Sequence as Prepared
from dllm_run.runtime.tokenizers import Tokens
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.starts import Start


@dataclass(frozen=True, kw_only=True)
class Sequences:
    """Sequences of some rows."""

    found: list[Prepared]
    cut: int
    dropped: int
    alignments: list[Alignment]

    @property
    def tokens(self) -> list[list[int]]:
        return [sequence.tokens for sequence in self.found]

    @property
    def prompt(self) -> list[int]:
        return [sequence.prompt for sequence in self.found]


def in_memory(pieces: Iterable[Piece]) -> tuple[Sequence[int], Callable[[int], Piece]]:
    kept = list(pieces)
    return [len(tokens) for tokens, _ in kept], kept.__getitem__


def sequences(rows: list[dict[str, str]], data: Data, tokens: Tokens, start: Start | None = None) -> Sequences:
    encoder = Encoder(data=data, tokens=tokens, start=start)
    made = encoder.encoded(rows)
    found = list(packed(zip(made.tokens, made.runs, strict=True), data, in_memory))
    if not found:
        encoder.refuse_if_no_room()
    return Sequences(found=found, cut=made.cut, dropped=made.dropped, alignments=made.alignments)
