"""Adapters and quantised weights in the compiler: what goes together, what lies in folders, what they take up."""

import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import AutoConfig, AutoModelForCausalLM, AutoModelForMaskedLM

from dllm_run.compiler.adapters import target_problems
from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.estimate import InferenceSetting, Setting
from dllm_run.compiler.estimate.facts import Facts, Modelled, facts_of
from dllm_run.compiler.estimate.settings import evaluation_setting, sampling_setting, training_setting
from dllm_run.compiler.estimate.stage import Estimate, estimate
from dllm_run.compiler.follow import adapter_of, quantization_of
from dllm_run.compiler.sizes import Sizes
from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.flops import training_flops
from dllm_run.specs.published import PUBLISHED
from dllm_run.specs.vocabulary.families import Family, architecture_of
from dllm_run.specs.vocabulary.families.llama import Llama
from dllm_run.specs.vocabulary.lora import Lora
from dllm_run.specs.vocabulary.quantizations.nf4 import Nf4
from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.vocabulary.stages.eval import Eval
from dllm_run.specs.vocabulary.stages.sample import Sample
from dllm_run.specs.vocabulary.training import Training
from dllm_run.specs.word import members

Diagnose = Callable[..., tuple[Diagnostic, ...]]
Compile = Callable[..., Compiled]

QWEN = "Qwen/Qwen3-0.6B"


def training(name: str, model: str) -> str:
    return f"""\
  {name}:
    kind: pretrain
    model: {model}
    data: {{sources: [{{generate: sudoku}}], max_length: 64}}
    objective: mdlm
    batch: 8
    optimizer: {{learning_rate: 1e-4}}
    duration: 10 steps
"""


def spec(*models: str, more: str = "", top: str = "") -> str:
    """Trainings a, b, c, ... of these models, and more stages."""
    return f"version: 1\nname: adapted\n{top}stages:\n" + "".join(training("abc"[at], model) for at, model in enumerate(models)) + more


LOOK = '  look: {kind: sample, model: MODEL, prompts: ["1"], max_new_tokens: 8, sampler: llada}\n'


def codes(found: tuple[Diagnostic, ...]) -> list[str]:
    return sorted(item.code for item in found if item.code != "W501")


def folder(base: Path, name: str, *weights: str, **files: Any) -> None:
    (base / name).mkdir()
    for stem, said in files.items():
        (base / name / f"{stem}.json").write_text(said if isinstance(said, str) else json.dumps(said), encoding="utf-8")
    for weight in weights:
        (base / name / weight).write_text("", encoding="utf-8")


# --- what goes together


RULES = {
    "a-fresh-adapter": ((f"{{from: {QWEN}, lora: 8}}",), []),
    "a-fresh-adapter-beside-packed-weights": ((f"{{from: {QWEN}, lora: 8, quantization: nf4}}",), []),
    "packed-weights-alone": ((f"{{from: {QWEN}, quantization: nf4}}",), ["E531"]),
    "an-adapter-from-elsewhere-goes-on": ((f"{{from: {QWEN}, adapter_from: a/b, adapter: continue, quantization: int8}}",), []),
    "nothing-said-of-it": ((f"{{from: {QWEN}, adapter_from: a/b}}",), ["E532"]),
    "nothing-said-of-it-in-packed-weights": ((f"{{from: {QWEN}, adapter_from: a/b, quantization: nf4}}",), ["E532"]),
    "left-out-and-nothing-in-its-place": ((f"{{from: {QWEN}, adapter_from: a/b, adapter: new, quantization: nf4}}",), ["E531"]),
    "left-out-for-another": ((f"{{from: {QWEN}, adapter_from: a/b, adapter: new, quantization: nf4, lora: 8}}",), []),
    "folded-into-packed-weights": ((f"{{from: {QWEN}, adapter_from: a/b, adapter: merge, quantization: nf4}}",), ["E531"]),
    "folded": ((f"{{from: {QWEN}, adapter_from: a/b, adapter: merge}}",), []),
    "two-at-once": ((f"{{from: {QWEN}, lora: 8}}", '{from: "${stages.a}", adapter_from: a/b, adapter: merge}'), ["E535"]),
    "one-over-folded-weights": (
        (f"{{from: {QWEN}, lora: 8}}", '{from: "${stages.a}", adapter: merge}', '{from: "${stages.b}", adapter_from: a/b, adapter: merge}'),
        [],
    ),
    "two-at-once-further-up": (
        (
            f"{{from: {QWEN}, lora: 8}}",
            '{from: "${stages.a}", adapter: continue}',
            '{from: "${stages.b}", adapter_from: a/b, adapter: continue}',
        ),
        ["E535"],
    ),
    "an-adapter-over-nothing": (("{adapter_from: a/b, adapter: continue, tokenizer: bytes}",), ["E301"]),
    "an-adapter-over-random-weights": (
        ("{scratch: {family: llama, layers: 1, width: 32}, tokenizer: bytes, adapter_from: a/b, adapter: continue}",),
        ["E530", "E530"],
    ),
}


