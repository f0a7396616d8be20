"""Files laid over each other: extends, profiles, relative paths, and the flags on top."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.specs.errors import Diagnostic, SpecError
from dllm_run.specs.plan import Plan
from dllm_run.specs.vocabulary.launchers.slurm import Slurm
from dllm_run.specs.vocabulary.training import Training

Compile = Callable[..., Compiled]


def write(folder: Path, **files: str) -> None:
    for name, text in files.items():
        path = folder / name.replace("__", "/")
        path.parent.mkdir(parents=True, exist_ok=True)
        path.with_suffix(".yaml").write_text(text, encoding="utf-8")


def training(compiled: Compiled) -> Training:
    stage = compiled.spec.stages["train"]
    assert isinstance(stage, Training)
    return stage


def ids(compiled: Compiled) -> dict[str, dict[str, str]]:
    return {point.name: point.stages for point in compiled.plan.points.values()}


# --- extends


def test_a_spec_that_extends_another_and_says_nothing_more_is_that_spec(
    examples: dict[str, str], compiling: Compile, tmp_path: Path
) -> None:
    write(tmp_path, base=examples["sudoku"])
    assert compiling("extends: [base.yaml]\n").plan == compiling(examples["sudoku"]).plan


def test_files_are_laid_left_to_right_and_the_spec_on_top(examples: dict[str, str], compiling: Compile, tmp_path: Path) -> None:
    write(tmp_path, one=examples["sudoku"] + "seed: 1\n", two="seed: 2\nstages: {train: {batch: {micro: 32}}}\n")
    left = compiling("extends: [one.yaml, two.yaml]\n")
    assert (left.spec.seed, training(left).batch.global_, training(left).batch.micro) == (2, 128, 32)
    assert compiling("extends: [two.yaml, one.yaml]\n").spec.seed == 1
    assert compiling("extends: [one.yaml, two.yaml]\nseed: 3\n").spec.seed == 3


def test_a_file_that_is_extended_may_extend_another_from_its_own_folder(
    examples: dict[str, str], compiling: Compile, tmp_path: Path
) -> None:
    write(tmp_path, a__b__deep=examples["sudoku"], a__middle="extends: [b/deep.yaml]\nseed: 5\n")
    found = compiling("extends: [a/middle.yaml]\n")
    assert found.spec.seed == 5
    assert sorted(found.inputs) == ["a/b/deep.yaml", "a/middle.yaml"]


def test_a_short_form_is_written_out_before_it_is_laid_over(examples: dict[str, str], compiling: Compile, tmp_path: Path) -> None:
    write(tmp_path, base=examples["sudoku"])
    found = training(compiling("extends: [base.yaml]\nstages: {train: {objective: {schedule: cosine}, batch: 64}}\n"))
    assert (found.objective.word, found.objective.schedule.word, found.batch.global_) == ("mdlm", "cosine", 64)  # type: ignore[attr-defined]


def test_null_deletes_what_lies_below(examples: dict[str, str], compiling: Compile, tmp_path: Path) -> None:
    write(tmp_path, base=examples["sudoku"])
    assert list(compiling("extends: [base.yaml]\nstages: {solve: null}\n").spec.stages) == ["train"]


def test_another_word_replaces_the_whole_map(examples: dict[str, str], compiling: Compile, tmp_path: Path) -> None:
    write(tmp_path, base=examples["sudoku"] + "launch: {type: slurm, partition: gpu}\n")
    assert compiling("extends: [base.yaml]\nlaunch: local\n").spec.launch.word == "local"


def test_an_error_points_to_the_file_that_wrote_it(
    examples: dict[str, str], diagnosing: Callable[..., tuple[Diagnostic, ...]], tmp_path: Path
) -> None:
    write(tmp_path, lib__base=examples["sudoku"].replace("batch: 128", "batch: many"))
    (found,) = diagnosing("extends: [lib/base.yaml]\n")
    assert found.mark is not None
    assert (found.code, found.mark.file) == ("E104", "lib/base.yaml")
    assert "many" in found.mark.source


def test_a_recipe_can_be_extended(compiling: Compile) -> None:
    found = compiling("extends: [recipe:sudoku]\nname: mine\nstages: {train: {duration: 10 steps}}\n")
    assert (found.plan.name, training(found).duration.amount) == ("mine", 10)
    assert list(found.inputs) == ["recipe:sudoku"]


def test_which_files_are_extended_can_be_set_by_a_flag(examples: dict[str, str], compiling: Compile, tmp_path: Path) -> None:
    write(tmp_path, one=examples["sudoku"] + "seed: 1\n", two=examples["sudoku"] + "seed: 2\n")
    assert compiling("extends: [one.yaml]\n", "extends=[two.yaml]").spec.seed == 2


def test_the_parents_of_a_diamond_are_laid_twice_without_harm(examples: dict[str, str], compiling: Compile, tmp_path: Path) -> None:
    write(tmp_path, top=examples["sudoku"], left="extends: [top.yaml]\nseed: 7\n", right="extends: [top.yaml]\n")
    assert compiling("extends: [right.yaml, left.yaml]\n").spec.seed == 7


# --- relative paths


def test_a_relative_path_is_relative_to_the_file_that_wrote_it(compiling: Compile, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "lib" / "docs.txt").write_text("the library's", encoding="utf-8")
    (tmp_path / "docs.txt").write_text("ours", encoding="utf-8")
    base = """\
