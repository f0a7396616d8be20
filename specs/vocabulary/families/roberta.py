"""RoBERTa: BERT whose positions start behind that of its padding token."""

from dataclasses import dataclass
from typing import Any, ClassVar

from dllm_run.specs.field import leaf

from . import Encoder


@dataclass(frozen=True, slots=True, kw_only=True)
class Roberta(Encoder):
    """The RoBERTa architecture."""

    word: ClassVar[str] = "roberta"
    model_types: ClassVar[tuple[str, ...]] = ("roberta",)

    positions: int = leaf("Longest sequence that the model is built for.", unit="tokens", default=512, minimum=1)

    def sizes(self) -> dict[str, Any]:
        # Rows 0 and 1 of the table are no positions: the first token stands behind that of the padding token.
        more = {"max_position_embeddings": self.positions + 2, "pad_token_id": 1, "type_vocab_size": 1, "layer_norm_eps": 1e-5}
        return {**Encoder.sizes(self), **more}
