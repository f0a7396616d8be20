"""Diagnostics as text and as JSON."""

import re
from itertools import permutations

import pytest

from dllm_run.compiler.render import WIDTH, as_json, render
from dllm_run.specs.errors import Diagnostic, Mark

LINE = "    optimizer: {learning_rat: 2e-5, warmup: 0.1}"
TYPO = Diagnostic(
    code="E102",
    message="unknown key 'learning_rat' in stages.train.optimizer",
    path="stages.train.optimizer.learning_rat",
    mark=Mark("spec.yaml", 27, 17, 12, LINE),
    label="did you mean 'learning_rate'?",
    notes=("note text",),
    fix="stages.train.optimizer.learning_rate=2e-5",
)
TYPO_TEXT = """\
error[E102] unknown key 'learning_rat' in stages.train.optimizer
  --> spec.yaml:27:17
   |
27 |     optimizer: {learning_rat: 2e-5, warmup: 0.1}
   |                 ^^^^^^^^^^^^ did you mean 'learning_rate'?
   = note text
   = try: -s stages.train.optimizer.learning_rate=2e-5"""


def at(line: int, column: int, length: int = 1, source: str = "", file: str = "spec.yaml") -> Mark:
    return Mark(file, line, column, length, source)


def one(**fields: object) -> Diagnostic:
    return Diagnostic(**{"code": "E101", "message": "m", **fields})  # type: ignore[arg-type]


def caret_columns(text: str) -> tuple[str, str]:
    """The source line and the caret line, without their gutters."""
    lines = text.splitlines()
    index = next(index for index, line in enumerate(lines) if line.lstrip().startswith("|") and "^" in line)
    return lines[index - 1].split("| ", 1)[1], lines[index].split("| ", 1)[1]


def test_a_diagnostic_reads_like_one_of_rustc() -> None:
    assert render([TYPO]) == f"{TYPO_TEXT}\n\n1 error"


def test_diagnostics_are_parted_by_a_blank_line_and_counted() -> None:
    warning = one(code="W301", message="odd", severity="warning")
    text = render([TYPO, one(message="no place"), warning])
    assert text == f"{TYPO_TEXT}\n\nerror[E101] no place\n\nwarning[W301] odd\n\n2 errors, 1 warning"


@pytest.mark.parametrize(
    ("severities", "summary"),
    [
        pytest.param(["error"], "1 error", id="one-error"),
        pytest.param(["error"] * 2, "2 errors", id="errors"),
        pytest.param(["warning"], "1 warning", id="one-warning"),
        pytest.param(["warning", "error", "warning"], "1 error, 2 warnings", id="errors-first"),
        pytest.param(["note", "warning", "error"], "1 error, 1 warning, 1 note", id="others-last"),
    ],
)
def test_the_summary_counts_by_severity(severities: list[str], summary: str) -> None:
    assert render([one(severity=severity) for severity in severities]).splitlines()[-1] == summary


def test_nothing_renders_as_nothing() -> None:
    assert render([]) == ""
    assert as_json([]) == []


def test_without_a_mark_there_is_no_place_and_the_label_becomes_a_note() -> None:
    text = render([one(label="why", notes=("first\nsecond",), fix="a=1")])
    assert text == "error[E101] m\n  = why\n  = first\n    second\n  = try: -s a=1\n\n1 error"


def test_a_blank_line_is_not_shown_but_its_label_is() -> None:
    assert render([one(mark=at(1, 1), label="why")]) == "error[E101] m\n --> spec.yaml:1:1\n  = why\n\n1 error"


def test_a_caret_without_a_label_has_nothing_behind_it() -> None:
    assert "  |   ^^\n" in render([one(mark=at(1, 3, 2, "a bc d"))]) + "\n"


def test_related_places_follow_with_their_own_lines_and_one_gutter() -> None:
    item = one(
        code="E107",
        message="key 'a' is written twice",
        mark=at(104, 3, 1, "  a: 2"),
        label="second time",
        related=((at(7, 3, 1, "  a: 1"), "first time"),),
        notes=("a note",),
    )
    assert render([item]) == (
        "error[E107] key 'a' is written twice\n"
        "   --> spec.yaml:104:3\n"
        "    |\n"
        "104 |   a: 2\n"
        "    |   ^ second time\n"
        "   --> spec.yaml:7:3\n"
        "    |\n"
        "  7 |   a: 1\n"
        "    |   ^ first time\n"
        "    = a note\n"
        "\n"
        "1 error"
    )


