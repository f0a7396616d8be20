"""A split that is read while training: an index of rows that lie in their sources, each read and tokenised when it is asked for."""

import json
from collections.abc import Iterable
from dataclasses import dataclass
from functools import lru_cache
from itertools import islice
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
from transformers import PreTrainedTokenizerFast

from dllm_run.specs.codec import decode, encode
from dllm_run.specs.locator import sha256_of
from dllm_run.specs.vocabulary.data import Data

from .encode import Encoder
from .failure import Failure
from .order import WINDOW
from .readers import Raw, rows_of_file
from .sequence import Sequence
from .sources import FilesOf, Row, files_of_source, generated, maker
from .tokenizers import Tokens

INDEX = "index.json"
_ROWS = "rows.npy"
_TOKENIZER = "tokenizer"
_GROUP = 1024
_WHOLE = (".json", ".py", ".txt", ".md", ".rst")
"""Files that can only be read from their beginning."""
_ENTRY = np.dtype([("group", "i4"), ("number", "i4"), ("part", "i4")])
_SAMPLE = 1000
_TOLD = ("mask", "begin", "end", "turn", "turn_text", "template", "added_mask", "rows")
"""What of `Tokens` does not lie in the folder of a tokenizer."""


class Position(NamedTuple):
    """Where a row comes from: the fields of `Found` behind the row."""

    source: int
    file: int
    number: int
    at: int
    part: int


@dataclass(frozen=True, slots=True)
class _Group:
    """Neighbouring rows of a file, which are read together."""

    source: int
    file: int
    at: int
    number: int
    """The first of them, as the file has them."""
    count: int


def save_index(
    out: Path, encoder: Encoder, format: str, files_of: FilesOf, kept: Iterable[Position], sample: Iterable[Row]
) -> dict[str, int]:
    """Write where the rows of a split are, and what reading them needs; tell of them. Tokens are those of as many rows as the first."""
    data = encoder.data
    files = [[] if source.path is None else files_of_source(source, files_of) for source in data.sources]
    groups: dict[tuple[int, int, int], int] = {}
    listed: list[list[int]] = []
    entries = []
    for position in kept:
        whole = not files[position.source] or files[position.source][position.file].suffix.lower() in _WHOLE
        key = (position.source, position.file, 0 if whole else position.number // _GROUP)
        if key not in groups:
            groups[key] = len(listed)
            listed.append([position.source, position.file, 0 if whole else position.at, 0 if whole else position.number, 0])
        group = listed[groups[key]]
        if position.number < group[3]:
            group[2:4] = [position.at, position.number]
        group[4] = max(group[4], position.number + 1)
        entries.append((groups[key], position.number, position.part))
    np.save(out / _ROWS, np.array(entries, dtype=_ENTRY))
    encoder.tokens.fast.save_pretrained(str(out / _TOKENIZER))
    index = {
        "data": encode(data),
        "format": format,
        "template": encoder.template,
        "tokens": {name: getattr(encoder.tokens, name) for name in _TOLD},
        "files": [[_file(path) for path in paths] for paths in files],
        "groups": [[source, file, at, number, last - number] for source, file, at, number, last in listed],
    }
    (out / INDEX).write_text(json.dumps(index), encoding="utf-8")
    made = encoder.encoded(list(islice(sample, _SAMPLE)))
    mean = sum(map(len, made.tokens)) / max(1, len(made.tokens))
    return {"rows": len(entries), "sequences": len(entries), "tokens": round(mean * len(entries)), "cut": made.cut, "dropped": 0}


def _file(path: Path) -> dict[str, Any]:
    return {"path": str(path.absolute()), "size": path.stat().st_size, "sha256": sha256_of(path)}


class StreamedSplit:
    """Sequences that are made of the rows of sources as they are asked for. Any of them can be: nothing is read but its neighbours."""

    aligned = False
    windowed = True

    def __init__(self, path: Path) -> None:
        self.path = path
        said = json.loads((path / INDEX).read_text(encoding="utf-8"))
        self.data = decode(Data, said["data"], planned=True)
        self.format: str = said["format"]
        self._files: list[list[dict[str, Any]]] = said["files"]
        self._groups = [_Group(*group) for group in said["groups"]]
        self._rows = np.load(path / _ROWS, mmap_mode="r")
        told: dict[str, Any] = {name: tuple(value) if isinstance(value, list) else value for name, value in said["tokens"].items()}
        fast = PreTrainedTokenizerFast.from_pretrained(str(path / _TOKENIZER), local_files_only=True)
        self._encoder = Encoder(data=self.data, tokens=Tokens(fast=fast, **told), template=said["template"])
        self._makers = [maker(self.data, source, self.format) for source in self.data.sources]
        self._checked: set[tuple[int, int]] = set()
        self.groups_read = 0
        # A window of the order touches as many groups of each source as it has blocks, and one more at the end of each.
        self._read = lru_cache(maxsize=2 * WINDOW * len(self.data.sources))(self._group)

    def __reduce__(self) -> tuple[type["StreamedSplit"], tuple[Path]]:
        return StreamedSplit, (self.path,)

    def __len__(self) -> int:
        return len(self._rows)

    def sequence(self, index: int) -> Sequence:
        """A sequence, read and tokenised. Raises Failure where its file is not the one that was indexed."""
        if not 0 <= index < len(self._rows):
            raise IndexError(index)
        group, number, part = (int(value) for value in self._rows[index])
        return self._encoder.one(self._read(group)[number][part])

    def alignment(self, index: int) -> tuple[list[int], list[int]]:
        """Rows that are read while training have none: the type table refuses it."""
        raise AssertionError("no start is aligned with rows that are read while training")

    def lengths(self) -> np.ndarray[Any, Any]:
        """Nobody knows them before all are tokenised: the type table refuses what asks."""
        raise AssertionError("the lengths of rows that are read while training are not known")

    def _group(self, number: int) -> dict[int, list[Row]]:
        """The rows of a group by their number in the file."""
        self.groups_read += 1
        group = self._groups[number]
        made = self._makers[group.source]
        raws = islice(self._raws(group), group.count)
        return {group.number + place: made(raw) for place, raw in enumerate(raws)}

    def _raws(self, group: _Group) -> Iterable[Raw]:
        if not self._files[group.source]:
            return generated(self.data.sources[group.source])
        said = self._files[group.source][group.file]
        path = Path(said["path"])
        if (group.source, group.file) not in self._checked:
            if not path.is_file():
                raise Failure(f"{path} is gone: its rows are read while training")
            if path.stat().st_size != said["size"] or sha256_of(path) != said["sha256"]:
                raise Failure(f"{path} is not the file whose rows were indexed")
            self._checked.add((group.source, group.file))
        return rows_of_file(path, group.at)
