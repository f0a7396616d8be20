"""Accelerate's configuration: golden, complete, and read by accelerate itself as what was meant."""

import logging
import os
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dllm_run.launchers import accelerate
from dllm_run.specs import zero
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.layout import Layout

CPU = Layout(nodes=1, processes_per_node=1, micro=8, accumulation=4, precision="fp32", device="cpu", max_grad_norm=1.0)
GPU = replace(CPU, precision="bf16", device="cuda")
FOUR = replace(GPU, processes_per_node=4)
TWO_NODES = replace(FOUR, nodes=2)
CONFIGS = {
    "single-cpu": accelerate.single(CPU),
    "single-gpu": accelerate.single(GPU),
    "ddp": accelerate.ddp(FOUR),
    "ddp-two-nodes": accelerate.ddp(TWO_NODES),
    "zero1": accelerate.zero(FOUR, json_file="ds_config.json", stage=1),
    "zero2-two-nodes": accelerate.zero(TWO_NODES, json_file="ds_config.json", stage=2),
    "zero3": accelerate.zero(FOUR, json_file="ds_config.json", stage=3),
    "fsdp2": accelerate.sharded(TWO_NODES, layer_classes=["LlamaDecoderLayer", "Qwen2DecoderLayer"]),
}


@pytest.fixture(autouse=True)
def surroundings(monkeypatch: pytest.MonkeyPatch) -> None:
    """None of the variables that accelerate would rather believe, and a port that is free."""
    for name in list(os.environ):
        if name.startswith(("ACCELERATE_", "FSDP_")):
            monkeypatch.delenv(name)
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    monkeypatch.setattr("accelerate.utils.launch.is_port_in_use", lambda port: False)


