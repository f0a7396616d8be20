"""Language models in plain torch from their papers, for one text of L tokens without padding: a reference for the stock classes.

`W` finds a weight by its name; `seen_LL` says which query sees which key (None: every one). L positions, D width, N heads, V vocabulary.
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

W = Callable[[str], Tensor]


def block_causal(length: int, block: int) -> Tensor:
    """Query by key: a token sees its own block and all before it."""
    block_of = [position // block for position in range(length)]
    return torch.tensor([[block_of[key] <= block_of[query] for key in range(length)] for query in range(length)])


def attend(q_NLD: Tensor, k_NLD: Tensor, v_NLD: Tensor, seen_LL: Tensor | None, *, scale: float, cap: float | None = None) -> Tensor:
    """Softmax attention; heads of keys are shared by as many heads of queries each (arXiv 2305.13245). Returns [L, N x D]."""
    times = len(q_NLD) // len(k_NLD)
    k_NLD, v_NLD = k_NLD.repeat_interleave(times, 0), v_NLD.repeat_interleave(times, 0)
    score_NLL = q_NLD @ k_NLD.transpose(-1, -2) * scale
    if cap is not None:
        score_NLL = cap * (score_NLL / cap).tanh()
    if seen_LL is not None:
        score_NLL = score_NLL.masked_fill(~seen_LL, -math.inf)
    found = score_NLL.softmax(-1) @ v_NLD
    return found.transpose(0, 1).reshape(found.shape[1], -1)


def heads(x_LD: Tensor, count: int) -> Tensor:
    """[L, N x D] as [N, L, D]."""
    return x_LD.view(len(x_LD), count, -1).transpose(0, 1)


def rotate(x_NLD: Tensor, theta: float) -> Tensor:
    """Rotary positions (arXiv 2104.09864), halves paired."""
    size = x_NLD.shape[-1]
    angle = torch.arange(x_NLD.shape[1])[:, None] * theta ** (-torch.arange(0, size, 2, dtype=x_NLD.dtype) / size)[None, :]
    cos, sin = angle.cos(), angle.sin()
    left, right = x_NLD[..., : size // 2], x_NLD[..., size // 2 :]
    return torch.cat([left * cos - right * sin, right * cos + left * sin], -1)


def rms(x: Tensor, weight: Tensor, eps: float) -> Tensor:
    """RMSNorm (arXiv 1910.07467)."""
    return x / (x.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight


def layer_norm(x: Tensor, weight: Tensor, bias: Tensor | None, eps: float) -> Tensor:
    """LayerNorm (arXiv 1607.06450)."""
    centred = x - x.mean(-1, keepdim=True)
    found = centred / (centred.pow(2).mean(-1, keepdim=True) + eps).sqrt() * weight
    return found if bias is None else found + bias


def gelu(x: Tensor) -> Tensor:
    """x Phi(x) (arXiv 1606.08415)."""
    return x * (1 + torch.erf(x / math.sqrt(2))) / 2


def gelu_tanh(x: Tensor) -> Tensor:
    """Its approximation by tanh."""
    return x / 2 * (1 + torch.tanh(math.sqrt(2 / math.pi) * (x + 0.044715 * x**3)))


@dataclass(frozen=True, kw_only=True)
class Kind:
    """What tells the families of Llama's kind apart."""

    heads: int
    kv_heads: int
    eps: float
    theta: float
    tied: bool
    bias: bool = False
    head_norm: bool = False
    gemma: bool = False
    """GeGLU, norms that scale by 1 + weight, embeddings scaled by the root of the width."""
    behind: bool = False
    """Norms behind attention and feed-forward too."""
    near: tuple[int, float] | None = None
    """Of so many layers all but the last have this rotary base."""
    score_cap: float | None = None
    logit_cap: float | None = None


def llama(w: W, kind: Kind, layers: int, tokens_L: Tensor, seen_LL: Tensor | None = None) -> Tensor:
    """Llama (arXiv 2302.13971) and what came of it; names of weights as in `model.layers.0.self_attn.q_proj.weight`."""

    def norm(x: Tensor, name: str) -> Tensor:
        return rms(x, w(name) + kind.gemma, kind.eps)

    def linear(x: Tensor, name: str, bias: bool = False) -> Tensor:
        found = x @ w(f"{name}.weight").T
        return found + w(f"{name}.bias") if bias else found

    x_LD = w("model.embed_tokens.weight")[tokens_L]
    if kind.gemma:
        x_LD = x_LD * math.sqrt(x_LD.shape[-1])
    for layer in range(layers):
        at = f"model.layers.{layer}."
        theta = kind.theta if kind.near is None or (layer + 1) % kind.near[0] == 0 else kind.near[1]
        h = norm(x_LD, at + "input_layernorm.weight")
        q, k, v = (
            heads(linear(h, f"{at}self_attn.{name}_proj", kind.bias), count)
            for name, count in (("q", kind.heads), ("k", kind.kv_heads), ("v", kind.kv_heads))
        )
        if kind.head_norm:
            q, k = norm(q, at + "self_attn.q_norm.weight"), norm(k, at + "self_attn.k_norm.weight")
        mixed = attend(rotate(q, theta), rotate(k, theta), v, seen_LL, scale=q.shape[-1] ** -0.5, cap=kind.score_cap)
        mixed = linear(mixed, at + "self_attn.o_proj")
        x_LD = x_LD + (norm(mixed, at + "post_attention_layernorm.weight") if kind.behind else mixed)
        h = norm(x_LD, at + ("pre_feedforward_layernorm.weight" if kind.behind else "post_attention_layernorm.weight"))
        gate = linear(h, at + "mlp.gate_proj")
        fed = linear((gelu_tanh(gate) if kind.gemma else F.silu(gate)) * linear(h, at + "mlp.up_proj"), at + "mlp.down_proj")
        x_LD = x_LD + (norm(fed, at + "post_feedforward_layernorm.weight") if kind.behind else fed)
    logits = norm(x_LD, "model.norm.weight") @ w("model.embed_tokens.weight" if kind.tied else "lm_head.weight").T
    return logits if kind.logit_cap is None else kind.logit_cap * (logits / kind.logit_cap).tanh()


