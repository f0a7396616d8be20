"""Every cell of the table of recipes starts: the recipe itself on tiny weights and data, for two steps, in this process."""

import math
from pathlib import Path

import pytest
from recipe_toys import made_tiny, rows_in, tiny_weights
from runtime_toys import run_stage

from dllm_run.cli.specs import find
from dllm_run.specs.plan import Plan
from dllm_run.specs.vocabulary.training import Training

WEIGHTS = {"llada": "llada", "dream": "dream", "bert": "modernbert", "a2d-mdlm": "qwen3", "a2d-bd3lm": "qwen3", "edit-flow": "modernbert"}
"""Folder of recipes, and the architecture of the weights that it names."""
DATA = {"llada": "tulu", "dream": "tulu", "bert": "chat", "a2d-mdlm": "chat", "a2d-bd3lm": "chat", "edit-flow": "alpaca"}
"""The data set that its fine-tuning reads; pretraining reads `code` everywhere."""
MEASURE = {"edit-flow": "held_out_edit_loss"}
NAMED = {("bert", "sft"): "modernbert-large-chat"}
CELLS = [(family, kind) for family in WEIGHTS for kind in ("pretrain", "sft", "sft-lora") if (family, kind) != ("edit-flow", "sft-lora")]


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of every architecture, and rows."""
    folder = tmp_path_factory.mktemp("material")
    for family in set(WEIGHTS.values()):
        tiny_weights(folder / family, family)
    rows_in(folder)
    return folder


def ran(plan: Plan, folder: Path) -> dict[str, float]:
    """Every stage in its order; what the training tells."""
    (point,) = plan.points.values()
    names = {stage_id: name for name, stage_id in point.stages.items()}
    found = {}
    for stage_id, stage in plan.stages.items():
        results = run_stage(plan, names[stage_id], folder).entry.results()
        if isinstance(stage.body, Training):
            found = results or {}
    return found


@pytest.mark.parametrize(("family", "kind"), CELLS, ids=map("/".join, CELLS))
def test_a_recipe_trains_on_weights_of_its_architecture(family: str, kind: str, material: Path, tmp_path: Path) -> None:
    data = "code" if kind == "pretrain" else DATA[family]
    model = "stages.heads.model.from" if family == "edit-flow" else "model.from"
    flags = made_tiny(material / WEIGHTS[family], material / "rows.jsonl", data=data, model=model)
    if family == "edit-flow":
        flags = (*flags, "stages.look.compute.gpus_per_node=0")
    compiled = find(f"recipe:{family}/{NAMED.get((family, kind), kind)}", flags).compile()
    assert not compiled.warnings
    results = ran(compiled.plan, tmp_path)
    assert results["steps"] == 2
    assert math.isfinite(results["loss"]) and math.isfinite(results[MEASURE.get(family, "held_out_bound")])
