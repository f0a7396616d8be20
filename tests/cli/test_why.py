"""Why stages run: the WHY column of plan, and plan --explain, against stores that were made without training."""

import json
from typing import Any

import pytest
from made_runs import SPEC, Folder, finish

from dllm_run.cli import history
from dllm_run.specs.store import write_atomic

ALL = ("train.data", "train", "bound", "look")
RATE = "stages.train.optimizer.learning_rate=1e-5"
SWEEP = "sweep: {grid: {stages.look.sampler.steps: [16, 32]}}\n"


def first_json(said: str) -> Any:
    """The document, without the warnings behind it."""
    return json.JSONDecoder().raw_decode(said)[0]


def table(folder: Folder, *flags: str) -> dict[str, tuple[str, str]]:
    """Action and why of every stage, as plan tells them."""
    words = [word for flag in flags for word in ("-s", flag)]
    document = first_json(folder.said("plan", "spec.yaml", "--json", *words)[1])
    return {stage["name"]: (stage["action"], stage["why"]) for stage in document["stages"]}


def explained(folder: Folder, stage: str, *flags: str) -> dict[str, Any]:
    """The document of the explanation of one stage."""
    words = [word for flag in flags for word in ("-s", flag)]
    document = first_json(folder.said("plan", "spec.yaml", "--explain", stage, "--json", *words)[1])
    assert document["schema"] == "dllm-run/plan-explain/1"
    (found,) = document["stages"]
    return dict(found)


def texts(found: dict[str, Any]) -> list[str]:
    return [reason["text"] for reason in found["reasons"]]


# --- what changed


def test_a_first_run_has_nothing_to_compare_with(folder: Folder) -> None:
    assert table(folder) == {
        "train.data": ("run", "no result yet"),
        "train": ("run", "needs train.data"),
        "bound": ("run", "needs train, +1 more"),
        "look": ("run", "needs train"),
    }


def test_the_reason_is_the_field_that_changed(folder: Folder) -> None:
    folder.run(done=ALL)
    assert table(folder, RATE) == {
        "train.data": ("done", "same id, result in the store"),
        "train": ("run", "optimizer.learning_rate 2e-05 -> 1e-05"),
        "bound": ("run", "needs train, which changed"),
        "look": ("run", "needs train, which changed"),
    }


def test_further_reasons_are_counted_in_the_table_and_told_in_the_explanation(folder: Folder) -> None:
    folder.run(done=ALL)
    flags = (RATE, "stages.train.duration=50 steps", "data.docs.max_length=32")
    assert table(folder, *flags)["train"] == ("run", "optimizer.learning_rate 2e-05 -> 1e-05, +2 more")
    assert texts(explained(folder, "train", *flags)) == [
        "optimizer.learning_rate 2e-05 -> 1e-05",
        "duration 100 steps -> 50 steps",
        "needs train.data, which changed",
    ]


def test_changed_data_are_named(folder: Folder) -> None:
    folder.run(done=ALL)
    (folder.path / "docs.txt").write_text("Other words.\nAnother text.\nA third.\n")
    assert table(folder)["train.data"] == ("run", "./docs.txt changed")
    assert table(folder)["train"] == ("run", "needs train.data, which changed")


def test_other_data_are_a_field_and_the_same_data_under_another_name_are_nothing(folder: Folder) -> None:
    folder.run(done=ALL)
    folder.write((folder.path / "docs.txt").read_text(), "copy.txt")
    folder.write("Something else.\nAnother text.\nA third.\n", "more.txt")
    assert table(folder, "data.docs.sources=[./copy.txt]")["train.data"][0] == "done"
    assert table(folder, "data.docs.sources=[./more.txt]")["train.data"] == ("run", "data.sources.0.path ./docs.txt -> ./more.txt")


def test_what_was_solved_is_no_reason(folder: Folder) -> None:
    folder.run(done=ALL)
    # Heads and mlp follow from the width, and whether a seed is drawn from the temperature.
    assert texts(explained(folder, "train", "stages.train.model.scratch.width=256")) == ["model.scratch.width 128 -> 256"]
    assert texts(explained(folder, "look", "stages.look.sampler.temperature=0.5")) == ["sampler.temperature 0 -> 0.5"]


def test_numerics_and_names_are_no_reason_to_run(folder: Folder) -> None:
    folder.run(done=ALL)
    assert {action for action, _ in table(folder, "stages.train.batch.micro=4", "name=other").values()} == {"done"}


