"""The heads of Edit Flows on a stock network: tokens to substitute and to insert, and rates of the three edits. B, L, R rows, D, V.

Names and shapes are those of dLLM's `editflow-*` checkpoints: `sub_logits` and `ins_logits` [V, D], `rate_heads` a linear layer [3, D]
and a softplus, in the order substitution, deletion, insertion. They lie beside the language model, in the same files.
"""

import json
from pathlib import Path
from typing import Any, NamedTuple

import torch
from safetensors import safe_open
from torch import Tensor, nn

from dllm_run.specs.geometry import bare_type
from dllm_run.specs.vocabulary.families import family_for

from .config_json import TRAINED
from .cross_entropy import CrossEntropy, through, within
from .denoiser import Denoiser
from .failure import Failure
from .head import plain
from .noise import Stream
from .seen import Seen

SUBSTITUTE, DELETE, INSERT = range(3)
"""Edits, in the order of their rates."""
MODULES = ("sub_logits", "ins_logits", "rate_heads")
_TOKENS = {SUBSTITUTE: "sub_logits", INSERT: "ins_logits"}
_PREFIX = "editflow-"
_DEVIATION = 0.02
"""Of fresh rate heads: what the architectures themselves begin with."""


class Edits(NamedTuple):
    """What the heads make of a text."""

    rate_BL3: Tensor
    """Before the softplus, float32 at least."""
    features_BLD: Tensor
    """Where each token stands: what an insertion behind it is read from."""
    about_BLD: Tensor
    """Where each token is spoken of: what its substitution is read from; the same unless logits are shifted."""


def read(denoiser: Denoiser, tokens_BL: Tensor, seen: Seen) -> Edits:
    """One forward pass and the rates of every position.

    Of weights that predict the next token a token's substitution and deletion are said one position before it, and the first is
    never edited; what comes behind a token is said where it stands, so that insertion is not shifted.
    """
    hidden_BLD = _hidden(denoiser, tokens_BL, seen)
    features_BLD = denoiser.features(hidden_BLD.flatten(0, 1)).view(*tokens_BL.shape, -1)
    rate_BL3 = _rates(denoiser.network.rate_heads[0], features_BLD)
    if not denoiser.logit_shift:
        return Edits(rate_BL3, features_BLD, features_BLD)
    shifted_BL3 = denoiser.shifted(rate_BL3, seen)
    first_BL = _first(tokens_BL, seen)
    own = torch.tensor([False, False, True], device=rate_BL3.device)
    rate_BL3 = torch.where(own, rate_BL3, shifted_BL3.masked_fill(first_BL[:, :, None], float("-inf")))
    return Edits(rate_BL3, features_BLD, denoiser.shifted(features_BLD, seen))


def rates(edits: Edits) -> Tensor:
    """Rates [B, L, 3], not negative."""
    return nn.functional.softplus(edits.rate_BL3)


def log_rate(raw: Tensor) -> Tensor:
    """log softplus(x), also where the softplus is 0 in its number format: there it is x, and learns."""
    return torch.where(raw < -15, raw, nn.functional.softplus(raw.clamp(min=-16)).log())


def token_entropy(denoiser: Denoiser, edit: int, features_RD: Tensor, target_R: Tensor, weight_R: Tensor) -> CrossEntropy:
    """Weighted sum of -log p of the tokens that are substituted, or inserted, at R positions; no logits but theirs exist."""
    head = denoiser.network.get_submodule(_TOKENS[edit])
    denoiser.head_rows += len(features_RD)
    last = plain(head)
    if last is not None:
        return within(last, features_RD, target_R, weight_R, denoiser.mask_token)
    if not len(features_RD):
        # Zero, and yet a part of the graph: where processes wait for each other's gradients none may be left out.
        return CrossEntropy(head(features_RD).sum(), weight_R.new_zeros(0))
    chunk = denoiser.rows_of_chunk(features_RD)
    return through(lambda part_RD: token_logits(denoiser, edit, part_RD), features_RD, target_R, weight_R, chunk)


def token_logits(denoiser: Denoiser, edit: int, features_RD: Tensor) -> Tensor:
    """Logits [R, V] of the tokens that are substituted, or inserted; float32 at least, the mask itself never."""
    return denoiser.without_mask(denoiser.network.get_submodule(_TOKENS[edit])(features_RD))


# --- giving them to a network


def has_heads(network: Any) -> bool:
    """Whether a network has them."""
    return all(name in network._modules for name in MODULES)


