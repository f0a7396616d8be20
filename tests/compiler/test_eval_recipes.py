"""The benchmark lines of the published scripts: every one compiles, with the settings that the scripts have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.specs.field import fields_of
from dllm_run.specs.vocabulary.stages.eval import Eval

FOLDER = Path(__file__).parents[2] / "specs" / "recipes" / "eval"
CHAT, CODE = "chat", "code"
BOS, EOT = "<|endoftext|>", "<|eot_id|>"
Line = tuple[str, int, dict[str, Any], set[str]]
"""Task, solved examples, of answers the tokens and what the sampler is told, then flags."""


def llada(task: str, examples: int, tokens: int, *flags: str, block: int | None = None, **more: Any) -> Line:
    return task, examples, {"tokens": tokens, "type": "llada", "steps": tokens, "block_size": block or tokens, **more}, set(flags)


def dream(task: str, examples: int, tokens: int, *flags: str, temperature: float = 0, top_p: float | None = 0.95) -> Line:
    told = {"tokens": tokens, "type": "dream", "steps": tokens, "temperature": temperature, "top_p": top_p}
    return task, examples, told, set(flags)


def blocks(task: str, examples: int, tokens: int, *flags: str) -> Line:
    return task, examples, {"tokens": tokens, "type": "bd3lm", "steps": tokens, "block_size": 32}, {CHAT, *flags}


def instruct(task: str, examples: int, tokens: int, *flags: str) -> Line:
    return dream(task, examples, tokens, CHAT, *flags, temperature=0.1, top_p=0.9)


LATE = {"defer_tokens": (BOS, EOT)}
GENERATED: dict[str, list[Line]] = {
    "llada-base": [
        llada("gsm8k", 5, 256),
        llada("bbh", 3, 256),
        llada("minerva_math", 4, 1024),
        llada("humaneval", 0, 1024, CODE),
        llada("mbpp", 3, 1024, CODE),
    ],
    "llada-instruct-mmlu-pro": [llada("mmlu_pro", 0, 256, CHAT)],
    "llada-instruct": [
        llada("mmlu_generative", 0, 3, CHAT),
        llada("mmlu_pro", 0, 256, CHAT),
        llada("hellaswag_gen", 0, 3, CHAT),
        llada("arc_challenge_chat", 0, 512, CHAT),
        llada("gpqa_diamond_generative_n_shot", 5, 64, CHAT, **LATE),
        llada("gsm8k_cot", 5, 512, CHAT, **LATE),
        llada("minerva_math", 4, 512, CHAT, **LATE),
        llada("humaneval_instruct_llada", 0, 512, CHAT, CODE, suppress_tokens=(BOS,)),
        llada("mbpp_instruct_llada", 3, 256, CHAT, CODE, **LATE),
    ],
    "a2d-mdlm": [
        llada("mmlu_generative_dream", 0, 3, CHAT),
        llada("hellaswag_gen", 0, 3, CHAT),
        llada("mmlu_pro", 0, 256, CHAT),
        llada("bbh", 3, 256, CHAT),
        llada("minerva_math", 0, 256, CHAT),
        llada("gsm8k_cot", 5, 256, CHAT),
        llada("humaneval_instruct", 0, 256, CHAT, CODE),
        llada("mbpp_instruct", 0, 256, CHAT, CODE),
    ],
    "a2d-coder-mdlm": [llada("humaneval_instruct", 0, 256, CHAT, CODE), llada("mbpp_instruct", 0, 256, CHAT, CODE)],
    "a2d-bd3lm": [
        blocks("mmlu_generative_dream", 0, 3),
        blocks("hellaswag_gen", 0, 3),
        blocks("mmlu_pro", 0, 256),
        blocks("bbh", 3, 256),
        blocks("minerva_math", 0, 256),
        blocks("gsm8k_cot", 0, 256),
        blocks("humaneval_instruct", 0, 256, CODE),
        blocks("mbpp_instruct", 0, 256, CODE),
    ],
    "a2d-coder-bd3lm": [blocks("humaneval_instruct", 0, 256, CODE), blocks("mbpp_instruct", 0, 256, CODE)],
    "bert-chat": [
        llada("gsm8k_bert", 0, 256, CHAT, block=32),
        llada("bbh", 3, 256, CHAT, block=32),
        llada("minerva_math", 4, 256, CHAT, block=32),
    ],
    "dream-base": [
        dream("humaneval_instruct", 0, 512, CODE, temperature=0.2),
        dream("gsm8k_cot", 8, 256, top_p=None),
        dream("mbpp", 3, 512, CODE, temperature=0.2),
        dream("minerva_math", 4, 512),
        dream("bbh", 3, 512),
    ],
    "dream-instruct": [
        instruct("mmlu_generative_dream", 4, 128),
        instruct("mmlu_pro", 4, 128),
        instruct("gsm8k_cot", 0, 256),
        instruct("minerva_math", 0, 512),
        instruct("humaneval_instruct_dream", 0, 768, CODE),
        instruct("mbpp_instruct_dream", 0, 1024, CODE),
        instruct("ifeval", 0, 1280),
    ],
    "fast-dllm-llada": [
        llada("gsm8k", 5, 256, CHAT, block=32, **LATE),
        llada("minerva_math", 4, 256, CHAT, block=32, **LATE),
        llada("humaneval_instruct_llada", 0, 256, CHAT, CODE, block=32, suppress_tokens=(BOS,)),
        llada("mbpp_instruct_llada", 3, 256, CHAT, CODE, block=32, **LATE),
    ],
    "fast-dllm-dream": [
        dream("gsm8k", 5, 256, top_p=1),
        dream("minerva_math", 0, 256, top_p=1),
        dream("humaneval_instruct_dream", 0, 256, CODE, top_p=1),
        dream("mbpp", 3, 256, CODE, temperature=0.2),
    ],
}
# Task, solved examples, then of likelihoods (estimator, masks, guidance), then flags.
SCORED: dict[str, list[tuple[str, int, tuple[str, int, float], set[str]]]] = {
    "llada-base": [
        ("gpqa_main_n_shot", 5, ("elbo", 32, 0.5), set()),
        ("arc_challenge", 0, ("elbo", 32, 0.5), set()),
        ("hellaswag", 0, ("elbo", 32, 0.5), set()),
        ("piqa", 0, ("elbo", 32, 0.5), set()),
        ("truthfulqa_mc2", 0, ("elbo", 32, 2.0), set()),
        ("winogrande", 5, ("elbo", 32, 0.0), set()),
        ("cmmlu", 5, ("elbo", 32, 0.0), set()),
        ("ceval-valid", 5, ("elbo", 32, 0.0), set()),
        ("mmlu", 5, ("elbo", 1, 0.0), set()),
    ],
    "dream-base": [
        ("mmlu", 5, ("bernoulli", 16, 0.0), set()),
        *((name, 0, ("bernoulli", 128, 0.0), set()) for name in ("arc_easy", "arc_challenge", "hellaswag", "piqa", "race")),
        ("winogrande", 5, ("bernoulli", 128, 0.0), set()),
        ("gpqa_main_n_shot", 5, ("bernoulli", 32, 0.0), set()),
    ],
    "dream-instruct": [("gpqa_main_n_shot", 5, ("bernoulli", 32, 0.0), {CHAT})],
    "bert-chat": [
        *((name, 5, ("elbo", 32, 0.0), {CHAT}) for name in ("ceval-valid", "mmlu", "winogrande")),
        ("hellaswag", 0, ("elbo", 32, 0.0), {CHAT}),
        ("cmmlu", 5, ("elbo", 32, 0.0), {CHAT}),
    ],
}


def flags(body: Eval) -> set[str]:
    return {name for name, given in ((CHAT, body.chat_template), (CODE, body.allow_code_execution)) if given}


def told(body: Eval) -> dict[str, Any]:
    """What the sampler does otherwise than by default, and what every line says."""
    sampler: Any = body.sampler
    plain = {info.name: info.default for info in fields_of(type(sampler))}
    always = {"steps", "block_size"} if sampler.word != "dream" else {"steps", "temperature", "top_p"}
    values = {name: getattr(sampler, name) for name in plain}
    own = {name: value for name, value in values.items() if name in always or (value != plain[name] and name != "schedule")}
    return {"tokens": body.max_new_tokens, "type": sampler.word, **own}


def arms(compiled: Compiled) -> dict[str, list[Any]]:
    """By case, what each evaluation of it tells the sampler."""
    plan = compiled.plan
    found: dict[str, list[Any]] = {}
    for point in plan.points.values():
        bodies = [plan.stages[stage].body for stage in point.stages.values()]
        found[str(point.case)] = [told(body) for body in bodies if isinstance(body, Eval)]
    return found


def lines(compiled: Compiled) -> tuple[list[Any], list[Any]]:
    """What the plan of the first point asks."""
    generated: list[Any] = []
    scored: list[Any] = []
    plan = compiled.plan
    for stage in next(iter(plan.points.values())).stages.values():
        body = plan.stages[stage].body
        assert isinstance(body, Eval)
        for task in body.tasks:
            if body.sampler is not None:
                generated.append((task.name, task.num_fewshot, told(body), flags(body)))
            if body.likelihood is not None:
                word: Any = body.likelihood
                scored.append((task.name, task.num_fewshot, (word.word, word.samples, word.cfg_scale), flags(body)))
    return generated, scored


@pytest.mark.parametrize("name", [file.stem for file in sorted(FOLDER.glob("*.yaml"))])
def test_the_lines_of_a_published_script_compile_with_its_settings(name: str, compiling: Callable[..., Compiled]) -> None:
    generated, scored = lines(compiling((FOLDER / f"{name}.yaml").read_text(encoding="utf-8")))
    assert sorted(generated, key=str) == sorted(GENERATED[name], key=str)
    assert sorted(scored, key=str) == sorted(SCORED.get(name, []), key=str)


def test_both_sizes_of_a_published_pair_are_asked_alike(compiling: Callable[..., Compiled]) -> None:
    plan = compiling((FOLDER / "bert-chat.yaml").read_text(encoding="utf-8")).plan
    assert sorted(point.name for point in plan.points.values()) == ["base", "large"]


@pytest.mark.parametrize("name", ["llada", "dream"])
def test_the_arms_of_fast_dllm_differ_in_cache_and_in_what_a_step_commits(name: str, compiling: Callable[..., Compiled]) -> None:
    found = arms(compiling((FOLDER / f"fast-dllm-{name}.yaml").read_text(encoding="utf-8")))
    assert sorted(found) == sorted(f"{arm}-{tokens}" for arm in ("baseline", "cache", "parallel", "both") for tokens in (256, 512))
    for case, bodies in found.items():
        arm, tokens = case.split("-")
        assert [body["tokens"] for body in bodies] == [int(tokens)] * 4
        assert [body["type"] for body in bodies] == [name if arm == "baseline" else "fast_dllm"] * 4
        assert [body.get("cache") for body in bodies] == ["prefix" if arm in ("cache", "both") else None] * 4
        assert [body.get("threshold") for body in bodies] == [0.9 if arm in ("parallel", "both") else None] * 4
        assert [body["steps"] for body in bodies] == [int(tokens) if arm in ("baseline", "cache") else None] * 4


def test_mmlu_pro_is_asked_by_four_processes(compiling: Callable[..., Compiled]) -> None:
    plan = compiling((FOLDER / "llada-instruct-mmlu-pro.yaml").read_text(encoding="utf-8")).plan
    assert [stage.body.compute.processes for stage in plan.stages.values()] == [4]
