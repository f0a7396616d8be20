"""DeepSpeed's JSON: golden, in step with what Trainer checks it against, and the three stages differ in what they share out."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import SimpleNamespace

import pytest

from dllm_run.specs import zero
from dllm_run.specs.layout import Layout

LAYOUT = Layout(nodes=2, processes_per_node=4, micro=3, accumulation=5, precision="bf16", device="cuda", max_grad_norm=0.7)
STAGES = {"zero1": zero.zero1, "zero2": zero.zero2, "zero3": zero.zero3}


@pytest.mark.parametrize("name", STAGES)
def test_the_json_is_the_golden_one(name: str, golden: Callable[[str, str], None]) -> None:
    golden(f"deepspeed/{name}.json", zero.text(STAGES[name](LAYOUT)))


def test_the_json_in_fp32_without_clipping_is_the_golden_one(golden: Callable[[str, str], None]) -> None:
    golden("deepspeed/zero2-fp32.json", zero.text(zero.zero2(replace(LAYOUT, precision="fp32", max_grad_norm=0.0))))


@pytest.mark.parametrize("name", STAGES)
def test_nothing_is_left_to_be_filled_in(name: str) -> None:
    assert '"auto"' not in zero.text(STAGES[name](LAYOUT))


def test_a_batch_is_micro_times_accumulation_times_processes() -> None:
    config = zero.zero1(LAYOUT)
    assert config["train_batch_size"] == 3 * 5 * (2 * 4)


@pytest.mark.parametrize("name", STAGES)
@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize(
    ("changed", "mismatch"),
    [
        pytest.param({}, None, id="as-planned"),
        pytest.param({"per_device_train_batch_size": 4}, "per_device_train_batch_size", id="micro"),
        pytest.param({"gradient_accumulation_steps": 4}, "gradient_accumulation_steps", id="accumulation"),
        pytest.param({"world_size": 4}, "train_batch_size", id="processes"),
        pytest.param({"max_grad_norm": 1.0}, "max_grad_norm", id="clipping"),
    ],
)
def test_trainer_finds_no_number_that_differs_from_its_own(
    name: str, precision: str, changed: dict[str, float], mismatch: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Trainer's own comparison, which needs no DeepSpeed but asks for its version."""
    from accelerate.utils.deepspeed import HfDeepSpeedConfig
    from transformers.integrations import deepspeed as theirs

    class Config(theirs.HfTrainerDeepSpeedConfig, HfDeepSpeedConfig):
        """As transformers builds it where DeepSpeed is installed."""

    monkeypatch.setattr(theirs, "dep_version_check", lambda name: None)
    path = tmp_path / "ds_config.json"
    path.write_text(zero.text(STAGES[name](replace(LAYOUT, precision=precision))), encoding="utf-8")
    before = json.loads(path.read_text(encoding="utf-8"))
    arguments = {
        "world_size": 8, "per_device_train_batch_size": 3, "gradient_accumulation_steps": 5, "max_grad_norm": 0.7, "learning_rate": 1e-3,
        "adam_beta1": 0.9, "adam_beta2": 0.99, "adam_epsilon": 1e-8, "weight_decay": 0.0, "save_on_each_node": False, "fp16": False,
        "fp16_full_eval": False, "bf16": precision == "bf16", "bf16_full_eval": False, "get_warmup_steps": lambda steps: 0, **changed,
    }  # fmt: skip
    config = Config(str(path))
    config.trainer_config_process(SimpleNamespace(**arguments))
    if mismatch is None:
        assert config.mismatches == []
        config.trainer_config_finalize(SimpleNamespace(**arguments), SimpleNamespace(), 100)
        assert config.config == before
        assert config.is_zero3() is (name == "zero3")
    else:
        assert any(mismatch in line for line in config.mismatches)
    theirs.unset_hf_deepspeed_config()


def test_only_the_third_stage_shares_out_weights() -> None:
    one, two, three = (render(LAYOUT)["zero_optimization"] for render in STAGES.values())
    assert [config["stage"] for config in (one, two, three)] == [1, 2, 3]
    assert {**one, "stage": 2} == two
    assert {key for key in three if key not in two} >= {"stage3_gather_16bit_weights_on_model_save", "offload_param"}
    assert not any(key.startswith("stage3") for key in two)
