"""Stage ids: what is computed and nothing else. Every leaf of the vocabulary keeps the promise that its effect makes."""

import dataclasses
import json
import os
import re
import subprocess
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.identity import planned_id
from dllm_run.compiler.lock import Lock
from dllm_run.specs.canonical import pretty
from dllm_run.specs.effect import Effect
from dllm_run.specs.field import Leaf, fields_of
from dllm_run.specs.leaves import leaves
from dllm_run.specs.plan import Plan
from dllm_run.specs.quantity import Quantity
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.word import Word, is_family, members

Compile = Callable[..., Compiled]


def ids_of(compiled: Compiled) -> dict[str, str]:
    (point,) = compiled.plan.points.values()
    return point.stages


def plan_bytes(compiled: Compiled) -> str:
    return pretty(compiled.plan.to_json())


# --- names and writing


def test_renaming_every_stage_keeps_every_id(complete: str, compiling: Compile) -> None:
    before = ids_of(compiling(complete))
    text = complete
    names = re.findall(r"^  ([\w-]+):\n    kind:", complete, re.MULTILINE)
    assert len(names) > 10
    for name in names:
        text = text.replace(f"\n  {name}:", f"\n  other-{name}:").replace(f"${{stages.{name}}}", f"${{stages.other-{name}}}")
    after = ids_of(compiling(text))
    assert sorted(after) == sorted(f"other-{name}" for name in before)
    assert all(after[f"other-{name}"] == found for name, found in before.items())


def test_the_name_of_the_experiment_changes_no_id(complete: str, compiling: Compile) -> None:
    assert ids_of(compiling(complete, "name=another")) == ids_of(compiling(complete))


def turned_around(value: Any) -> Any:
    """The same map with its keys in the opposite order, except stages: theirs is the order of execution."""
    if isinstance(value, dict):
        items = [(key, turned_around(item)) for key, item in value.items()]
        return dict(reversed(items))
    return [turned_around(item) for item in value] if isinstance(value, list) else value


def test_order_of_keys_comments_and_formatting_change_neither_ids_nor_the_plan(complete: str, compiling: Compile) -> None:
    import yaml

    before = compiling(complete)
    plain = yaml.safe_load(complete.replace("1e-3", "0.001").replace("1e-4", "0.0001").replace("1e-7", "0.0000001"))
    turned = {**turned_around(plain), "stages": {name: turned_around(stage) for name, stage in plain["stages"].items()}}
    rewritten = "# Another comment.\n" + json.dumps(turned, indent=3)
    after = compiling(rewritten)
    assert ids_of(after) == ids_of(before)
    assert plan_bytes(after) == plan_bytes(before)


@pytest.mark.parametrize(
    ("old", "new"),
    [
        pytest.param("batch: 16", "batch: 16.0", id="integral-float-for-an-integer"),
        pytest.param("dropout: 0.0", "dropout: 0", id="integer-for-a-float"),
        pytest.param("1e-3", "0.001", id="two-spellings-of-a-float"),
        pytest.param("duration: 100 steps", "duration: 0.1k steps", id="two-spellings-of-an-amount"),
        pytest.param("batch: 16", "batch: {global: 16}", id="shorthand"),
        pytest.param("batch: 16", "batch: {global: 16, micro: 16}", id="default-written-out"),
        pytest.param("family: llama, layers: 1, width: 32", "family: llama, layers: 1, width: 32, heads: 1", id="solved-written-out"),
        pytest.param("${stages.words}", "${stages.words.out.tokenizer}", id="principal-output-by-name"),
        pytest.param("seed: 7", "seed: 0x7", id="two-spellings-of-an-integer"),
    ],
)
def test_two_spellings_of_one_value_are_one(old: str, new: str, complete: str, compiling: Compile) -> None:
    assert old in complete
    changed = complete.replace(old, new)
    assert plan_bytes(compiling(changed)) == plan_bytes(compiling(complete))


def test_equal_stages_are_one_stage(examples: dict[str, str], compiling: Compile) -> None:
    text = examples["sudoku"]
    again = text[text.index("  solve:") : text.index("compute:")].replace("solve", "again")
    compiled = compiling(text.replace("compute:", again + "compute:"))
    ids = ids_of(compiled)
    assert ids["again"] == ids["solve"]
    assert list(compiled.plan.stages).count(ids["solve"]) == 1