@pytest.mark.parametrize(
    ("source", "column", "length", "carets"),
    [
        pytest.param("a: bc", 4, 2, "   ^^", id="plain"),
        pytest.param("\ta:\tb", 5, 1, "\t  \t^", id="tabs-are-copied"),
        pytest.param("名前: x", 5, 1, "      ^", id="wide-before"),
        pytest.param("a: 名前", 4, 2, "   ^^^^", id="wide-underlined"),
        pytest.param("e\u0301: x", 5, 1, "   ^", id="combining-before"),
        pytest.param("😀: x", 4, 1, "    ^", id="emoji-before"),
        pytest.param("a:", 3, 1, "  ^", id="behind-the-end"),
        pytest.param("a:", 9, 5, "  ^", id="far-behind-the-end"),
        pytest.param("abc", 2, 99, " ^^", id="longer-than-the-line"),
        pytest.param("abc", 2, 0, " ^", id="no-length"),
    ],
)
def test_the_caret_stands_under_what_it_means(source: str, column: int, length: int, carets: str) -> None:
    assert caret_columns(render([one(mark=at(1, column, length, source))])) == (source, carets)


@pytest.mark.parametrize("start", [0, 30, 59, 60, 61, 100, 250, 390, 396])
def test_a_long_line_is_cut_around_the_caret(start: int) -> None:
    source = "." * start + "WORD" + "." * (396 - start)
    shown, carets = caret_columns(render([one(mark=at(1, start + 1, 4, source))]))
    assert len(shown) == WIDTH
    assert shown[len(carets) - 4 : len(carets)] == "WORD"
    assert shown.startswith("…") == (start > 60)
    assert shown.endswith("…") == (start < 300)


def test_a_long_underline_ends_with_the_cut() -> None:
    shown, carets = caret_columns(render([one(mark=at(1, 1, 1000, "x" * 1000))]))
    assert shown == "x" * (WIDTH - 1) + "…"
    assert carets == "^" * (WIDTH - 1)


def test_a_line_of_the_full_width_is_not_cut() -> None:
    assert "…" not in render([one(mark=at(1, 1, 1, "x" * WIDTH))])


@pytest.mark.parametrize("code", ["\x1b", "\0", "\r", "\u202e", "\udc80", "\x9b", "\u2028"])
def test_no_text_of_a_spec_moves_the_cursor_or_fails_to_encode(code: str) -> None:
    mark = at(1, 3, 1, f"a{code}b", f"f{code}")
    text = render([one(message=f"m{code}", label=f"l{code}", notes=(f"n{code}",), fix=f"a={code}", mark=mark)])
    assert code not in text
    assert caret_columns(text)[1].startswith("  ^")
    text.encode()


def test_a_fix_can_be_pasted_into_a_shell() -> None:
    assert "= try: -s 'a.b=[1, 2]'" in render([one(fix="a.b=[1, 2]")])


def test_colour_adds_only_escapes() -> None:
    related = one(code="W1", severity="warning", mark=at(1, 1, 1, "a: 1"), related=((at(2, 1, 1, "b: 1"), "here"),))
    colored = render([TYPO, related], color=True)
    assert "\x1b[1;31merror[E102]\x1b[0m" in colored
    assert re.sub(r"\x1b\[[0-9;]*m", "", colored) == render([TYPO, related])
    assert "\x1b" not in render([TYPO, related])


def test_the_order_is_file_line_column_code_and_then_what_has_no_place() -> None:
    items = [
        one(code="E900", mark=at(9, 9, file="a.yaml")),
        one(code="E101", mark=at(1, 2, file="b.yaml")),
        one(code="E102", mark=at(1, 2, file="b.yaml")),
        one(code="E001", mark=at(1, 10, file="b.yaml")),
        one(code="E001", mark=at(2, 1, file="b.yaml")),
        one(code="E001"),
        one(code="E002"),
    ]
    wanted = as_json(items)
    for shuffled in list(permutations(items))[::97]:
        assert as_json(shuffled) == wanted
    assert [row["code"] for row in wanted] == [item.code for item in items]


def test_equal_places_keep_the_order_in_which_they_were_found() -> None:
    items = [one(message=message, mark=at(1, 1)) for message in "bca"]
    assert [row["message"] for row in as_json(items)] == ["b", "c", "a"]


def test_json_has_every_key_and_null_for_what_is_not_there() -> None:
    assert as_json([TYPO, one(severity="warning")]) == [
        {
            "code": "E102",
            "severity": "error",
            "path": "stages.train.optimizer.learning_rat",
            "file": "spec.yaml",
            "line": 27,
            "column": 17,
            "message": "unknown key 'learning_rat' in stages.train.optimizer: did you mean 'learning_rate'?",
            "fix": "stages.train.optimizer.learning_rate=2e-5",
        },
        {"code": "E101", "severity": "warning", "path": None, "file": None, "line": None, "column": None, "message": "m", "fix": None},
    ]
