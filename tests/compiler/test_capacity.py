"""What would not fit, not finish or never happen, through specs. The texts are golden elsewhere; here: when, and where."""

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.compiler.compile import Compiled, Source, compile_spec
from dllm_run.compiler.estimate.memory import inference_memory, training_memory
from dllm_run.compiler.lock import Lock
from dllm_run.specs.devices import DEVICES
from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.vocabulary.training import Training

Diagnose = Callable[..., tuple[Diagnostic, ...]]
Compile = Callable[..., Compiled]

SPEC = """\
version: 1
name: sized
model: GSAI-ML/LLaDA-8B-Base
data:
  docs: {sources: [./docs.jsonl], holdout: 0.1, max_length: 1024}
stages:
  train:
    kind: pretrain
    data: ${data.docs}
    objective: mdlm
    batch: {global: 8, micro: 1}
    optimizer: {learning_rate: 1e-5}
    duration: 10 steps
  look:
    kind: sample
    model: ${stages.train}
    prompts: ["Once "]
    max_new_tokens: 64
    sampler: {type: llada, steps: 16, block_size: 16}
compute: {gpus_per_node: 1, gpu: a100-40gb}
"""
SMALL = "model={from: null, scratch: {family: llama, layers: 2, width: 64}, tokenizer: bytes}"


@pytest.fixture(autouse=True)
def docs(tmp_path: Path) -> None:
    (tmp_path / "docs.jsonl").write_text('{"text": "A text of thirty-five characters."}\n' * 100, encoding="utf-8")


def found(diagnostics: tuple[Diagnostic, ...]) -> set[tuple[str, str]]:
    return {(item.code, item.path) for item in diagnostics if item.code != "W501"}


def test_a_full_fine_tune_of_eight_billion_parameters_does_not_fit_forty_gigabytes(diagnosing: Diagnose) -> None:
    """dLLM issue 9. AdamW in fp32 takes 16 bytes a parameter: 128 GB."""
    refused = [item for item in diagnosing(SPEC) if item.code == "E330"]
    assert [item.path for item in refused] == ["stages.train.compute.gpu"]
    assert all(part in refused[0].notes[1] for part in ("optimizer", "weights", "gradients", "in all", "the limit"))


@pytest.mark.parametrize(
    ("gpu", "cure"),
    [
        ("rtx3090-24gb", {"lora": 64, "quantization": "nf4", "gradient_checkpointing": True}),
        ("a100-40gb", {"lora": 64, "gradient_checkpointing": True}),
        ("h100-80gb", {"lora": 64}),
    ],
)
@pytest.mark.parametrize("inherited", [True, False])
def test_where_weights_cannot_be_trained_an_adapter_beside_them_can(
    gpu: str, cure: dict[str, object], inherited: bool, diagnosing: Diagnose, compiling: Compile
) -> None:
    """What is offered fits, and holds what is needed and no more."""
    model = "model: GSAI-ML/LLaDA-8B-Base\n"
    text = SPEC if inherited else SPEC.replace(model, "").replace("    kind: pretrain\n", f"    kind: pretrain\n    {model}")
    text = text[: text.index("  look:")] + text[text.index("compute:") :]
    (refused,) = (item for item in diagnosing(text, f"compute.gpu={gpu}") if item.code == "E330")
    assert refused.fix is not None
    plan = compiling(text, f"compute.gpu={gpu}", refused.fix).plan
    (body,) = (stage.body for stage in plan.stages.values() if isinstance(stage.body, Training))
    assert body.model.lora is not None
    found = {"lora": body.model.lora.r, "quantization": body.model.quantization and body.model.quantization.word}
    assert {**found, "gradient_checkpointing": body.compute.gradient_checkpointing or None} == {
        "lora": None, "quantization": None, "gradient_checkpointing": None, **cure
    }  # fmt: skip
    assert body.model.from_ == "GSAI-ML/LLaDA-8B-Base" and body.batch.micro == 1
    assert not {item.code for item in diagnosing(text, f"compute.gpu={gpu}", refused.fix)} & {"E330", "W330"}


def test_an_adapter_comes_with_smaller_micro_batches_where_it_must(diagnosing: Diagnose) -> None:
    flags = ("compute.gpu=rtx3090-24gb", "stages.train.batch={global: 64, micro: 64}")
    (refused,) = (item for item in diagnosing(SPEC, *flags) if item.code == "E330" and item.path.startswith("stages.train"))
    assert refused.fix is not None and '"micro"' in refused.fix and '"nf4"' in refused.fix
    told = diagnosing(SPEC, *flags, refused.fix)
    assert not [item for item in told if item.code in ("E330", "W330") and item.path.startswith("stages.train")]