def test_a_word_with_a_new_meaning_is_a_reason_that_cannot_be_reverted(folder: Folder) -> None:
    plan = folder.run(done=ALL)
    (train,) = (point.stages["train"] for point in plan.points.values())
    older = "0" * 16
    file = folder.runs.run(plan.name, plan.run_id) / "plan.json"
    text = file.read_text().replace(train, older).replace('"objectives/mdlm": 1', '"objectives/mdlm": 0')
    write_atomic(file.parents[1] / "00000000" / "plan.json", text)
    (file.parents[2] / "store" / train).rename(file.parents[2] / "store" / older)
    file.unlink()
    found = explained(folder, "train")
    assert texts(found) == ["objectives/mdlm has a new meaning (0 -> 1)"]
    assert found["hit"] is None


def test_nothing_is_promised_of_a_stage_that_this_version_would_identify_otherwise(folder: Folder) -> None:
    plan = folder.run(done=ALL)
    (train,) = (point.stages["train"] for point in plan.points.values())
    older = "0" * 16
    file = folder.runs.run(plan.name, plan.run_id) / "plan.json"
    document = json.loads(file.read_text().replace(train, older))
    # As a version wrote it that did not know this field yet.
    del document["stages"][older]["body"]["optimizer"]["weight_decay"]
    write_atomic(file.parents[1] / "00000000" / "plan.json", json.dumps(document))
    (file.parents[2] / "store" / train).rename(file.parents[2] / "store" / older)
    file.unlink()
    found = explained(folder, "train", RATE)
    assert texts(found) == ["optimizer.learning_rate 2e-05 -> 1e-05"] and found["hit"] is None


# --- which earlier stage


def test_the_most_similar_of_earlier_runs_is_compared(folder: Folder) -> None:
    far = folder.run("stages.train.optimizer.learning_rate=9e-5", "stages.train.duration=50 steps", done=ALL, age=10)
    near = folder.run(done=ALL, age=1000)
    found = explained(folder, "train", RATE)
    assert found["against"] == {"id": near.points[next(iter(near.points))].stages["train"], "name": "train", "done": True} | {
        "run": f"small/{near.run_id}"
    }
    assert far.run_id != near.run_id and texts(found) == ["optimizer.learning_rate 2e-05 -> 1e-05"]


def test_of_two_that_are_as_similar_the_finished_one_and_then_the_newer_one_is_compared(folder: Folder) -> None:
    folder.run("stages.train.optimizer.learning_rate=9e-5", failed={"train": "burst"}, age=10)
    old = folder.run("stages.train.optimizer.learning_rate=8e-5", done=ALL, age=1000)
    assert explained(folder, "train")["against"]["run"] == f"small/{old.run_id}"
    new = folder.run("stages.train.optimizer.learning_rate=7e-5", done=ALL, age=100)
    assert explained(folder, "train")["against"]["run"] == f"small/{new.run_id}"


def test_another_experiment_explains_what_is_nearly_the_same(folder: Folder) -> None:
    folder.run("name=other", done=ALL)
    assert table(folder, RATE)["train"] == ("run", "optimizer.learning_rate 2e-05 -> 1e-05")


def test_another_experiment_explains_nothing_that_is_far_away(folder: Folder) -> None:
    folder.run("name=other", done=("train.data", "train"))
    far = (RATE, "stages.train.duration=50 steps", "stages.train.batch.global=64", "stages.train.model.scratch.layers=4")
    assert table(folder, *far)["train"] == ("run", "no result yet")


def test_the_same_point_of_a_sweep_is_compared(folder: Folder) -> None:
    folder.write(SPEC + SWEEP)
    folder.run(done=ALL)
    for steps in (16, 32):
        found = explained(folder, f"steps={steps}/look", "stages.look.prompts=[B]")
        assert texts(found) == ["prompts.0 A -> B"]


# --- what would spare it


def test_a_result_is_found_once_the_field_is_reverted(folder: Folder) -> None:
    plan = folder.run(done=ALL)
    (ids,) = (point.stages for point in plan.points.values())
    found = explained(folder, "train", RATE)
    assert found["hit"] == {"id": ids["train"], "run": f"small/{plan.run_id}", "reverted": ["train: optimizer.learning_rate back at 2e-05"]}
    # And so it is: without the flag the stage is done.
    assert table(folder)["train"][0] == "done"


def test_what_must_be_reverted_is_told_through_the_needed_stages(folder: Folder) -> None:
    plan = folder.run(done=ALL)
    found = explained(folder, "look", RATE, "stages.look.sampler.steps=16", "data.docs.max_length=32")
    assert found["hit"]["id"] == next(iter(plan.points.values())).stages["look"]
    assert found["hit"]["reverted"] == [
        "look: sampler.steps back at 32",
        "train: optimizer.learning_rate back at 2e-05",
        "train.data: data.max_length back at 64",
    ]
    assert [stage["name"] for stage in found["upstream"]] == ["train", "train.data"]
    assert texts(found["upstream"][1]) == ["data.max_length 64 -> 32"]


