"""Preparing a data set: read, split, tokenise, store. Once, on the CPU, in several processes; the bytes do not depend on how many."""

import functools
import os
from array import array
from collections.abc import Callable, Iterable, Iterator
from collections.abc import Sequence as Several
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Any

from dllm_run.specs.locator import is_task_file
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.stages.data import DataStage

from ..context import Context
from ..encode import Encoded, Encoder, template_text
from ..models import tokenizer_of
from ..parallel import in_order
from ..prepare import Piece, choose, packed
from ..prepared import HELD_OUT, TRAIN, Split, Writer, write_held_out_rows
from ..sequence import Sequence
from ..sources import Row, each_row
from ..spool import Spool
from ..streamed import Position, save_index

_ROWS = 500
"""Rows of one chunk of work."""
_TELL = 20_000
"""Rows read between two lines of progress."""
_SMALL = 16 << 20
"""Bytes of rows below which a second process is not worth its start."""


def run(context: Context) -> dict[str, Any]:
    """Write the training and held-out sequences, and the held-out rows as they were."""
    body = context.stage.body
    assert isinstance(body, DataStage)
    encoder = encoder_of(context, body)
    out = context.entry.output("data")
    out.mkdir(parents=True, exist_ok=True)
    with Spool(out / "rows.spool") as spool:
        positions: list[Position] = []
        for found in each_row(body.data, body.format, context.input_files):
            spool.add(found)
            if body.data.streaming:
                positions.append(Position(*found[1:]))
            if len(spool) % _TELL == 0:
                context.progress("rows read", len(spool), len(spool))
        chosen = choose(spool.keys, spool.sources, body.data)
        summary: dict[str, Any] = {"rows": len(spool), "leaked": chosen.leaked}
        work = _Work(context, encoder, spool, _processes(context, body, spool), len(chosen.held_out) + len(chosen.training))
        summary[HELD_OUT] = work.stored(out / f"{HELD_OUT}.arrow", chosen.held_out, share=False)
        write_held_out_rows(out, spool.rows(chosen.held_out))
        if body.data.streaming:
            kept = (positions[index] for index in chosen.training)
            summary[TRAIN] = save_index(out, encoder, body.format, context.input_files, kept, spool.rows(chosen.training))
        else:
            summary[TRAIN] = work.stored(out / f"{TRAIN}.arrow", chosen.training, share=True)
    return summary


def encoder_of(context: Context, body: DataStage) -> Encoder:
    """What turns the rows of a stage into tokens."""
    tokens = tokenizer_of(context, body.tokenizer, body.special_tokens)
    return Encoder(data=body.data, tokens=tokens, start=body.start, template=template_of(context, body.data))


def template_of(context: Context, data: Data) -> str | None:
    """The chat template that a data set names, read where it is a file. Raises Failure where that is missing."""
    named = data.chat_template
    path = context.input_files(named)[0].path if isinstance(named, str) and is_task_file(named) else None
    return template_text(data, path)


def _processes(context: Context, body: DataStage, spool: Spool) -> int:
    if body.data.workers is not None:
        return body.data.workers
    cores = context.compute.threads or len(os.sched_getaffinity(0))
    return cores if spool.size > _SMALL else 1


@dataclass(slots=True)
class _Work:
    """Turns rows of a spool into files of sequences."""

    context: Context
    encoder: Encoder
    spool: Spool
    processes: int
    total: int
    done: int = 0

    def stored(self, path: Path, indices: list[int], *, share: bool) -> dict[str, int]:
        """Write the sequences of these rows, and tell of them. Without `share` no two whole rows share a sequence: none gains from it."""
        data, counted = self.encoder.data, Encoded()
        made = self._encoded(indices, counted)
        documents = data.packing == "documents" and share
        waiting = path.with_suffix(".parts")
        with Writer(path, documents=documents, aligned=self.encoder.start is not None) as writer:
            if self.encoder.start is not None:
                for part in made:
                    for tokens, runs, alignment in zip(part.tokens, part.runs, part.alignments, strict=True):
                        writer.add(Sequence(tokens=tokens, runs=runs), alignment)
            else:
                pieces = (piece for part in made for piece in zip(part.tokens, part.runs, strict=True))
                for sequence in packed(pieces, data, functools.partial(_kept, waiting), share=share):
                    writer.add(sequence)
        waiting.unlink(missing_ok=True)
        if indices and not writer.sequences:
            self.encoder.refuse_if_no_room()
        found = {"rows": len(indices), "bytes": counted.bytes, "sequences": writer.sequences, "tokens": writer.tokens}
        return found | {"learned": writer.learned, "cut": counted.cut, "dropped": counted.dropped}

    def _encoded(self, indices: list[int], counted: Encoded) -> Iterator[Encoded]:
        chunks = _chunks(self.spool.rows(indices))
        for number, part in enumerate(in_order(self.encoder.encoded, chunks, self.processes), start=1):
            counted.bytes, counted.cut, counted.dropped = counted.bytes + part.bytes, counted.cut + part.cut, counted.dropped + part.dropped
            self.context.progress("rows", self.done + min(number * _ROWS, len(indices)), self.total)
            yield part
        self.done += len(indices)


def _chunks(rows: Iterator[Row]) -> Iterator[list[Row]]:
    while chunk := list(islice(rows, _ROWS)):
        yield chunk


def _kept(waiting: Path, pieces: Iterable[Piece]) -> tuple[Several[int], Callable[[int], Piece]]:
    """Pieces wait on disk until the lengths of all are known."""
    lengths = array("l")
    with Writer(waiting) as writer:
        for tokens, runs in pieces:
            writer.add(Sequence(tokens=tokens, runs=runs))
            lengths.append(len(tokens))
    stored = Split(waiting)

    def piece(index: int) -> Piece:
        found = stored.sequence(index)
        return found.tokens, found.runs

    return lengths, piece
