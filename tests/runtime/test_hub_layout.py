"""Data sets with the layout of a hub: which files are a split, by their description or by their names."""

from pathlib import Path

import pytest

from dllm_run.runtime.failure import Failure
from dllm_run.runtime.hub_layout import files_of_split
from dllm_run.specs.locator import LocatedFile

README = """---
license: mit
configs:
- config_name: all
  data_files:
  - {split: train, path: data/all/train-*}
  - {split: test, path: [data/all/test-*, more/**/last.jsonl]}
- config_name: small
  data_dir: data/small
  data_files: "*.csv"
---
# A data set
"""
NAMES = [
    "README.md",
    "data/all/train-00000-of-00002.parquet",
    "data/all/train-00001-of-00002.parquet",
    "data/all/test-00000-of-00001.parquet",
]
NAMES += ["data/small/x.csv", "more/last.jsonl", "more/a/b/last.jsonl", "data/all/train.py", "other/train.csv"]


def chosen(folder: Path, names: list[str], config: str | None, split: str, readme: str = "") -> list[str]:
    (folder / "README.md").write_text(readme, encoding="utf-8")
    files = [LocatedFile(name, folder / ("README.md" if name == "README.md" else name)) for name in sorted(names)]
    return [file.name for file in files_of_split("acme/rows", files, config, split)]


@pytest.mark.parametrize(
    ("config", "split", "expected"),
    [
        ("all", "train", ["data/all/train-00000-of-00002.parquet", "data/all/train-00001-of-00002.parquet"]),
        ("all", "test", ["data/all/test-00000-of-00001.parquet", "more/a/b/last.jsonl", "more/last.jsonl"]),
        ("small", "train", ["data/small/x.csv"]),
    ],
)
def test_a_description_names_the_files(config: str, split: str, expected: list[str], tmp_path: Path) -> None:
    assert chosen(tmp_path, NAMES, config, split, README) == expected


@pytest.mark.parametrize(
    ("config", "split", "says"),
    [
        (None, "train", "has configurations and none is its default: name one with `config`, of all, small"),
        ("big", "train", "no configuration 'big': there is all, small"),
        ("small", "test", "no split 'test' in configuration 'small': there is train"),
    ],
)
def test_what_is_not_there_is_answered_with_what_is(config: str | None, split: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(Failure, match=says):
        chosen(tmp_path, NAMES, config, split, README)


@pytest.mark.parametrize(
    ("names", "split", "expected"),
    [
        pytest.param(
            ["data/train-00000-of-00001.parquet", "data/test_sft-00000-of-00001.parquet"],
            "train",
            ["data/train-00000-of-00001.parquet"],
            id="shards",
        ),
        pytest.param(["train.jsonl", "dev.jsonl"], "validation", ["dev.jsonl"], id="other-names-of-a-split"),
        pytest.param(["test/a.csv", "train/a.csv"], "test", ["test/a.csv"], id="folders"),
        pytest.param(["a.jsonl", "b.jsonl", "load.py"], "train", ["a.jsonl", "b.jsonl"], id="all-are-train"),
        pytest.param(["training_contest.jsonl"], "train", ["training_contest.jsonl"], id="a-word-is-whole"),
    ],
)
def test_names_of_files_say_their_split(names: list[str], split: str, expected: list[str], tmp_path: Path) -> None:
    assert chosen(tmp_path, names, None, split) == expected


def test_a_configuration_without_description_is_a_folder(tmp_path: Path) -> None:
    names = ["en/train.csv", "de/train.csv"]
    assert chosen(tmp_path, names, "de", "train") == ["de/train.csv"]
    with pytest.raises(Failure, match="no split 'test': there is train"):
        chosen(tmp_path, names, None, "test")
