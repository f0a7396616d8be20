"""Families of models: what is true of every checkpoint of one, and the geometry that one is made with from scratch."""

from collections.abc import Iterator
from dataclasses import dataclass, replace
from typing import Any, ClassVar

from dllm_run.specs.field import leaf
from dllm_run.specs.geometry import Geometry, bare_type
from dllm_run.specs.problem import Problem, nearest_divisors
from dllm_run.specs.word import Word, members


@dataclass(frozen=True, slots=True, kw_only=True)
class Family(Word):
    """Base of the families: the geometry that all transformers share. An architecture that is in no family is read as its config says."""

    tag: ClassVar[str] = "family"
    shorthand: ClassVar[str] = "family"
    implementation: ClassVar[str] = "dllm_run.runtime.families"
    """A stock architecture follows from what is said here; a foreign family has a file of its own."""
    model_types: ClassVar[tuple[str, ...]] = ()
    """`model_type` in the config.json of its checkpoints."""
    architecture: ClassVar[str] = ""
    """`model_type` of the stock architecture that computes it; empty: the first of `model_types`."""
    masked: ClassVar[bool] = False
    """Whether it was made to fill in masks: an encoder, of which nothing is causal."""
    foreign: ClassVar[bool] = False
    """Whether its checkpoints have a format of their own; its implementation has it as FORMAT."""
    logit_shift: ClassVar[int] = 0
    """1 where published weights predict the next token."""
    mask_token: ClassVar[str | None] = None
    """Text of the mask token in published tokenizers; None: the tokenizer's own, or one is added."""
    end_of_turn: ClassVar[str | None] = None
    """Text that ends a message of a chat; None: the end of text does."""
    chat_template: ClassVar[str | None] = None
    """Jinja template of a chat; None: the tokenizer's own."""
    unread_norm: ClassVar[str] = ""
    """The norm at the end of its body, where published heads for edits read what comes before it; empty: they read the body's result."""
    linear_layers: ClassVar[tuple[str, ...]] = ()
    """How the names of its linear layers end; empty: not known."""
    tables: ClassVar[tuple[str, ...]] = ()
    """How the names of its input embedding and its output matrix end."""
    padding_side: ClassVar[str] = "right"
    """The side that its published code pads on; here positions count what is no padding, and either side gives the same."""
    mlp_share: ClassVar[tuple[int, int]] = (8, 3)
    """The size of the feed-forward layer over the width, as a fraction, where none is given."""

    layers: int = leaf("Transformer layers.", minimum=1)
    width: int = leaf("Hidden size.", unit="dimensions", minimum=8)
    heads: int | None = leaf("Attention heads; null: one per 64 dimensions, at least 1.", default=None, minimum=1)
    mlp: int | None = leaf(
        "Size of the feed-forward layer; null: 8/3 of the width where it is gated, else 4 times, down to a multiple of 32.",
        default=None,
        minimum=1,
    )
    tie_embeddings: bool = leaf("Whether input and output embeddings are one matrix.", default=True)
    positions: int = leaf("Longest sequence that the model is built for.", unit="tokens", default=4096, minimum=1)

    def completed(self) -> "Family":
        """With its sizes solved."""
        over, under = self.mlp_share
        return replace(
            self,
            heads=self.heads or max(1, self.width // 64),
            mlp=self.mlp or max(32, self.width * over // under // 32 * 32),
        )

    def sizes(self) -> dict[str, Any]:
        """Entries of the config.json of its stock architecture, without the vocabulary. Heads and mlp are solved."""
        return {
            "num_hidden_layers": self.layers,
            "hidden_size": self.width,
            "num_attention_heads": self.heads,
            "intermediate_size": self.mlp,
            "max_position_embeddings": self.positions,
            "tie_word_embeddings": self.tie_embeddings,
        }

    def geometry(self, vocabulary: int) -> Geometry | None:
        """Its geometry, from which memory and time are estimated; None where there is no formula. Heads and mlp are solved."""
        return Geometry.from_config({"model_type": architecture_of(type(self)), "vocab_size": vocabulary, **self.sizes()})


@dataclass(frozen=True, slots=True, kw_only=True)
class Rotary(Family):
    """Base of the families of Llama's kind: RMSNorm, rotary positions, a gated feed-forward layer."""

    linear_layers: ClassVar[tuple[str, ...]] = ("q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj")
    tables: ClassVar[tuple[str, ...]] = ("embed_tokens", "lm_head")

    kv_heads: int | None = leaf("Heads of keys and values; null: as many as of queries.", default=None, minimum=1)
    rope_theta: float = leaf("Base of the rotary frequencies.", default=10000.0, above=0)
    norm_epsilon: float = leaf("Added to the mean square before its root is taken.", default=1e-6, above=0)

    def completed(self) -> "Rotary":
        solved = Family.completed(self)
        assert isinstance(solved, Rotary)
        return replace(solved, kv_heads=self.kv_heads or solved.heads)

    def problems(self) -> Iterator[Problem]:
        """Heads that cannot be shared evenly."""
        heads = self.heads or max(1, self.width // 64)
        if self.kv_heads is not None and heads % self.kv_heads:
            legal = nearest_divisors(heads, self.kv_heads)
            yield Problem(
                code="E310",
                message=f"{self.kv_heads} heads of keys do not divide {heads} heads of queries",
                path=("kv_heads",),
                notes=(f"nearest legal: kv_heads {' or '.join(map(str, legal))}",),
                fix=(("kv_heads",), legal[0]),
            )

    def sizes(self) -> dict[str, Any]:
        assert self.heads is not None
        return {
            **Family.sizes(self),
            "num_key_value_heads": self.kv_heads,
            "head_dim": self.width // self.heads,
            "rope_theta": self.rope_theta,
            "rms_norm_eps": self.norm_epsilon,
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Encoder(Family):
    """Base of the families of BERT's kind. A chat is plain text between tags, since their vocabularies have no tokens for it."""

    masked: ClassVar[bool] = True
    linear_layers: ClassVar[tuple[str, ...]] = ("query", "key", "value", "dense")
    tables: ClassVar[tuple[str, ...]] = ("word_embeddings", "decoder")
    mlp_share: ClassVar[tuple[int, int]] = (4, 1)
    end_of_turn: ClassVar[str | None] = "[/Answer]"
    chat_template: ClassVar[str | None] = (
        "{% set tags = {'system': 'SYS', 'user': 'Question', 'assistant': 'Answer'} %}"
        "{% for message in messages %}"
        "{% set tag = tags[message['role']] %}"
        "{{ '[' + tag + ']\n' + message['content'] | trim + '\n[/' + tag + ']\n\n' }}"
        "{% endfor %}"
        "{% if add_generation_prompt %}{{ '[Answer]\n' }}{% endif %}"
    )


def architecture_of(family: type[Family]) -> str:
    """The `model_type` of the stock architecture of a family."""
    return family.architecture or family.model_types[0]


def family_for(model_type: str | None) -> type[Family] | None:
    """The family of checkpoints whose config.json says this; None where it is in no table."""
    if model_type is None:
        return None
    # Case tells nothing apart: `Dream` is `editflow-dream` without its prefix.
    bare = bare_type(model_type).casefold()
    for family in members(Family).values():
        assert issubclass(family, Family)
        if bare in map(str.casefold, family.model_types):
            return family
    return None