@pytest.mark.parametrize("case", RULES)
def test_what_goes_together(case: str, diagnosing: Diagnose) -> None:
    models, expected = RULES[case]
    assert codes(diagnosing(spec(*models))) == expected


@pytest.mark.parametrize("case", [case for case, (_, expected) in RULES.items() if expected in (["E531"], ["E532"], ["E535"])])
def test_the_cure_leaves_nothing_to_say(case: str, diagnosing: Diagnose) -> None:
    models, _ = RULES[case]
    found = [item.fix for item in diagnosing(spec(*models)) if item.fix is not None]
    again = diagnosing(spec(*models), *found)
    assert codes(diagnosing(spec(*models), *found, *(item.fix for item in again if item.fix is not None))) == []


def test_an_adapter_does_nothing_where_nothing_is_trained(diagnosing: Diagnose) -> None:
    found = diagnosing(spec(more=LOOK.replace("MODEL", f"{{from: {QWEN}, lora: 8}}")))
    assert [(item.code, item.fix) for item in found] == [("E430", "stages.look.model.lora=null")]


def test_an_adapter_at_the_top_counts_for_the_stages_that_train(diagnosing: Diagnose) -> None:
    train = training("a", "MODEL").replace("    model: MODEL\n", "")
    text = f"version: 1\nname: adapted\nmodel: {{from: {QWEN}, lora: 8, quantization: nf4}}\nstages:\n{train}"
    assert codes(diagnosing(text)) == []
    assert codes(diagnosing(text + LOOK.replace(" model: MODEL,", ""))) == []
    alone = text.replace(train, LOOK.replace(" model: MODEL,", ""))
    assert codes(diagnosing(alone)) == ["E430"]


def test_a_sweep_over_the_adapter_of_one_stage_is_told_at_the_next(diagnosing: Diagnose) -> None:
    text = spec(f"{{from: {QWEN}}}", '{from: "${stages.a}"}')
    assert codes(diagnosing(text + "sweep: {grid: {stages.a.model.lora: [null, 8]}}\n")) == ["E532"]
    assert codes(diagnosing(text)) == []


@pytest.mark.parametrize(("model", "warned"), [("GSAI-ML/LLaDA-8B-Base", True), (QWEN, False)])
@pytest.mark.parametrize("gpus", [0, 1])
def test_packed_weights_on_a_cpu_are_slow_where_there_are_many(model: str, warned: bool, gpus: int, diagnosing: Diagnose) -> None:
    text = spec(f"{{from: {model}, quantization: int8, lora: 8}}", more=LOOK.replace("MODEL", '"${stages.a}"'))
    expected = ["W531", "W531"] if warned and not gpus else []
    assert codes(diagnosing(text, f"compute.gpus_per_node={gpus}")) == expected


# --- folders


SAID = {"peft_type": "LORA", "r": 16, "base_model_name_or_path": "acme/tiny"}


