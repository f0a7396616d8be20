"""Low-rank adapters on a stock network, through PEFT: laid over it, saved alone, folded into it."""

import json
import re
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from peft import LoraConfig
from peft.tuners.lora import LoraModel
from peft.utils import get_peft_model_state_dict, set_peft_model_state_dict
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from dllm_run.specs.vocabulary.lora import Lora

from .denoiser import is_masked_lm
from .edit_heads import MODULES as EDIT_MODULES
from .failure import Failure
from .families import Format
from .noise import Stream

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
EDIT_RATES = "rate_heads.0"
"""The linear layer of the heads of rates, whose softplus has no weights."""
_PREFIX = "base_model."
"""What a PeftModel puts before the name of each of its tensors."""
_PART = re.compile(r"^(?P<prefix>base_model\.model\.)?(?P<module>.+?)\.(?P<part>lora_[\w.]+|token_adapter\..+|base_layer\..+|weight|bias)$")
_SHOWN = 5


class Adapter:
    """An adapter on a network: PEFT's tuner, which changes the network in place and leaves its class what it was."""

    def __init__(self, network: Any, config: LoraConfig, format: Format | None) -> None:
        self.network = network
        self.config = config
        self.format = format
        """How the family names its modules in its own files, and so in those of its adapters; None: as transformers."""
        self.tuner = LoraModel(network, config, "default")
        network.adapter = self  # so that whoever saves the network saves the adapter alone
        for parameter in network.parameters():
            if parameter.requires_grad:
                parameter.data = parameter.data.float()  # small steps on bf16 weights would round to nothing

    def save(self, folder: Path, weights: Mapping[str, Tensor] | None = None) -> None:
        """Write the adapter alone, as PEFT would. `weights` are those of the network where they live in pieces."""
        folder.mkdir(parents=True, exist_ok=True)
        state = get_peft_model_state_dict(
            self.tuner,
            state_dict=None if weights is None else {f"model.{name}": value for name, value in weights.items()},
            adapter_name="default",
            save_embedding_layers=False,
        )
        # Copies: a bias that two layers share is one tensor twice, which the format does not hold.
        tensors = {_named(_PREFIX + name, self.format, back=False): value.detach().clone() for name, value in state.items()}
        save_file(tensors, str(folder / WEIGHTS), metadata={"format": "pt"})
        said = {**self.config.to_dict(), "inference_mode": True, "target_modules": self._targets()}
        text = json.dumps({key: _plain(value) for key, value in said.items()}, indent=2, sort_keys=True)
        (folder / CONFIG).write_text(text + "\n", encoding="utf-8")

    def restore(self, folder: Path) -> None:
        """Take the weights that `save` wrote, or PEFT. Raises Failure where they are others."""
        tensors = {_named(name, self.format, back=True).removeprefix(_PREFIX): value for name, value in _tensors(folder).items()}
        mine = set(get_peft_model_state_dict(self.tuner, adapter_name="default", save_embedding_layers=False))
        missing, extra = sorted(mine - set(tensors)), sorted(set(tensors) - mine)
        if missing or extra:
            found = [f"{what} {', '.join(names[:_SHOWN])}" for what, names in (("missing", missing), ("not known", extra)) if names]
            raise Failure(f"the adapter in {folder} does not fit {type(self.network).__name__}: {'; '.join(found)}")
        try:
            set_peft_model_state_dict(self.tuner, tensors, adapter_name="default")
        except RuntimeError as error:
            raise Failure(f"the adapter in {folder} does not fit: {' '.join(str(error).split())[:300]}") from None

    def fold(self) -> None:
        """Add it to the weights that it stands beside, and be gone."""
        self.tuner.merge_and_unload(safe_merge=True)
        self.network.requires_grad_(True)  # frozen only for the sake of the adapter
        del self.network.adapter

    def _targets(self) -> list[str]:
        """The modules that it stands beside, as the family names them."""
        names = self.tuner.targeted_module_names
        ends = {_named(f"{name}.weight", self.format, back=False).removesuffix(".weight").rpartition(".")[2] for name in names}
        return sorted(ends)