version: 1
name: x
data: {docs: {sources: [./docs.txt, ../docs.txt]}}
stages: {words: {kind: tokenizer, vocab_size: 300, data: "${data.docs}"}}
"""
    write(tmp_path, lib__base=base)
    found = compiling("extends: [lib/base.yaml]\n")
    assert list(found.plan.inputs) == ["./docs.txt", "./lib/docs.txt"]
    assert all(record.resolved for record in found.plan.inputs.values())
    # The very same data, so the very same stage, as written from the spec's own folder.
    here = compiling(base.replace("[./docs.txt, ../docs.txt]", "[./lib/docs.txt, ./docs.txt]"))
    assert ids(found) == ids(here)


# --- profiles


def test_a_launch_lies_over_its_profile(examples: dict[str, str], compiling: Compile, tmp_path: Path) -> None:
    write(tmp_path, profiles__big='type: slurm\npartition: gpu\naccount: abc\ntime: "1:00:00"\n')
    found = compiling(examples["sudoku"] + "launch: {profile: big, account: xyz}\n")
    launch = found.spec.launch
    assert isinstance(launch, Slurm)
    assert (launch.partition, launch.account, launch.time, launch.profile) == ("gpu", "xyz", "1:00:00", "big")
    assert list(found.inputs) == ["profiles/big.yaml"]
    assert found.spec.stages["train"].launch == launch


def test_a_profile_changes_no_stage_id(examples: dict[str, str], compiling: Compile, tmp_path: Path) -> None:
    write(tmp_path, profiles__big="type: slurm\npartition: gpu\n")
    assert ids(compiling(examples["sudoku"] + "launch: {profile: big}\n")) == ids(compiling(examples["sudoku"]))


def test_a_case_may_name_another_profile(examples: dict[str, str], compiling: Compile, tmp_path: Path) -> None:
    write(tmp_path, one="type: slurm\npartition: a\n", two="type: slurm\npartition: b\n")
    text = examples["sudoku"] + "cases: {x: {launch: {profile: ./one.yaml}}, y: {launch: {profile: ./two.yaml}}}\n"
    assert sorted(compiling(text).inputs) == ["one.yaml", "two.yaml"] or sorted(compiling(text).inputs) == ["./one.yaml", "./two.yaml"]


# --- flags


@pytest.mark.parametrize("flag", ["stages.solve.sampler.steps=4", "stages.solve.sampler={type: llada, steps: 4}"])
def test_a_flag_wins_over_case_and_sweep(flag: str, examples: dict[str, str], compiling: Compile) -> None:
    text = examples["sudoku"] + "cases: {a: {stages: {solve: {sampler: {steps: 8}}}}, b: {}}\n"
    plain: Plan = compiling(examples["sudoku"], flag).plan
    found = compiling(text, flag).plan
    assert {point.stages["solve"] for point in found.points.values()} == {point.stages["solve"] for point in plain.points.values()}
    swept = compiling(examples["sudoku"] + "sweep: {grid: {stages.solve.sampler.steps: [2, 8]}}\n", flag).plan
    assert {point.stages["solve"] for point in swept.points.values()} == {point.stages["solve"] for point in plain.points.values()}


def test_a_flag_on_the_sweep_acts_before_points_are_made(examples: dict[str, str], compiling: Compile) -> None:
    text = examples["sudoku"] + "sweep: {grid: {seed: [0, 1, 2]}}\n"
    assert list(ids(compiling(text, "sweep.grid.seed=[7]"))) == ["seed=7"]
    with pytest.raises(SpecError):
        compiling(text, "sweep.grid.sed=[7]")