@pytest.fixture
def launched(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> Callable[..., Any]:
    """What `accelerate launch` makes of a configuration, having said nothing about defaults."""
    from accelerate.commands import launch

    def launched(config: accelerate.Config) -> Any:
        path = tmp_path / "accelerate.yaml"
        path.write_text(accelerate.text(config), encoding="utf-8")
        words = ["--config_file", str(path), "--machine_rank", "1", "--main_process_ip", "node1", "train.py"]
        with caplog.at_level(logging.WARNING):
            arguments, _, _ = launch._validate_launch_command(launch.launch_command_parser().parse_args(words))
        assert "had defaults used instead" not in caplog.text
        return arguments

    return launched


@pytest.mark.parametrize("name", CONFIGS)
def test_a_configuration_is_the_golden_one(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"accelerate/{name}.yaml", accelerate.text(CONFIGS[name]))


@pytest.mark.parametrize("name", CONFIGS)
def test_accelerate_reads_what_was_written(name: str, tmp_path: Path) -> None:
    from accelerate.commands.config.config_args import load_config_from_file

    path = tmp_path / "accelerate.yaml"
    path.write_text(accelerate.text(CONFIGS[name]), encoding="utf-8")
    read = load_config_from_file(str(path))
    for key, value in CONFIGS[name].items():
        found = getattr(read, key)
        assert getattr(found, "value", found) == value, key


@pytest.mark.parametrize(
    ("name", "kind", "processes"),
    [
        ("single-cpu", None, 1), ("single-gpu", None, 1), ("ddp", "multi_gpu", 4), ("ddp-two-nodes", "multi_gpu", 8),
        ("zero1", "use_deepspeed", 4), ("zero2-two-nodes", "use_deepspeed", 8), ("zero3", "use_deepspeed", 4), ("fsdp2", "use_fsdp", 8),
    ],
)  # fmt: skip
def test_accelerate_starts_what_was_meant(name: str, kind: str | None, processes: int, launched: Callable[..., Any]) -> None:
    arguments = launched(CONFIGS[name])
    kinds = [flag for flag in ("multi_gpu", "use_deepspeed", "use_fsdp", "tpu", "use_megatron_lm") if getattr(arguments, flag)]
    assert kinds == ([kind] if kind else [])
    assert arguments.num_processes == processes
    assert arguments.use_cpu is (name == "single-cpu")


@pytest.mark.parametrize("name", CONFIGS)
def test_what_is_written_is_what_acts(name: str, launched: Callable[..., Any]) -> None:
    """Some defaults of its command line win over the file, so that a file may say what nobody does."""
    arguments = launched(CONFIGS[name])
    for key, value in CONFIGS[name].items():
        if isinstance(value, dict):
            for inner, item in value.items():
                assert getattr(arguments, inner) == item, inner
        elif key not in ("compute_environment", "distributed_type", "machine_rank"):
            assert getattr(arguments, key) == value, key


def test_one_process_is_started_in_the_precision_and_on_the_device_of_the_plan(launched: Callable[..., Any]) -> None:
    from accelerate.utils.launch import prepare_simple_launcher_cmd_env

    for name, precision, cpu in (("single-cpu", "no", "True"), ("single-gpu", "bf16", "False")):
        _, environment = prepare_simple_launcher_cmd_env(launched(CONFIGS[name]))
        assert environment["ACCELERATE_MIXED_PRECISION"] == precision
        assert environment["ACCELERATE_USE_CPU"] == cpu
        assert environment["ACCELERATE_DYNAMO_BACKEND"] == "NO"


def test_nodes_meet_at_the_first_one(launched: Callable[..., Any]) -> None:
    from accelerate.utils.launch import prepare_multi_gpu_env

    arguments = launched(CONFIGS["ddp-two-nodes"])
    prepare_multi_gpu_env(arguments)
    assert (arguments.rdzv_backend, arguments.rdzv_endpoint) == ("static", f"node1:{accelerate.PORT}")
    assert (arguments.nnodes, arguments.nproc_per_node, arguments.node_rank) == ("2", "4", 1)


def settle(monkeypatch: pytest.MonkeyPatch, environment: dict[str, str]) -> None:
    for name, value in environment.items():
        if name.startswith(("ACCELERATE_", "FSDP_")):
            monkeypatch.setenv(name, value)


@pytest.mark.parametrize(("stage", "render"), [(1, zero.zero1), (2, zero.zero2), (3, zero.zero3)])
def test_accelerate_takes_every_number_of_zero_from_the_json(
    stage: int, render: Callable[[Layout], zero.Config], launched: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate.utils import DeepSpeedPlugin

    path = tmp_path / "ds_config.json"
    config = render(replace(FOUR, max_grad_norm=0.5))
    path.write_text(zero.text(config), encoding="utf-8")
    settle(monkeypatch, deepspeed_environment(launched(accelerate.zero(FOUR, json_file=str(path), stage=stage))))
    plugin = DeepSpeedPlugin()
    # The same line as Accelerator runs: nothing is filled in, nothing is changed.
    plugin.set_mixed_precision("bf16")
    assert {key: value for key, value in plugin.deepspeed_config.items() if key != "steps_per_print"} == config
    assert (plugin.zero_stage, plugin.gradient_clipping, plugin.gradient_accumulation_steps) == (stage, 0.5, 4)
    assert (plugin.offload_optimizer_device, plugin.offload_param_device) == ("none", "none")
    assert plugin.zero3_init_flag is (stage == 3)
    assert plugin.zero3_save_16bit_model is (stage == 3)


def test_accelerate_would_refuse_a_precision_in_both_files(
    launched: Callable[..., Any], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    from accelerate.utils import DeepSpeedPlugin

    path = tmp_path / "ds_config.json"
    path.write_text(zero.text(zero.zero2(FOUR)), encoding="utf-8")
    config = {**accelerate.zero(FOUR, json_file=str(path), stage=2), "mixed_precision": "bf16"}
    settle(monkeypatch, deepspeed_environment(launched(config), "mixed_precision"))
    with pytest.raises(ValueError, match="will be ignored"):
        DeepSpeedPlugin()


def deepspeed_environment(arguments: Any, *more: str) -> dict[str, str]:
    """As `launch_command` does: the names of the settings that the configuration itself holds are passed on."""
    from accelerate.utils.launch import prepare_deepspeed_cmd_env

    settings = ["deepspeed_config_file", "deepspeed_multinode_launcher", "zero3_init_flag", *more]
    arguments.deepspeed_fields_from_accelerate_config = ",".join(settings)
    _, environment = prepare_deepspeed_cmd_env(arguments)
    found: dict[str, str] = environment
    return found


def test_accelerate_shards_each_layer(launched: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    from accelerate.utils import FullyShardedDataParallelPlugin
    from accelerate.utils.launch import prepare_multi_gpu_env
    from torch.distributed.fsdp import CPUOffloadPolicy
    from torch.distributed.fsdp.fully_sharded_data_parallel import StateDictType

    settle(monkeypatch, prepare_multi_gpu_env(launched(CONFIGS["fsdp2"])))
    plugin = FullyShardedDataParallelPlugin()
    assert plugin.fsdp_version == 2
    assert plugin.reshard_after_forward is True
    assert plugin.transformer_cls_names_to_wrap == ["LlamaDecoderLayer", "Qwen2DecoderLayer"]
    assert plugin.auto_wrap_policy.__name__ == "transformer_auto_wrap_policy"
    assert plugin.state_dict_type == StateDictType.FULL_STATE_DICT
    assert not isinstance(plugin.cpu_offload, CPUOffloadPolicy)
    assert plugin.activation_checkpointing is False and plugin.cpu_ram_efficient_loading is False


def words_of(config: accelerate.Config) -> Iterator[str]:
    for key, value in config.items():
        yield key
        if isinstance(value, dict):
            yield from value


def test_no_word_is_left_to_a_default_that_a_strategy_has_of_its_own() -> None:
    common = set(words_of(CONFIGS["single-cpu"]))
    for name, config in CONFIGS.items():
        expected = common - {"mixed_precision"} if name.startswith("zero") else common
        assert expected <= set(words_of(config)), name


@pytest.mark.parametrize("render", [accelerate.ddp, lambda layout: accelerate.sharded(layout, layer_classes=["A"])], ids=["ddp", "fsdp2"])
def test_what_accelerate_does_not_do_on_cpus_is_refused(render: Callable[[Layout], accelerate.Config]) -> None:
    with pytest.raises(EnvironmentProblem, match="needs GPUs"):
        render(replace(FOUR, device="cpu"))


def test_several_processes_need_a_strategy() -> None:
    with pytest.raises(EnvironmentProblem, match="4 processes need a strategy"):
        accelerate.single(FOUR)
