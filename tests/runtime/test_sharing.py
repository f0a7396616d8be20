"""What Trainer is told of several processes, whether it did so, and which checkpoints they can continue."""

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from torch import nn

from dllm_run.runtime.failure import Failure
from dllm_run.runtime.held_out import _Shared
from dllm_run.runtime.sharing import continues, refuse_otherwise, write_world
from dllm_run.runtime.world import World, refuse_other, world_of
from dllm_run.specs.vocabulary.compute import Compute

ONE = Compute().completed(parallel=True)
TWO = Compute(processes=2).completed(parallel=True)


def shared(strategy: str, processes: int = 2) -> Compute:
    return Compute(processes=processes, strategy=strategy).completed(parallel=True)


@pytest.mark.parametrize("strategy", ["ddp", "zero2", "fsdp2"])
def test_a_model_that_nothing_wraps_is_refused_where_something_should(strategy: str) -> None:
    with pytest.raises(Failure, match=rf"shares the stage out by {strategy}, and the model came out as none \(Linear\)"):
        refuse_otherwise(nn.Linear(2, 2), shared(strategy))
    refuse_otherwise(nn.Linear(2, 2), ONE)


def test_a_model_that_is_wrapped_otherwise_is_refused() -> None:
    class DeepSpeedEngine(nn.Module):
        def zero_optimization_stage(self) -> int:
            return 1

    with pytest.raises(Failure, match="by zero2, and the model came out as zero1"):
        refuse_otherwise(DeepSpeedEngine(), shared("zero2"))
    with pytest.raises(Failure, match="by none, and the model came out as zero1"):
        refuse_otherwise(DeepSpeedEngine(), ONE)


@pytest.mark.parametrize(
    ("written", "now", "outcome"),
    [
        (TWO, TWO, None),
        (TWO, ONE, "note"),
        (ONE, TWO, "note"),
        (shared("fsdp2"), shared("fsdp2", 4), "note"),
        (shared("zero2"), shared("zero2"), None),
        (shared("zero2"), shared("zero2", 4), "refused"),
        (shared("zero2"), shared("zero1"), "refused"),
        (shared("fsdp2"), TWO, "refused"),
        (TWO, shared("zero3"), "refused"),
    ],
    ids=lambda value: value if isinstance(value, str) or value is None else f"{value.processes}-{value.strategy}",
)
def test_a_checkpoint_says_who_may_continue_it(written: Compute, now: Compute, outcome: str | None, tmp_path: Path) -> None:
    write_world(tmp_path, written)
    if outcome == "refused":
        with pytest.raises(Failure) as raised:
            continues(tmp_path, now)
        assert f"-s compute.processes={written.processes} -s compute.strategy={written.strategy}" in str(raised.value)
        return
    note = continues(tmp_path, now)
    assert (note is None) is (outcome is None)


def test_who_one_is_stands_in_the_environment() -> None:
    full = {"RANK": "3", "WORLD_SIZE": "4", "LOCAL_RANK": "1", "LOCAL_WORLD_SIZE": "2", "MASTER_ADDR": "a", "MASTER_PORT": "1"}
    assert world_of(full) == World(3, 4, 1, 2)
    assert world_of({}) == world_of({"MASTER_PORT": "1"}) == World()
    with pytest.raises(Failure, match="MASTER_ADDR did not"):
        world_of({name: value for name, value in full.items() if name != "MASTER_ADDR"})
    with pytest.raises(Failure, match="RANK is 'x'"):
        world_of({**full, "RANK": "x"})


def test_only_the_processes_of_the_plan_begin() -> None:
    refuse_other(World(), ONE)
    refuse_other(World(1, 2, 1, 2), TWO)
    with pytest.raises(Failure, match="for 2 processes, and 1 process was started"):
        refuse_other(World(), TWO)


@pytest.mark.parametrize(("passes", "size"), [(5, 2), (4, 2), (1, 3), (7, 3)])
def test_every_pass_over_held_out_rows_has_one_process_and_all_make_as_many(passes: int, size: int) -> None:
    """Each pass is worth 1: the turns of the processes sum to as many ones as there are passes."""
    total, made = torch.zeros(passes), []
    for rank in range(size):
        calls: list[int] = []

        def bound(denoiser: object, rows: object, stream: object) -> torch.Tensor:
            return torch.ones(1)

        def within(function: object, rows: object, stream: object, calls: list[int] = calls) -> torch.Tensor:
            calls.append(1)
            return torch.ones(1)

        share = _Shared(bound, World(rank, size, rank, size), within, passes=passes)

        class Row:
            tokens_BL = torch.zeros(1, 3)

        total += torch.cat([share(None, Row(), None) for _ in range(passes)])  # type: ignore[arg-type]
        made.append(len(calls))
    assert total.tolist() == [1] * passes
    assert len(set(made)) == 1, made


def test_completing_leaves_nothing_open_and_keeps_what_is_said() -> None:
    eight = Compute(nodes=2, gpus_per_node=4).completed(parallel=True)
    assert (eight.processes, eight.strategy, eight.device) == (8, "ddp", "cuda")
    alone = Compute(nodes=2, gpus_per_node=4, strategy="zero2").completed(parallel=False)
    assert (alone.nodes, alone.gpus_per_node, alone.processes, alone.strategy) == (1, 1, 1, "none")
    assert replace(TWO, strategy=None).completed(parallel=True) == TWO
