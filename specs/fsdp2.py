"""Settings of fully sharded data parallelism, version 2, as accelerate's configuration holds them."""

from collections.abc import Sequence
from typing import Any


def settings(layer_classes: Sequence[str] = ()) -> dict[str, Any]:
    """Each layer of these classes is a shard of its own; without any, of those that the model names.

    Every key whose default acts in version 2 is written out.
    Under bf16 accelerate would also reduce gradients in bf16, and its configuration has no key to change that: the runtime does.
    """
    return {
        "fsdp_version": 2,
        "fsdp_reshard_after_forward": True,
        "fsdp_auto_wrap_policy": "TRANSFORMER_BASED_WRAP",
        **({"fsdp_transformer_layer_cls_to_wrap": ",".join(layer_classes)} if layer_classes else {}),
        # One file with whole matrices: what plain `from_pretrained` reads.
        "fsdp_state_dict_type": "FULL_STATE_DICT",
        "fsdp_offload_params": False,
        "fsdp_cpu_ram_efficient_loading": False,
        # The runtime switches gradient checkpointing on in the network itself: twice would recompute twice.
        "fsdp_activation_checkpointing": False,
    }