def test_a_sweep_over_the_seed_of_a_sampling_plans_one_training(examples: dict[str, str], compiling: Compile, tmp_path: Path) -> None:
    (tmp_path / "docs.txt").write_text("A text.\n")
    text = examples["quickstart"].replace("package:pydoc_data/topics", "./docs.txt")
    plan = compiling(text + "sweep: {grid: {stages.look.seed: [0, 1, 2]}}\n").plan
    kinds = [stage.body.word for stage in plan.stages.values()]
    assert (kinds.count("pretrain"), kinds.count("sample"), kinds.count("data")) == (1, 3, 1)


def test_the_seed_counts_only_where_random_numbers_are_drawn(complete: str, compiling: Compile) -> None:
    before, after = ids_of(compiling(complete)), ids_of(compiling(complete, "seed=6"))
    drawing = {"tune", "heads", "edits", "context", "blocks", "adapted", "merged", "bound", "coins", "chain", "in_blocks", "look"}
    drawing |= {"restore", "guided", "surest", "revealed", "revised", "block_by_block", "leaps"}
    # `train` has a seed of its own, the tokenizer and the data stages draw none: all of them stay, with what they are called.
    assert {name for name in before if before[name] != after[name]} == drawing


def test_greedy_sampling_has_no_seed(complete: str, compiling: Compile) -> None:
    greedy = "stages.look.sampler.temperature=0"
    assert ids_of(compiling(complete, greedy))["look"] == ids_of(compiling(complete, greedy, "seed=9"))["look"]
    assert ids_of(compiling(complete))["look"] != ids_of(compiling(complete, "stages.look.seed=9"))["look"]


# --- every leaf


OTHER_WORDS = {"linear": "cosine", "cosine": "linear", "schedule": "uniform", "uniform": "schedule"}


def other(value: Any, leaf: Leaf) -> Any:
    """Another legal value of a scalar leaf; the same one where there is no other."""
    if leaf.choices:
        return next((choice for choice in leaf.choices if choice != value), value)
    if isinstance(value, bool):
        return not value
    if isinstance(value, int):
        return value + 1 if leaf.maximum is None or value < leaf.maximum else value - 1
    if isinstance(value, float):
        return value / 2 + 0.01 if leaf.below is not None or leaf.maximum is not None else value * 2 + 0.5
    if isinstance(value, Quantity):
        return Quantity(value.amount / 2 or 0.25, value.unit)
    if isinstance(value, str):
        return value.replace("./", "./other-") if value.startswith("./") else value + "x"
    if isinstance(value, Reference):
        return Reference("0" * 16, value.output)
    return 1 if value is None else value


def given(cls: Any) -> Iterator[Any]:
    """A value for a field that holds none, where its class can be made of defaults alone."""
    for found in members(cls).values() if issubclass(cls, Word) and is_family(cls) else (cls,):
        if not any(info.required for info in fields_of(found)):
            yield found()
            return


def mutations(value: Any, path: tuple[str, ...] = (), leaf: Leaf | None = None) -> Iterator[tuple[tuple[str, ...], Any]]:
    """For each leaf below `value`: its path, and `value` with that leaf alone changed."""
    if dataclasses.is_dataclass(value) and not isinstance(value, (type, Quantity, Reference)):
        if isinstance(value, Word) and value.word in OTHER_WORDS:
            family = next(base for base in type(value).__mro__ if issubclass(base, Word) and is_family(base))
            yield (*path, value.tag), members(family)[OTHER_WORDS[value.word]]()
        for info in fields_of(type(value)):
            if getattr(value, info.name) is None and info.shape.cls is not None:
                yield from (((*path, info.key), replace(value, **{info.name: made})) for made in given(info.shape.cls))
                continue
            for below, new in mutations(getattr(value, info.name), (*path, info.key), info.leaf):
                yield below, replace(value, **{info.name: new})
    elif isinstance(value, (list, tuple)):
        for index, item in enumerate(value):
            for below, new in mutations(item, (*path, str(index)), leaf):
                yield below, (*value[:index], new, *value[index + 1 :])
    elif isinstance(value, dict):
        for key, item in value.items():
            for below, new in mutations(item, (*path, key), leaf):
                yield below, {**value, key: new}
    else:
        assert leaf is not None
        new = other(value, leaf)
        if new != value:
            yield path, new


