"""The geometry of a transformer, enough to count its parameters exactly without building it."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial

Matrix = tuple[int, int, int]
"""(how many, inputs, outputs) of linear layers of one shape."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Geometry:
    """Sizes of a model with its language-modelling head; `positions` is the longest sequence, 0 experts is a dense model."""

    layers: int
    width: int
    heads: int
    kv_heads: int
    head_dim: int
    mlp: int
    vocabulary: int
    positions: int
    tied: bool
    norm_parameters: int
    """Of all norms of the body."""
    gated: bool = True
    rms_norm: bool = True
    fused_qkv: bool = False
    fused_gate: bool = False
    qkv_bias: bool = False
    out_bias: bool = False
    mlp_bias: bool = False
    qk_norm: bool = False
    post_norm: bool = False
    """Norms behind the residual sums, as in BERT."""
    elementwise_gelu: bool = False  # as GPT-2 has it: more is kept for the backward pass
    learned_positions: int = 0
    token_types: int = 0
    embedding: int | None = None
    """Width of a factorised embedding (ALBERT); None: the model's."""
    distinct_layers: int | None = None
    """Layers with weights of their own (ALBERT); None: all."""
    head_transform: bool = False
    """A dense layer before the output matrix, as masked language models have."""
    head_vectors: int = 0
    """Biases and norms of the head."""
    edit_heads: bool = False
    """Two more output matrices and three rates: what Edit Flows read. Biases of the matrices are not counted."""
    experts: int = 0
    active_experts: int = 0
    shared_experts: int = 0
    expert_mlp: int = 0
    dense_layers: int = 0
    """Of a model with experts: leading layers without."""

    @property
    def attention_width(self) -> int:
        """Dimensions of all query heads."""
        return self.heads * self.head_dim

    @property
    def kv_width(self) -> int:
        """Dimensions of all key heads, or of all value heads."""
        return self.kv_heads * self.head_dim

    @property
    def mlp_width(self) -> float:
        """Feed-forward dimensions that a token passes in a layer, on average."""
        with_experts = self.layers - self.dense_layers if self.experts else 0
        active = (self.active_experts + self.shared_experts) * self.expert_mlp
        return (with_experts * active + (self.layers - with_experts) * self.mlp) / self.layers

    def parameters(self) -> int:
        """Parameters, tied matrices once."""
        tables = (self.vocabulary + self.learned_positions + self.token_types) * self._embedding
        head = (0 if self.tied else self.vocabulary * self._embedding) + self.head_vectors
        if self.edit_heads:
            head += (2 * self.vocabulary + 3) * self._embedding + 3
        return self.linear_parameters() + self._biases() + self._routers() + self.norm_parameters + tables + head

    def active_parameters(self) -> int:
        """Parameters that take part in computing one token: without the experts it is not sent to."""
        idle = _size(self._mlp(self.expert_mlp, self.experts - self.active_experts))
        return self.parameters() - idle * self._expert_layers

    def linear_parameters(self) -> int:
        """Weights of linear layers without the output matrix: what nf4 and LoRA on `all-linear` touch."""
        return _size(self.matrices())

    def lora_parameters(self, rank: int) -> int:
        """Parameters of adapters of `rank` on every linear layer but the output: r (in + out) each (arXiv 2106.09685, 4.1)."""
        return sum(count * rank * (inputs + outputs) for count, inputs, outputs in self.matrices())

    def matrices(self) -> list[Matrix]:
        """Linear layers that are stored, without the output matrix and routers."""
        found = self._between()
        for count, layer in self._kinds_of_layers(self.experts):
            found += [(count * copies, inputs, outputs) for copies, inputs, outputs in layer]
        return found + ([(1, self.width, self._embedding)] if self.head_transform else [])

    def body_products(self) -> int:
        """Multiply-adds of one token in the linear layers of the body: shared layers as often as they run, active experts alone."""
        stored = self.distinct_layers or self.layers
        layers = sum(count * _size(layer) for count, layer in self._kinds_of_layers(self.active_experts))
        return layers * self.layers // stored + self._routers() + _size(self._between())

    def head_products(self) -> int:
        """Multiply-adds of the head for one scored position."""
        return (self.vocabulary + (self.width if self.head_transform else 0)) * self._embedding

    @property
    def _embedding(self) -> int:
        return self.embedding or self.width

    @property
    def _expert_layers(self) -> int:
        return self.layers - self.dense_layers if self.experts else 0

    def _kinds_of_layers(self, experts: int) -> list[tuple[int, list[Matrix]]]:
        """(how many, linear layers) of the stored layers with the plain mlp and of those with experts."""
        query, key = self.attention_width, self.kv_width
        inward = [(1, self.width, query + 2 * key)] if self.fused_qkv else [(1, self.width, query), (2, self.width, key)]
        attention = [*inward, (1, query, self.width)]
        plain = (self.distinct_layers or self.layers) - self._expert_layers
        return [
            (plain, attention + self._mlp(self.mlp, 1)),
            (self._expert_layers, attention + self._mlp(self.expert_mlp, experts + self.shared_experts)),
        ]

    def _mlp(self, size: int, copies: int) -> list[Matrix]:
        up = (copies, self.width, 2 * size) if self.gated and self.fused_gate else ((1 + self.gated) * copies, self.width, size)
        return [up, (copies, size, self.width)]

    def _between(self) -> list[Matrix]:
        """From a factorised embedding to the layers."""
        return [(1, self.embedding, self.width)] if self.embedding else []

    def _routers(self) -> int:
        return self.experts * self.width * self._expert_layers

    def _biases(self) -> int:
        per_layer = (
            self.qkv_bias * (self.attention_width + 2 * self.kv_width)
            + self.out_bias * self.width
            + self.mlp_bias * ((1 + self.gated) * self.mlp + self.width)
        )
        return per_layer * (self.distinct_layers or self.layers) + (self.width if self.embedding else 0)

    @staticmethod
    def from_config(config: Mapping[str, object]) -> "Geometry | None":
        """From the config.json of a transformers model; None where its type is not known or a size is missing."""
        kind = config.get("model_type")
        read = _READERS.get(bare_type(kind)) if isinstance(kind, str) else None
        try:
            return None if read is None else read(_Config(config))
        except _Incomplete:
            return None