def test_no_adapter_is_offered_beside_random_weights_or_in_a_mere_warning(diagnosing: Diagnose) -> None:
    fresh = "model={from: null, scratch: {family: llama, layers: 64, width: 4096}, tokenizer: bytes}"
    (refused,) = (item for item in diagnosing(SPEC, fresh) if item.code == "E330" and item.path.startswith("stages.train"))
    assert "lora" not in " ".join(refused.notes)
    flags = ("model=Qwen/Qwen3-1.7B", "stages.train.batch={global: 32, micro: 32}", "data.docs.max_length=88")
    warned = [item for item in diagnosing(SPEC, *flags) if item.code == "W330"]
    assert warned and "gradient_checkpointing" in " ".join(warned[0].notes) and "lora" not in " ".join(warned[0].notes)


def test_a_small_model_fits(diagnosing: Diagnose) -> None:
    assert found(diagnosing(SPEC, SMALL)) == set()


def test_nothing_is_checked_where_it_is_not_said_which_gpu(diagnosing: Diagnose) -> None:
    assert found(diagnosing(SPEC, "compute.gpu=null")) == set()


def test_weights_at_hand_are_checked_and_the_plan_is_the_same_without_them(
    diagnosing: Diagnose, compiling: Compile, tmp_path: Path
) -> None:
    config = {
        "model_type": "llama", "num_hidden_layers": 32, "hidden_size": 4096, "num_attention_heads": 32, "intermediate_size": 12288,
        "vocab_size": 126464, "max_position_embeddings": 4096,
    }  # fmt: skip
    (tmp_path / "weights").mkdir()
    for name, text in {"model.safetensors": "", "tokenizer.json": "{}", "tokenizer_config.json": '{"mask_token": "<mask>"}'}.items():
        (tmp_path / "weights" / name).write_text(text)
    (tmp_path / "weights" / "config.json").write_text(json.dumps(config))
    assert ("E330", "stages.train.compute.gpu") in found(diagnosing(SPEC, "model=./weights"))
    source = Source(
        file="spec.yaml", data=SPEC.encode(), flags=("model=./weights", "compute.gpu=h100-80gb", "stages.train.batch.micro=null")
    )
    (tmp_path / "weights" / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 2}))
    here = compile_spec(source, Lock(tmp_path))
    locked = Lock(tmp_path, here.plan.inputs)
    shutil.rmtree(tmp_path / "weights")
    (tmp_path / "docs.jsonl").unlink()
    assert compile_spec(source, locked).plan.to_json() == here.plan.to_json()


def test_a_gpu_may_stand_at_the_top_for_the_stages_that_ask_for_one(diagnosing: Diagnose) -> None:
    text = SPEC.replace("compute: {gpus_per_node: 1, ", "compute: {").replace(
        "    kind: sample\n", "    kind: sample\n    compute: {gpus_per_node: 1}\n"
    )
    assert found(diagnosing(text, SMALL)) == set()
    assert found(diagnosing(text, SMALL, "stages.look.compute.gpus_per_node=0")) == {("E430", "compute.gpu")}


def test_a_stage_that_leaves_the_gpu_to_the_others_is_no_error(diagnosing: Diagnose) -> None:
    text = SPEC.replace("    kind: sample\n", "    kind: sample\n    compute: {gpus_per_node: 0}\n")
    assert found(diagnosing(text, SMALL)) == set()


@pytest.mark.parametrize(("limit", "warned"), [("400M", True), ("64G", False), ("0", False)])
def test_the_memory_of_a_job_is_checked_on_a_cpu(limit: str, warned: bool, diagnosing: Diagnose) -> None:
    flags = (SMALL, "compute={gpus_per_node: 0, gpu: null}", f"launch={{type: slurm, mem: '{limit}'}}")
    assert (("W330", "stages.train.launch.mem") in found(diagnosing(SPEC, *flags))) == warned


EPOCHS = "stages.train.duration=2 epochs"  # 90 rows of 100, 8 in a step: 22.5, so 23 steps


