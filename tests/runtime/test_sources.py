"""Sources: rows of every kind of file, and a sentence with file and line for every row that is none."""

import json
from pathlib import Path

import pytest

from dllm_run.runtime.failure import Failure
from dllm_run.runtime.sources import read_rows
from dllm_run.specs.locator import located_files
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.generators.sudoku import Sudoku
from dllm_run.specs.vocabulary.source import Columns, Source


def read(folder: Path, *paths: str, format: str = "text", **fields: object) -> list[dict[str, str]]:
    data = Data(sources=tuple(Source(path=path) for path in paths), **fields)  # type: ignore[arg-type]
    return read_rows(data, format, lambda locator: located_files(locator, folder))


def parquet(path: Path, rows: list[dict[str, object]]) -> None:
    import pyarrow as pa
    import pyarrow.parquet as pq

    pq.write_table(pa.Table.from_pylist(rows), path)


TWO = [{"text": "one, “1”"}, {"text": "two\nlines"}]
FILES = {
    "rows.jsonl": '{"text": "one, “1”", "other": 1}\n\n{"text": "two\\nlines"}\n',
    "rows.json": json.dumps(TWO),
    "rows.csv": 'id,text\n1,"one, “1”"\n2,"two\nlines"\n',
    "ROWS.JSONL": '{"text": "one, “1”"}\n{"text": "two\\nlines"}',
}


@pytest.mark.parametrize("name", FILES)
def test_a_table_gives_a_row_a_line(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(FILES[name], encoding="utf-8")
    assert read(tmp_path, f"./{name}") == TWO


def test_a_parquet_table_gives_a_row_a_row(tmp_path: Path) -> None:
    parquet(tmp_path / "rows.parquet", [{"text": row["text"], "other": index} for index, row in enumerate(TWO)])
    assert read(tmp_path, "./rows.parquet") == TWO


@pytest.mark.parametrize("name", ["a.txt", "a.md", "a.rst"])
def test_a_text_file_is_one_row(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text("Many\n\nlines. é\n", encoding="utf-8")
    assert read(tmp_path, f"./{name}") == [{"text": "Many\n\nlines. é\n"}]


def test_sources_come_one_after_the_other_and_files_of_a_glob_by_name(tmp_path: Path) -> None:
    for name in ("b.txt", "a.txt", "c.md"):
        (tmp_path / name).write_text(name, encoding="utf-8")
    assert [row["text"] for row in read(tmp_path, "./c.md", "./*.txt")] == ["c.md", "a.txt", "b.txt"]


def test_a_limit_counts_the_rows_of_its_own_source(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text("".join(f'{{"text": "a{index}"}}\n' for index in range(5)), encoding="utf-8")
    data = Data(sources=(Source(path="./a.jsonl", limit=2), Source(path="./a.jsonl", limit=9)))
    rows = read_rows(data, "text", lambda locator: located_files(locator, tmp_path))
    assert [row["text"] for row in rows] == ["a0", "a1", "a0", "a1", "a2", "a3", "a4"]


def test_columns_may_have_other_names_and_pairs_have_two(tmp_path: Path) -> None:
    (tmp_path / "a.jsonl").write_text('{"q": "why?", "a": "so"}\n', encoding="utf-8")
    columns = Columns(text="a", prompt="q", response="a")
    assert read(tmp_path, "./a.jsonl", columns=columns) == [{"text": "so"}]
    assert read(tmp_path, "./a.jsonl", format="pairs", columns=columns) == [{"prompt": "why?", "response": "so"}]


def test_a_generator_gives_its_rows() -> None:
    rows = read_rows(Data(sources=(Source(generate=Sudoku(), limit=3),)), "text", lambda locator: [])
    assert len(rows) == 3 and all(len(row["text"]) == 16 for row in rows)


MODULE = '''"""A module's own words are no row."""
from pathlib import Path

Path(__file__).with_name("ran").write_text("executed")
topics = {"assert": "The assert statement.", "number": 3, "nested": ["in a list", ("in a tuple",)]}
title: str = "annotated"
joined = "implicitly " "joined"
computed = "not" + "literal"
raise SystemExit("executed")
'''


def test_the_literals_of_a_module_are_read_without_running_it(tmp_path: Path) -> None:
    (tmp_path / "module.py").write_text(MODULE, encoding="utf-8")
    texts = [row["text"] for row in read(tmp_path, "./module.py")]
    assert texts == ["The assert statement.", "in a list", "in a tuple", "implicitly joined"]
    assert not (tmp_path / "ran").exists()


def test_the_topics_of_pydoc_are_rows() -> None:
    rows = read(Path(), "package:pydoc_data/topics")
    assert len(rows) > 50 and any("assert" in row["text"] for row in rows)


def test_a_cell_of_a_table_may_be_as_long_as_a_book(tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("text\n" + "x" * 300_000 + "\n", encoding="utf-8")
    assert [len(row["text"]) for row in read(tmp_path, "./a.csv")] == [300_000]


BAD = {
    "bad-json-line": ("a.jsonl", '{"text": "x"}\n{"text": \n', "a.jsonl:2 is not JSON"),
    "line-not-a-map": ("a.jsonl", '{"text": "x"}\n["x"]\n', "a.jsonl:2 is not a map"),
    "missing-column": ("a.jsonl", '{"text": "x"}\n\n{"txt": "x"}\n', "a.jsonl:3: no column 'text'; it has 'txt'"),
    "not-text": ("a.jsonl", '{"text": 3}\n', "a.jsonl:1: column 'text' holds int, not text"),
    "bad-json": ("a.json", '[{"text": "x"},\n', "a.json is not JSON"),
    "json-not-a-list": ("a.json", '{"text": "x"}', "a.json must hold a list of rows"),
    "json-row-not-a-map": ("a.json", '[{"text": "x"}, "y"]', "a.json: row 1 is not a map"),
    "json-missing-column": ("a.json", '[{"text": "x"}, {"y": ""}]', "a.json: row 1: no column 'text'"),
    "csv-missing-column": ("a.csv", "id,body\n1,x\n", "a.csv:2: no column 'text'; it has 'id', 'body'"),
    "csv-short-row": ("a.csv", "id,text\n1,x\n2\n", "a.csv:3: column 'text' holds NoneType, not text"),
    "unknown-kind": ("a.docx", "x", "a.docx: files of this kind are not read; known are .csv, .json, .jsonl, .md"),
    "empty-table": ("a.jsonl", "\n", "the sources hold no rows"),
    "module-with-an-error": ("a.py", "x = 'y'\ndef f(:\n", "a.py:2 is not Python"),
}


@pytest.mark.parametrize(("name", "content", "message"), BAD.values(), ids=BAD)
def test_what_is_no_row_is_told_with_file_and_line(name: str, content: str, message: str, tmp_path: Path) -> None:
    (tmp_path / name).write_text(content, encoding="utf-8")
    with pytest.raises(Failure) as failure:
        read(tmp_path, f"./{name}")
    assert str(failure.value).startswith(message)


@pytest.mark.parametrize("name", ["a.txt", "a.jsonl", "a.csv", "a.json", "a.py"])
def test_a_file_that_is_not_utf_8_is_told(name: str, tmp_path: Path) -> None:
    (tmp_path / name).write_bytes('"Größe"\ntext\n'.encode("latin-1"))
    with pytest.raises(Failure, match=f"{name} is not UTF-8"):
        read(tmp_path, f"./{name}")


def test_a_file_that_is_no_parquet_is_told(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(b"PAR1 no")
    with pytest.raises(Failure, match=r"a\.parquet is not a Parquet file"):
        read(tmp_path, "./a.parquet")