def test_an_adapter_that_is_named_as_a_model_is_told_with_the_weights_below_it(diagnosing: Diagnose, tmp_path: Path) -> None:
    folder(tmp_path, "ours", "adapter_model.safetensors", adapter_config=SAID)
    (found,) = (item for item in diagnosing(spec("./ours")) if item.code[0] == "E")
    assert (found.code, found.path) == ("E533", "stages.a.model.from")
    assert found.fix is not None
    assert codes(diagnosing(spec("./ours"), found.fix, "stages.a.model.adapter=continue")) == []


@pytest.mark.parametrize("base", ["", None, 7])
def test_of_weights_that_it_does_not_name_nothing_is_offered(base: object, diagnosing: Diagnose, tmp_path: Path) -> None:
    folder(tmp_path, "ours", "adapter_model.safetensors", adapter_config={**SAID, "base_model_name_or_path": base})
    assert [(item.code, item.fix) for item in diagnosing(spec("./ours"))] == [("E533", None)]


def test_beside_a_config_it_is_an_adapter_all_the_same_as_the_runtime_has_it(diagnosing: Diagnose, tmp_path: Path) -> None:
    folder(tmp_path, "ours", "adapter_model.safetensors", adapter_config=SAID, config={"model_type": "llama"})
    assert codes(diagnosing(spec("./ours"))) == ["E533"]


FOLDERS: dict[str, tuple[tuple[str, ...], dict[str, Any], bool]] = {
    "whole": (("adapter_model.safetensors",), {"adapter_config": SAID}, True),
    "old": (("adapter_model.bin",), {"adapter_config": SAID}, True),
    "empty": ((), {}, False),
    "a-model": (("model.safetensors",), {"config": {"model_type": "llama"}}, False),
    "no-weights": (("other.safetensors",), {"adapter_config": SAID}, False),
    "another-kind": (("adapter_model.safetensors",), {"adapter_config": {**SAID, "peft_type": "IA3"}}, False),
    "no-kind": (("adapter_model.safetensors",), {"adapter_config": {"r": 8}}, False),
    "no-json": (("adapter_model.safetensors",), {"adapter_config": "{"}, False),
    "no-map": (("adapter_model.safetensors",), {"adapter_config": [1]}, False),
}


@pytest.mark.parametrize("case", FOLDERS)
def test_a_folder_is_that_of_an_adapter(case: str, diagnosing: Diagnose, tmp_path: Path) -> None:
    weights, files, right = FOLDERS[case]
    folder(tmp_path, "ours", *weights, **files)
    assert codes(diagnosing(spec(f"{{from: {QWEN}, adapter_from: ./ours, adapter: continue}}"))) == ([] if right else ["E537"])


# --- targets


@pytest.mark.parametrize("word", members(Family))
def test_the_layers_of_a_family_are_those_of_its_networks(word: str) -> None:
    family = members(Family)[word]
    assert issubclass(family, Family)
    fresh = family(layers=1, width=64).completed()
    special = dict.fromkeys(("pad_token_id", "bos_token_id", "eos_token_id", "cls_token_id", "sep_token_id"), 0)
    config = AutoConfig.for_model(architecture_of(family), vocab_size=100, **{**special, **fresh.sizes()})
    with torch.device("meta"):
        network = (AutoModelForMaskedLM if family.masked else AutoModelForCausalLM).from_config(config)
    names = {module: name.rpartition(".")[2] for name, module in network.named_modules()}
    output = names[network.get_output_embeddings()]
    linear = {name for module, name in names.items() if type(module).__name__ in ("Linear", "Conv1D")}
    assert set(family.linear_layers) == linear - {output}
    assert family.tables == (names[network.get_input_embeddings()], output)


