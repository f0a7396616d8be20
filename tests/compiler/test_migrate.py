"""Migrating a text: what is certain is put right where it stands, every other byte stays, and nothing is changed twice."""

import difflib
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.compiler.compile import Compiled, Source
from dllm_run.compiler.migrate import MIGRATIONS, Migrations, Rename, Replace, Wrap, migrate, newest
from dllm_run.compiler.read import read
from dllm_run.specs.errors import SpecError
from dllm_run.specs.field import fields_of
from dllm_run.specs.vocabulary.spec import Spec

RIGHT = """\
# An experiment.
version: 1
name: small   # of little use

data:
  docs: {sources: [./docs.txt], holdout: 0.1, max_length: 64}
stages:
    train:
        kind: pretrain
        model: {scratch: {family: llama, layers: 2, width: 64}, tokenizer: bytes}
        data: ${data.docs}
        objective: mdlm        # the plain one
        batch: 32
        optimizer: {learning_rate: 1e-3, "warmup": 0.1, 'lr_schedule':   cosine}
        duration: 100 steps
    look:
        kind: sample
        model: ${stages.train}
        prompts: ["Once ",
                  'lr: 1']
        max_new_tokens: 64
        sampler:
          # blocks of two
          type: llada
          steps: 16
          block_size: 16
compute: {device: cpu}
"""
FOREIGN = [
    ("batch: 32", "batchsize: 32"),
    ("batch: 32", "batch_size: 32"),
    ("{learning_rate: 1e-3", "{lr: 1e-3"),
    ("{learning_rate: 1e-3", "{'lr': 1e-3"),
    ('"warmup"', '"warmup_ratio"'),
    ("'lr_schedule'", "'lr_scheduler_type'"),
    ("'lr_schedule'", "'scheduler'"),
    ("duration: 100 steps", "max_steps: 100"),
    ("duration: 100 steps", "max_steps: 100 steps"),
    ("duration: 100 steps", "duratoin: 100 steps"),
    ("max_new_tokens: 64", "gen_length: 64"),
    ("block_size: 16", "block_length: 16"),
    ("objective: mdlm", "Objective: mdlm"),
    ("objective: mdlm", "objective: mdml"),
    ("objective: mdlm", "objectve: mdml"),
    ("type: llada", "type: lada"),
    ("type: llada", "tpye: llada"),
    ("cosine", "cosin"),
    ("kind: pretrain", "kind: pretrian"),
    ("kind: pretrain", "kind: 'pretrian'"),
    ("stages:\n", "stagse:\n"),
    ("optimizer: {learning_rate", "optimiser: {lr"),
]
STAYS = [
    ("duration: 100 steps", "max_steps: -1"),
    ("duration: 100 steps", "max_steps: 1e2"),
    ("duration: 100 steps", "max_steps: 0x10"),
    ("duration: 100 steps", "max_steps: '100'"),
    ("duration: 100 steps", "duration: 100"),
    ("duration: 100 steps", "max_steps: 100\n        num_train_epochs: 3"),
    ("duration: 100 steps", "duration: 100 steps\n        max_steps: 100"),
    ("batch: 32", "batch: 32\n        gradient_accumulation_steps: 4"),
    ("batch: 32", "per_device_train_batch_size: 32"),
    ("'lr_schedule':   cosine", "lr_scheduler_type: constant_with_warmup"),
    ("data: ${data.docs}", "dataset: docs.txt"),
    ("block_size: 16", "guidance_scale: 1.0"),
    ("{learning_rate: 1e-3", '{"\\x6cr": 1e-3'),
    ("type: llada", "type: laada2"),
    ("type: llada", "typ: llada"),
    ("compute: {device: cpu}", "compute: {device: cpu, strategy: fsdp}"),
]

Migrating = Callable[..., str]


