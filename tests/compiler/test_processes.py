"""Processes in a spec: what follows from their number, what does not depend on it, and what estimates make of them."""

from collections.abc import Callable
from math import prod

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.derived import numbers
from dllm_run.compiler.estimate.stage import estimate
from dllm_run.specs.plan import Plan
from dllm_run.specs.strategies import STRATEGIES
from dllm_run.specs.vocabulary.training import Training

Compile = Callable[..., Compiled]
SPEC = """\
version: 1
name: shared
model: {scratch: {family: llama, layers: 2, width: 64}, tokenizer: bytes}
data:
  docs: {sources: [{generate: sudoku}], holdout: 0.1, max_length: 64}
stages:
  train:
    kind: pretrain
    data: ${data.docs}
    objective: mdlm
    batch: 48
    optimizer: {learning_rate: 1e-3}
    duration: 10 steps
  bound:
    kind: eval
    model: ${stages.train}
    data: ${data.docs}
    tasks: [held_out_text]
    likelihood: {estimator: elbo, samples: 2}
  look:
    kind: sample
    model: ${stages.train}
    prompts: [""]
    max_new_tokens: 8
    sampler: llada
"""


def planned(plan: Plan, name: str = "train") -> tuple[str, Training]:
    stage_id = next(iter(plan.points.values())).stages[name]
    body = plan.stages[stage_id].body
    return stage_id, body  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("flags", "world", "strategy", "micro"),
    [
        ((), 1, "none", 48),
        (("compute.processes=4",), 4, "ddp", 12),
        (("compute={gpus_per_node: 3}",), 3, "ddp", 16),
        (("compute={gpus_per_node: 3, processes: 2, strategy: zero1}",), 2, "zero1", 24),
        (("compute={nodes: 2, gpus_per_node: 3, strategy: fsdp2}", "launch=slurm"), 6, "fsdp2", 8),
    ],
    ids=["one", "cpu", "gpus", "fewer", "nodes"],
)
def test_processes_strategy_and_micro_batch_are_solved(
    flags: tuple[str, ...], world: int, strategy: str, micro: int, compiling: Compile
) -> None:
    body = planned(compiling(SPEC, *flags).plan)[1]
    assert (body.compute.processes, body.compute.strategy, body.batch.micro) == (world, strategy, micro)
    # An evaluation is shared by as many, each with the whole model; samples are not.
    shared = planned(compiling(SPEC, *flags).plan, "bound")[1]
    assert (shared.compute.processes, shared.compute.strategy) == (world, "ddp" if world > 1 else "none")
    alone = planned(compiling(SPEC, *flags).plan, "look")[1]
    assert (alone.compute.processes, alone.compute.strategy, alone.compute.nodes) == (1, "none", 1)


@pytest.mark.parametrize("processes", [1, 2, 3, 4, 6, 8, 12, 16, 24, 48])
@pytest.mark.parametrize("micro", [1, 2, 3, 4, 6, 8])
def test_a_batch_is_accepted_just_where_it_divides(processes: int, micro: int, diagnosing: Callable[..., tuple[object, ...]]) -> None:
    """Brute force over the definition: is there an accumulation with micro x accumulation x processes = 48?"""
    divides = any(prod((micro, accumulation, processes)) == 48 for accumulation in range(1, 49))
    found = diagnosing(SPEC.replace("batch: 48", f"batch: {{global: 48, micro: {micro}}}"), f"compute.processes={processes}")
    assert [item.code for item in found] == ([] if divides else ["E311"])  # type: ignore[attr-defined]


@pytest.mark.parametrize("processes", [5, 7, 32])
@pytest.mark.parametrize("micro", ["", ", micro: 6"], ids=["solved", "stated"])
def test_the_cure_of_a_batch_that_does_not_divide_is_one(
    processes: int, micro: str, diagnosing: Callable[..., tuple[object, ...]], compiling: Compile
) -> None:
    text, flag = SPEC.replace("batch: 48", f"batch: {{global: 48{micro}}}"), f"compute.processes={processes}"
    (found,) = diagnosing(text, flag)
    body = planned(compiling(text, flag, found.fix).plan)[1]  # type: ignore[attr-defined]
    assert body.batch.micro is not None and body.batch.global_ % (body.batch.micro * processes) == 0


def test_how_many_processes_share_a_stage_is_numerics_and_what_dropout_hangs_on_is_not(compiling: Compile) -> None:
    one = planned(compiling(SPEC).plan)[0]
    for name, strategy in STRATEGIES.items():
        if strategy.several:
            assert planned(compiling(SPEC, f"compute={{processes: 4, strategy: {name}}}").plan)[0] == one
    # Under dropout the micro batch counts, and processes only in so far as it follows from them.
    dropping, four, stated = "model.dropout=0.1", "compute.processes=4", "stages.train.batch.micro=12"
    alone, solved, *others = (planned(compiling(SPEC, dropping, *more).plan)[0] for more in ((), (four,), (stated,), (four, stated)))
    assert alone != solved and others == [solved, solved]


def test_estimates_and_derived_numbers_know_the_processes(compiling: Compile) -> None:
    plan = compiling(
        SPEC, "compute={gpus_per_node: 4, nodes: 2, gpu: h100-80gb, strategy: zero2}", "launch=slurm", "stages.train.batch.micro=3"
    ).plan
    body = planned(plan)[1]
    found = estimate(body, lambda name: plan.stages[name].body, None, None)
    assert found.devices == 8 and found.course is not None
    assert (found.course.micro, found.course.accumulation, found.course.processes) == (3, 2, 8)
    accumulation = next(number for number in numbers(body, lambda stage: None) if number.name == "accumulation")
    assert accumulation.value == 2
