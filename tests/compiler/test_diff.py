"""The difference of two specs: every change with its effect, and what it means for the stages. Golden texts in tests/golden/diff."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.cli.difftext import text as difference_text
from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.diff import Difference
from dllm_run.compiler.diff import diff as diff_of_sides
from dllm_run.compiler.side import side_of
from dllm_run.specs.effect import Effect

Compile = Callable[..., Compiled]


def diff(old: Compiled, new: Compiled) -> Difference:
    return diff_of_sides(side_of(old), side_of(new))


def text(found: Difference) -> str:
    return difference_text(found, {})


@pytest.fixture
def before(examples: dict[str, str], tmp_path: Path) -> str:
    """The quickstart over a file that is here."""
    (tmp_path / "docs.txt").write_text("A text.\n", encoding="utf-8")
    return examples["quickstart"].replace("package:pydoc_data/topics", "./docs.txt")


@pytest.fixture
def told(before: str, compiling: Compile) -> Callable[..., Difference]:
    """`told(*flags)`, or `told(old, new)` for texts with line ends: what changes from the first to the second."""
    return lambda *flags: diff(compiling(before), compiling(before, *flags))


def paths(found: Difference) -> list[str]:
    return [change.path for change in found.changes]


def test_other_sampler_steps_invalidate_the_sampling_and_keep_training_and_data(
    told: Callable[..., Difference], golden: Callable[[str, str], None]
) -> None:
    found = told("stages.look.sampler.steps=32")
    assert found.strongest is Effect.RESULT
    assert found.invalidated == ("look",)
    assert set(found.kept) == {"train", "train.data", "bound"}, "train and bound share their data, which is counted once"
    golden("diff/sampler-steps.txt", text(found) + "\n")


def test_another_learning_rate_invalidates_what_comes_after_it(told: Callable[..., Difference], golden: Callable[[str, str], None]) -> None:
    found = told("stages.train.optimizer.learning_rate=2e-3")
    assert set(found.invalidated) == {"train", "bound", "look"}
    assert set(found.kept) == {"train.data"}
    golden("diff/learning-rate.txt", text(found) + "\n")


def test_other_data_invalidate_everything_that_reads_them(told: Callable[..., Difference], golden: Callable[[str, str], None]) -> None:
    found = told("data.docs.max_length=128")
    assert found.kept == ()
    golden("diff/data.txt", text(found) + "\n")


def test_changes_are_classified_and_those_of_numerics_and_names_keep_every_stage(
    told: Callable[..., Difference], golden: Callable[[str, str], None]
) -> None:
    found = told("stages.train.batch.micro=8", "name=other", "stages.train.checkpoint.keep=3", "stages.bound.batch=4")
    effects = {change.path: change.effect for change in found.changes}
    assert effects == {
        "stages.train.batch.micro": Effect.NUMERICS,
        "stages.bound.batch": Effect.NUMERICS,
        "name": Effect.NONE,
        "stages.train.checkpoint.keep": Effect.NONE,
    }
    assert found.strongest is Effect.NUMERICS
    assert found.invalidated == ()
    golden("diff/numerics-and-none.txt", text(found) + "\n")


def test_a_change_at_the_top_is_told_once_at_the_top(told: Callable[..., Difference], golden: Callable[[str, str], None]) -> None:
    found = told("compute.threads=2", "compute.precision=fp32")
    assert paths(found) == ["compute.precision", "compute.threads"]
    assert [change.effect for change in found.changes] == [Effect.RESULT, Effect.NUMERICS]
    golden("diff/compute-at-the-top.txt", text(found) + "\n")


def test_a_change_of_the_launcher_changes_nothing_that_counts(told: Callable[..., Difference], golden: Callable[[str, str], None]) -> None:
    found = told('launch={type: slurm, partition: gpu, time: "1:00:00"}')
    assert found.strongest is Effect.NONE
    assert found.invalidated == ()
    assert all(path.startswith("launch.") for path in paths(found))
    golden("diff/launch.txt", text(found) + "\n")


def test_set_up_lines_and_environment_count_as_numerics(told: Callable[..., Difference]) -> None:
    found = told("launch={type: slurm, setup: [module load cuda], env: [HF_TOKEN]}")
    effects = {change.path: change.effect for change in found.changes}
    assert effects == {"launch.type": Effect.NONE, "launch.setup.0": Effect.NUMERICS, "launch.env.0": Effect.NUMERICS}
    assert found.invalidated == ()


def test_a_change_of_named_data_is_told_once_where_it_is_named(told: Callable[..., Difference]) -> None:
    assert paths(told("data.docs.max_length=128")) == ["data.docs.max_length"]


def test_a_renamed_stage_is_kept(before: str, compiling: Compile, golden: Callable[[str, str], None]) -> None:
    renamed = before.replace("  train:", "  fit:").replace("${stages.train}", "${stages.fit}")
    found = diff(compiling(before), compiling(renamed))
    assert found.invalidated == ()
    assert set(found.kept) == {"fit", "fit.data", "bound", "look"}
    golden("diff/renamed.txt", text(found) + "\n")


def test_changed_inputs_are_a_change(before: str, compiling: Compile, tmp_path: Path, golden: Callable[[str, str], None]) -> None:
    old = compiling(before)
    (tmp_path / "docs.txt").write_text("Another text.\n", encoding="utf-8")
    found = diff(old, compiling(before))
    assert found.strongest is Effect.RESULT
    assert found.kept == ()
    golden("diff/inputs.txt", text(found) + "\n")


def test_a_new_stage_is_told_and_invalidates_nothing_else(before: str, compiling: Compile) -> None:
    more = before.replace(
        "compute:",
        '  again:\n    kind: sample\n    model: ${stages.train}\n    prompts: ["A"]\n    max_new_tokens: 8\n    sampler: llada\ncompute:',
    )
    found = diff(compiling(before), compiling(more))
    assert found.invalidated == ("again",)
    assert [(change.path, change.old, change.new) for change in found.changes] == [("stages.again", None, "sample")]


def test_a_removed_stage_is_told(before: str, compiling: Compile) -> None:
    less = before[: before.index("  look:")] + "compute: {device: cpu, precision: bf16}\n"
    found = diff(compiling(before), compiling(less))
    assert found.invalidated == ()
    assert [(change.path, change.old, change.new) for change in found.changes] == [("stages.look", "sample", None)]


def test_points_are_compared_by_their_stages(before: str, compiling: Compile, golden: Callable[[str, str], None]) -> None:
    old = compiling(before + "sweep: {grid: {stages.look.sampler.steps: [16, 32]}}\n")
    new = compiling(before + "sweep: {grid: {stages.look.sampler.steps: [16, 64]}}\n")
    found = diff(old, new)
    assert found.invalidated == ("steps=64/look",)
    golden("diff/points.txt", text(found) + "\n")


def test_no_difference_says_so(told: Callable[..., Difference], golden: Callable[[str, str], None]) -> None:
    found = told()
    assert found.changes == () and found.strongest is None
    golden("diff/none.txt", text(found) + "\n")


def test_another_way_to_write_the_same_is_no_difference(before: str, compiling: Compile) -> None:
    assert diff(compiling(before), compiling(before.replace("batch: 32", "batch: {global: 32.0}"))).changes == ()
