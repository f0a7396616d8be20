"""The two reference recipes, made tiny and trained by two real processes as the scripts of their trees would start them."""

import importlib.util
import json
import os
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from recipe_toys import made_tiny, rows_in, tiny_weights
from runtime_toys import run_stage
from several import PATIENCE, Place, free_port

from dllm_run.cli.specs import find
from dllm_run.specs.canonical import canonical

pytestmark = pytest.mark.slow
ZERO = pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not here")
RECIPES = [pytest.param("sft-qlora-zero2", marks=ZERO), "sft-fsdp-slurm"]
BF16 = 0.005
"""What bfloat16 and another order of sums leave of a loss after three steps."""


@pytest.fixture(scope="module")
def material(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("material")
    tiny_weights(folder / "llada", "llada", width=64)
    rows_in(folder)
    return folder


def placed(recipe: str, material: Path, folder: Path, *flags: str, processes: int = 1, nodes: int = 1) -> Place:
    """A folder with the plan of the recipe and its prepared data."""
    tiny = made_tiny(material / "llada", material / "rows.jsonl", data="tulu", processes=processes, nodes=nodes)
    more = ("stages.train.duration=3 steps", "stages.train.optimizer.learning_rate=1e-2", "stages.train.batch.micro=2")
    plan = find(f"recipe:llada/{recipe}", (*tiny, *more, *flags)).compile().plan
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "plan.json").write_text(canonical(plan.to_json()), encoding="utf-8")
    run_stage(plan, "train.data", folder)
    return Place(folder, plan)


def near(place: Place, other: Place) -> None:
    """The same held-out bound and loss at every step."""
    for key in ("loss", "bound"):
        mine, expected = place.losses(key), other.losses(key)
        assert [step for step, _ in mine] == [step for step, _ in expected] == [1, 2, 3]
        assert [value for _, value in mine] == pytest.approx([value for _, value in expected], rel=BF16)


def trained(material: Path, folder: Path, processes: int) -> Callable[[str], Place]:
    """Each recipe as it is asked for, once."""
    found: dict[str, Place] = {}

    def of(recipe: str) -> Place:
        if recipe not in found:
            found[recipe] = placed(recipe, material, folder / recipe, processes=processes).ran()
        return found[recipe]

    return of


@pytest.fixture(scope="module")
def alone(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Place]:
    """Trained in one process."""
    return trained(material, tmp_path_factory.mktemp("alone"), 1)


@pytest.fixture(scope="module")
def pair(material: Path, tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], Place]:
    """Trained in two."""
    return trained(material, tmp_path_factory.mktemp("pair"), 2)


@pytest.mark.parametrize("recipe", RECIPES)
def test_two_processes_train_a_reference_recipe_as_one_does(
    recipe: str, alone: Callable[[str], Place], pair: Callable[[str], Place]
) -> None:
    place, other = pair(recipe), alone(recipe)
    near(place, other)
    assert place.status()["processes"] == 2
    assert place.plan.stages[place.stage].body.compute.shared_by == {"sft-qlora-zero2": "zero2", "sft-fsdp-slurm": "fsdp2"}[recipe]
    assert place.weights().keys() == other.weights().keys()
    assert (place.entry.output("model") / "adapter_config.json").is_file() == (recipe == "sft-qlora-zero2")


def test_fsdp_rounds_no_loss_to_bfloat16(pair: Callable[[str], Place]) -> None:
    """Three random losses are numbers of bfloat16 by chance once in 2^48."""
    found = torch.tensor([value for key in ("loss", "bound") for _, value in pair("sft-fsdp-slurm").losses(key)], dtype=torch.float64)
    assert not torch.equal(found.bfloat16().double(), found)


@ZERO
def test_the_quantised_recipe_that_is_stopped_goes_on_with_the_same_bits(
    pair: Callable[[str], Place], material: Path, tmp_path: Path
) -> None:
    place = placed("sft-qlora-zero2", material, tmp_path, processes=2)
    process = place.after(1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=PATIENCE) == 130, place.told()
    whole = pair("sft-qlora-zero2")
    assert place.ran().sha() == whole.sha() and place.losses() == whole.losses()


def test_fsdp_on_two_nodes_is_what_it_is_on_one(alone: Callable[[str], Place], material: Path, tmp_path: Path) -> None:
    """The command of the tree, with what srun would put into it; both nodes are this machine."""
    place = placed("sft-fsdp-slurm", material, tmp_path, processes=2, nodes=2)
    where = ["-n", "1", "--nodes", "2", "--address", "127.0.0.1", "--port", str(free_port())]
    command = [sys.executable, "-m", "dllm_run.launchers.ranks", *where]
    more = ["plan.json", place.stage, "--runs", "runs", "--base", "."]
    nodes = [subprocess.Popen([*command, "--node", str(node), *more], cwd=tmp_path, stderr=subprocess.DEVNULL) for node in (0, 1)]
    assert [node.wait(timeout=PATIENCE) for node in nodes] == [0, 0], place.told()
    near(place, alone("sft-fsdp-slurm"))
    assert json.loads((place.entry.results_file).read_text(encoding="utf-8"))["steps"] == 3
