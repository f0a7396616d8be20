"""What the two reference commands of dLLM's README compile to: ZeRO-2 over nf4 on one node, FSDP through Slurm on one and on two."""

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.cli.specs import find
from dllm_run.cli.tree import tree

TREES = {
    "sft-qlora-zero2": ("sft-qlora-zero2", ()),
    "sft-fsdp-slurm": ("sft-fsdp-slurm", ()),
    "sft-fsdp-slurm-two-nodes": ("sft-fsdp-slurm", ("stages.train.compute.nodes=2",)),
}
"""Recipe and flags by the name of the golden folder."""
COPIES = ("MANIFEST.sha256", "README.txt", "spec.yaml", "inputs/")
"""What is no text of its own: hashes of the rest, the version of dllm-run, and the recipes themselves."""


def compiled(name: str) -> dict[str, str]:
    """The files that the compiler and the launchers have written."""
    recipe, flags = TREES[name]
    found = find(f"recipe:llada/{recipe}", flags)
    return {path: data.decode() for path, data in tree(found, found.compile()).items() if not path.startswith(COPIES)}


@pytest.mark.parametrize("name", TREES)
def test_a_reference_command_compiles_to_the_golden_tree(name: str, golden: Callable[[str, str], None]) -> None:
    files = compiled(name)
    for path, text in files.items():
        golden(f"recipes/{name}/{path}", text)
    folder = Path(__file__).parents[1] / "golden" / "recipes" / name
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    assert there == files.keys(), "a golden file of which nothing is compiled any more: remove it"


@pytest.mark.parametrize("name", TREES)
def test_its_scripts_are_bash(name: str) -> None:
    scripts = {path: text for path, text in compiled(name).items() if path.endswith((".sh", ".sbatch"))}
    assert scripts
    for path, text in scripts.items():
        assert subprocess.run(["bash", "-n"], input=text, text=True, check=False).returncode == 0, path


def test_on_two_nodes_it_is_the_same_training_in_other_scripts() -> None:
    one, two = compiled("sft-fsdp-slurm"), compiled("sft-fsdp-slurm-two-nodes")
    assert {path for path in one if one[path] != two[path]} == {
        "artefacts/stages/train/accelerate.yaml",
        "artefacts/stages/train/argv.json",
        "artefacts/train.sbatch",
        "plan.json",
        "resolved.json",
        "sources.json",
    }
    assert one["artefacts/stages.json"] == two["artefacts/stages.json"], "nodes are numerics: the ids are the same"