def _size(matrices: list[Matrix]) -> int:
    return sum(count * inputs * outputs for count, inputs, outputs in matrices)


class _Incomplete(Exception):
    """A config.json without a size that is needed."""


class _Config:
    """A config.json whose values are checked as they are read; null counts as absent."""

    def __init__(self, values: Mapping[str, object]) -> None:
        self.values = values

    def size(self, name: str, default: int | None = None) -> int:
        value = self.values.get(name)
        found = default if value is None else value
        if not isinstance(found, int) or isinstance(found, bool) or found < 0:
            raise _Incomplete
        return found

    def flag(self, name: str, default: bool) -> bool:
        value = self.values.get(name)
        return value if isinstance(value, bool) else default


def _llama(
    config: _Config, *, qkv_bias: bool = False, qk_norm: bool = False, head_dim: int = 0, norms: int = 2, tied: bool = False
) -> Geometry:
    """RMSNorm before attention and mlp (with four norms behind them too) and at the end, rotary positions, a gated mlp."""
    layers, width, heads = config.size("num_hidden_layers"), config.size("hidden_size"), config.size("num_attention_heads")
    dimensions, bias = config.size("head_dim", head_dim) or width // heads, config.flag("attention_bias", False)
    return Geometry(
        layers=layers, width=width, heads=heads, kv_heads=config.size("num_key_value_heads", heads), head_dim=dimensions,
        mlp=config.size("intermediate_size"), vocabulary=config.size("vocab_size"), positions=config.size("max_position_embeddings"),
        tied=config.flag("tie_word_embeddings", tied), qkv_bias=qkv_bias or bias, out_bias=bias, mlp_bias=config.flag("mlp_bias", False),
        qk_norm=qk_norm, norm_parameters=layers * (norms * width + qk_norm * 2 * dimensions) + width,
    )  # fmt: skip


def _llada(config: _Config) -> Geometry:
    """Llama under the names of OLMo, from which LLaDA's code comes."""
    if config.flag("include_bias", False) or config.flag("attention_layer_norm", False):
        raise _Incomplete  # never published
    names = {"num_hidden_layers": "n_layers", "hidden_size": "d_model", "num_attention_heads": "n_heads",
             "num_key_value_heads": "n_kv_heads", "intermediate_size": "mlp_hidden_size", "max_position_embeddings": "max_sequence_length",
             "tie_word_embeddings": "weight_tying"}  # fmt: skip
    found = {name: config.values.get(theirs) for name, theirs in names.items()}
    vocabulary = config.size("embedding_size", config.size("vocab_size"))
    return _llama(_Config({**found, "vocab_size": vocabulary}), qkv_bias=config.flag("include_qkv_bias", False))