@pytest.mark.parametrize(
    ("flags", "codes"),
    [
        (("stages.train.optimizer.warmup=23 steps",), set()),
        (("stages.train.optimizer.warmup=24 steps",), {"E312"}),
        (("stages.train.checkpoint.every=23 steps",), set()),
        (("stages.train.checkpoint.every=24 steps",), {"E313"}),
        (("stages.train.evaluate.every=24 steps",), {"E313"}),
        (("stages.train.optimizer.warmup=24 steps", "data.docs.sources=[a/b]"), set()),
        (("stages.train.optimizer.warmup=24 steps", "data.docs.sources=[a/b]", "data.docs.limit=90"), {"E312"}),
        # Packed, 90 rows of 36 bytes and an end are at most 4 sequences: one step.
        (("stages.train.optimizer.warmup=3 steps", "data.docs.packing=cut"), {"E312"}),
        (("stages.train.optimizer.warmup=20 steps", "data.docs.truncation=drop"), set()),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_epochs_of_rows_that_are_known_are_steps(flags: tuple[str, ...], codes: set[str], diagnosing: Diagnose) -> None:
    assert {code for code, _ in found(diagnosing(SPEC, SMALL, EPOCHS, *flags))} == codes


# 20,000 steps of 8 rows of 37 bytes: at the least 37 / 6 tokens each, 6 operations a parameter and token, 40 % of 19.5 TFLOP/s in
# fp32: 20000 x 8 x 37/6 x 6 x 0.44 to 0.6e9 / 7.8e12 = 330 to 460 s, as the head sees half of the positions.
@pytest.mark.parametrize(("limit", "warned"), [("5", True), ("8", False), ("10-00:00:00", False), ("0", False)])
def test_a_time_limit_below_the_fastest_run_is_told(limit: str, warned: bool, diagnosing: Diagnose) -> None:
    flags = ("model=Qwen/Qwen3-0.6B", "stages.train.duration=20000 steps", f"launch={{type: slurm, time: '{limit}'}}")
    assert (("W331", "stages.train.launch.time") in found(diagnosing(SPEC, *flags))) == warned


@pytest.mark.parametrize(
    ("flags", "code"),
    [
        (("model=google-bert/bert-base-uncased",), "E315"),
        (("model=google-bert/bert-base-uncased", "data.docs.max_length=512"), None),
        (("model=google-bert/bert-base-uncased", "data.docs.max_length=512", "stages.look.max_new_tokens=512"), "E318"),
        # The tokenizer is not known: a prompt has at least one token.
        (("model=google-bert/bert-base-uncased", "data.docs.max_length=512", "stages.look.max_new_tokens=511"), None),
        ((SMALL, "model.scratch.positions=1024", "stages.look.max_new_tokens=1019"), None),
        ((SMALL, "model.scratch.positions=1024", "stages.look.max_new_tokens=1020"), "E318"),
    ],
    ids=lambda value: " ".join(value) if isinstance(value, tuple) else "",
)
def test_no_sequence_is_longer_than_the_model(flags: tuple[str, ...], code: str | None, diagnosing: Diagnose) -> None:
    sampler = "stages.look.sampler={type: llada, steps: null, block_size: null}"
    codes = {code for code, _ in found(diagnosing(SPEC, *flags, sampler))}
    assert codes == (set() if code is None else {code})


def test_the_questions_of_a_library_are_no_reason_to_refuse(diagnosing: Diagnose) -> None:
    """How long they are is assumed: 32 GB of weights fit, 32 long questions may not."""
    evaluation = "{kind: eval, model: GSAI-ML/LLaDA-8B-Base, tasks: [gsm8k], sampler: llada}"
    text = SPEC[: SPEC.index("data:\n")] + "stages:\n  ask: " + evaluation + "\ncompute: {gpus_per_node: 1, gpu: a100-40gb}\n"
    assert found(diagnosing(text)) == {("W330", "stages.ask.compute.gpu"), ("W431", "model")}
    assert ("E330", "stages.ask.compute.gpu") in found(diagnosing(text, "compute.gpu=rtx3090-24gb"))


def test_a_sweep_estimates_a_stage_once(diagnosing: Diagnose) -> None:
    training_memory.cache_clear()
    inference_memory.cache_clear()
    assert found(diagnosing(SPEC + f"sweep: {{grid: {{seed: {list(range(40))}}}}}\n", SMALL)) == set()
    assert training_memory.cache_info().misses == 1 and inference_memory.cache_info().misses == 1


@pytest.mark.parametrize("gpu", DEVICES)
@pytest.mark.parametrize("model", ["Qwen/Qwen3-0.6B", "Qwen/Qwen3-1.7B", "Qwen/Qwen3-4B", "Qwen/Qwen3-8B"])
def test_the_cure_of_what_does_not_fit_leaves_nothing_to_tell(model: str, gpu: str, diagnosing: Diagnose) -> None:
    flags = (f"model={model}", f"compute.gpu={gpu}", "stages.train.batch.micro=8")
    for item in diagnosing(SPEC, *flags):
        if item.fix is not None and item.code in ("E330", "W330"):
            assert item.path not in {other.path for other in diagnosing(SPEC, *flags, item.fix) if other.code in ("E330", "W330")}
