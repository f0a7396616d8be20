"""Keys and values of a board, kept between passes and written in place. B rows, Q queries, W columns, N heads, D dimensions of a head.

A column is a position of a row; behind the last lies one that nobody sees, where queries write that a row does not need.
"""

from dataclasses import dataclass
from typing import Any

from torch import Tensor
from transformers.cache_utils import Cache, DynamicLayer


@dataclass(slots=True)
class Place:
    """Where the pass that runs just now writes, and what it sees. All layers share one."""

    start: int = 0
    """First column that is written, where it is the same for all rows."""
    column_BQ: Tensor | None = None
    """The column of every query, where rows differ; W for one that is not needed."""
    visible: int = 0
    """Columns that are seen, from the first."""
    rows_K: Tensor | None = None
    """The rows of the pass, if not all: they bring everything that they see along, and only leave it here."""


class Layer(DynamicLayer):  # type: ignore[misc]  # transformers has no types
    """One layer of a store."""

    def __init__(self, place: Place, rows: int, width: int) -> None:
        super().__init__()
        self.place = place
        self.rows = rows
        self.width = width

    def lazy_initialization(self, key_states: Tensor, value_states: Tensor) -> None:
        """Room for every column."""
        self.dtype, self.device = key_states.dtype, key_states.device
        shape = (self.rows, key_states.shape[1], self.width + 1, key_states.shape[3])
        # Zeros: what is not written yet is multiplied with a probability of 0, and must be a number.
        self.keys = key_states.new_zeros(shape)
        self.values = value_states.new_zeros((*shape[:3], value_states.shape[3]))
        self.is_initialized = True

    def update(self, key_states: Tensor, value_states: Tensor, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """Write what a pass brings; what it sees."""
        if not self.is_initialized:
            self.lazy_initialization(key_states, value_states)
        place = self.place
        if place.rows_K is not None:
            until = key_states.shape[2]
            self.keys[place.rows_K, :, :until] = key_states
            self.values[place.rows_K, :, :until] = value_states
            return key_states, value_states
        if place.column_BQ is None:
            stop = place.start + key_states.shape[2]
            self.keys[:, :, place.start : stop] = key_states
            self.values[:, :, place.start : stop] = value_states
        else:
            index = place.column_BQ[:, None, :, None]
            self.keys.scatter_(2, index.expand_as(key_states), key_states)
            self.values.scatter_(2, index.expand_as(value_states), value_states)
        return self.keys[:, :, : place.visible], self.values[:, :, : place.visible]

    def get_seq_length(self) -> int:
        """Nobody may count positions by it: they are given."""
        return self.place.start

    def get_mask_sizes(self, query_length: int) -> tuple[int, int]:
        """Of a mask that nobody makes: it is given."""
        return self.place.visible, 0

    def resize(self, kept_K: Tensor | None, more: int, width: int) -> None:
        """Other rows: those kept, and new ones behind them, of `width` columns."""
        if self.is_initialized:
            self.keys = _resized(self.keys, kept_K, more, width)
            self.values = _resized(self.values, kept_K, more, width)
        self.rows = (self.rows if kept_K is None else len(kept_K)) + more
        self.width = width


def _resized(old_BNWD: Tensor, kept_K: Tensor | None, more: int, width: int) -> Tensor:
    rows, heads, columns, size = old_BNWD.shape
    count = rows if kept_K is None else len(kept_K)
    new_BNWD = old_BNWD.new_zeros((count + more, heads, width + 1, size))
    shared = min(columns - 1, width)
    new_BNWD[:count, :, :shared] = (old_BNWD if kept_K is None else old_BNWD[kept_K])[:, :, :shared]
    return new_BNWD


class Store:
    """The keys and values of all layers."""

    def __init__(self, layers: int) -> None:
        self.place = Place()
        self.rows = 0
        self.width = 0
        self._layers = [Layer(self.place, 0, 0) for _ in range(layers)]
        self.cache = Cache(layers=self._layers)

    def enter(self, count: int, width: int) -> None:
        """Rows join behind the others."""
        self._resize(None, count, max(width, self.width))

    def keep(self, kept_K: Tensor) -> None:
        """Only these rows stay."""
        self._resize(kept_K, 0, self.width)

    def at(self, *, start: int = 0, column_BQ: Tensor | None = None, visible: int = 0, rows_K: Tensor | None = None) -> None:
        """What the next pass writes and sees."""
        self.place.start, self.place.column_BQ, self.place.visible, self.place.rows_K = start, column_BQ, visible, rows_K

    def copy_rows(self, other: "Store", start: int) -> None:
        """Take over what another store has, into the rows from `start` on."""
        for mine, theirs in zip(self._layers, other._layers, strict=True):
            if not mine.is_initialized:
                mine.lazy_initialization(theirs.keys, theirs.values)
            stop, columns = start + theirs.rows, theirs.width
            mine.keys[start:stop, :, :columns] = theirs.keys[:, :, :columns]
            mine.values[start:stop, :, :columns] = theirs.values[:, :, :columns]

    def _resize(self, kept_K: Tensor | None, more: int, width: int) -> None:
        for layer in self._layers:
            layer.resize(kept_K, more, width)
        self.rows = self._layers[0].rows
        self.width = width
