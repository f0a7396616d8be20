"""What is read of files at hand: rows as the runtime counts them, and nothing of files that are odd or large."""

import json
from pathlib import Path

import pytest

from dllm_run.compiler import sizes
from dllm_run.compiler.sizes import Sizes
from dllm_run.runtime.sources import read_rows
from dllm_run.specs.locator import located_files
from dllm_run.specs.published import PUBLISHED
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.source import Source

FILES = {
    "a.txt": "one\n\ntwo\n",
    "b.md": "# x",
    "c.jsonl": '{"text": "ä"}\n\n   \n{"text": "bc"}\r\n{"text": "d\\u00e9"}',
    "d.json": '[{"text": "a"}, {"text": "bb"}]',
    "e.csv": 'text,x\n"a\nb",1\n\nc,2\n',
}


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    for name, text in FILES.items():
        (tmp_path / name).write_text(text, encoding="utf-8", newline="")
    return tmp_path


@pytest.mark.parametrize("name", [*FILES, "*.txt", "?.*"])
def test_rows_and_bytes_are_those_that_the_runtime_reads(name: str, folder: Path) -> None:
    locator = f"./{name}"
    rows = read_rows(Data(sources=(Source(path=locator),)), "text", lambda path: located_files(path, folder))
    found = Sizes(folder).rows(locator, ("text",))
    assert found is not None
    assert found.rows == len(rows)
    total = sum(len(row["text"].encode()) for row in rows)
    assert found.row_bytes == pytest.approx(total / len(rows))
    assert found.most_bytes >= total


@pytest.mark.parametrize("text", ["", "\n \n"])
def test_no_rows_are_not_known_rows(text: str, tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text(text)
    assert Sizes(tmp_path).rows("./x.jsonl", ("text",)) is None


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("x.jsonl", b"not json\n"),
        ("x.jsonl", b"[1]\n"),
        ("x.json", b"{}"),
        ("x.txt", b"\xff\xfe"),
        ("x.parquet", b"PAR1"),
    ],
)
def test_what_cannot_be_read_is_left_for_the_runtime_to_report(name: str, data: bytes, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes(data)
    assert Sizes(tmp_path).rows(f"./{name}", ("text",)) is None


def test_a_hub_and_a_missing_file_have_no_rows(tmp_path: Path) -> None:
    here = Sizes(tmp_path)
    assert here.rows("allenai/tulu-3-sft-mixture", ("text",)) is None
    assert here.rows("./none.txt", ("text",)) is None
    assert here.rows("package:no_such_package/a.txt", ("text",)) is None


def test_a_large_file_is_not_read(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "MOST_BYTES", 4)
    assert Sizes(folder).rows("./a.txt", ("text",)) is None
    assert Sizes(folder).rows("./b.md", ("text",)) is not None


def test_a_file_is_read_once(folder: Path) -> None:
    here = Sizes(folder)
    first = here.rows("./a.txt", ("text",))
    (folder / "a.txt").unlink()
    assert here.rows("./a.txt", ("text",)) is first


def config(**changes: object) -> str:
    llada = {
        "model_type": "llada", "d_model": 4096, "n_layers": 32, "n_heads": 32, "n_kv_heads": 32, "mlp_hidden_size": 12288,
        "max_sequence_length": 4096, "embedding_size": 126464, "vocab_size": 126464, "weight_tying": False,
    }  # fmt: skip
    return json.dumps({**llada, **changes})


@pytest.mark.parametrize("locator", ["./weights", "weights/../weights/", "~"])
def test_the_geometry_of_a_folder_is_that_of_its_config(locator: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path / "weights"))
    (tmp_path / "weights").mkdir()
    (tmp_path / "weights" / "config.json").write_text(config())
    found = Sizes(tmp_path).geometry(locator if locator[0] in "~." else f"./{locator}")
    published = PUBLISHED["GSAI-ML/LLaDA-8B-Base"]
    assert found is not None and found.parameters() == published.parameters()


@pytest.mark.parametrize("text", ["", "[]", "{}", config(model_type="unheard-of"), config(d_model=None)])
def test_a_config_that_is_not_understood_has_no_geometry(text: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    assert Sizes(tmp_path).geometry("./") is None


def test_the_sample_of_a_long_file_gives_its_mean_and_the_whole_its_count(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sizes, "_SAMPLE", 2)
    (tmp_path / "x.jsonl").write_text('{"text": "ab"}\n{"text": "abcd"}\n' + '{"text": ""}\n' * 7)
    found = Sizes(tmp_path).rows("./x.jsonl", ("text",))
    assert found is not None and (found.rows, found.row_bytes) == (9, 3)


def test_pairs_are_as_long_as_both_columns(tmp_path: Path) -> None:
    (tmp_path / "x.jsonl").write_text('{"prompt": "ab", "response": "cde", "text": "unread"}\n')
    found = Sizes(tmp_path).rows("./x.jsonl", ("prompt", "response"))
    assert found is not None and found.row_bytes == 5