def migrated(text: str, migrations: Migrations = MIGRATIONS) -> str:
    """The text after a migration, which a second one leaves as it is."""
    once = migrate(Source(file="spec.yaml", data=text.encode()), migrations)
    again = migrate(Source(file="spec.yaml", data=once.data), migrations)
    assert (again.data, again.changed) == (once.data, ())
    assert bool(once.changed) == (once.data != text.encode())
    return once.data.decode()


def test_what_is_right_stays(compiling: Callable[..., Compiled], tmp_path: Path) -> None:
    (tmp_path / "docs.txt").write_text("A text.\n")
    assert migrated(RIGHT) == RIGHT
    compiling(RIGHT)


@pytest.mark.parametrize("ends", ["\n", "\r\n"], ids=["lf", "crlf"])
@pytest.mark.parametrize(("right", "wrong"), FOREIGN, ids=[wrong for _, wrong in FOREIGN])
def test_one_certain_answer_is_put_in_and_every_other_byte_stays(right: str, wrong: str, ends: str) -> None:
    assert RIGHT.count(right) == 1
    text = RIGHT.replace(right, wrong)
    meant = (
        RIGHT if "'lr'" not in wrong and "'pretrian'" not in wrong else text.replace("'lr'", "'learning_rate'").replace("trian", "train")
    )
    assert migrated(text.replace("\n", ends)) == meant.replace("\n", ends)


def test_all_at_once_compiles_to_the_same(compiling: Callable[..., Compiled], tmp_path: Path) -> None:
    (tmp_path / "docs.txt").write_text("A text.\n")
    text = RIGHT.replace("version: 1\n", "")
    for right, wrong in [FOREIGN[0], FOREIGN[4], FOREIGN[5], FOREIGN[7], FOREIGN[10], FOREIGN[11], FOREIGN[14], FOREIGN[15], FOREIGN[21]]:
        assert right in text
        text = text.replace(right, wrong)
    assert migrated(text) == RIGHT
    assert compiling(migrated(text)).plan == compiling(RIGHT).plan


@pytest.mark.parametrize(("right", "wrong"), STAYS, ids=[wrong for _, wrong in STAYS])
def test_what_is_not_certain_or_does_not_fit_stays(right: str, wrong: str) -> None:
    assert RIGHT.count(right) == 1
    text = RIGHT.replace(right, wrong)
    assert migrated(text) == text


def test_epochs_keep_their_digits() -> None:
    for name in ("epochs", "num_epochs", "num_train_epochs"):
        for amount in ("3", "0.5", "1.50"):
            text = RIGHT.replace("duration: 100 steps", f"{name}: {amount}   # long")
            assert migrated(text) == RIGHT.replace("duration: 100 steps", f"duration: {amount} epochs   # long")
    assert "warmup: 20 steps}" in migrated(RIGHT.replace("\"warmup\": 0.1, 'lr_schedule':   cosine", "warmup_steps: 20"))


def test_an_anchor_is_changed_once_for_all_its_uses() -> None:
    first = "optimizer: &adam {lr: 1e-3, warmup_steps: 5}"
    second = "    more:\n        kind: pretrain\n        model: ${stages.train}\n        optimizer: *adam\n"
    text = RIGHT.replace("optimizer: {learning_rate: 1e-3, \"warmup\": 0.1, 'lr_schedule':   cosine}", first).replace(
        "    look:", second + "    look:"
    )
    assert migrated(text) == text.replace("lr: 1e-3, warmup_steps: 5", "learning_rate: 1e-3, warmup: 5 steps")


def test_an_anchor_that_is_read_in_two_ways_stays() -> None:
    # In the model the key `batch_size` would be unknown under any name.
    text = RIGHT.replace("batch: 32", "batch: &b {batch_size: 32}").replace("compute: {device: cpu}", "compute: *b")
    assert migrated(text) == text


def test_cases_are_read_as_what_they_lie_over() -> None:
    case = "cases:\n  slow: {stages: {train: {optimizer: {lr: 1e-5}}, look: {sampler: {block_length: 8}}}}\n  plain: {}\n"
    meant = case.replace("lr:", "learning_rate:").replace("block_length", "block_size")
    assert migrated(RIGHT + case) == RIGHT + meant