def all_bodies(compiled: Compiled) -> list[Stage]:
    return [stage.body for stage in compiled.plan.stages.values()]


def effects_of(body: Stage) -> dict[tuple[str, ...], Effect]:
    return {path: effect for path, _, effect in leaves(body)}


def test_every_leaf_keeps_the_promise_of_its_effect(complete: str, compiling: Compile, tmp_path: Path) -> None:
    lock = Lock(tmp_path)
    tried: dict[Effect, set[str]] = {effect: set() for effect in Effect}
    broken = []
    for body in all_bodies(compiling(complete)):
        before, effects = planned_id(body, lock.record), effects_of(body)
        for path, mutant in mutations(body):
            # A container that was null has leaves of its own once it is given; its effect is what counts.
            effect = effects.get(path) or next(found for below, found in effects.items() if below[: len(path)] == path)
            tried[effect].add(f"{body.word}.{'.'.join(path)}")
            if (planned_id(mutant, lock.record) != before) != (effect is Effect.RESULT):
                broken.append((body.word, path, effect))
    assert broken == []
    assert {effect.value: len(names) > 20 for effect, names in tried.items()} == {"result": True, "numerics": True, "none": True}


def test_every_leaf_of_every_stage_is_mutated_unless_it_has_one_value_only(complete: str, compiling: Compile) -> None:
    left = set()
    for body in all_bodies(compiling(complete)):
        tried = {path for path, _ in mutations(body)}
        left |= {path[-1] for path, value, _ in leaves(body) if path not in tried and value is not None and value != []}
    assert left <= {"kind", "type", "family", "attention", "estimator"}


@pytest.mark.parametrize(
    ("flag", "changes"),
    [
        pytest.param("launch.partition=cpu", False, id="none-partition"),
        pytest.param("stages.train.launch={type: local, partition: null, cpus_per_task: null}", False, id="none-launcher"),
        pytest.param("launch.time=1:00:00", False, id="none-time"),
        pytest.param("launch.extra.comment=theirs", False, id="none-extra"),
        pytest.param("stages.train.evaluate.every=10 steps", True, id="result-evaluate-where-the-best-is-kept"),
        pytest.param("stages.train.checkpoint.keep=5", False, id="none-checkpoint"),
        pytest.param("stages.train.batch.micro=4", False, id="numerics-micro"),
        pytest.param("compute.device=cuda", False, id="numerics-device"),
        pytest.param("compute.threads=3", False, id="numerics-threads"),
        pytest.param("compute.attention_kernel=eager", False, id="numerics-kernel"),
        pytest.param("launch.setup=[module load rocm]", False, id="numerics-setup"),
        pytest.param("compute.precision=bf16", True, id="result-precision"),
        pytest.param("stages.train.optimizer.learning_rate=2e-3", True, id="result-learning-rate"),
        pytest.param("stages.train.batch.global=64", True, id="result-batch"),
        pytest.param("data.docs.holdout=10 rows", True, id="result-data"),
        pytest.param("stages.words.vocab_size=600", True, id="result-of-a-stage-before"),
    ],
)
def test_a_flag_changes_the_id_of_the_training_only_through_result_fields(
    flag: str, changes: bool, complete: str, compiling: Compile
) -> None:
    before, after = ids_of(compiling(complete)), ids_of(compiling(complete, flag))
    assert (before["train"] != after["train"]) is changes
    assert (before["tune"] != after["tune"]) is changes, "what changes a training changes what is trained from it"


def test_dropout_makes_the_micro_batch_count(complete: str, compiling: Compile) -> None:
    micro, dropout = "stages.train.batch.micro=4", "stages.train.model.dropout=0.1"
    assert ids_of(compiling(complete))["train"] == ids_of(compiling(complete, micro))["train"]
    assert ids_of(compiling(complete, dropout))["train"] != ids_of(compiling(complete, dropout, micro))["train"]


# --- inputs


TEXT = """\
version: 1
name: inputs
stages:
  words: {kind: tokenizer, vocab_size: 512, data: {sources: [FILE]}}
"""


