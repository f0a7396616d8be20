"""Networks from nothing, from folders and from GGUF files, and back to folders: stock transformers classes whatever the format."""

import json
import pickle
import re
from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from huggingface_hub import save_torch_state_dict
from safetensors import SafetensorError
from safetensors.torch import load_file
from torch import Tensor
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM, PreTrainedConfig

from dllm_run.specs.vocabulary.compute import Compute
from dllm_run.specs.vocabulary.families import family_for
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.quantizations import Quantization

from .build import build
from .config_json import Architecture, read_config, set_dropout
from .edit_heads import MODULES as EDIT_MODULES
from .edit_heads import mark
from .failure import Failure
from .families import Format, format_of
from .noise import Stream
from .tokenizers import Tokens

_SPARE = re.compile(r"(rotary_emb\.inv_freq|position_ids|attn\.(masked_)?bias|(^|\.)pooler\..*|cls\.(?!predictions\.)[a-z_]+\..*)$")
"""Tensors of published files that no language model needs: tables that are computed, and heads of other tasks."""
EDIT_HEADS = tuple(f"{name}." for name in EDIT_MODULES)
"""What the checkpoint of an Edit Flow has beside its language model."""
DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}
"""By their name in a spec."""
SHARD_SIZE = "5GB"
"""Largest file of weights."""
_SHOWN = 5
"""Tensors of each kind that a message names."""


def fresh(model: Model, tokens: Tokens, compute: Compute, stream: Stream) -> Any:
    """A network with random weights drawn from the stream."""
    assert model.scratch is not None and model.dtype is not None
    config = build(model.scratch)
    config.vocab_size = tokens.size
    set_dropout(config, model.dropout)
    config._attn_implementation = compute.attention_kernel
    auto = AutoModelForMaskedLM if model.scratch.masked else AutoModelForCausalLM
    with torch.random.fork_rng(devices=[]), _kernel_refused(compute):
        torch.manual_seed(stream.integer())
        network = _learns_all_rows(auto.from_config(config)).to(DTYPES[model.dtype])
    form = format_of(type(model.scratch))
    if form is not None:
        # The published code finds its tokens by these.
        network.config.mask_token_id, network.config.pad_token_id = tokens.mask, tokens.pad
        network.config.published = form.original(network.config)
    return network


def from_folder(source: Path, compute: Compute, dropout: float, dtype: str, quantization: Quantization | None = None) -> Any:
    """The network in a folder or a GGUF file, read bidirectionally. Raises Failure where its files do not fit a stock architecture."""
    found = read_config(source)
    set_dropout(found.config, dropout)
    auto = AutoModelForMaskedLM if found.masked else AutoModelForCausalLM
    is_gguf = source.suffix == ".gguf"
    folder = source.parent if is_gguf else source
    more: dict[str, Any] = {"gguf_file": source.name} if is_gguf else {}
    if found.form is not None and found.form.names:
        more["key_mapping"] = found.form.to_stock()
    if quantization is not None:
        # Packed weights stay on the device that they were packed for.
        more |= {"quantization_config": build(quantization), "device_map": {"": compute.device or "cpu"}}
    try:
        with _kernel_refused(compute):
            network, info = auto.from_pretrained(
                folder,
                config=found.config,
                local_files_only=True,
                output_loading_info=True,
                ignore_mismatched_sizes=True,  # so that all of them are told at once
                weights_only=True,
                dtype=DTYPES[dtype],
                attn_implementation=compute.attention_kernel,
                **more,
            )
    except (OSError, ValueError, RuntimeError, SafetensorError, pickle.UnpicklingError) as error:
        raise Failure(f"the weights in {source} cannot be read: {' '.join(str(error).split())[:300]}") from None
    _refuse_misfits(source, network, info, found)
    if is_gguf:
        network = _unquantised(network)
    if not found.masked and found.family is None:
        _refuse_looking_back(source, network)
    return _learns_all_rows(network)


def save(network: Any, folder: Path, state: Mapping[str, Tensor] | None = None, *, shard_size: str = SHARD_SIZE) -> None:
    """Write a network to a folder, in the format that its family publishes, or its adapter alone where it has one.

    `state` is its weights where they live in pieces.
    """
    adapter = vars(network).get("adapter")
    if adapter is not None:
        adapter.save(folder, state)
        return
    published, form = vars(network.config).get("published"), published_format(network)
    tied = set(network.all_tied_weights_keys or ())
    if published is None or form is None:
        if state is not None:
            # Matrices that are one in the network are gathered one by one: it would not be seen that they are.
            state = {name: value for name, value in state.items() if name not in tied}
        network.save_pretrained(str(folder), state_dict=state, max_shard_size=shard_size)
        mark(network, folder)
        return
    folder.mkdir(parents=True, exist_ok=True)
    weights = network.state_dict() if state is None else state
    weights = {form.to_original(name): value for name, value in weights.items() if name not in tied}
    save_torch_state_dict(weights, str(folder), metadata={"format": "pt"}, max_shard_size=shard_size)
    text = json.dumps(_said(published, form, network.config), indent=2, sort_keys=True)
    (folder / "config.json").write_text(text + "\n", encoding="utf-8")
    mark(network, folder)


