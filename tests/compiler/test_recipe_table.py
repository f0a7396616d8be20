"""The table of recipes: each family of models with each kind of work, or a reason why not."""

import itertools

import pytest

from dllm_run.cli.specs import find, recipes
from dllm_run.specs.vocabulary.samplers.edit_flow import EditFlowSampler
from dllm_run.specs.vocabulary.stages.sample import Sample
from dllm_run.specs.vocabulary.training import Training

FAMILIES = {"llada": "mdlm", "dream": "dream", "bert": "mdlm", "a2d-mdlm": "mdlm", "a2d-bd3lm": "bd3lm", "edit-flow": "edit_flow"}
"""Folder of the family, and the objective that it is trained with."""
NAMED = {("bert", "sft"): "modernbert-large-chat"}
"""Cells whose recipe has a name of its own."""
WITHOUT = {
    ("edit-flow", "sft-lora"): "the heads for edits are trained whole, and no setting with adapters was published",
}
CELLS = [pair for pair in itertools.product(FAMILIES, ("pretrain", "sft", "sft-lora")) if pair not in WITHOUT]


@pytest.mark.parametrize(("family", "kind"), CELLS, ids=map("/".join, CELLS))
def test_a_cell_has_a_recipe_that_compiles_and_does_what_its_name_says(family: str, kind: str) -> None:
    name = f"{family}/{NAMED.get((family, kind), kind)}"
    compiled = find(f"recipe:{name}", []).compile()
    assert {warning.code for warning in compiled.warnings} <= {"W501"}, "only what is on a hub is unchecked"
    (train,) = [stage.body for stage in compiled.plan.stages.values() if isinstance(stage.body, Training)]
    assert train.word == kind.partition("-")[0]
    assert train.objective.word == FAMILIES[family]
    assert (train.model.lora is not None) == kind.endswith("lora")


EVALUATED = {
    "llada": "eval/llada-instruct",
    "dream": "eval/dream-instruct",
    "bert": "eval/bert-chat",
    "a2d-mdlm": "eval/a2d-mdlm",
    "a2d-bd3lm": "eval/a2d-bd3lm",
}
SAMPLED = {
    "llada": ("llada", 128),
    "dream": ("dream", 256),
    "bert": ("llada", 128),
    "a2d-mdlm": ("llada", 128),
    "a2d-bd3lm": ("bd3lm", 128),
}
"""Recipe `FAMILY/sample`: sampler of its first stage, and tokens."""
WITHOUT_EVALUATION = {"edit-flow": "no benchmark of a trained Edit Flow was published, nor weights"}
ELSEWHERE = {"edit-flow": ("edit-flow/pretrain", "edit-flow/sft", "edit-flow/sorting")}
"""Families without published weights: their own trainings are sampled."""


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_evaluated_as_published_or_says_why_not(family: str) -> None:
    if family in WITHOUT_EVALUATION:
        assert WITHOUT_EVALUATION[family] and not any(name.startswith(f"eval/{family}") for name in recipes())
        return
    plan = find(f"recipe:{EVALUATED[family]}", []).compile().plan
    assert {stage.body.word for stage in plan.stages.values()} == {"eval"}


@pytest.mark.parametrize("family", FAMILIES)
def test_a_family_is_sampled_with_its_own_sampler(family: str) -> None:
    for name in ELSEWHERE.get(family, (f"{family}/sample",)):
        compiled = find(f"recipe:{name}", []).compile()
        assert {warning.code for warning in compiled.warnings} <= {"W501"}
        bodies = [stage.body for stage in compiled.plan.stages.values() if isinstance(stage.body, Sample)]
        if family in SAMPLED:
            assert (bodies[0].sampler.word, bodies[0].max_new_tokens) == SAMPLED[family] and bodies[0].chat_template
        else:
            assert [body.sampler.word for body in bodies] == ["edit_flow"]


@pytest.mark.parametrize("kind", ["pretrain", "sft"])
def test_what_learns_to_edit_is_sampled_by_edits(kind: str) -> None:
    """100 steps of 0.01 that take the likeliest tokens, as dLLM's sampler does, behind the 128 masks of the training."""
    bodies = [stage.body for stage in find(f"recipe:edit-flow/{kind}", []).compile().plan.stages.values()]
    (look,) = [body for body in bodies if isinstance(body, Sample)]
    (train,) = [body for body in bodies if isinstance(body, Training)]
    assert look.sampler == EditFlowSampler(steps=100, temperature=0)
    assert look.max_new_tokens is not None and look.max_new_tokens >= train.objective.start.length == 128


def test_a_cell_without_a_recipe_says_why() -> None:
    assert all(reason and f"{family}/{kind}" not in recipes() for (family, kind), reason in WITHOUT.items())


@pytest.mark.parametrize(("nodes", "world"), [(1, 8), (2, 16)])
def test_fsdp_through_slurm_has_a_process_for_each_gpu_of_its_nodes(nodes: int, world: int) -> None:
    compiled = find("recipe:llada/sft-fsdp-slurm", [f"stages.train.compute.nodes={nodes}"]).compile()
    (train,) = [stage.body for stage in compiled.plan.stages.values() if isinstance(stage.body, Training)]
    assert (train.compute.world, train.compute.shared_by) == (world, "fsdp2")
    assert train.batch.micro is not None and train.batch.global_ % (train.batch.micro * world) == 0


def test_the_quantised_recipe_is_small_enough_for_a_gpu_of_40_gigabytes() -> None:
    compiled = find("recipe:llada/sft-qlora-zero2", []).compile()
    (train,) = [stage.body for stage in compiled.plan.stages.values() if isinstance(stage.body, Training)]
    assert train.model.quantization is not None and train.compute.gpu == "a100-40gb" and train.compute.shared_by == "zero2"
