"""Bytes that nobody would call a spec: every one ends in a plan or in diagnostics that can be shown, soon."""

import random
import signal
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import FrameType

import pytest

from dllm_run.compiler.compile import Compiled, Source, compile_spec
from dllm_run.compiler.lock import Lock
from dllm_run.compiler.read import MAX_FOUND
from dllm_run.compiler.render import as_json, render
from dllm_run.specs.errors import Diagnostic, SpecError

ROOT = Path(__file__).parents[2]
RECIPES = [file.read_bytes() for file in sorted((ROOT / "specs" / "recipes").glob("*.yaml"))]
COMPLETE = (ROOT / "tests" / "data" / "complete.yaml").read_bytes()
SPEC = (ROOT / "tests" / "data" / "specs" / "sudoku.yaml").read_text(encoding="utf-8")
HEAD = "version: 1\nname: x\nstages:\n"
STAGE = SPEC[SPEC.index("  train:") : SPEC.index("  solve:")]
SCRAPS = [
    b"\0", b"\xff", b"\xc3", b"\xed\xa0\x80", b"\xef\xbb\xbf", b"\r", b"\t", b"${", b"}", b"{", b"[", b"]", b": ", b"- ", b"&a ", b"*a",
    b"!!x ",
     b"<<: ", b"---\n", b"...\n", b"'", b'"', b"|\n", b">-\n", b"? ", b"#",
    b"%YAML 9.9\n", b"\\x00", b"1e999", b"~", b"\xe2\x80\xa8",
]  # fmt: skip


@contextmanager
def soon(seconds: int) -> Iterator[None]:
    """No assertion on speed: what takes this long would not end."""

    def rang(_signal: int, _frame: FrameType | None) -> None:
        raise AssertionError(f"not done after {seconds} seconds")

    before = signal.signal(signal.SIGALRM, rang)
    signal.alarm(seconds)
    try:
        yield
    finally:
        signal.alarm(0)
        signal.signal(signal.SIGALRM, before)


def end_of(data: bytes, *flags: str) -> Compiled | tuple[Diagnostic, ...]:
    """How compiling ends; whatever is told can be shown, and nobody has to scroll through more than is read."""
    try:
        done: Compiled | tuple[Diagnostic, ...] = compile_spec(Source(file="spec.yaml", data=data, flags=flags), Lock(Path("nowhere")))
    except SpecError as error:
        done = error.diagnostics
        assert any(item.severity == "error" for item in done)
    told = done.warnings if isinstance(done, Compiled) else done
    render(told, color=True).encode()
    assert len(as_json(told)) <= 3 * MAX_FOUND
    return done


# --- random bytes and random damage


def flipped(rng: random.Random, data: bytearray) -> None:
    data[rng.randrange(len(data))] ^= 1 << rng.randrange(8)


