"""Devices, precision and threads of a stage."""

import functools
from collections.abc import Iterator
from dataclasses import dataclass, replace

from dllm_run.specs.devices import DEVICES
from dllm_run.specs.effect import Effect
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem, nearest_multiples
from dllm_run.specs.strategies import STRATEGIES


@dataclass(frozen=True, slots=True, kw_only=True)
class Compute:
    """What a stage computes on, and in which precision."""

    device: str | None = leaf(
        "Where tensors live; null: cuda where GPUs are declared, else cpu.", default=None, choices=("cpu", "cuda"), effect=Effect.NUMERICS
    )
    nodes: int = leaf("Machines that share a training or an evaluation.", default=1, minimum=1, effect=Effect.NUMERICS)
    gpus_per_node: int = leaf("GPUs of a node.", default=0, minimum=0, effect=Effect.NUMERICS)
    processes: int | None = leaf(
        "Processes over all nodes that share a training or an evaluation; null: one for each GPU, else 1.",
        default=None,
        minimum=1,
        effect=Effect.NUMERICS,
    )
    strategy: str | None = leaf(
        "What processes share out beside the rows of a step: nothing (`ddp`), optimizer states (`zero1`), gradients too (`zero2`), "
        "weights too (`zero3`, `fsdp2`); null: `ddp` for several processes, `none` for one.",
        default=None,
        choices=tuple(STRATEGIES),
        effect=Effect.NUMERICS,
    )
    gpu: str | None = leaf(
        "Which GPU that is: memory is then checked, and `batch.micro` solved, before anything runs; null: not said.",
        default=None,
        choices=tuple(DEVICES),
        effect=Effect.NUMERICS,
    )
    precision: str = leaf("Precision of matrix products; weights stay in the model's dtype.", default="fp32", choices=("fp32", "bf16"))
    threads: int | None = leaf(
        "CPU threads of a process; null: its share of the cores of the machine, the same again when a run continues.",
        default=None,
        minimum=1,
        effect=Effect.NUMERICS,
    )
    attention_kernel: str = leaf("Implementation of attention.", default="sdpa", choices=("sdpa", "eager"), effect=Effect.NUMERICS)
    gradient_checkpointing: bool = leaf("Recompute activations in the backward pass to save memory.", default=False, effect=Effect.NUMERICS)
    compile: bool = leaf(
        "Compile the layers of a model in training: minutes at the start, and again where lengths differ much, for faster steps.",
        default=False,
        effect=Effect.NUMERICS,
    )
    deterministic: bool = leaf(
        "Refuse kernels that may round differently from run to run; on a CPU none do.", default=False, effect=Effect.NUMERICS
    )

    @property
    def world(self) -> int:
        """Processes among which a training step is shared."""
        return self.processes or max(1, self.nodes * self.gpus_per_node)

    @property
    def shared_by(self) -> str:
        """The strategy of a training stage, also where it is left to the number of processes."""
        return self.strategy or ("ddp" if self.world > 1 else "none")

    def problems_of_sharing(self) -> Iterator[Problem]:
        """Processes that cannot share a stage as it says; paths are those of the compute."""
        named, several = self.shared_by, self.world > 1
        if STRATEGIES[named].several is not several:
            ending = (
                "shares a stage among processes, and there is one" if not several else f"is for one process, and there are {self.world}"
            )
            yield Problem(
                code="E480",
                message=f"strategy {named} {ending}",
                path=("strategy",),
                label="leave it out" if not several else "such as ddp",
                fix=(("strategy",), None if not several else "ddp"),
                related=((("processes",), "so many"),) if self.processes is not None else (),
            )
        if self.world % self.nodes:
            wholes = nearest_multiples(self.nodes, self.world)
            processes = f"{self.world} process{'es' if several else ''}"
            yield Problem(
                code="E481",
                message=f"{processes} cannot be shared out evenly among {self.nodes} nodes",
                path=("processes",) if self.processes is not None else ("nodes",),
                notes=(f"nearest legal: {' or '.join(map(str, wholes))} processes",),
                fix=(("processes",), wholes[0]),
            )
        elif self.completed().device == "cuda" and self.gpus_per_node and self.world > self.nodes * self.gpus_per_node:
            gpus = self.nodes * self.gpus_per_node
            yield Problem(
                code="E481",
                message=f"{self.world} processes, and {gpus} GPU{'s' if gpus > 1 else ''}: each needs one of its own",
                path=("processes",),
                fix=(("processes",), gpus),
                related=((("gpus_per_node",), "on each node"),),
            )

    def completed(self, *, parallel: bool = False) -> "Compute":
        """With device, processes and strategy decided; what is not `parallel` runs in one process, on one GPU where there are some."""
        return _completed(self, parallel)


@functools.lru_cache(maxsize=256)
def _completed(compute: Compute, parallel: bool) -> Compute:
    # One object for equal ones: the stages of a sweep share it.
    device = compute.device or ("cuda" if compute.gpus_per_node else "cpu")
    if not parallel:
        return replace(compute, device=device, nodes=1, gpus_per_node=min(1, compute.gpus_per_node), processes=1, strategy="none")
    return replace(compute, device=device, processes=compute.world, strategy=compute.shared_by)
