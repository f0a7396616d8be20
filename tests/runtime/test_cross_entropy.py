"""Cross-entropy in chunks: the loss and gradients of all logits at once, of which none exist."""

import math
from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode

from dllm_run.runtime.cross_entropy import CrossEntropy, projected, through
from dllm_run.runtime.head import Projection
from dllm_run.specs import arithmetic

R, D, V, NEVER = 150, 6, 11, 4


@pytest.fixture(autouse=True)
def small_chunks(monkeypatch: pytest.MonkeyPatch) -> None:
    """Chunks of 32 rows: 150 rows are four whole ones and a part."""
    monkeypatch.setattr(arithmetic, "LOGITS_OF_CHUNK", 1)


def numbers(*shape: int, seed: int) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


class Case:
    """One problem: leaves, targets other than the token that is never predicted, weights of which one is 0."""

    def __init__(self, dtype: torch.dtype = torch.float64, *, bias: bool = True, rows: int = R) -> None:
        self.features = numbers(rows, D, seed=1).to(dtype).requires_grad_()
        self.matrix = nn.Parameter(numbers(V, D, seed=2).to(dtype))
        self.bias = nn.Parameter(numbers(V, seed=3).to(dtype)) if bias else None
        self.target = torch.arange(rows) * 7 % V
        self.target[self.target == NEVER] = 0
        self.weight = numbers(rows, seed=4).abs()
        if rows:
            self.weight[3] = 0

    def leaves(self) -> list[Tensor]:
        return [self.features, self.matrix, *([] if self.bias is None else [self.bias])]

    def projected(self) -> CrossEntropy:
        return projected(self.features, Projection(self.matrix, self.bias), self.target, self.weight, NEVER)

    def through(self) -> CrossEntropy:
        return through(self.logits, self.features, self.target, self.weight, 32)

    def logits(self, features: Tensor) -> Tensor:
        logits = nn.functional.linear(features, self.matrix, self.bias)
        return logits.index_fill(-1, torch.tensor([NEVER]), -math.inf)

    def whole(self) -> CrossEntropy:
        nll = nn.functional.cross_entropy(self.logits(self.features), self.target, reduction="none")
        return CrossEntropy((self.weight * nll).sum(), nll.detach())


def gradients(case: Case, loss: Callable[[Case], CrossEntropy], scale: float = 0.7) -> list[Tensor]:
    for leaf in case.leaves():
        leaf.grad = None
    (loss(case).total * scale).backward()
    return [leaf.grad.clone() for leaf in case.leaves() if leaf.grad is not None]


WAYS = {"projected": Case.projected, "through": Case.through}


@pytest.mark.parametrize("bias", [True, False], ids=["bias", "no bias"])
@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_loss_and_gradients_are_those_of_all_logits_at_once(way: Callable[[Case], CrossEntropy], bias: bool) -> None:
    case = Case(bias=bias)
    found, expected = way(case), case.whole()
    torch.testing.assert_close(found.total, expected.total, rtol=1e-13, atol=1e-12)
    torch.testing.assert_close(found.nll_R, expected.nll_R, rtol=1e-13, atol=1e-13)
    assert not found.nll_R.requires_grad
    for mine, theirs in zip(gradients(case, way), gradients(case, Case.whole), strict=True):
        torch.testing.assert_close(mine, theirs, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_gradients_add_up_over_micro_batches(way: Callable[[Case], CrossEntropy]) -> None:
    case = Case()
    once = gradients(case, way)
    for _ in range(2):
        (way(case).total * 0.7).backward()
    for leaf, first in zip(case.leaves(), once, strict=True):
        torch.testing.assert_close(leaf.grad, 3 * first, rtol=1e-12, atol=1e-13)


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_no_rows_are_a_loss_of_0_that_can_be_walked_back(way: Callable[[Case], CrossEntropy]) -> None:
    case = Case(rows=0)
    found = way(case)
    assert found.total.item() == 0 and found.nll_R.shape == (0,)
    if found.total.requires_grad:
        found.total.backward()


def test_a_frozen_output_matrix_costs_no_gradient_and_the_features_have_theirs() -> None:
    case = Case()
    expected = gradients(case, Case.projected)[0]
    case.matrix.requires_grad_(False)
    case.bias.requires_grad_(False)  # type: ignore[union-attr]
    found = case.projected()
    assert found.total.grad_fn is not None and found.total.grad_fn.grads[1] is None  # type: ignore[attr-defined]
    case.features.grad = None
    (found.total * 0.7).backward()
    torch.testing.assert_close(case.features.grad, expected, rtol=1e-13, atol=1e-14)


def test_without_gradients_nothing_is_kept_for_them() -> None:
    case = Case()
    with torch.no_grad():
        found = case.projected()
    assert not found.total.requires_grad
    torch.testing.assert_close(found.nll_R, case.whole().nll_R)


def test_a_loss_is_walked_back_once_or_told_why_not() -> None:
    total = Case().projected().total
    total.backward(retain_graph=True)
    with pytest.raises(RuntimeError, match="walked back twice"):
        total.backward()


class Largest(TorchDispatchMode):
    """Remembers the largest tensor that came to be."""

    def __init__(self) -> None:
        super().__init__()
        self.elements = 0

    def __torch_dispatch__(
        self, func: object, types: object, args: tuple[object, ...] = (), kwargs: dict[str, object] | None = None
    ) -> object:
        out = func(*args, **(kwargs or {}))  # type: ignore[operator]
        for item in out if isinstance(out, tuple) else (out,):
            if isinstance(item, Tensor):
                self.elements = max(self.elements, item.numel())
        return out


@pytest.mark.parametrize("way", WAYS.values(), ids=WAYS)
def test_no_tensor_of_the_size_of_all_logits_exists(way: Callable[[Case], CrossEntropy]) -> None:
    case = Case()
    with Largest() as largest:
        way(case).total.backward()
    assert largest.elements == R * D < R * V


def test_under_autocast_products_are_narrow_and_the_softmax_is_not() -> None:
    case = Case(torch.float32)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        found = case.projected()
    assert found.nll_R.dtype == found.total.dtype == torch.float32
    narrow = case.features.detach().bfloat16().float() @ case.matrix.detach().bfloat16().float().T + case.bias  # type: ignore[operator]
    narrow[:, NEVER] = -math.inf
    expected = nn.functional.cross_entropy(narrow, case.target, reduction="none")
    # The product itself comes out in bf16: 8 bits of a logit.
    torch.testing.assert_close(found.nll_R, expected.detach(), rtol=0, atol=float(narrow[:, 0].detach().abs().max()) * 2**-7)
    found.total.backward()
    assert case.features.grad is not None and case.features.grad.dtype == torch.float32
    wide = gradients(case, Case.whole, scale=1.0)
    for mine, theirs in zip(gradients(case, autocast, scale=1.0), wide, strict=True):
        assert float((mine - theirs).norm() / theirs.norm()) < 0.02


def autocast(case: Case) -> CrossEntropy:
    with torch.autocast("cpu", dtype=torch.bfloat16):
        return case.projected()