def gpt2(w: W, config: Any, tokens_L: Tensor, seen_LL: Tensor | None = None) -> Tensor:
    """GPT-2 (Radford et al. 2019): norms in front, learned positions; matrices are stored inputs first."""

    def linear(x: Tensor, name: str) -> Tensor:
        return x @ w(f"{name}.weight") + w(f"{name}.bias")

    def norm(x: Tensor, name: str) -> Tensor:
        return layer_norm(x, w(f"{name}.weight"), w(f"{name}.bias"), 1e-5)

    x_LD = w("transformer.wte.weight")[tokens_L] + w("transformer.wpe.weight")[: len(tokens_L)]
    for layer in range(config.n_layer):
        at = f"transformer.h.{layer}."
        q, k, v = (heads(part, config.n_head) for part in linear(norm(x_LD, at + "ln_1"), at + "attn.c_attn").chunk(3, -1))
        x_LD = x_LD + linear(attend(q, k, v, seen_LL, scale=q.shape[-1] ** -0.5), at + "attn.c_proj")
        x_LD = x_LD + linear(gelu_tanh(linear(norm(x_LD, at + "ln_2"), at + "mlp.c_fc")), at + "mlp.c_proj")
    return norm(x_LD, "transformer.ln_f") @ w("transformer.wte.weight").T


def bert(w: W, config: Any, tokens_L: Tensor, seen_LL: Tensor | None = None, *, roberta: bool = False) -> Tensor:
    """BERT (arXiv 1810.04805): norms behind the sums, learned positions. RoBERTa (1907.11692): they start at row 2."""
    name, first, eps = ("roberta", 2, 1e-5) if roberta else ("bert", 0, 1e-12)

    def linear(x: Tensor, at: str) -> Tensor:
        return x @ w(f"{at}.weight").T + w(f"{at}.bias")

    def norm(x: Tensor, at: str) -> Tensor:
        return layer_norm(x, w(f"{at}.weight"), w(f"{at}.bias"), eps)

    table = f"{name}.embeddings."
    positions = w(table + "position_embeddings.weight")[first : first + len(tokens_L)]
    embedded = w(table + "word_embeddings.weight")[tokens_L] + positions + w(table + "token_type_embeddings.weight")[0]
    x_LD = norm(embedded, table + "LayerNorm")
    for layer in range(config.num_hidden_layers):
        at = f"{name}.encoder.layer.{layer}."
        q, k, v = (heads(linear(x_LD, f"{at}attention.self.{part}"), config.num_attention_heads) for part in ("query", "key", "value"))
        mixed = linear(attend(q, k, v, seen_LL, scale=q.shape[-1] ** -0.5), at + "attention.output.dense")
        x_LD = norm(x_LD + mixed, at + "attention.output.LayerNorm")
        x_LD = norm(x_LD + linear(gelu(linear(x_LD, at + "intermediate.dense")), at + "output.dense"), at + "output.LayerNorm")
    if roberta:
        x_LD = norm(gelu(linear(x_LD, "lm_head.dense")), "lm_head.layer_norm")
        return x_LD @ w(table + "word_embeddings.weight").T + w("lm_head.bias")
    x_LD = norm(gelu(linear(x_LD, "cls.predictions.transform.dense")), "cls.predictions.transform.LayerNorm")
    return x_LD @ w(table + "word_embeddings.weight").T + w("cls.predictions.bias")


def modernbert(w: W, config: Any, window: int, every: int, tokens_L: Tensor, seen_LL: Tensor | None = None) -> Tensor:
    """ModernBERT (arXiv 2412.13663): no biases, GeGLU, no norm before the first attention; windows but in every third layer."""
    place_L = torch.arange(len(tokens_L))
    near_LL = (place_L[:, None] - place_L[None, :]).abs() <= window // 2

    def norm(x: Tensor, name: str) -> Tensor:
        return layer_norm(x, w(f"{name}.weight"), None, 1e-5)

    x_LD = norm(w("model.embeddings.tok_embeddings.weight")[tokens_L], "model.embeddings.norm")
    for layer in range(config.num_hidden_layers):
        at, whole = f"model.layers.{layer}.", layer % every == 0
        h = x_LD if layer == 0 else norm(x_LD, at + "attn_norm")
        q, k, v = (heads(part, config.num_attention_heads) for part in (h @ w(at + "attn.Wqkv.weight").T).chunk(3, -1))
        theta = 160_000.0 if whole else 10_000.0
        mine_LL = seen_LL if whole else near_LL if seen_LL is None else near_LL & seen_LL
        mixed = attend(rotate(q, theta), rotate(k, theta), v, mine_LL, scale=q.shape[-1] ** -0.5)
        x_LD = x_LD + mixed @ w(at + "attn.Wo.weight").T
        value, gate = (norm(x_LD, at + "mlp_norm") @ w(at + "mlp.Wi.weight").T).chunk(2, -1)
        x_LD = x_LD + (gelu(value) * gate) @ w(at + "mlp.Wo.weight").T
    x_LD = norm(gelu(norm(x_LD, "model.final_norm") @ w("head.dense.weight").T), "head.norm")
    return x_LD @ w("model.embeddings.tok_embeddings.weight").T + w("decoder.bias")
