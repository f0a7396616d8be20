"""How one training step is laid out over processes: the numbers that configurations of accelerate and DeepSpeed are written from."""

from dataclasses import dataclass

from .vocabulary.training import Training


@dataclass(frozen=True, slots=True, kw_only=True)
class Layout:
    """Processes, and what each does in a step."""

    nodes: int
    processes_per_node: int
    micro: int
    """Rows of one forward and backward pass of a process."""
    accumulation: int
    """Forward and backward passes of a process in an optimizer step."""
    precision: str
    """`fp32` or `bf16`."""
    device: str
    """`cpu` or `cuda`."""
    max_grad_norm: float
    """Gradients are clipped to this norm; 0: never."""

    @property
    def processes(self) -> int:
        """Over all nodes."""
        return self.nodes * self.processes_per_node

    @property
    def batch(self) -> int:
        """Rows of an optimizer step over all processes."""
        return self.processes * self.micro * self.accumulation


def layout_of(body: Training) -> Layout:
    """The layout of a training stage of a plan."""
    compute, batch = body.compute, body.batch
    assert batch.micro is not None and compute.device is not None, "a plan is complete"
    return Layout(
        nodes=compute.nodes,
        processes_per_node=compute.world // compute.nodes,
        micro=batch.micro,
        accumulation=batch.global_ // (batch.micro * compute.world),
        precision=compute.precision,
        device=compute.device,
        max_grad_norm=body.optimizer.max_grad_norm,
    )
