"""What would not fit, not finish or never happen: found by arithmetic before anything is allocated."""

from collections.abc import Callable, Collection, Iterator
from typing import Any

from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.problem import Problem
from dllm_run.specs.reference import Reference
from dllm_run.specs.slurm_amounts import slurm_time
from dllm_run.specs.vocabulary.compute import Compute
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.samplers import Sampler
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.vocabulary.stages.sample import HeldOut, Sample
from dllm_run.specs.vocabulary.tasks import BuiltInTask
from dllm_run.specs.vocabulary.training import Training
from dllm_run.specs.word import members

from .check import diagnostic
from .estimate.amounts import prompt_tokens
from .estimate.facts import Facts, deciding, facts_of
from .estimate.stage import cores_of, time_of
from .estimate.units import counted, span, time
from .estimate.work import training_steps
from .fit import memory_problems
from .micro import micro_solved
from .node import Node
from .sizes import Sizes

Path = tuple[str, ...]
Placed = tuple[Path, Problem]
"""A finding and the path that its own paths start from."""


_MANY = 1e9
"""Quantised numbers from which a CPU is told to be slow."""
Told = dict[tuple[int, ...], tuple[Any, ...]]
"""Identities of the objects that a stage's facts follow from, to these objects, which stay alive with them."""


def capacity(
    spec: Spec, names: Collection[str], root: Node, written: Callable[[Path], Path], at_hand: Sizes, told: Told
) -> Iterator[Diagnostic]:
    """Findings about these stages of a typed spec whose references hold. What is in `told` was looked at before."""
    stage_of = spec.stages.__getitem__
    for path, problem in _inert_gpus(spec, written):
        yield diagnostic(problem, path, root, written)
    for name, stage in spec.stages.items():
        if name not in names:
            continue
        decides = deciding(stage, stage_of)
        key = tuple(map(id, decides))
        if key in told:
            continue
        told[key] = decides
        facts = facts_of(micro_solved(stage, stage_of).completed(), stage_of, at_hand)
        if facts is None:
            continue
        path = ("stages", name)

        def own(inner: Path, path: Path = path) -> bool:
            return written((*path, *inner)) in ((*path, *inner), inner)

        for start, problem in (*_lengths(path, facts), *_events(path, facts), *_limit(path, facts), *_unpacked(path, facts)):
            yield diagnostic(problem, start, root, written)
        for problem in memory_problems(name, facts, own):
            yield diagnostic(problem, path, root, written)


def _inert_gpus(spec: Spec, written: Callable[[Path], Path]) -> Iterator[Placed]:
    """A GPU that is named where no stage that gets the name computes on one."""
    homes: dict[Path, list[Compute]] = {}
    for name, stage in spec.stages.items():
        if stage.compute.gpu is not None:
            homes.setdefault(written(("stages", name, "compute", "gpu")), []).append(stage.compute)
    for home, computes in homes.items():
        if any(compute.gpus_per_node and compute.completed().device == "cuda" for compute in computes):
            continue
        cpu = any(compute.device == "cpu" for compute in computes)
        label = "leave it out" if cpu else "say how many, or leave it out"
        message = "gpu has no effect on a CPU" if cpu else "gpu has no effect where `gpus_per_node` is 0"
        fix = None if cpu else (("gpus_per_node",), 1)
        yield home[:-1], Problem(code="E430", message=message, path=("gpu",), label=label, fix=fix)


