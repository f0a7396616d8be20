"""The difference of two specs: every change with its effect, and what it means for the stages. Golden texts in tests/golden/diff."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest

from dllm_run.cli.difftext import text as difference_text
from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.diff import Difference
from dllm_run.compiler.diff import diff as diff_of_sides
from dllm_run.compiler.side import side_of
from dllm_run.specs.effect import Effect
from dllm_run.specs.vocabulary.training import Training

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


def derived(found: Difference) -> dict[str, tuple[object, object]]:
    return {f"{item.stage} {item.name}": (item.old, item.new) for item in found.derived}


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


# --- what follows from a change


def test_what_the_compiler_solved_follows_and_is_no_change_of_the_user(
    told: Callable[..., Difference], golden: Callable[[str, str], None]
) -> None:
    found = told("stages.train.model.scratch.width=384", "stages.train.batch=64")
    assert paths(found) == ["stages.train.batch.global", "stages.train.model.scratch.width"]
    # One head per 64 dimensions; 8/3 of the width, down to a multiple of 32; the whole batch at once; 400 steps of 64 rows.
    assert derived(found) == {
        "train model.scratch.heads": (4, 6),
        "train model.scratch.kv_heads": (4, 6),
        "train model.scratch.mlp": (672, 1024),
        "train batch.micro": (32, 64),
        "train rows seen": (12800, 25600),
    }
    golden("diff/derived.txt", text(found) + "\n")


def test_what_the_user_wrote_is_a_change_even_where_the_compiler_would_have_solved_it(before: str, compiling: Compile) -> None:
    written = before.replace("width: 256}", "width: 256, heads: 4}")
    found = diff(compiling(written), compiling(before.replace("width: 256}", "width: 256, heads: 8}")))
    assert paths(found) == ["stages.train.model.scratch.heads"]
    assert derived(found) == {"train model.scratch.kv_heads": (4, 8)}


@pytest.mark.parametrize(
    ("flag", "note"),
    [
        pytest.param("stages.train.batch.micro=16", "accumulation 1 -> 2, global stays 32", id="micro"),
        pytest.param("stages.look.sampler.steps=32", "halves forward passes per sample", id="half the steps"),
        pytest.param("stages.look.sampler.steps=128", "doubles forward passes per sample", id="twice the steps"),
        pytest.param("stages.look.sampler.steps=48", "0.75 times the forward passes per sample", id="other steps"),
        pytest.param("stages.train.optimizer.warmup=0.2", "warm-up steps 40 -> 80", id="warm-up"),
        pytest.param("stages.train.optimizer.weight_decay=0.1", None, id="nothing to count"),
    ],
)
def test_a_change_is_told_with_what_it_comes_down_to(told: Callable[..., Difference], flag: str, note: str | None) -> None:
    (change,) = told(flag).changes
    assert change.notes == ((note,) if note is not None else ())


def test_what_two_changes_decide_together_is_noted_at_neither(told: Callable[..., Difference]) -> None:
    found = told("stages.train.duration=800 steps", "stages.train.batch=64")
    assert [note for change in found.changes for note in change.notes] == ["warm-up steps 40 -> 80"]
    assert derived(found)["train rows seen"] == (12800, 51200)


def test_no_more_passes_are_counted_than_there_are_tokens(told: Callable[..., Difference]) -> None:
    assert derived(told("stages.look.sampler.block_size=128", "stages.look.sampler.steps=null")) == {
        "look forward passes per sample": (64, 128)
    }
    assert derived(told("stages.look.sampler={type: llada, steps: 500, block_size: 128}"))["look forward passes per sample"] == (64, 128)


def test_epochs_are_counted_in_steps_once_the_data_are_prepared(before: str, compiling: Compile) -> None:
    epochs = before.replace("duration: 400 steps", "duration: 3 epochs").replace("{every: 100 steps}", "{every: 0.5}")
    old, new = compiling(epochs), compiling(epochs, "stages.train.batch=16")
    assert "train optimizer steps" not in derived(diff(old, new))
    known = diff_of_sides(side_of(old), side_of(new), lambda stage_id: (1000, 256_000))
    # 3000 rows in steps of 32 and of 16.
    assert derived(known)["train optimizer steps"] == (94, 188)


# --- the same thing in other words


def test_a_renamed_corpus_of_the_same_bytes_changes_nothing(before: str, compiling: Compile, tmp_path: Path) -> None:
    (tmp_path / "copy.txt").write_bytes((tmp_path / "docs.txt").read_bytes())
    found = diff(compiling(before), compiling(before.replace("./docs.txt", "./copy.txt")))
    assert [(change.path, change.effect, change.notes) for change in found.changes] == [
        ("data.docs.sources.0.path", Effect.NONE, ("same content",))
    ]
    assert found.invalidated == ()


def test_another_root_seed_is_told_once_at_the_root(told: Callable[..., Difference]) -> None:
    found = told("seed=1")
    assert paths(found) == ["seed"] and found.derived == ()
    assert set(found.invalidated) == {"train", "bound", "look"}


def test_a_word_that_came_to_mean_something_else_is_a_change(before: str, compiling: Compile) -> None:
    old = side_of(compiling(before))
    stages = {stage_id: replace(stage, words=dict.fromkeys(stage.words, 2)) for stage_id, stage in old.plan.stages.items()}
    found = diff_of_sides(old, replace(old, plan=replace(old.plan, stages=stages)))
    assert ("words[objectives/mdlm]", 1, 2) in [(change.path, change.old, change.new) for change in found.changes]
    assert found.strongest is Effect.RESULT


def test_a_default_that_was_another_is_no_change_of_the_user_and_still_counts(before: str, compiling: Compile) -> None:
    new = side_of(compiling(before))
    (train,) = (point.stages["train"] for point in new.plan.points.values())
    stage = new.plan.stages[train]
    assert isinstance(stage.body, Training)
    body = replace(stage.body, optimizer=replace(stage.body.optimizer, beta2=0.99))
    old = replace(new, plan=replace(new.plan, stages={**new.plan.stages, train: replace(stage, body=body)}))
    found = diff_of_sides(old, new)
    assert found.changes == () and derived(found) == {"train optimizer.beta2": (0.99, 0.999)}
    assert found.strongest is Effect.RESULT and "optimizer.beta2  0.99 -> 0.999" in text(found)


# --- points


SWEEP = "sweep: {grid: {stages.look.sampler.steps: [16, 32], stages.look.sampler.temperature: [0.5, 1.0]}}\n"


def test_points_are_told_by_name_and_shared_stages_counted_once(
    before: str, compiling: Compile, golden: Callable[[str, str], None]
) -> None:
    found = diff(compiling(before + SWEEP), compiling(before + SWEEP.replace("16, 32", "32, 64"), "stages.bound.likelihood.samples=8"))
    assert found.points.added == ("steps=64,temperature=0.5", "steps=64,temperature=1")
    assert found.points.removed == ("steps=16,temperature=0.5", "steps=16,temperature=1")
    assert found.points.changed == ("steps=32,temperature=0.5", "steps=32,temperature=1") and found.points.kept == ()
    # data, train, one bound, and one sampling a point.
    assert len(found.stages) == 3 + 4
    assert set(found.invalidated) == {"bound", "steps=64,temperature=0.5/look", "steps=64,temperature=1/look"}
    golden("diff/sweep.txt", text(found) + "\n")


def test_points_of_other_ids_are_compared_by_name(before: str, compiling: Compile) -> None:
    old = side_of(compiling(before + SWEEP))
    points = {point_id[::-1]: point for point_id, point in old.plan.points.items()}
    found = diff_of_sides(old, replace(old, plan=replace(old.plan, points=points)))
    assert found.changes == () and len(found.points.kept) == 4 and found.points.added == found.points.removed == ()


def test_a_value_that_every_point_replaces_is_no_difference(before: str, compiling: Compile) -> None:
    other = before.replace("steps: 64", "steps: 32")
    assert diff(compiling(before + SWEEP), compiling(other + SWEEP)).changes == ()


def test_a_field_that_only_some_points_have_is_told_with_them(before: str, compiling: Compile) -> None:
    old, new = compiling(before + SWEEP), compiling(before + SWEEP, "stages.look.prompts=[Another]")
    (change,) = diff(old, new).changes
    assert change.path == "stages.look.prompts.0" and change.points == ()
    narrow = "sweep: {grid: {stages.look.sampler.steps: [16, 32]}}\n"
    found = diff(compiling(before), compiling(before + narrow))
    assert [(change.path, change.new) for change in found.changes] == [
        ("points", ["steps=16", "steps=32"]),
        ("stages.look.sampler.steps", 16),
    ]