def inserted(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    data[at:at] = rng.choice(SCRAPS)


def deleted(rng: random.Random, data: bytearray) -> None:
    at = rng.randrange(len(data))
    del data[at : at + rng.randint(1, 20)]


def doubled(rng: random.Random, data: bytearray) -> None:
    lines = bytes(data).split(b"\n")
    start = rng.randrange(len(lines))
    lines[start:start] = lines[start : start + rng.randint(1, 6)] * rng.choice((1, 1, 2, 50))
    data[:] = b"\n".join(lines)


def spliced(rng: random.Random, data: bytearray) -> None:
    other = rng.choice([*RECIPES, COMPLETE])
    start = rng.randrange(len(other))
    at = rng.randrange(len(data))
    data[at : at + rng.choice((0, 40))] = other[start : start + rng.randint(1, 200)]


def indented(rng: random.Random, data: bytearray) -> None:
    lines = bytes(data).split(b"\n")
    at = rng.randrange(len(lines))
    lines[at] = rng.choice([b" ", b"  ", b"\t", b"      "]) + lines[at] if rng.random() < 0.5 else lines[at].removeprefix(b"  ")
    data[:] = b"\n".join(lines)


DAMAGE: list[Callable[[random.Random, bytearray], None]] = [flipped, inserted, deleted, doubled, spliced, indented]


def test_a_damaged_spec_ends_in_a_plan_or_in_diagnostics() -> None:
    rng = random.Random(0)
    ends: Counter[str] = Counter()
    for turn in range(400):
        data = bytearray(rng.choice([*RECIPES, COMPLETE]))
        for _ in range(rng.choice((1, 1, 2, 5))):
            DAMAGE[turn % len(DAMAGE)](rng, data) if rng.random() < 0.7 else rng.choice(DAMAGE)(rng, data)
        with soon(120):
            done = end_of(bytes(data))
        ends.update(["compiled"] if isinstance(done, Compiled) else {item.code for item in done})
    assert ends["compiled"] >= 20, "damage in comments and free texts is none"
    assert len(ends) >= 10 and ends["E101"] >= 20 and ends["E102"] >= 20, ends


def test_random_bytes_end_in_diagnostics() -> None:
    rng = random.Random(1)
    for _ in range(200):
        data = rng.randbytes(rng.randint(0, 300)) if rng.random() < 0.5 else b"".join(rng.choices([*SCRAPS, b"a", b"b: ", b"\n"], k=30))
        with soon(120):
            assert not isinstance(end_of(data), Compiled)


def test_a_damaged_flag_ends_in_a_plan_or_in_diagnostics() -> None:
    rng = random.Random(2)
    for _ in range(200):
        flag = bytearray(rng.choice([b"stages.train.batch={global: 8, micro: 4}", b"launch.time=1:00:00", b"sweep.grid={seed: [1, 2]}"]))
        rng.choice([flipped, inserted, deleted])(rng, flag)
        with soon(120):
            end_of(SPEC.encode(), flag.decode("utf-8", "surrogateescape"))


# --- made to hurt


def times(count: int, form: str) -> str:
    """The form once for each number, with `#` for it and `@` for the one before."""
    return "".join(form.replace("#", str(number)).replace("@", str(number - 1)) for number in range(count))


def edited(old: str, new: str) -> str:
    assert old in SPEC
    return SPEC.replace(old, new)


def laughs() -> str:
    lists = zip("bcdefgh", "abcdefg", strict=True)
    return "a: &a [x, x, x, x, x, x, x, x, x]\n" + "".join(f"{name}: &{name} [{', '.join(['*' + below] * 9)}]\n" for name, below in lists)


TRAINED = "kind: sft, data: {sources: [a]}, objective: mdlm, batch: 3, optimizer: {learning_rate: 1}, duration: 1 steps"
HOSTILE: dict[str, tuple[str | bytes, str]] = {
    # Text that is no YAML, or more of it than anybody writes.
    "brackets": ("[" * 50_000, "E110"),
    "closed-brackets": ("a: " + "[" * 50_000 + "]" * 50_000, "E110"),
    "braces": ("{a: " * 50_000, "E110"),
    "dashes": ("- " * 50_000, "E110"),
    "questions": ("? " * 30_000, "E110"),
    "a-deep-block": ("".join(" " * depth + "a:\n" for depth in range(1500)), "E110"),
    "two-megabytes-of-items": ("- a\n" * 500_000, "E111"),
    "two-megabytes-of-documents": ("---\n" * 500_000, "E101"),
    "two-megabytes-of-quotes": ("'" * 1_999_999, "E101"),
    "two-megabytes-of-stars": ("*a " * 600_000, "E101"),
    "two-megabytes-of-anchors": ("&a " * 600_000, "E101"),
    "two-megabytes-of-bangs": ("!" * 1_999_999, "E108"),
    "two-megabytes-of-commas": ("[" + "," * 1_999_999, "E101"),
    "two-megabytes-of-references": ("a: {" + "b: ${c}, " * 220_000 + "}", "E101"),
    "more": (b"#" * (3 << 20), "E114"),
    "laughs": (laughs(), "E111"),
    "wide-aliases": ("a: &a [" + "1," * 1000 + "]\nb: [" + "*a," * 5000 + "]\n", "E111"),
    "an-alias-of-itself": ("a: &a [*a]\n", "E111"),
    "aliases-in-a-chain": ("x0: &x0 [1]\n" + times(200, "x# : &x# [*x@]\n").partition("\n")[2], "E110"),
    "nul": (edited("name: sudoku", "name: su\0doku"), "E101"),
    "escaped-nul": (edited("name: sudoku", 'name: "su\\0doku"'), "E101"),
    "bytes-cut-in-two": (SPEC.encode() + "é".encode()[:1], "E112"),
    "utf-16": (SPEC.encode("utf-16"), "E112"),
    "utf-32": (SPEC.encode("utf-32"), "E112"),
    "two-byte-order-marks": (b"\xef\xbb\xbf" * 2 + SPEC.encode(), "E101"),
    "tabs": (SPEC.replace("  ", "\t"), "E101"),
    # Names and texts of a megabyte.
    "a-long-name": (edited("name: sudoku", "name: " + "X" * 1_000_000), "E103"),
    "a-long-key": (edited("version: 1", '? "' + "n" * 1_000_000 + '"\n: 1'), "E102"),
    "a-long-word": (edited("kind: pretrain", "kind: " + "pretrain" * 100_000), "E103"),
    "a-long-unit": (edited("1200 steps", "1200 " + "s" * 1_000_000), "E103"),
    "a-long-space": (edited("1200 steps", "'1200 " + " " * 1_000_000 + "x'"), "E103"),
    "a-long-number": (edited("1200 steps", "'" + "1" * 1_000_000 + "x'"), "E103"),
    "a-long-reference": (edited("${data.puzzles}", "${data." + "p" * 1_000_000 + "}"), "E201"),
    "a-deep-reference": (edited("${data.puzzles}", "${data" + ".p" * 2_000 + "}"), "E201"),
    "open-references": (edited("${data.puzzles}", "${" * 300_000), "E204"),
    # Thousands of mistakes.
    "unknown-keys": (times(20_000, "k#: 1\n"), "E102"),
    "unknown-keys-of-a-stage": (edited("    batch: 128\n", times(20_000, "    bat#: 1\n")), "E102"),
    "unknown-keys-below": (f"version: 1\nname: x\ndata: {{d: {{sources: [{'{pth: a}, ' * 20_000}]}}}}\nstages: {{}}\n", "E102"),
    "sources-that-are-none": (f"version: 1\nname: x\ndata: {{d: {{sources: [{'1, ' * 20_000}]}}}}\nstages: {{}}\n", "E104"),
    "empty-stages": (HEAD + times(10_000, "  s#: {}\n"), "E105"),
    "misspelt-stages": (HEAD + times(5_000, "  s#: {kind: pretrian}\n"), "E103"),
    "incomplete-stages": (HEAD + times(5_000, "  s#: {kind: sft}\n"), "E105"),
    "stages-of-nowhere": (
        HEAD + times(1_000, "  s#: {kind: sample, model: '${stages.x#}', prompts: [a], max_new_tokens: 3, sampler: llada}\n"), "E201"
    ),
    "data-of-nowhere": ("version: 1\nname: x\ndata:\n" + times(5_000, "  p#: ${data.q#}\n") + "stages: {}\n", "E201"),
    "tasks-again-and-again": (edited("tasks: [sudoku]", "tasks: [" + "sudoku, " * 5_000 + "]"), "E321"),
    "a-circle-of-stages": (
        HEAD + "  s0: {model: {from: '${stages.s499}'}, " + TRAINED + "}\n"
        + times(500, "  s#: {model: {from: '${stages.s@}'}, " + TRAINED + "}\n").partition("\n")[2], "E202"
    ),
    "bad-points": (SPEC + "sweep: {grid: {stages.train.seed: [" + "x, " * 300 + "]}}\n", "E104"),
    "bad-axes": (SPEC + "sweep: {grid: {" + times(300, "a#.b: [1], ") + "}}\n", "E102"),
}  # fmt: skip


@pytest.mark.parametrize("case", HOSTILE)
def test_a_hostile_spec_ends_in_diagnostics(case: str) -> None:
    data, code = HOSTILE[case]
    with soon(120):
        done = end_of(data.encode() if isinstance(data, str) else data)
    assert not isinstance(done, Compiled)
    assert code in {item.code for item in done}
    # What is shown of a line of a megabyte is a line of a screen.
    assert len(render(done)) < 1000 * len(done) + 1000


HARMLESS: dict[str, str | bytes] = {
    "byte-order-mark": b"\xef\xbb\xbf" + SPEC.encode(),
    "line-ends-of-windows": SPEC.replace("\n", "\r\n"),
    "line-ends-of-old-macs": SPEC.replace("\n", "\r"),
    "a-comment-of-a-megabyte": SPEC + "# " + "x" * 1_000_000,
    "many-prompts": edited("    kind: eval", "    kind: sample\n    max_new_tokens: 4\n    prompts: [" + "a, " * 20_000 + "]").replace(
        "    data: ${data.puzzles}\n    tasks: [sudoku]\n", ""
    ),
    "a-long-chain-of-stages": (
        SPEC[: SPEC.index("stages:")] + "stages:\n"
        + "".join(reversed(times(400, "  s#: {model: {from: '${stages.s@}'}, " + TRAINED + "}\n").replace("s-1", "train").splitlines(True)))
        + STAGE + "compute: {device: cpu}\n"
    ),
}  # fmt: skip


@pytest.mark.parametrize("case", HARMLESS)
def test_what_only_looks_hostile_compiles(case: str) -> None:
    data = HARMLESS[case]
    with soon(120):
        assert isinstance(end_of(data.encode() if isinstance(data, str) else data), Compiled)