def id_over(compiling: Compile, folder: Path, file: str, content: str) -> str:
    path = folder / file
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(content, encoding="utf-8")
    return ids_of(compiling(TEXT.replace("FILE", f"./{file}"), base=folder))["words"]


def test_the_content_of_an_input_counts_and_its_name_and_folder_do_not(compiling: Compile, tmp_path: Path) -> None:
    first = id_over(compiling, tmp_path / "here", "docs.txt", "one")
    assert id_over(compiling, tmp_path / "there", "docs.txt", "one") == first
    assert id_over(compiling, tmp_path / "here", "sub/other.txt", "one") == first
    assert id_over(compiling, tmp_path / "here", "docs.txt", "two") != first
    row = '{"text": "one"}'
    plain, table = (id_over(compiling, tmp_path / "here", name, row) for name in ("docs.txt", "docs.jsonl"))
    assert plain != table, "another kind of file is read in another way"


def test_an_input_that_is_not_here_counts_by_its_locator(compiling: Compile) -> None:
    missing = [ids_of(compiling(TEXT.replace("FILE", name)))["words"] for name in ("./a.txt", "./a.txt", "./b.txt")]
    assert missing[0] == missing[1] != missing[2]


def test_every_file_of_a_model_counts(compiling: Compile, complete: str, tmp_path: Path) -> None:
    before = ids_of(compiling(complete))["look"]
    (tmp_path / "weights" / "added_tokens.json").write_text("{}")
    assert ids_of(compiling(complete))["look"] != before


def test_a_new_semantic_version_of_a_word_changes_the_stages_that_use_it(
    complete: str, compiling: Compile, monkeypatch: pytest.MonkeyPatch
) -> None:
    from dllm_run.specs.vocabulary.samplers.llada import Llada

    before = ids_of(compiling(complete))
    monkeypatch.setattr(Llada, "semantics", Llada.semantics + 1)
    after = ids_of(compiling(complete))
    assert {name for name in before if before[name] != after[name]} == {"bound", "look", "borrowed", "packed", "restore", "guided"}


# --- the machine


def test_a_plan_reads_back_as_the_same_plan(complete: str, compiling: Compile) -> None:
    plan = compiling(complete).plan
    again = Plan.loads(pretty(plan.to_json()))
    assert again == plan
    assert pretty(again.to_json()) == pretty(plan.to_json())


def compiled_tree(folder: Path, text: str, environment: dict[str, str]) -> dict[str, bytes]:
    folder.mkdir(parents=True)
    (folder / "docs.txt").write_text("A text.\n", encoding="utf-8")
    (folder / "spec.yaml").write_text(text, encoding="utf-8")
    command = [sys.executable, "-m", "dllm_run.cli.main", "compile", "spec.yaml", "-o", "out"]
    kept = {key: value for key, value in os.environ.items() if key in ("PATH", "PYTHONPATH", "VIRTUAL_ENV")}
    subprocess.run(command, cwd=folder, check=True, capture_output=True, env={**kept, **environment})
    out = folder / "out"
    return {path.relative_to(out).as_posix(): path.read_bytes() for path in sorted(out.rglob("*")) if path.is_file()}


@pytest.mark.parametrize("launch", ["local", "{type: slurm, partition: gpu}"], ids=["local", "slurm"])
def test_neither_folder_nor_environment_reach_the_compiled_tree(launch: str, examples: dict[str, str], tmp_path: Path) -> None:
    text = examples["quickstart"].replace("package:pydoc_data/topics", "./docs.txt") + f"launch: {launch}\n"
    text += "sweep: {grid: {stages.look.seed: [0, 1], stages.train.seed: [0, 1]}}\n"
    first = compiled_tree(tmp_path / "a", text, {"PYTHONHASHSEED": "1", "TZ": "UTC", "LANG": "C", "HOME": str(tmp_path)})
    second = compiled_tree(
        tmp_path / "b" / "deeper down", text, {"PYTHONHASHSEED": "2", "TZ": "Asia/Tokyo", "LANG": "tr_TR.UTF-8", "USER": "someone"}
    )
    assert first == second
    assert "MANIFEST.sha256" in first
