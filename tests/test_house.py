"""Rules of the house that a machine can check: layering at run time, words and their files, docstrings, no traces of a workshop."""

import ast
import importlib
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from dllm_run.specs.field import fields_of
from dllm_run.specs.vocabulary.conversions import Conversion
from dllm_run.specs.vocabulary.families import Family
from dllm_run.specs.vocabulary.generators import Generator
from dllm_run.specs.vocabulary.kappas import Kappa
from dllm_run.specs.vocabulary.launchers import Launch
from dllm_run.specs.vocabulary.likelihoods import Likelihood
from dllm_run.specs.vocabulary.lr_schedules import LrSchedule
from dllm_run.specs.vocabulary.mappings import Mapping
from dllm_run.specs.vocabulary.objectives import Objective
from dllm_run.specs.vocabulary.quantizations import Quantization
from dllm_run.specs.vocabulary.samplers import Sampler
from dllm_run.specs.vocabulary.schedules import Schedule
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.vocabulary.starts import Start
from dllm_run.specs.vocabulary.tasks import BuiltInTask
from dllm_run.specs.vocabulary.tokenizers import Tokenizer
from dllm_run.specs.vocabulary.trackers import Tracker
from dllm_run.specs.vocabulary.weightings import Weighting
from dllm_run.specs.word import Word, family_name, is_family, members

ROOT = Path(__file__).parents[1]
SPEC = ROOT / "tests" / "data" / "specs" / "sudoku.yaml"
FAMILIES: list[type[Word]] = [
    Conversion, Family, Generator, Kappa, Launch, Likelihood, LrSchedule, Mapping, Objective, Quantization, Sampler, Schedule, Stage,
    Start, BuiltInTask, Tokenizer, Tracker, Weighting,
]  # fmt: skip
LAYERS = ("specs", "compiler", "launchers", "runtime", "src/dllm_run/cli")


# --- planning is quick: nothing that runs on a device is imported


@pytest.mark.parametrize(
    "arguments",
    [
        pytest.param(["--help"], id="help"),
        pytest.param(["validate", str(SPEC)], id="validate"),
        pytest.param(["plan", str(SPEC)], id="plan"),
        pytest.param(["compile", str(SPEC), "-o", "out"], id="compile"),
        pytest.param(["diff", str(SPEC), str(SPEC)], id="diff"),
        pytest.param(["show", str(SPEC)], id="show"),
        pytest.param(["schema"], id="schema"),
        pytest.param(["schema", "--format", "md"], id="reference"),
        pytest.param(["explain", "E311"], id="explain a code"),
        pytest.param(["explain", "learning_rate"], id="explain a field"),
        pytest.param(["explain", "learning_rate", str(SPEC)], id="explain a value"),
        pytest.param(["init", "new.yaml"], id="init"),
        pytest.param(["lock", "spec.yaml"], id="lock"),
        pytest.param(["fetch", "spec.yaml"], id="fetch"),
        pytest.param(["migrate", "spec.yaml"], id="migrate"),
        pytest.param(["sample", "--help"], id="sample"),
        pytest.param(["chat", "--help"], id="chat"),
    ],
)
def test_a_planning_verb_imports_nothing_that_computes(arguments: list[str], tmp_path: Path) -> None:
    heavy = ("torch", "transformers", "datasets", "accelerate", "lm_eval", "submitit", "numpy", "dllm_run.runtime")
    code = f"""
import sys
from dllm_run.cli.main import main
try:
    code = main({arguments!r})
except SystemExit as done:
    code = done.code
print("code", code, "heavy", [name for name in {heavy!r} if name in sys.modules])
"""
    (tmp_path / "spec.yaml").write_bytes(SPEC.read_bytes())
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, text=True, capture_output=True, check=False)
    assert done.stdout.splitlines()[-1:] == ["code 0 heavy []"], done.stdout + done.stderr


# --- the vocabulary


def test_every_family_is_known_here() -> None:
    folders = {path.parent.name for path in (ROOT / "specs" / "vocabulary").glob("*/__init__.py")}
    assert {family_name(family) for family in FAMILIES} == folders


@pytest.mark.parametrize("family", FAMILIES, ids=family_name)
def test_a_word_is_a_file_of_its_name(family: type[Word]) -> None:
    folder = ROOT / "specs" / "vocabulary" / family_name(family)
    assert set(members(family)) == {path.stem for path in folder.glob("*.py")} - {"__init__"}


@pytest.mark.parametrize("family", FAMILIES, ids=family_name)
def test_every_word_has_its_implementation_and_every_implementation_its_word(family: type[Word]) -> None:
    name = family_name(family)
    folder = ROOT / name if name == "launchers" else ROOT / "runtime" / name
    files = {path.stem for path in folder.glob("*.py")} - {"__init__"}
    if name == "launchers":
        modules = {stem: importlib.import_module(f"dllm_run.launchers.{stem}") for stem in files}
        files = {stem for stem in files if all(hasattr(modules[stem], verb) for verb in ("render", "submit", "state", "cancel"))}
    # A family of models is stock unless it says otherwise: what its word says is all there is to it.
    assert files == {word for word, cls in members(family).items() if not cls.implementation}