def _lengths(path: Path, facts: Facts) -> Iterator[Placed]:
    """Sequences that are longer than the model."""
    stage = facts.stage
    if facts.geometry is None:
        return
    positions = facts.geometry.positions
    if isinstance(stage, Training):
        yield from _training_length(path, stage, facts, positions)
    elif isinstance(stage, Sample):
        if isinstance(stage.prompts, HeldOut):
            yield from _held_out_length(path, stage.prompts, facts, positions)
            return
        given, new = prompt_tokens(stage.prompts, facts.tokenizer)[0], stage.max_new_tokens
        if new is not None and given + new > positions:
            message = f"a prompt of {given} and {new} new tokens do not fit a model of {positions} positions"
            yield path, _too_many(message, positions - given, stage.sampler)
    elif (
        stage.sampler is not None
        and stage.max_new_tokens >= positions
        and any(task.name not in members(BuiltInTask) for task in stage.tasks)
    ):
        message = f"{stage.max_new_tokens} new tokens leave no room for a question in a model of {positions} positions"
        yield path, _too_many(message, positions // 2, stage.sampler)


def _training_length(path: Path, stage: Training, facts: Facts, positions: int) -> Iterator[Placed]:
    assert facts.data is not None
    if facts.data.max_length <= positions or (stage.model.scratch is not None and not isinstance(stage.data, Reference)):
        return  # a stage that has both knows by itself
    message = f"sequences of {facts.data.max_length} tokens do not fit a model of {positions} positions"
    start, key = (("stages", stage.data.stage), ("data",)) if isinstance(stage.data, Reference) else (path, ("data",))
    fix = ((*key, "max_length"), positions)
    yield start, Problem(code="E315", message=message, path=(*key, "max_length"), fix=fix)


def _held_out_length(path: Path, prompts: HeldOut, facts: Facts, positions: int) -> Iterator[Placed]:
    assert facts.data is not None
    length = min(prompts.length or facts.data.max_length, facts.data.max_length)
    if length > positions:
        message = f"rows of up to {length} tokens do not fit a model of {positions} positions"
        where = ("prompts", "length")
        yield path, Problem(code="E315", message=message, path=where, fix=(where, positions))


def _too_many(message: str, room: int, sampler: Sampler) -> Problem:
    block = sampler.window(room) if room > 0 else 1
    legal = room // block * block
    fix = (("max_new_tokens",), legal) if room > 0 else None
    return Problem(code="E318", message=message, path=("max_new_tokens",), label=f"at most {max(0, legal)}", fix=fix)


def _events(path: Path, facts: Facts) -> Iterator[Placed]:
    """What never happens in so many epochs of rows that are known."""
    stage = facts.stage
    if not isinstance(stage, Training) or stage.duration.unit != "epochs":
        return
    steps, size = training_steps(facts), facts.size
    if steps is None or facts.data is None:
        return
    rows = size.training if size is not None else facts.data.limit or 0
    bound = "" if steps[0] == steps[1] and size is not None else "at most "
    for problem in stage.events_within(steps[1], f"{bound}{counted(steps[1], 'step')}, of {counted(rows, 'row')}"):
        yield path, problem


def _unpacked(path: Path, facts: Facts) -> Iterator[Placed]:
    """Many quantised weights on a CPU."""
    if facts.kept.quantization is None or facts.stage.compute.device != "cpu" or facts.geometry is None:
        return
    many = facts.geometry.linear_parameters()
    if many <= _MANY:
        return
    where = ("model", "quantization") if isinstance(facts.stage.model, Model) else ("model",)
    message = f"weights in {facts.kept.quantization} on a CPU: {many / 1e9:.1f} billion numbers are unpacked in every pass"
    yield path, Problem(code="W531", severity="warning", message=message, path=where, label="it works, slowly; a GPU has kernels for it")


def _limit(path: Path, facts: Facts) -> Iterator[Placed]:
    """A time limit that even a fast run would meet."""
    limit = facts.stage.launch.time_limit()
    found = time_of(facts, cores_of(facts.stage)) if limit is not None else None
    if limit is None or found is None or found[0] <= limit:
        return
    yield (
        path,
        Problem(
            code="W331",
            severity="warning",
            message=f"stage {path[1]!r} takes {time(found[0])} at the least, its job ends after {time(limit)}",
            path=("launch", "time"),
            label=f"estimated: {span(*found)}",
            fix=(("launch", "time"), slurm_time(found[1])),
        ),
    )
