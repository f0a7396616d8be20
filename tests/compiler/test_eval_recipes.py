"""The benchmark lines of the published scripts: every one compiles, with the settings that the scripts have."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.specs.vocabulary.stages.eval import Eval

FOLDER = Path(__file__).parents[2] / "specs" / "recipes" / "eval"
CHAT, CODE = "chat", "code"
# Task, solved examples, then of answers (tokens, steps, tokens of a block), of likelihoods (estimator, masks, guidance), then flags.
GENERATED: dict[str, list[tuple[str, int, tuple[int, int, int], set[str]]]] = {
    "llada-base": [
        ("gsm8k", 5, (256, 256, 256), set()),
        ("bbh", 3, (256, 256, 256), set()),
        ("minerva_math", 4, (1024, 1024, 1024), set()),
        ("humaneval", 0, (1024, 1024, 1024), {CODE}),
        ("mbpp", 3, (1024, 1024, 1024), {CODE}),
    ],
    "llada-instruct-mmlu-pro": [("mmlu_pro", 0, (256, 256, 256), {CHAT})],
    "llada-instruct": [
        ("mmlu_generative", 0, (3, 3, 3), {CHAT}),
        ("hellaswag_gen", 0, (3, 3, 3), {CHAT}),
        ("arc_challenge_chat", 0, (512, 512, 512), {CHAT}),
    ],
    "a2d-mdlm": [
        ("mmlu_generative_dream", 0, (3, 3, 3), {CHAT}),
        ("hellaswag_gen", 0, (3, 3, 3), {CHAT}),
        ("mmlu_pro", 0, (256, 256, 256), {CHAT}),
        ("bbh", 3, (256, 256, 256), {CHAT}),
        ("minerva_math", 0, (256, 256, 256), {CHAT}),
        ("gsm8k_cot", 5, (256, 256, 256), {CHAT}),
        ("humaneval_instruct", 0, (256, 256, 256), {CHAT, CODE}),
        ("mbpp_instruct", 0, (256, 256, 256), {CHAT, CODE}),
    ],
    "a2d-coder-mdlm": [
        ("humaneval_instruct", 0, (256, 256, 256), {CHAT, CODE}),
        ("mbpp_instruct", 0, (256, 256, 256), {CHAT, CODE}),
    ],
    "bert-chat": [
        ("gsm8k_bert", 0, (256, 256, 32), {CHAT}),
        ("bbh", 3, (256, 256, 32), {CHAT}),
        ("minerva_math", 4, (256, 256, 32), {CHAT}),
    ],
    "dream-base": [],
    "dream-instruct": [],
}
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
                sampler: Any = body.sampler
                assert (sampler.word, sampler.remasking, sampler.temperature) == ("llada", "low_confidence", 0)
                generated.append((task.name, task.num_fewshot, (body.max_new_tokens, sampler.steps, sampler.block_size), flags(body)))
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
