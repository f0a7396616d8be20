"""What the family of weights decides is in the plan: logit shift, special tokens, the number that they are held in."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dllm_run.cli.explained import explain_in
from dllm_run.cli.specs import find
from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.lock import fingerprint, lock_text, read_lock
from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.plan import InputRecord, Plan
from dllm_run.specs.vocabulary.families import family_for
from dllm_run.specs.vocabulary.special_tokens import SpecialTokens

Compile = Callable[..., Compiled]

SPEC = """\
version: 1
name: families
stages:
  train:
    kind: sft
    model: {model}
    data: {{sources: [./pairs.jsonl], max_length: 64}}
    objective: mdlm
    batch: 4
    optimizer: {{learning_rate: 1e-4}}
    duration: 10 steps
  look:
    kind: sample
    model: {again}
    prompts: [A]
    max_new_tokens: 32
    sampler: llada
"""
DREAM = "Dream-org/Dream-v0-Base-7B"


def spec(model: str, again: str = '"${stages.train}"') -> str:
    return SPEC.format(model=model, again=again)


def body(plan: Plan, name: str) -> Any:
    (point,) = plan.points.values()
    return plan.stages[point.stages[name]].body


def ids(plan: Plan) -> dict[str, str]:
    (point,) = plan.points.values()
    return point.stages


def folder(path: Path, model_type: str) -> Path:
    path.mkdir()
    (path / "config.json").write_text(json.dumps({"model_type": model_type}), encoding="utf-8")
    for name in ("model.safetensors", "tokenizer.json"):
        (path / name).write_text("{}", encoding="utf-8")
    return path


@pytest.mark.parametrize(
    ("model", "shift"),
    [
        (DREAM, 1),
        (f"{{from: {DREAM}, logit_shift: 0}}", 0),
        ("GSAI-ML/LLaDA-8B-Instruct", 0),
        ("Qwen/Qwen3-0.6B", 0),
        ("inclusionAI/LLaDA2.0-mini", 0),
        ("somebody/unknown", None),
        ("{scratch: {family: dream, layers: 1, width: 32}, tokenizer: bytes}", 1),
        ("{scratch: {family: llada, layers: 1, width: 32}, tokenizer: bytes}", 0),
    ],
)
def test_the_logit_shift_is_that_of_the_family(model: str, shift: int | None, compiling: Compile) -> None:
    assert body(compiling(spec(model)).plan, "train").model.logit_shift == shift


@pytest.mark.parametrize(("kind", "shift"), [("Dream", 1), ("editflow-dream", 1), ("llada", 0), ("a2d-qwen2", 0), ("olmo2", 0)])
def test_of_a_folder_its_config_says_which_that_is(kind: str, shift: int, compiling: Compile, tmp_path: Path) -> None:
    folder(tmp_path / "m", kind)
    assert body(compiling(spec("./m")).plan, "train").model.logit_shift == shift


def test_what_follows_from_the_family_may_as_well_be_written(compiling: Compile) -> None:
    found = [ids(compiling(spec(model)).plan)["train"] for model in (DREAM, f"{{from: {DREAM}, logit_shift: 1, dtype: float32}}")]
    other = ids(compiling(spec(f"{{from: {DREAM}, logit_shift: 0}}")).plan)["train"]
    assert found[0] == found[1] != other


def test_a_lock_says_what_a_model_is_where_it_does_not_lie(compiling: Compile, tmp_path: Path) -> None:
    record = InputRecord(kind="hub", locator="some/model", revision="abc", files={"config.json": "0" * 64}, model_type="Dream")
    (tmp_path / "spec.lock.json").write_text(lock_text([record]), encoding="utf-8")
    plan = compiling(spec("some/model")).plan
    assert body(plan, "train").model.logit_shift == 1
    assert Plan.from_json(plan.to_json()).inputs["some/model"].model_type == "Dream"


def test_a_record_without_a_type_is_written_as_before_there_were_types(tmp_path: Path) -> None:
    (tmp_path / "docs.txt").write_text("A text.")
    folder(tmp_path / "m", "llada")
    records = [fingerprint("./docs.txt", "data", tmp_path), fingerprint("./m", "model", tmp_path)]
    assert set(records[0].to_json()) == {"kind", "locator", "revision", "files"}
    assert records[1].to_json()["model_type"] == "llada"
    (tmp_path / "lock").write_text(lock_text(records))
    assert list(read_lock(tmp_path / "lock").values()) == records


@pytest.mark.parametrize("again", ['"${stages.train}"', '{from: "${stages.train}"}', '{from: "${stages.train}", logit_shift: 1}'])
def test_a_stage_that_goes_on_with_weights_has_their_facts(again: str, compiling: Compile) -> None:
    first = f'{{from: {DREAM}, dtype: bfloat16, special_tokens: {{end_of_turn: "<|im_end|>"}}}}'
    model = body(compiling(spec(first, again)).plan, "look").model
    if again.startswith("{"):
        assert (model.logit_shift, model.dtype, model.special_tokens) == (1, "bfloat16", SpecialTokens(end_of_turn="<|im_end|>"))


@pytest.mark.parametrize(("model", "shift"), [(DREAM, 0), ("{scratch: {family: dream, layers: 1, width: 32}, tokenizer: bytes}", 0)])
def test_another_shift_than_that_of_the_weights_is_an_error(
    model: str, shift: int, diagnosing: Callable[..., tuple[Diagnostic, ...]]
) -> None:
    found = diagnosing(spec(model, f'{{from: "${{stages.train}}", logit_shift: {shift}}}'))
    assert "E421" in {item.code for item in found}


def test_data_are_prepared_with_the_special_tokens_of_the_model_and_their_id_says_so(compiling: Compile) -> None:
    plain, other = (compiling(spec(model)).plan for model in (DREAM, f'{{from: {DREAM}, special_tokens: {{end: "<|im_end|>"}}}}'))
    assert body(plain, "train.data").special_tokens is None
    assert body(other, "train.data").special_tokens == SpecialTokens(end="<|im_end|>")
    assert ids(plain)["train.data"] != ids(other)["train.data"]


def test_weights_in_bfloat16_take_half_the_memory(compiling: Compile) -> None:
    from dllm_run.compiler.estimate.facts import facts_of
    from dllm_run.compiler.estimate.stage import memory_of

    def weights(dtype: str) -> int:
        stages = compiling(spec(f"{{from: {DREAM}, dtype: {dtype}}}")).spec.stages
        facts = facts_of(stages["look"].completed(), stages.__getitem__, None)
        assert facts is not None
        found = memory_of(facts)
        assert found is not None
        return found.weights

    assert weights("float32") == 2 * weights("bfloat16") > 28e9


def test_explain_says_what_a_model_brings_and_where_that_is_from(tmp_path: Path) -> None:
    folder(tmp_path / "m", "llada")
    (tmp_path / "spec.yaml").write_text(spec("./m"), encoding="utf-8")
    (found,) = explain_in(find(str(tmp_path / "spec.yaml"), []), "stages.train.model")
    rows = {path: (value, place) for path, value, place in found.below}
    assert rows["(family)"] == ("llada", "config.json")
    assert rows["(mask token)"] == ("<|mdm_mask|>", "family llada")
    assert rows["(logit shift)"] == ("0", "family llada")


def test_a_family_is_found_by_every_name_that_its_checkpoints_have() -> None:
    names = {kind: family.word for kind in ("llama", "a2d-llama", "Dream", "editflow-dream", "gemma3_text") if (family := family_for(kind))}
    assert names == {"llama": "llama", "a2d-llama": "llama", "Dream": "dream", "editflow-dream": "dream", "gemma3_text": "gemma3"}
    assert family_for("own") is None and family_for(None) is None


OLMO = '''\
"""OLMo 2: Llama with its norms behind attention and feed-forward."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.vocabulary.families import Rotary


@dataclass(frozen=True, slots=True, kw_only=True)
class Olmo2(Rotary):
    """The OLMo 2 architecture, read bidirectionally."""

    word: ClassVar[str] = "olmo2"
    model_types: ClassVar[tuple[str, ...]] = ("olmo2",)
'''


def test_a_family_that_is_in_no_table_is_one_class_in_a_file(compiling: Compile, tmp_path: Path) -> None:
    (tmp_path / "olmo2.py").write_text(OLMO, encoding="utf-8")
    text = spec("{scratch: {family: olmo2, layers: 1, width: 32}, tokenizer: bytes}") + "use: [./olmo2.py]\n"
    found = compiling(text)
    word = body(found.plan, "train").model.scratch
    assert word.word == "olmo2" and word.heads == word.kv_heads == 1
    from dllm_run.runtime.build import build

    config = build(word)
    assert (config.model_type, config.hidden_size, config.is_causal) == ("olmo2", 32, False)
