"""What `Tail` gives back while a file grows."""

from pathlib import Path

import pytest

from dllm_run.cli.follow import Tail


def test_a_file_that_is_not_there_yet_has_no_lines(tmp_path: Path) -> None:
    tail = Tail(tmp_path / "events.jsonl")
    assert tail.read() == []
    (tmp_path / "events.jsonl").write_text('{"a": 1}\n')
    assert tail.read() == [{"a": 1}]


def test_each_line_comes_once(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    tail = Tail(path)
    path.write_text('{"a": 1}\n{"a": 2}\n')
    assert tail.read() == [{"a": 1}, {"a": 2}]
    assert tail.read() == []
    with path.open("a") as file:
        file.write('{"a": 3}\n')
    assert tail.read() == [{"a": 3}]


@pytest.mark.parametrize("cut", [1, 7, 9, 10, 13, 14], ids=lambda cut: f"after {cut} bytes")
def test_a_partial_line_waits_wherever_it_is_cut(tmp_path: Path, cut: int) -> None:
    path = tmp_path / "events.jsonl"
    line = '{"a": "xé木"}\n'.encode()
    tail = Tail(path)
    path.write_bytes(line[:cut])
    assert tail.read() == []
    with path.open("ab") as file:
        file.write(line[cut:])
    assert tail.read() == [{"a": "xé木"}]


@pytest.mark.parametrize(
    "broken",
    [
        pytest.param(b'{"a": ', id="cut"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\xff\xfe", id="not UTF-8"),
        pytest.param(b"[1, 2]", id="a list"),
        pytest.param(b"7", id="a number"),
        pytest.param(b"[" * 100_000, id="too deep"),
    ],
)
def test_a_broken_line_is_skipped_and_its_neighbours_are_not(tmp_path: Path, broken: bytes) -> None:
    path = tmp_path / "events.jsonl"
    path.write_bytes(b'{"a": 1}\n' + broken + b'\n{"a": 2}\n')
    assert Tail(path).read() == [{"a": 1}, {"a": 2}]


def test_a_newline_inside_a_string_does_not_end_the_line(tmp_path: Path) -> None:
    path = tmp_path / "events.jsonl"
    path.write_text('{"a": "x\\ny\u2028z"}\n', encoding="utf-8")
    assert Tail(path).read() == [{"a": "x\ny\u2028z"}]
