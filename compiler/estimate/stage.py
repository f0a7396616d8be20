"""The estimate of a stage: memory of a device, operations, time, and what a training goes through."""

import math
from dataclasses import dataclass

from dllm_run.specs.arithmetic import rows_of_chunk
from dllm_run.specs.devices import DEVICES
from dllm_run.specs.geometry import Geometry
from dllm_run.specs.vocabulary.compute import Compute
from dllm_run.specs.vocabulary.lora import Lora
from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.vocabulary.stages.eval import Eval
from dllm_run.specs.vocabulary.stages.sample import Sample
from dllm_run.specs.vocabulary.tasks import BuiltInTask
from dllm_run.specs.vocabulary.training import Training
from dllm_run.specs.word import members

from ..follow import StageOf
from ..sizes import Sizes
from . import Memory
from .amounts import Range, prompt_tokens
from .facts import Facts, facts_of
from .flops import cpu_seconds, seconds
from .memory import inference_memory, training_memory
from .settings import PROMPT, evaluation_setting, sampling_setting, trained_adapter, training_setting, world_of
from .work import flops_of, training_steps

_SMALL = 1e9
"""Parameters below which a GPU waits for its next kernel more than it computes."""
_SHARE, _SMALL_SHARE = 0.25, 0.05  # of a GPU's peak, at the least
_ADAMW = 12  # bytes of a checkpoint a parameter: fp32 weights and two moments


@dataclass(frozen=True, slots=True, kw_only=True)
class Course:
    """What a training goes through; None where it follows from rows that are not known."""

    steps: tuple[int, int] | None
    """The least and the most."""
    warmup: int | None
    micro: int
    accumulation: int
    processes: int
    checkpoints: int | None
    kept: int | None
    """Of the checkpoints; None: all of them."""
    checkpoint_bytes: int | None


@dataclass(frozen=True, slots=True, kw_only=True)
class Estimate:
    """Of one stage; what is not known is None."""

    devices: int
    """GPUs; 0: a CPU."""
    gpu: str | None
    memory: Memory | None
    flops: Range | None
    seconds: Range | None
    course: Course | None
    assumptions: tuple[str, ...]

    @property
    def capacity(self) -> int | None:
        """Bytes of the declared GPU."""
        return DEVICES[self.gpu].memory if self.gpu is not None and self.devices else None


def estimate(stage: Stage, stage_of: StageOf, at_hand: Sizes | None, cores: int | None) -> Estimate:
    """The estimate of a complete stage. `cores`: CPU cores of its process where nothing in the plan says so."""
    facts = facts_of(stage, stage_of, at_hand)
    time = time_of(facts, cores_of(stage) or cores) if facts is not None else None
    return Estimate(
        devices=stage.compute.nodes * stage.compute.gpus_per_node if stage.compute.device == "cuda" else 0,
        gpu=stage.compute.gpu,
        memory=memory_of(facts) if facts is not None else None,
        flops=flops_of(facts) if facts is not None else None,
        seconds=time,
        course=_course(facts.stage, facts) if facts is not None and isinstance(facts.stage, Training) else None,
        assumptions=_assumptions(facts, timed=time is not None) if facts is not None else (),
    )


def cores_of(stage: Stage) -> int | None:
    """CPU cores that the plan gives the processes of the stage."""
    threads, cores = stage.compute.threads, stage.launch.cores()
    return threads * stage.compute.world if threads else cores and cores * stage.compute.nodes


def memory_of(facts: Facts, prompt: int = PROMPT) -> Memory | None:
    """Peak memory of one device; questions of a library's tasks are taken to have `prompt` tokens."""
    stage, geometry = facts.stage, facts.geometry
    if geometry is None:
        return None
    if isinstance(stage, Training):
        assert facts.longest is not None
        return training_memory(geometry, training_setting(stage, facts.longest, facts.kept))
    if isinstance(stage, Sample):
        given = prompt_tokens(stage.prompts, facts.tokenizer)[1] if isinstance(stage.prompts, tuple) else facts.longest
        assert given is not None
        return inference_memory(geometry, sampling_setting(stage, given, facts.kept))
    most = min(geometry.positions, facts.longest or geometry.positions)
    return inference_memory(geometry, evaluation_setting(stage, prompt, most, facts.kept, rows_of_chunk(geometry.vocabulary)))


def time_of(facts: Facts, cores: int | None) -> Range | None:
    """Seconds, the shortest and the longest; None on a GPU without a name, a CPU of unknown size, or for unknown work."""
    flops, geometry = flops_of(facts), facts.geometry
    if flops is None or geometry is None:
        return None
    compute = facts.stage.compute
    if compute.device == "cuda":
        return None if compute.gpu is None else _gpu_time(flops, compute, compute.gpu, _least_share(geometry))
    return None if cores is None else (cpu_seconds(flops[0], cores=cores)[0], cpu_seconds(flops[1], cores=cores)[1])


def _gpu_time(flops: Range, compute: Compute, gpu: str, share: float) -> Range:
    fp32, devices = compute.precision == "fp32", world_of(compute)
    shortest, _ = seconds(flops[0], gpu, devices=devices, fp32=fp32)
    _, longest = seconds(flops[1], gpu, devices=devices, fp32=fp32, share_low=share)
    return shortest, longest


def _least_share(geometry: Geometry) -> float:
    return _SMALL_SHARE if geometry.parameters() < _SMALL else _SHARE


def _course(stage: Training, facts: Facts) -> Course:
    steps = training_steps(facts)
    exact = steps[0] if steps is not None and steps[0] == steps[1] else None
    micro = stage.batch.micro
    assert micro is not None
    return Course(
        steps=steps,
        warmup=None if exact is None else stage.optimizer.warmup.of(exact),
        micro=micro,
        accumulation=max(1, stage.batch.global_ // (micro * world_of(stage.compute))),
        processes=world_of(stage.compute),
        checkpoints=None if exact is None else math.ceil(exact / max(1, stage.checkpoint.every.of(exact))),
        kept=None if isinstance(stage.checkpoint.keep, str) else stage.checkpoint.keep,
        checkpoint_bytes=None if facts.geometry is None else _checkpoint_bytes(facts.geometry, trained_adapter(stage, facts.kept)),
    )


def _checkpoint_bytes(geometry: Geometry, adapter: Lora | None) -> int:
    """Of what is trained: the weights, or the adapter."""
    return _ADAMW * (geometry.parameters() if adapter is None else geometry.lora_parameters(adapter.r))


def _assumptions(facts: Facts, *, timed: bool) -> tuple[str, ...]:
    """What stands behind the numbers of a stage beside its fields."""
    stage, geometry = facts.stage, facts.geometry
    found = ["memory is right to about 10 %"] if geometry is not None else []
    if geometry is not None and timed:
        gpu = f"{100 * _least_share(geometry):g} to 40 % of a GPU's peak"
        found.append(gpu if stage.compute.device == "cuda" else "10 to 140 GFLOP/s a CPU core")
        if facts.data is not None and facts.size is None and facts.data.packing == "none":
            found.append("rows of unknown length are between a quarter and all of max_length")
    if isinstance(stage, Training) and stage.duration.unit == "epochs" and facts.size is None and training_steps(facts) is not None:
        found.append("the sources have as many rows as `limit` lets through")
    if isinstance(stage, Eval) and any(task.name not in members(BuiltInTask) for task in stage.tasks):
        found.append(f"questions of at most {PROMPT} tokens")
    return tuple(found)