def add_heads(network: Any, stream: Stream) -> None:
    """Fresh heads: both token heads begin as the output embeddings, the rates from the stream."""
    output = network.get_output_embeddings()
    _make(network)
    with torch.no_grad(), torch.random.fork_rng(devices=[]):
        for name in _TOKENS.values():
            network.get_submodule(name).load_state_dict(output.state_dict())
        torch.manual_seed(stream.integer())
        drawn = torch.randn(3, output.in_features)
        network.rate_heads[0].weight.copy_(_DEVIATION * drawn)
        network.rate_heads[0].bias.zero_()


def load_heads(network: Any, folder: Path) -> None:
    """Give a network the heads that lie beside it in its folder, where there are any. Raises Failure where they do not fit."""
    found: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(str(file), framework="pt") as stream:
            found.update({name: stream.get_tensor(name) for name in stream.keys() if name.split(".")[0] in MODULES})  # noqa: SIM118
    if not found:
        return
    _make(network)
    wanted = {name: value for name, value in network.state_dict().items() if name.split(".")[0] in MODULES}
    wrong = [f"{name} is missing" for name in sorted(wanted.keys() - found.keys())]
    wrong += [f"{name} is not known" for name in sorted(found.keys() - wanted.keys())]
    wrong += [
        f"{name} is {'x'.join(map(str, found[name].shape))} and should be {'x'.join(map(str, wanted[name].shape))}"
        for name in sorted(wanted.keys() & found.keys())
        if found[name].shape != wanted[name].shape
    ]
    if wrong:
        raise Failure(f"the heads for edits in {folder} do not fit the model: {'; '.join(wrong)}")
    network.load_state_dict(found, strict=False)


def mark(network: Any, folder: Path) -> None:
    """Say in the config.json of a network with heads that they are there, by the model type that dLLM gives them, and what trained them."""
    if not has_heads(network):
        return
    path = folder / "config.json"
    said = json.loads(path.read_text(encoding="utf-8"))
    kind = _PREFIX + bare_type(said["model_type"]).lower()
    # A format of its own writes but what it knows.
    trained = {TRAINED: vars(network.config)[TRAINED]} if TRAINED in vars(network.config) else {}
    path.write_text(json.dumps({**said, **trained, "model_type": kind}, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def leave_unread(network: Any) -> None:
    """Learn nothing where edits read nothing: optimizers would keep moments for it, processes wait for its gradient."""
    read_too = {id(parameter) for parameter in network.get_input_embeddings().parameters()}
    unread = [network.get_output_embeddings()]
    norm = _unread_norm(network)
    if norm:
        unread.append(network.base_model.get_submodule(norm))
    for module in unread:
        for parameter in module.parameters():
            if id(parameter) not in read_too:
                parameter.requires_grad_(False)


def _make(network: Any) -> None:
    output = network.get_output_embeddings()
    width, vocabulary, bias = output.in_features, output.out_features, output.bias is not None
    like = {"device": output.weight.device, "dtype": output.weight.dtype}
    for name in _TOKENS.values():
        network.add_module(name, _empty(width, vocabulary, bias=bias, **like))
    network.add_module("rate_heads", nn.Sequential(_empty(width, 3, bias=True, **like), nn.Softplus()))


def _empty(inputs: int, outputs: int, *, bias: bool, device: torch.device, dtype: torch.dtype) -> nn.Linear:
    """A layer without numbers of its own: whoever asks for it fills it, and the global generator stays where it is."""
    return nn.Linear(inputs, outputs, bias=bias, device="meta", dtype=dtype).to_empty(device=device)


# --- what they read


def _hidden(denoiser: Denoiser, tokens_BL: Tensor, seen: Seen) -> Tensor:
    """Hidden states [B, L, D], each where it stands."""
    norm = _unread_norm(denoiser.network)
    if not norm:
        return denoiser.body(tokens_BL, seen)
    given: list[Tensor] = []
    module = denoiser.network.base_model.get_submodule(norm)
    handle = module.register_forward_pre_hook(lambda module, arguments: given.append(arguments[0]))
    try:
        denoiser.body(tokens_BL, seen)
    finally:
        handle.remove()
    return given[0]


def _unread_norm(network: Any) -> str:
    family = family_for(network.config.model_type)
    return "" if family is None else family.unread_norm


def _rates(linear: nn.Module, features_BLD: Tensor) -> Tensor:
    # A rate of a thousandth matters, and bfloat16 has three digits: in the precision of the weights, whatever autocast says.
    with torch.autocast(features_BLD.device.type, enabled=False):
        number = next(linear.parameters()).dtype
        rate_BL3: Tensor = linear(features_BLD.to(number))
    return rate_BL3 if rate_BL3.dtype == torch.float64 else rate_BL3.float()


def _first(tokens_BL: Tensor, seen: Seen) -> Tensor:
    if seen.position_BL is not None:
        return seen.position_BL == 0
    return (torch.arange(tokens_BL.shape[1], device=tokens_BL.device) == 0)[None].expand_as(tokens_BL)