def fresh_adapter(
    network: Any, lora: Lora, stream: Stream, format: Format | None, *, rows: tuple[int, ...] = (), base: str = ""
) -> Adapter:
    """A new adapter, its first factors drawn from the stream; nothing else of the network is trained but the embeddings of `rows`.

    `base` names the weights for those who read the adapter without a plan.
    """
    _refuse_shared(network, lora)
    # Heads for edits are new: they are trained whole.
    heads = [EDIT_RATES if name == EDIT_RATES.partition(".")[0] else name for name in EDIT_MODULES if name in network._modules]
    config = LoraConfig(
        r=lora.r,
        lora_alpha=lora.alpha,
        lora_dropout=lora.dropout,
        target_modules=lora.targets if isinstance(lora.targets, str) else list(lora.targets),
        exclude_modules=heads or None,
        bias=lora.bias,
        modules_to_save=[*lora.modules_to_save, *heads] or None,
        use_rslora=lora.rslora,
        use_dora=lora.dora,
        init_lora_weights=True if lora.init == "kaiming" else lora.init,
        trainable_token_indices=list(rows) or None,
        # PEFT wraps a causal model in a class of its own, which asks for what a masked one does not have.
        task_type=None if is_masked_lm(network) else "CAUSAL_LM",
        base_model_name_or_path=base,
    )
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(stream.integer())
        try:
            return Adapter(network, config, format)
        except ValueError as error:
            raise Failure(f"the adapter finds nothing to stand beside: {' '.join(str(error).split())[:300]}") from None


def _refuse_shared(network: Any, lora: Lora) -> None:
    """What is added beside one end of a shared matrix would, once folded in, be added at the other end too."""
    ends = (network.get_input_embeddings(), network.get_output_embeddings())
    names = {name.rpartition(".")[2] for name, module in network.named_modules() if module in ends}
    asked = names & set(lora.targets) if isinstance(lora.targets, tuple) else set()
    if asked and ends[0].weight is ends[1].weight:
        raise Failure(f"{', '.join(sorted(asked))} shares its matrix with the other end of the model: it can have no adapter of its own")


def adapter_in(network: Any, folder: Path, format: Format | None, *, dropout: float = 0.0) -> Adapter:
    """The adapter of a folder, laid over a network; `dropout` replaces its own, as it does that of a checkpoint.

    Raises Failure where it is none, or one of another network.
    """
    try:
        said = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise Failure(f"{folder} holds no adapter: {CONFIG}: {error}") from None
    kind = said.get("peft_type")
    if kind != "LORA":
        raise Failure(f"{folder} holds an adapter of type {kind}; LORA is what is read")
    known = set(LoraConfig.__dataclass_fields__) - {"target_modules", "exclude_modules", "auto_mapping", "peft_type"}
    options = {name: value for name, value in said.items() if name in known}
    factors = [name for name in _tensors(folder) if ".lora_A." in name or ".lora_embedding_A" in name]
    modules = sorted({_module(_named(name, format, back=True)) for name in factors})
    names = dict(network.named_modules())
    strangers = [name for name in modules if name not in names]
    if strangers or not modules:
        raise Failure(f"the adapter in {folder} stands beside {', '.join(strangers[:_SHOWN]) or 'nothing'}, which the model does not have")
    found = Adapter(network, LoraConfig(**{**options, "target_modules": modules, "inference_mode": False, "lora_dropout": dropout}), format)
    found.restore(folder)
    return found


def is_adapter(folder: Path) -> bool:
    """Whether a folder holds an adapter rather than a model."""
    return (folder / CONFIG).is_file()


def freeze(network: nn.Module) -> None:
    """Train nothing of it."""
    for parameter in network.parameters():
        parameter.requires_grad_(False)


def _tensors(folder: Path) -> dict[str, Tensor]:
    for name in (WEIGHTS, "adapter_model.bin"):
        path = folder / name
        if path.is_file():
            return load_file(str(path)) if name == WEIGHTS else torch.load(path, map_location="cpu", weights_only=True)
    raise Failure(f"{folder} holds no weights of an adapter: no {WEIGHTS}")


def _module(name: str) -> str:
    """The module that a tensor of an adapter belongs to."""
    match = _PART.match(name)
    return match["module"] if match is not None else name


def _named(name: str, format: Format | None, *, back: bool) -> str:
    """The name of an adapter's tensor in the files of its family, or `back` in the stock network."""
    match = _PART.match(name)
    if format is None or match is None:
        return name
    weight = f"{match['module']}.weight"
    renamed = format.stock_name(weight) if back else format.to_original(weight)
    return f"{match['prefix'] or ''}{renamed.removesuffix('.weight')}.{match['part']}"


def _plain(value: Any) -> Any:
    """JSON has no sets and no enumerations."""
    return sorted(value) if isinstance(value, set) else value