def _bert(config: _Config, *, spare: int = 0) -> Geometry:
    """BERT, RoBERTa and ALBERT as masked language models: biases and LayerNorm everywhere."""
    width, heads, rows = config.size("hidden_size"), config.size("num_attention_heads"), config.size("max_position_embeddings")
    layers, inner, vocabulary = config.size("num_hidden_layers"), config.size("inner_group_num", 1), config.size("vocab_size")
    tied = config.flag("tie_word_embeddings", True)
    distinct, embedding = config.size("num_hidden_groups", layers) * inner, config.size("embedding_size", width)
    return Geometry(
        layers=layers * inner, width=width, heads=heads, kv_heads=heads, head_dim=width // heads, mlp=config.size("intermediate_size"),
        vocabulary=vocabulary, positions=rows - spare, tied=tied, gated=False, rms_norm=False,
        post_norm=True, qkv_bias=True, out_bias=True, mlp_bias=True, learned_positions=rows, token_types=config.size("type_vocab_size"),
        embedding=embedding if "embedding_size" in config.values else None, distinct_layers=distinct,
        norm_parameters=distinct * 4 * width + 2 * embedding,
        # Bias and norm of the transform, bias of the output: twice where that is a matrix of its own.
        head_transform=True, head_vectors=3 * embedding + (1 if tied else 2) * vocabulary,
    )  # fmt: skip


def _modernbert(config: _Config) -> Geometry:
    """ModernBERT (arXiv 2412.13663): GeGLU, rotary positions, LayerNorm before attention (not in the first layer) and mlp."""
    layers, width, heads = config.size("num_hidden_layers"), config.size("hidden_size"), config.size("num_attention_heads")
    vocabulary, norm, bias = config.size("vocab_size"), (1 + config.flag("norm_bias", False)) * width, config.flag("attention_bias", False)
    return Geometry(
        layers=layers, width=width, heads=heads, kv_heads=heads, head_dim=width // heads, mlp=config.size("intermediate_size"),
        vocabulary=vocabulary, positions=config.size("max_position_embeddings"), tied=config.flag("tie_word_embeddings", True),
        rms_norm=False, fused_qkv=True, fused_gate=True, qkv_bias=bias, out_bias=bias, mlp_bias=config.flag("mlp_bias", False),
        norm_parameters=(2 * layers + 1) * norm, head_transform=True,
        head_vectors=config.flag("classifier_bias", False) * width + norm + config.flag("decoder_bias", True) * vocabulary,
    )  # fmt: skip


def _gpt2(config: _Config) -> Geometry:
    """Biases and LayerNorm everywhere, learned positions."""
    layers, width, heads, positions = (config.size(name) for name in ("n_layer", "n_embd", "n_head", "n_positions"))
    return Geometry(
        layers=layers, width=width, heads=heads, kv_heads=heads, head_dim=width // heads, mlp=config.size("n_inner", 4 * width),
        vocabulary=config.size("vocab_size"), positions=positions, tied=config.flag("tie_word_embeddings", True), gated=False,
        rms_norm=False, fused_qkv=True, qkv_bias=True, out_bias=True, mlp_bias=True, learned_positions=positions,
        norm_parameters=layers * 4 * width + 2 * width, elementwise_gelu=True,
    )  # fmt: skip


PREFIXES = ("a2d-", "editflow-")
"""In front of the model_type of checkpoints that other code has made of a family: the same weights, read bidirectionally."""


def bare_type(model_type: str) -> str:
    """A `model_type` without what other code puts in front of it."""
    return next((model_type.removeprefix(prefix) for prefix in PREFIXES if model_type.startswith(prefix)), model_type)


_READERS: dict[str, Callable[[_Config], Geometry]] = {
    "llama": _llama,
    "mistral": _llama,
    "qwen2": partial(_llama, qkv_bias=True),
    "qwen3": partial(_llama, qk_norm=True, head_dim=128),  # head_dim: that of transformers where the file has none
    "Dream": partial(_llama, qkv_bias=True),  # Qwen2.5 under another name
    "llada": _llada,
    "bert": _bert,
    "roberta": partial(_bert, spare=2),  # its first position is row 2
    "modernbert": _modernbert,
    "albert": _bert,
    "gpt2": _gpt2,
    "gemma": partial(_llama, head_dim=256, tied=True),
    "gemma2": partial(_llama, head_dim=256, norms=4, tied=True),
    "gemma3_text": partial(_llama, qk_norm=True, head_dim=256, norms=4, tied=True),
}