def vocabulary_classes() -> Iterator[type]:
    """Every class that a spec can hold, found from the spec down."""
    waiting: list[type] = [Spec, BuiltInTask]
    seen: set[type] = set()
    while waiting:
        cls = waiting.pop()
        if cls in seen:
            continue
        seen.add(cls)
        yield cls
        if issubclass(cls, Word) and is_family(cls):
            waiting.extend(members(cls).values())
        for info in fields_of(cls):
            shape = info.shape
            waiting.extend(found.cls for found in (shape, shape.items, shape.values) if found is not None and found.cls is not None)


def test_every_field_says_what_it_means_in_a_sentence() -> None:
    fields = [(cls.__name__, info.key, info.leaf.meaning) for cls in vocabulary_classes() for info in fields_of(cls)]
    assert len(fields) > 100
    assert [field for field in fields if not field[2].endswith(".") or not field[2].strip()] == []


def test_every_field_that_is_a_choice_has_a_default_among_its_choices() -> None:
    wrong = [
        (cls.__name__, info.key)
        for cls in vocabulary_classes()
        for info in fields_of(cls)
        if info.leaf.choices and not info.required and info.default not in (*info.leaf.choices, *([None] if info.shape.nullable else []))
    ]
    assert wrong == []


# --- the text


def modules() -> list[Path]:
    return [path for layer in LAYERS for path in sorted((ROOT / layer).rglob("*.py"))]


def public_definitions(tree: ast.Module) -> Iterator[tuple[str, ast.AST]]:
    for node in tree.body:
        if isinstance(node, ast.FunctionDef | ast.ClassDef) and not node.name.startswith("_"):
            yield node.name, node
            if isinstance(node, ast.ClassDef):
                yield from (
                    (f"{node.name}.{item.name}", item)
                    for item in node.body
                    if isinstance(item, ast.FunctionDef) and not item.name.startswith("_")
                )


def documented(node: ast.AST) -> bool:
    assert isinstance(node, ast.FunctionDef | ast.ClassDef | ast.Module)
    return bool(ast.get_docstring(node))


def test_every_module_and_every_public_name_has_a_docstring() -> None:
    trees = {path: ast.parse(path.read_text(encoding="utf-8")) for path in modules()}
    assert len(trees) > 60
    said = {
        name.rpartition(".")[2] for tree in trees.values() for name, node in public_definitions(tree) if "." in name and documented(node)
    }
    bare = [f"{path.relative_to(ROOT)}" for path, tree in trees.items() if tree.body and not documented(tree)]
    for path, tree in trees.items():
        for name, node in public_definitions(tree):
            # A method that overrides says nothing twice: the base class has said it, for on_* that of transformers.
            method = name.rpartition(".")[2] if "." in name else ""
            if not documented(node) and method not in said and not method.startswith("on_"):
                bare.append(f"{path.relative_to(ROOT)}: {name}")
    assert bare == []


def test_no_two_files_of_tests_have_one_name() -> None:
    """pytest imports them by their name alone: two of one name stop the whole run, and each folder by itself does not show it."""
    names = [path.name for path in (ROOT / "tests").rglob("test_*.py")]
    assert sorted(names) == sorted(set(names))


def test_no_file_knows_where_it_was_written() -> None:
    listed = subprocess.run(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT, capture_output=True, text=True, check=False
    )
    if listed.returncode != 0:
        pytest.skip("not a git checkout")
    traces = ["/" + "work/", "/" + "tmp/v/", "/" + "root/", "/" + "home/", "." + "pyenv"]
    found = []
    for name in filter(None, listed.stdout.split("\0")):
        path = ROOT / name
        if not path.is_file() or path.is_symlink():
            continue
        text = path.read_bytes().decode("utf-8", "ignore")
        found.extend((name, trace) for trace in traces if trace in text)
    assert found == []


def test_the_compiler_reads_no_clock_no_environment_and_no_random_numbers() -> None:
    """What could leak into a plan is not even imported; the lock alone looks at the disk."""
    forbidden = {"time", "datetime", "random", "os", "platform", "socket", "getpass", "tempfile", "uuid", "secrets"}
    found = []
    for path in sorted((ROOT / "compiler").glob("*.py")):
        for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
            names = [item.name for item in node.names] if isinstance(node, ast.Import) else []
            names += [node.module or ""] if isinstance(node, ast.ImportFrom) and node.level == 0 else []
            found.extend((path.name, name) for name in names if name.split(".")[0] in forbidden)
    assert found == []