def _said(published: dict[str, Any], form: Format, config: PreTrainedConfig) -> dict[str, Any]:
    """The config.json that was read, with what has changed since."""
    stock = form.stock(published)
    before = form.original(AutoConfig.for_model(stock.pop("model_type"), **stock))
    return {**published, **{name: value for name, value in form.original(config).items() if value != before.get(name)}}


def restore(network: Any, folder: Path) -> None:
    """Give a network the weights that `save` wrote. Raises Failure where they are not all there."""
    adapter = vars(network).get("adapter")
    if adapter is not None:
        adapter.restore(folder)
        return
    form = published_format(network)
    state: dict[str, Tensor] = {}
    for file in sorted(folder.glob("model*.safetensors")):
        for name, value in load_file(str(file)).items():
            state[name if form is None else form.stock_name(name)] = value
    missing, unexpected = network.load_state_dict(state, strict=False)
    missing = set(missing) - set(network.all_tied_weights_keys or ())
    if unexpected or missing:
        raise Failure(f"checkpoint {folder} does not fit: {_listed('missing', missing)}, {_listed('not known', unexpected)}")


def published_format(network: Any) -> Format | None:
    """The format that the family of its weights publishes in; None where it is that of transformers."""
    published = vars(network.config).get("published")
    return None if published is None else format_of(family_for(published["model_type"]))


def shift_of(network: Any) -> int:
    """The logit shift that the family of its weights was published with."""
    published = vars(network.config).get("published") or {}
    family = family_for(published.get("model_type", network.config.model_type))
    return 0 if family is None else family.logit_shift


@contextmanager
def _kernel_refused(compute: Compute) -> Iterator[None]:
    """A block in which an architecture may refuse the attention kernel: said as what to do about it."""
    try:
        yield
    except ValueError as error:
        if "attention implementation" not in str(error):
            raise
        cure = "`-s compute.attention_kernel=eager`"
        raise Failure(f"this architecture does not attend by {compute.attention_kernel}: {cure}") from None


def _learns_all_rows(network: Any) -> Any:
    """Padding is hidden by its mask. Where its token also ends a text, as often, its row must learn like any other."""
    network.get_input_embeddings().padding_idx = None
    return network


def _unquantised(network: Any) -> Any:
    """What was read from a GGUF file, as if it had always been plain: transformers would not save it otherwise."""
    vars(network.config).pop("quantization_config", None)
    plain = type(network)(network.config)
    plain.load_state_dict(network.state_dict(), assign=True)
    plain.tie_weights()
    return plain.eval()


def _refuse_misfits(source: Path, network: Any, info: Mapping[str, Any], found: Architecture) -> None:
    """Every tensor is there, has the right shape, and none is left over."""

    def original(name: str) -> str:
        return name if found.form is None else found.form.to_original(name)

    spare = EDIT_HEADS if found.edits else ()
    extra = [name for name in info["unexpected_keys"] if not _SPARE.search(name) and not name.startswith(spare or ("\0",))]
    shapes = [f"{original(name)} is {_shape(here)} and should be {_shape(right)}" for name, here, right in info["mismatched_keys"]]
    problems = [
        _listed("missing", map(original, info["missing_keys"])) if info["missing_keys"] else "",
        _listed("not known", map(original, extra)) if extra else "",
        _listed("of another shape", shapes) if shapes else "",
        *map(str, info["error_msgs"]),
    ]
    told = [problem for problem in problems if problem]
    if told:
        raise Failure(f"the weights in {source} do not fit {type(network).__name__}: {'; '.join(told)}")


def _listed(what: str, names: Iterable[str]) -> str:
    known = sorted(names)
    more = f" and {len(known) - _SHOWN} more" if len(known) > _SHOWN else ""
    return f"{what}: {', '.join(known[:_SHOWN]) or 'none'}{more}"


def _shape(size: Iterable[int]) -> str:
    return "x".join(map(str, size))


@torch.no_grad()
def _refuse_looking_back(source: Path, network: Any) -> None:
    """An architecture of no family may ignore that it shall not be causal: its first position tells."""
    kind = network.config.model_type
    options = {"is_causal": False, "use_cache": False}
    try:
        first, other = (network.base_model(input_ids=torch.tensor([[0, last]]), **options).last_hidden_state[0, 0] for last in (0, 1))
    except TypeError:
        raise Failure(f"{source.name} is a {kind}, which cannot be told to see both ways") from None
    if torch.equal(first, other):
        raise Failure(f"{source.name} is a {kind}, whose first position sees nothing of the second: it only looks back")