def test_names_of_the_user_and_free_texts_are_no_words() -> None:
    text = RIGHT.replace("docs", "lr").replace("look:", "epochs:").replace("name: small", "name: batchsize")
    assert migrated(text) == text


def test_words_of_a_file_in_use_are_words(tmp_path: Path) -> None:
    word = """\
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.vocabulary.objectives import Objective


@dataclass(frozen=True, slots=True, kw_only=True)
class Mdlms(Objective):
    word: ClassVar[str] = "mdlms"


def build(word): ...
"""
    text = RIGHT.replace("objective: mdlm ", "objective: mdlms ") + "use: [./mine.py]\n"
    source = Source(file="spec.yaml", data=text.encode(), read_file={"mine.py": word.encode()}.__getitem__)
    assert migrate(source).changed == ()
    # Without the file nobody knows: nothing is guessed.
    assert migrate(Source(file="spec.yaml", data=text.encode())).changed == ()


def test_only_the_file_itself_is_changed() -> None:
    base = RIGHT.replace("{learning_rate", "{lr")
    text = "version: 1\nextends: [./base.yaml]\nname: other\nstages: {train: {optimizer: {warmup_ratio: 0.2}}}\n"
    source = Source(file="spec.yaml", data=text.encode(), read_file={"base.yaml": base.encode()}.__getitem__)
    assert migrate(source).data.decode() == text.replace("warmup_ratio", "warmup")


# --- the version


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("name: x\nstages: {}\n", "version: 1\nname: x\nstages: {}\n", id="first line"),
        pytest.param("# one\n\n# two\nname: x\n", "# one\n\n# two\nversion: 1\nname: x\n", id="after comments"),
        pytest.param("name: x\r\n", "version: 1\r\nname: x\r\n", id="crlf"),
        pytest.param("  name: x\n  stages: {}\n", "  version: 1\n  name: x\n  stages: {}\n", id="indented"),
        pytest.param("---\nname: x\n", "---\nversion: 1\nname: x\n", id="document start"),
        pytest.param("%YAML 1.2\n---\nname: x\n", "%YAML 1.2\n---\nversion: 1\nname: x\n", id="directive"),
        pytest.param("{name: x}", "{version: 1, name: x}", id="flow"),
        pytest.param("{}\n", "{version: 1}\n", id="empty flow"),
        pytest.param("\ufeffname: x\n", "\ufeffversion: 1\nname: x\n", id="byte order mark"),
        pytest.param("name: x", "version: 1\nname: x", id="no end of line"),
        pytest.param("versoin: 1\nname: x\n", None, id="misspelt"),
    ],
)
def test_a_spec_without_a_version_gets_one(before: str, after: str | None) -> None:
    if after is None:
        assert read(migrated(before).encode(), "spec.yaml").plain()["version"] == 1
    else:
        assert migrated(before) == after


@pytest.mark.parametrize("version", ["2", "0", "'1'", "true", "1.5", "null", "one"])
def test_a_version_that_is_not_known_stays_with_all_below_it(version: str) -> None:
    text = RIGHT.replace("version: 1", f"version: {version}").replace("{learning_rate", "{lr")
    assert migrated(text) == text


def test_a_text_that_is_no_yaml_is_refused() -> None:
    with pytest.raises(SpecError):
        migrate(Source(file="spec.yaml", data=b"name: [x\n"))


@pytest.mark.parametrize("text", ["- a\n", "text\n"])
def test_what_is_no_map_stays(text: str) -> None:
    assert migrated(text) == text


def test_the_newest_version_is_that_of_the_language() -> None:
    version = next(info for info in fields_of(Spec) if info.key == "version")
    assert newest() == max(int(choice) for choice in version.leaf.choices)
    assert sorted(MIGRATIONS) == list(range(1, newest()))


# --- versions to come

