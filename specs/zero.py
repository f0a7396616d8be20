"""DeepSpeed's JSON for ZeRO-1, -2 and -3: every key whose default acts is written out, so that no release of it decides for us."""

from typing import Any

from .canonical import pretty
from .layout import Layout

Config = dict[str, Any]

_NO_OFFLOAD = {"device": "none"}
_ELEMENTS = 500_000_000
"""Of a bucket that is reduced or gathered at once: DeepSpeed's own default."""


def zero1(layout: Layout) -> Config:
    """Optimizer states are shared out."""
    return _config(layout, _partitioned(1))


def zero2(layout: Layout) -> Config:
    """Optimizer states and gradients are shared out."""
    return _config(layout, _partitioned(2))


def zero3(layout: Layout) -> Config:
    """Weights too. They are gathered when a model is saved: without that a checkpoint would hold empty matrices."""
    settings = {
        **_partitioned(3),
        "overlap_comm": True,
        "offload_param": _NO_OFFLOAD,
        "sub_group_size": 1_000_000_000,
        "stage3_prefetch_bucket_size": 50_000_000,
        "stage3_param_persistence_threshold": 100_000,
        "stage3_model_persistence_threshold": 2**63 - 1,
        "stage3_max_live_parameters": 1_000_000_000,
        "stage3_max_reuse_distance": 1_000_000_000,
        "stage3_gather_16bit_weights_on_model_save": True,
        "stage3_module_granularity_threshold": 0,
        "stage3_use_all_reduce_for_fetch_params": False,
        "memory_efficient_linear": True,
        "zero_hpz_partition_size": 1,
    }
    return _config(layout, settings)


def zero(layout: Layout, stage: int) -> Config:
    """The configuration of a stage of ZeRO."""
    return {1: zero1, 2: zero2, 3: zero3}[stage](layout)


def text(config: Config) -> str:
    """The file's text."""
    return pretty(config)


def _partitioned(stage: int) -> Config:
    return {
        "stage": stage,
        "contiguous_gradients": True,
        "overlap_comm": False,
        "reduce_scatter": True,
        "reduce_bucket_size": _ELEMENTS,
        "use_multi_rank_bucket_allreduce": True,
        "allgather_partitions": True,
        "allgather_bucket_size": _ELEMENTS,
        "load_from_fp32_weights": True,
        "ignore_unused_parameters": True,
        "round_robin_gradients": False,
        "offload_optimizer": _NO_OFFLOAD,
    }


def _config(layout: Layout, zero: Config) -> Config:
    return {
        "train_batch_size": layout.batch,
        "train_micro_batch_size_per_gpu": layout.micro,
        "gradient_accumulation_steps": layout.accumulation,
        # Without this key gradients are clipped at 1.0 all the same; 0 clips never.
        "gradient_clipping": layout.max_grad_norm,
        "bf16": {"enabled": layout.precision == "bf16", "immediate_grad_update": False},
        "fp16": {"enabled": False},
        # Under ZeRO gradients are summed and sent in the precision of the products.
        "data_types": {"grad_accum_dtype": layout.precision},
        "communication_data_type": layout.precision,
        "prescale_gradients": False,
        "gradient_predivide_factor": 1.0,
        "disable_allgather": False,
        # The optimizer is torch's AdamW: DeepSpeed would refuse what it has not tested, and replace it where it offloads.
        "zero_allow_untested_optimizer": True,
        "zero_force_ds_cpu_optimizer": False,
        "wall_clock_breakdown": False,
        "zero_optimization": zero,
    }
