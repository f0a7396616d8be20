"""The head of a stock architecture, apart from its body: from hidden states to logits. R rows, D width, V vocabulary."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn


class Projection(NamedTuple):
    """The last linear layer of a head: logits = features @ weight.T + bias, and nothing after it."""

    weight_VD: Tensor
    bias_V: Tensor | None


class Head:
    """What a network does behind its body, whatever its class: transforms, output matrix, soft caps, scales."""

    def __init__(self, network: Any) -> None:
        self.network = network
        self._ends_plainly: bool | None = None
        self._output: str | None = None

    def logits(self, hidden_RD: Tensor) -> Tensor:
        """Logits [R, V] exactly as the network's own forward pass computes them."""
        # The network runs with its body swapped for one that answers what it was given: no class needs a case of its own.
        with _swapped(self.network, self.network.base_model_prefix, _Given(hidden_RD[None])):
            found: Tensor = self.network(input_ids=_NOTHING.to(hidden_RD.device)).logits
        return found[0]

    def features(self, hidden_RD: Tensor) -> Tensor:
        """What the last linear layer multiplies, [R, D']."""
        kept = _Kept()
        with _swapped(self.network, self._output_name(), kept):
            self.logits(hidden_RD)
        return kept.features[0]

    def last(self) -> nn.Linear | None:
        """The last linear layer, where logits are just that of `features`; None where something follows it, or it is no plain one."""
        output = self.network.get_output_embeddings()
        found = plain(output)
        if found is not None and self._ends_plainly is None:
            self._ends_plainly = self._check(output)
        return found if self._ends_plainly else None

    @torch.no_grad()
    def _check(self, output: nn.Linear) -> bool:
        """Two rows say whether anything follows the output matrix: a soft cap, a scale, a bias of its own."""
        training = self.network.training
        self.network.eval()
        hidden_RD = torch.linspace(-2, 2, 2 * self._width(), device=output.weight.device, dtype=output.weight.dtype).view(2, -1)
        found = torch.allclose(self.logits(hidden_RD), output(self.features(hidden_RD)), rtol=1e-5, atol=1e-6)
        self.network.train(training)
        return found

    def _width(self) -> int:
        return int(self.network.config.hidden_size)

    def _output_name(self) -> str:
        """Looked for once: a walk over all modules takes as long as a small model's head."""
        if self._output is None or self.network.get_submodule(self._output) is not self.network.get_output_embeddings():
            output = self.network.get_output_embeddings()
            self._output = next(name for name, module in self.network.named_modules() if module is output)
        return self._output


def plain(module: nn.Module) -> nn.Linear | None:
    """A linear layer of plain numbers; None of one that is quantised or has an adapter: its module alone multiplies."""
    if type(module) is not nn.Linear or type(module.weight) is not nn.Parameter:
        return None
    return module


def is_divided(module: nn.Module) -> bool:
    """Whether processes hold its weights in pieces that are gathered for each of its passes, as ZeRO-3 does: all make the same passes."""
    return any("ds_id" in vars(parameter) for parameter in module.parameters())


_NOTHING = torch.zeros(1, 1, dtype=torch.int64)


class _Answer:
    """What a body returns, reduced to its hidden states."""

    def __init__(self, hidden: Tensor) -> None:
        self.last_hidden_state = hidden

    def __getitem__(self, index: int | slice) -> Any:
        return (self.last_hidden_state,)[index]

    def __getattr__(self, name: str) -> None:
        return None  # caches, attentions, router logits: there are none


class _Given(nn.Module):
    """A body that answers the hidden states it was made with."""

    def __init__(self, hidden: Tensor) -> None:
        super().__init__()
        self.answer = _Answer(hidden)

    def forward(self, *args: Any, **kwargs: Any) -> _Answer:
        return self.answer


class _Kept(nn.Module):
    """An output matrix that only remembers what it was given: what follows it, such as a soft cap, is then no part of that."""

    features: Tensor

    def forward(self, features: Tensor) -> Tensor:
        self.features = features
        return features


class _swapped:
    """A module of a network replaced for the length of a block."""

    def __init__(self, network: Any, name: str, module: nn.Module) -> None:
        path, _, self.name = name.rpartition(".")
        self.parent = network.get_submodule(path)
        self.module = module

    def __enter__(self) -> None:
        self.own = self.parent._modules[self.name]
        self.parent._modules[self.name] = self.module

    def __exit__(self, *error: object) -> None:
        self.parent._modules[self.name] = self.own