TO_2: Migrations = {
    1: (
        Rename(path="stages.*.optimizer", to="adamw"),
        Replace(path="stages.*.objective", old="mdlm", new="masked"),
        Replace(path="seed", old=0, new=None),
        Wrap(path="stages.*.batch", key="rows"),
        Wrap(path="note", key="text"),
    ),
}
TO_3: Migrations = {**TO_2, 2: (Rename(path="stages.*.adamw", to="adam"), Wrap(path="stages.*.batch.rows", key="of"))}


def test_steps_are_applied_in_the_order_of_versions() -> None:
    text = RIGHT.replace("compute:", "seed: 0 # no\ncompute:").replace("tokenizer: bytes}", "tokenizer: bytes} # batch: 32")
    two = (
        text.replace("version: 1", "version: 2")
        .replace("optimizer:", "adamw:")
        .replace("objective: mdlm ", "objective: masked ")
        .replace("\n        batch: 32", "\n        batch: {rows: 32}")
        .replace("seed: 0", "seed: null")
    )
    assert migrated(text, TO_2) == two
    three = two.replace("version: 2", "version: 3").replace("adamw:", "adam:").replace("{rows: 32}", "{rows: {of: 32}}")
    assert migrated(text, TO_3) == three
    assert migrated(two, TO_3) == three
    assert migrated(text.replace("version: 1\n", ""), TO_2) == two.replace("version: 2\n", "").replace("name:", "version: 2\nname:")


@pytest.mark.parametrize(
    ("before", "after"),
    [
        pytest.param("a, b", '{text: "a, b"}', id="a comma"),
        pytest.param("a}", '{text: "a}"}', id="a brace"),
        pytest.param("'it''s'", "{text: 'it''s'}", id="quoted"),
        pytest.param("{text: a}", None, id="a map has the new form"),
        pytest.param("[a]", None, id="a list"),
        pytest.param("|\n  a\n  b", None, id="several lines"),
        pytest.param("a\n  b", None, id="folded"),
    ],
)
def test_a_wrapped_value_stays_the_same_value(before: str, after: str | None) -> None:
    text = f"version: 1\nnote: {before}\nname: x\n"
    assert migrated(text, TO_2) == f"version: 2\nnote: {after or before}\nname: x\n"
    if after is not None:
        assert read(migrated(text, TO_2).encode(), "x").plain()["note"] == {"text": read(text.encode(), "x").plain()["note"]}


def test_a_key_is_not_renamed_onto_another() -> None:
    text = RIGHT.replace("duration: 100 steps", "duration: 100 steps\n        adamw: {}")
    assert "optimizer: {learning" in migrated(text, TO_2)


# --- what is told about it


def test_changes_say_where_and_what() -> None:
    text = (
        RIGHT.replace("{learning_rate", "{lr")
        .replace("duration: 100 steps", "max_steps: 100")
        .replace("objective: mdlm", "objective: mdml")
    )
    done = migrate(Source(file="spec.yaml", data=text.encode()))
    assert [(item.path, item.line, item.old, item.new) for item in done.changed] == [
        ("stages.train.objective", 12, "mdml", "mdlm"),
        ("stages.train.optimizer.learning_rate", 14, "lr", "learning_rate"),
        ("stages.train.duration", 15, "max_steps: 100", "duration: 100 steps"),
    ]


def test_lines_without_a_change_are_the_same_lines() -> None:
    text = "\n".join(["# c", *RIGHT.replace("version: 1\n", "").replace("{learning_rate", "{lr").split("\n")])
    changed = [line for line in difflib.ndiff(text.split("\n"), migrated(text).split("\n")) if re.match(r"[+-] ", line)]
    assert [line[:2] + line[2:].strip() for line in changed] == [
        "+ version: 1",
        "- optimizer: {lr: 1e-3, \"warmup\": 0.1, 'lr_schedule':   cosine}",
        "+ optimizer: {learning_rate: 1e-3, \"warmup\": 0.1, 'lr_schedule':   cosine}",
    ]