def test_a_stage_whose_needs_are_there_is_spared_by_its_own_fields(folder: Folder) -> None:
    folder.run(done=ALL, age=100)
    folder.run(RATE, "stages.look.sampler.steps=16", done=("train", "look"), age=10)
    # train of 1e-5 is done, and of its samplings the one with 16 steps.
    found = explained(folder, "look", RATE, "stages.look.sampler.steps=8")
    assert found["hit"]["reverted"] == ["look: sampler.steps back at 16"]


def test_nothing_is_promised_of_a_stage_that_was_only_begun(folder: Folder) -> None:
    folder.run(failed={"train": "burst"}, done=("train.data",))
    found = explained(folder, "train", RATE)
    assert found["against"]["done"] is False and found["hit"] is None


def test_nothing_is_promised_that_the_store_no_longer_has(folder: Folder) -> None:
    plan = folder.run(done=ALL)
    (ids,) = (point.stages for point in plan.points.values())
    folder.runs.entry(ids["train"]).done_file.unlink()
    assert table(folder)["train"] == ("run", "the result is gone")
    assert explained(folder, "train", RATE)["hit"] is None
    # The sampling from it is still there, and would be found.
    assert explained(folder, "look", RATE)["hit"]["id"] == ids["look"]


# --- what stopped it


def test_a_failed_stage_tells_its_message_and_blocks_what_needs_it(folder: Folder) -> None:
    folder.run(done=("train.data",), failed={"train": "[rows] burst\nand a second line"})
    found = table(folder)
    assert found["train"] == ("run", "the last attempt failed: [rows] burst")
    assert found["look"] == ("blocked", "train failed: [rows] burst")
    assert explained(folder, "look")["blocked"] == ["train failed: [rows] burst"]
    for words in ((), ("--explain", "look")):
        assert "train failed: [rows] burst" in folder.said("plan", "spec.yaml", *words)[1], "brackets are no markup"


def test_an_input_that_is_not_here_blocks_and_so_does_what_it_blocks(folder: Folder) -> None:
    found = table(folder, "data.docs.sources=[./none.txt, org/set]")
    assert found["train.data"] == ("blocked", "./none.txt is not on this machine, +2 more")
    assert found["train"] == ("blocked", "needs train.data, which is blocked")
    blocked = explained(folder, "train.data", "data.docs.sources=[./none.txt, org/set]")["blocked"]
    assert blocked == ["./none.txt is not on this machine", "org/set is on a hub and not resolved"]


def test_an_input_that_drifted_from_the_lock_blocks_until_it_is_accepted(folder: Folder) -> None:
    folder.said("lock", "spec.yaml")
    assert table(folder)["train.data"][0] == "run"
    (folder.path / "docs.txt").write_text("Other words.\nAnother text.\nA third.\n")
    assert table(folder)["train.data"] == ("blocked", "./docs.txt changed since the lock was written, +1 more")
    folder.said("lock", "spec.yaml", "--update")
    assert table(folder)["train.data"][0] == "run"


def test_checkpoints_say_where_it_resumes_or_why_it_cannot(folder: Folder) -> None:
    plan = folder.run(done=("train.data",), failed={"train": "power cut"})
    entry = folder.runs.entry(next(iter(plan.points.values())).stages["train"])
    for step, complete in ((10, True), (20, True), (30, False)):
        (entry.checkpoints / f"step-{step}").mkdir(parents=True)
        if complete:
            (entry.checkpoints / f"step-{step}" / "COMPLETE").touch()
    assert table(folder)["train"][0] == "resume @20"
    assert explained(folder, "train")["checkpoints"] == [10, 20]
    assert "checkpoints at 10, 20: resumes at step 20" in folder.said("plan", "spec.yaml", "--explain", "train")[1]
    folder.said("lock", "spec.yaml")
    (folder.path / "docs.txt").write_text("Other words.\nAnother text.\nA third.\n")
    data = folder.runs.entry(next(iter(plan.points.values())).stages["train.data"])
    data.done_file.unlink()
    assert table(folder)["train"][0] == "blocked"
    said = folder.said("plan", "spec.yaml", "--explain", "train")[1]
    assert "checkpoints at 10, 20: blocked: needs train.data, which is blocked" in said


# --- the command


