"""Where the processes of a stage meet: a store of the first one's, and the process group that they then are."""

import os
import time
from datetime import timedelta

import torch
from torch import Tensor, distributed
from torch.distributed import TCPStore  # type: ignore[attr-defined]  # from C

from .failure import Failure
from .world import World

PATIENCE = timedelta(days=7)
"""How long processes wait for the first one, which may itself wait for another run of the same stage."""
BACKENDS = {"cpu": "gloo", "cuda": "cpu:gloo,cuda:nccl"}
"""What carries numbers between processes, by device."""
_ATTEMPT, _LEFT = "dllm_run/attempt", "dllm_run/left"


class Meeting:
    """The first process tells the others which attempt this is, or that there is nothing to do."""

    def __init__(self, world: World) -> None:
        self.world = world
        # torchrun has a store of its own at that place.
        hosts = world.first and os.environ.get("TORCHELASTIC_USE_AGENT_STORE") != "True"
        address, port = os.environ["MASTER_ADDR"], int(os.environ["MASTER_PORT"])
        self.store = TCPStore(address, port, world.size, hosts, timeout=PATIENCE, wait_for_workers=False)

    def tell(self, attempt: int | None) -> None:
        """The first process: the number of the attempt; None: the stage is done."""
        self.store.set(_ATTEMPT, "" if attempt is None else str(attempt))

    def told(self) -> int | None:
        """The others: what `tell` said."""
        found = self.store.get(_ATTEMPT).decode()
        return int(found) if found else None

    def join(self, device: str) -> None:
        """Become one process group. Raises Failure where a process has no device of its own."""
        if device == "cuda":
            here = torch.cuda.device_count()
            if self.world.local_rank >= here:
                raise Failure(
                    f"{self.world.local_size} processes were started on this node, and it has {here} GPUs: each needs one of its own"
                )
            torch.cuda.set_device(self.world.local_rank)
        distributed.init_process_group(BACKENDS[device], store=self.store, rank=self.world.rank, world_size=self.world.size)

    def wait(self) -> None:
        """Until all have come here."""
        distributed.barrier()

    def leave(self) -> None:
        """Take the process group apart; the first process stays until all have, since the store is its own."""
        if distributed.is_initialized():
            distributed.destroy_process_group()
        left = self.store.add(_LEFT, 1)
        while self.world.first and left < self.world.size:
            time.sleep(0.01)
            left = self.store.add(_LEFT, 0)


def summed(values: Tensor) -> Tensor:
    """The sum over all processes, in place; as it is where there is one."""
    if distributed.is_initialized():
        distributed.all_reduce(values)
    return values


def barrier() -> None:
    """Wait for all processes."""
    if distributed.is_initialized():
        distributed.barrier()
