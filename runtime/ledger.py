"""What sampling cost: forward passes, tokens read and scored, operations, and what was written for nothing."""

from dataclasses import dataclass
from typing import Any

from dllm_run.specs.geometry import Geometry


@dataclass(slots=True)
class Ledger:
    """Counts over all requests of a run."""

    requests: int = 0
    passes: int = 0
    """Forward passes of the body, of a batch each."""
    tokens: int = 0
    """Tokens that were written, without those behind the end of an answer."""
    wasted: int = 0
    """Tokens that were written behind the end of an answer."""
    query_tokens: int = 0
    """Tokens that a body read, padding included."""
    pairs: int = 0
    """Tokens that a body read times those that each could see."""
    head_rows: int = 0
    """Rows of logits that were computed."""
    ties: int = 0
    """Choices that rounding could have turned: two batches may differ there."""
    turns: int = 0
    """Rows of the batch, summed over steps."""
    slots: int = 0
    """Rows that the batch has room for, summed over steps."""

    def read(self, queries: int, keys: int) -> None:
        """One forward pass."""
        self.passes += 1
        self.query_tokens += queries
        self.pairs += queries * keys

    def flops(self, geometry: Geometry) -> int:
        """Operations, a multiply-add counting two: linear layers, attention, and the head on scored rows."""
        body = 2 * geometry.body_products() * self.query_tokens
        attention = 4 * geometry.layers * geometry.attention_width * self.pairs
        return body + attention + 2 * geometry.head_products() * self.head_rows

    def results(self, geometry: Geometry | None) -> dict[str, Any]:
        """The same as a JSON object; without `flops` where the geometry of the model is not known."""
        known = {} if geometry is None else {"flops": self.flops(geometry)}
        return {
            "requests": self.requests,
            "passes": self.passes,
            "tokens": self.tokens,
            "tokens_per_pass": round(self.tokens / self.passes, 4) if self.passes else 0.0,
            "tokens_after_end": self.wasted,
            "query_tokens": self.query_tokens,
            "head_rows": self.head_rows,
            "ties": self.ties,
            "busy_slots": round(self.turns / self.slots, 4) if self.slots else 0.0,
            **known,
        }