def test_the_text_of_an_explanation(folder: Folder) -> None:
    plan = folder.run(done=ALL)
    (ids,) = (point.stages for point in plan.points.values())
    said = folder.said("plan", "spec.yaml", "--explain", "look", "-s", RATE, "-s", "stages.look.sampler.steps=16")[1]
    now = {stage["name"]: stage["id"] for stage in [*explained(folder, "look", RATE, "stages.look.sampler.steps=16")["upstream"]]}
    lines = said.splitlines()
    assert lines[1:] == [
        f"  since look of small/{plan.run_id} (finished):",
        "    sampler.steps 32 -> 16",
        "    needs train, which changed",
        f"  a result is there ({ids['look']} of small/{plan.run_id}) if these were reverted:",
        "    look: sampler.steps back at 32",
        "    train: optimizer.learning_rate back at 2e-05",
        "  needs",
        f"    train  pretrain  run  {now['train']}",
        f"      since train of small/{plan.run_id} (finished):",
        "        optimizer.learning_rate 2e-05 -> 1e-05",
        f"      a result is there ({ids['train']} of small/{plan.run_id}) if these were reverted:",
        "        train: optimizer.learning_rate back at 2e-05",
        f"    train.data  data  done  {ids['train.data']}",
        "      same id, result in the store",
    ]


def test_a_stage_is_named_by_its_name_its_point_or_its_id(folder: Folder) -> None:
    folder.write(SPEC + SWEEP)
    plan = folder.run()
    point_id, point = next((key, point) for key, point in plan.points.items() if point.name == "steps=16")
    for spelt in ("steps=16/look", f"{point_id}/look", point.stages["look"], point.stages["look"][:8]):
        assert explained(folder, spelt)["id"] == point.stages["look"]
    both = json.loads(folder.said("plan", "spec.yaml", "--explain", "look", "--json")[1])["stages"]
    assert {stage["id"] for stage in both} == {point.stages["look"] for point in plan.points.values()}


@pytest.mark.parametrize(
    ("stage", "said"), [("trian", "did you mean train?"), ("zzzz", "there are bound, bound.data, look, train, train.data")]
)
def test_an_unknown_stage_is_exit_5_with_the_nearest(folder: Folder, stage: str, said: str) -> None:
    code, text = folder.said("plan", "spec.yaml", "--explain", stage)
    assert code == 5 and said in text


def test_work_to_do_is_exit_4_only_if_it_is_asked_for(folder: Folder) -> None:
    assert folder.said("plan", "spec.yaml")[0] == 0
    assert folder.said("plan", "spec.yaml", "--detailed-exit-code")[0] == 4
    folder.run(done=("train.data", "train", "bound"), failed={"look": "burst"})
    assert folder.said("plan", "spec.yaml", "--detailed-exit-code")[0] == 4
    folder.run(done=ALL)
    assert folder.said("plan", "spec.yaml", "--detailed-exit-code")[0] == 0


def test_plans_of_another_version_and_broken_ones_are_passed_over(folder: Folder) -> None:
    plan = folder.run(done=ALL)
    text = (folder.runs.run(plan.name, plan.run_id) / "plan.json").read_text()
    for number, broken in enumerate(["{", "[]", text.replace("plan/1", "plan/0"), text.replace('"learning_rate"', '"rate"')]):
        write_atomic(folder.path / "runs" / "small" / f"{number}" / "plan.json", broken)
    assert table(folder, RATE)["train"] == ("run", "optimizer.learning_rate 2e-05 -> 1e-05")


def test_a_long_table_reads_each_earlier_plan_once(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    sweep = "sweep: {{grid: {{stages.look.seed: [{}], stages.look.sampler.temperature: [0.5]}}}}\n"
    folder.write(SPEC + sweep.format(", ".join(map(str, range(40)))))
    folder.run(done=ALL, age=20)
    folder.run(RATE, age=10)
    read = []

    def counting(path: Any) -> Any:
        read.append(path)
        return read_json(path)

    read_json = history.read_json
    monkeypatch.setattr(history, "read_json", counting)
    assert table(folder)["look"][0] == "done" and read == []
    said = first_json(folder.said("plan", "spec.yaml", "--json", "-s", "stages.look.sampler.steps=16")[1])
    # Each point against itself, although only a few stages of an earlier run are compared.
    assert [stage["why"] for stage in said["stages"] if stage["name"] == "look"] == ["sampler.steps 32 -> 16"] * 40
    assert len(read) == 2


def test_a_stage_that_is_there_under_another_name_is_done(folder: Folder) -> None:
    plan = folder.run()
    for stage_id in plan.stages:
        finish(folder.runs.entry(stage_id))
    folder.write(SPEC.replace("  train:", "  fit:").replace("${stages.train}", "${stages.fit}"))
    assert {action for action, _ in table(folder).values()} == {"done"}