@pytest.mark.parametrize(
    ("targets", "fix"),
    [
        ("all-linear", None),
        (("q_proj", "mlp.down_proj", "layers.0.self_attn.o_proj", "lm_head"), None),
        (("q_porj", "v_proj"), ["q_proj", "v_proj"]),
        (("self_attn.qproj", "q_proj"), ["self_attn.q_proj", "q_proj"]),
        (("q_proj", "qproj"), ["q_proj"]),
        (("c_attn",), []),
        (("q_proj.weight",), []),
    ],
    ids=str,
)
def test_names_of_no_layer_are_told_with_those_that_were_meant(targets: str | tuple[str, ...], fix: list[str] | None) -> None:
    found = list(target_problems(Lora(targets=targets), Llama))
    if fix is None:
        assert found == []
    else:
        assert [(item.code, item.fix) for item in found] == [("E536", (("targets",), fix) if fix else None)]


def test_the_family_is_that_in_which_the_weights_began(diagnosing: Diagnose, tmp_path: Path) -> None:
    wrong = "lora: {targets: [c_attn]}"
    folder(tmp_path, "ours", "model.safetensors", config={"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, tokenizer={})
    scratch = "{scratch: {family: llama, layers: 1, width: 32}, tokenizer: bytes}"
    assert codes(diagnosing(spec(f"{{from: ./ours, {wrong}}}"))) == []
    assert codes(diagnosing(spec(f"{{from: openai-community/gpt2, {wrong}}}"))) == []
    assert codes(diagnosing(spec(f"{{from: acme/tiny, {wrong}}}"))) == [], "of other weights nothing is known"
    assert codes(diagnosing(spec(f"{{from: {QWEN}, {wrong}}}"))) == ["E536"]
    assert codes(diagnosing(spec(scratch, f'{{from: "${{stages.a}}", {wrong}}}'))) == ["E536"]


# --- what they take up


def planned(compiling: Compile, text: str) -> tuple[dict[str, Stage], Callable[[str], Stage]]:
    """The stages of a plan by name, and by id."""
    plan = compiling(text).plan
    (point,) = plan.points.values()
    return {name: plan.stages[stage].body for name, stage in point.stages.items()}, lambda stage: plan.stages[stage].body


def facts(compiling: Compile, text: str, name: str, at_hand: Sizes | None = None) -> Facts:
    stages, by_id = planned(compiling, text)
    found = facts_of(stages[name], by_id, at_hand)
    assert found is not None
    return found


def estimated(compiling: Compile, model: str) -> Estimate:
    stages, by_id = planned(compiling, spec(model))
    return estimate(stages["a"], by_id, None, 1)


def setting(compiling: Compile, *models: str, at_hand: Sizes | None = None) -> Setting:
    known = facts(compiling, spec(*models), "abc"[len(models) - 1], at_hand)
    assert isinstance(known.stage, Training) and known.longest is not None
    return training_setting(known.stage, known.longest, known.kept)


def test_a_training_is_estimated_with_what_it_trains(compiling: Compile) -> None:
    plain = setting(compiling, QWEN)
    assert plain.lora_rank is None and plain.quantization is None
    fresh = setting(
        compiling, f"{{from: {QWEN}, lora: {{r: 16, modules_to_save: [lm_head, model.embed_tokens, norm]}}, quantization: nf4}}"
    )
    assert fresh == replace(plain, lora_rank=16, quantization="nf4", saved_tables=2)
    first = f"{{from: {QWEN}, lora: 12, quantization: int8}}"
    on = setting(compiling, first, '{from: "${stages.a}", adapter: continue}')
    assert on == replace(plain, lora_rank=12), "weights are packed anew, or not"
    assert setting(compiling, first, '{from: "${stages.a}", adapter: merge}') == plain
    assert setting(compiling, first, '{from: "${stages.a}", adapter: new, lora: 4}') == replace(plain, lora_rank=4)
    twice = setting(compiling, first, '{from: "${stages.a}", adapter: continue}', '{from: "${stages.b}", adapter: continue}')
    assert twice == replace(plain, lora_rank=12)


def test_an_adapter_from_elsewhere_has_the_rank_that_its_folder_says(compiling: Compile, tmp_path: Path) -> None:
    folder(tmp_path, "ours", "adapter_model.safetensors", adapter_config={**SAID, "modules_to_save": ["lm_head"]})
    model = f"{{from: {QWEN}, adapter_from: ./ours, adapter: continue}}"
    found = setting(compiling, model, at_hand=Sizes(tmp_path))
    assert (found.lora_rank, found.saved_tables) == (16, 1)
    assert setting(compiling, model).lora_rank == 32, "without the files it is assumed"


@pytest.mark.parametrize("said", ["{", "[]", {"r": "8"}, {"r": True}, {"r": 0}, {"r": 8, "modules_to_save": 3}], ids=str)
def test_a_folder_that_says_nothing_of_its_rank_gives_none(said: object, tmp_path: Path) -> None:
    folder(tmp_path, "ours", adapter_config=said)
    assert Sizes(tmp_path).adapter("./ours") is None
    assert Sizes(tmp_path).adapter("acme/ours") is None


def test_a_stage_that_takes_another_s_weights_takes_them_as_they_are(compiling: Compile) -> None:
    packed = f"{{from: {QWEN}, lora: 12, quantization: nf4}}"

    def sampled(model: str) -> InferenceSetting:
        known = facts(compiling, spec(packed, more=LOOK.replace("MODEL", model)), "look")
        assert isinstance(known.stage, Sample)
        return sampling_setting(known.stage, 1, known.kept)

    bare, named = sampled('"${stages.a}"'), sampled('{from: "${stages.a}"}')
    assert (bare.lora_rank, bare.quantization) == (12, "nf4")
    assert named == replace(bare, quantization=None), "a model that is spelt out says so itself"
    plain = sampled(f"{{from: {QWEN}}}")
    assert plain == replace(bare, quantization=None, lora_rank=None)


def test_a_likelihood_needs_the_logits_of_a_chunk(compiling: Compile) -> None:
    text = spec(
        more=f"""\
  bound:
    kind: eval
    model: {QWEN}
    data: {{sources: [{{generate: sudoku}}], holdout: 0.1, max_length: 64}}
    tasks: [held_out_text]
    likelihood: {{estimator: elbo, samples: 2}}
    batch: BATCH
"""
    )
    known = [facts(compiling, text.replace("BATCH", str(batch)), "bound") for batch in (1, 32)]
    found = [evaluation_setting(item.stage, 1, 64, item.kept, 55) for item in known if isinstance(item.stage, Eval)]
    assert [item.scored for item in found] == [32, 55], "half of the positions, and no more than a chunk"


def test_where_an_adapter_comes_from(compiling: Compile) -> None:
    models = (f"{{from: {QWEN}, lora: 8, quantization: nf4}}", '{from: "${stages.a}", adapter: merge}', '{from: "${stages.b}", lora: 4}')
    stages, by_id = planned(compiling, spec(*models, more=LOOK.replace("MODEL", '"${stages.c}"')))
    taken = {name: stage.model for name, stage in stages.items() if isinstance(stage, Modelled)}
    adapters = {name: adapter_of(model, by_id) for name, model in taken.items()}
    ranks = {name: adapter.r if isinstance(adapter, Lora) else adapter for name, adapter in adapters.items()}
    assert ranks == {"a": None, "b": 8, "c": None, "look": 4}
    assert quantization_of(taken["look"], by_id) is None
    assert isinstance(quantization_of(taken["a"], by_id), Nf4)


def test_work_and_checkpoints_are_those_of_the_adapter(compiling: Compile) -> None:
    found, full = estimated(compiling, f"{{from: {QWEN}, lora: 8}}"), estimated(compiling, QWEN)
    geometry = PUBLISHED[QWEN]
    assert found.course is not None and found.course.checkpoint_bytes == 12 * geometry.lora_parameters(8)
    assert found.flops is not None and full.flops is not None
    expected = [training_flops(geometry, tokens=80 * 64, length=64, adapters=count) for count in (geometry.lora_parameters(8), None)]
    assert found.flops[1] / full.flops[1] == pytest.approx(expected[0] / expected[1], rel=0.02)
