"""Words from outside: from a file that a spec uses, and from installed packages."""

import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.cli.specs import find
from dllm_run.cli.tree import tree
from dllm_run.cli.write import write
from dllm_run.compiler.compile import Compiled
from dllm_run.specs.errors import Diagnostic, EnvironmentProblem, SpecError
from dllm_run.specs.plan import Plan
from dllm_run.specs.vocabulary.schedules import Schedule
from dllm_run.specs.word import members

Compile = Callable[..., Compiled]
Diagnosing = Callable[..., tuple[Diagnostic, ...]]

STEEP = '''\
"""A steeper noise schedule."""

from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.field import leaf
from dllm_run.specs.vocabulary.schedules import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Steep(Schedule):
    """alpha(t) = 1 - t^power."""

    word: ClassVar[str] = "steep"

    power: float = leaf("The power.", default=2.0, above=0)


class _Steep:
    def __init__(self, power):
        self.power = power

    def alpha(self, t):
        return 1 - t**self.power

    def derivative(self, t):
        return -self.power * t ** (self.power - 1)


def build(word):
    return _Steep(word.power)
'''


@pytest.fixture
def steep(examples: dict[str, str], tmp_path: Path) -> str:
    """A spec that trains under a schedule of its own."""
    (tmp_path / "steep.py").write_text(STEEP, encoding="utf-8")
    return examples["sudoku"].replace("objective: mdlm", "objective: {type: mdlm, schedule: steep}") + "use: [./steep.py]\n"


def test_a_word_of_a_file_is_a_word(steep: str, compiling: Compile) -> None:
    found = compiling(steep)
    (stage,) = (stage for stage in found.plan.stages.values() if stage.body.word == "pretrain")
    assert "schedules/steep" in stage.words
    (record,) = found.plan.plugins
    assert (record.word, record.source, record.distribution, record.semantics) == ("schedules/steep", "inputs/steep.py", "", 1)
    assert found.inputs["steep.py"] == STEEP.encode()


def test_its_fields_are_checked_like_any(steep: str, diagnosing: Diagnosing) -> None:
    text = steep.replace("schedule: steep", "schedule: {type: steep, pwer: 3}")
    (found,) = diagnosing(text)
    assert (found.code, found.label) == ("E102", "did you mean 'power'?")
    assert diagnosing(steep.replace("schedule: steep", "schedule: {type: steep, power: 0}"))[0].code == "E106"


def test_its_code_is_part_of_what_is_computed(steep: str, compiling: Compile, tmp_path: Path) -> None:
    def trained() -> str:
        (point,) = compiling(steep).plan.points.values()
        return point.stages["train"]

    before = trained()
    assert trained() == before
    (tmp_path / "steep.py").write_text(STEEP.replace("1 - t**self.power", "1 - t ** (self.power + 1)"), encoding="utf-8")
    assert trained() != before


def test_it_is_gone_after_the_spec_that_uses_it(steep: str, compiling: Compile, diagnosing: Diagnosing) -> None:
    compiling(steep)
    assert "steep" not in members(Schedule)
    assert diagnosing(steep.replace("use: [./steep.py]\n", ""))[0].code == "E103"


def test_a_file_in_use_that_no_stage_needs_is_no_part_of_the_plan(steep: str, examples: dict[str, str], compiling: Compile) -> None:
    found = compiling(examples["sudoku"] + "use: [./steep.py]\n")
    assert found.plan.plugins == ()
    assert found.plan.run_id == compiling(examples["sudoku"]).plan.run_id


def test_a_file_is_found_from_the_spec_that_names_it(steep: str, compiling: Compile, tmp_path: Path) -> None:
    (tmp_path / "lib").mkdir()
    (tmp_path / "steep.py").rename(tmp_path / "lib" / "steep.py")
    (tmp_path / "lib" / "base.yaml").write_text(steep, encoding="utf-8")
    assert compiling("extends: [lib/base.yaml]\n").plan.plugins[0].source == "inputs/lib/steep.py"


def test_a_compiled_tree_carries_the_file_and_reads_back(steep: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(steep, encoding="utf-8")
    named = find(str(tmp_path / "spec.yaml"), [])
    compiled = named.compiled()
    write(tree(named, compiled), tmp_path / "out")
    assert Plan.load(tmp_path / "out" / "plan.json") == compiled.plan
    (tmp_path / "out" / "inputs" / "steep.py").write_text(STEEP + "\n# another\n", encoding="utf-8")
    with pytest.raises(EnvironmentProblem, match=r"steep\.py is not the file"):
        Plan.load(tmp_path / "out" / "plan.json")


@pytest.mark.parametrize(
    ("old", "new", "line", "message"),
    [
        pytest.param("import ClassVar\n", "import ClassVar\nimport torch.nn\n", 5, "torch.nn is imported", id="heavy"),
        pytest.param("import ClassVar\n", "import ClassVar\nfrom dllm_run.runtime.noise import Stream\n", 5, "imported", id="runtime"),
        pytest.param("import ClassVar\n", "import ClassVar\nif True:\n    import transformers\n", 6, "transformers", id="in-a-branch"),
        pytest.param("class _Steep:\n", "class _Steep:\n    import torch\n\n", 20, "torch is imported", id="in-a-class"),
        pytest.param("class Steep(Schedule)", "class Steep(Schedule", 11, "not Python", id="syntax"),
        pytest.param("import ClassVar\n", "import ClassVar\n\n1 / 0\n", 6, "ZeroDivisionError", id="raises"),
        pytest.param('word: ClassVar[str] = "steep"', 'word: ClassVar[str] = "linear"', 11, "already", id="taken"),
        pytest.param('word: ClassVar[str] = "steep"', "pass", 1, "no word", id="no-word"),
        pytest.param("@dataclass(frozen=True, ", "@dataclass(", 10, "frozen", id="not-frozen"),
        pytest.param("def build(word)", "def make(word)", 11, "does not implement 'steep'", id="not-implemented"),
        pytest.param("power: float = leaf", "power: set[int] = leaf", 11, "no form", id="a-type-without-form"),
    ],
)
def test_what_is_wrong_with_a_file_is_told_at_its_line(
    old: str, new: str, line: int, message: str, steep: str, diagnosing: Diagnosing, tmp_path: Path
) -> None:
    assert old in STEEP
    (tmp_path / "steep.py").write_text(STEEP.replace(old, new), encoding="utf-8")
    (found,) = diagnosing(steep)
    assert found.mark is not None
    assert (found.code, found.mark.file, message in found.message) == ("E130", "steep.py", True)
    assert found.mark.line == line


def test_imports_for_type_checkers_and_in_functions_are_fine(steep: str, compiling: Compile, tmp_path: Path) -> None:
    more = "import ClassVar, TYPE_CHECKING\n\nif TYPE_CHECKING:\n    import torch\n"
    text = STEEP.replace("import ClassVar\n", more).replace("    return _Steep(", "    import torch\n\n    return _Steep(")
    (tmp_path / "steep.py").write_text(text, encoding="utf-8")
    assert compiling(steep).plan.plugins
    assert "torch" not in text.split("def build")[0].replace("    import torch\n", "")


# --- packages


@pytest.fixture
def package(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An installed package that offers a word."""
    folder = tmp_path / "site"
    info = folder / "steepness-2.0.dist-info"
    info.mkdir(parents=True)
    (info / "METADATA").write_text("Metadata-Version: 2.1\nName: steepness\nVersion: 2.0\n", encoding="utf-8")
    (info / "entry_points.txt").write_text("[dllm_run.words]\nsteep = steepness_words:Steep\n", encoding="utf-8")
    (folder / "steepness_words.py").write_text(STEEP, encoding="utf-8")
    monkeypatch.syspath_prepend(str(folder))
    monkeypatch.delitem(sys.modules, "steepness_words", raising=False)
    return folder


def test_a_word_of_an_installed_package_needs_no_use(package: Path, steep: str, compiling: Compile) -> None:
    found = compiling(steep.replace("use: [./steep.py]\n", ""))
    (record,) = found.plan.plugins
    assert (record.source, record.distribution, record.version) == ("steepness_words:Steep", "steepness", "2.0")
    assert found.inputs == {}


def test_a_package_is_not_loaded_for_a_spec_that_needs_none_of_its_words(
    package: Path, examples: dict[str, str], compiling: Compile
) -> None:
    compiling(examples["sudoku"])
    assert "steepness_words" not in sys.modules


def test_a_package_that_cannot_be_loaded_is_an_error_and_no_crash(package: Path, steep: str, compiling: Compile) -> None:
    (package / "steepness_words.py").write_text("import no_such_module_here\n", encoding="utf-8")
    with pytest.raises(SpecError, match="no_such_module_here"):
        compiling(steep.replace("use: [./steep.py]\n", ""))


def test_a_plan_refuses_another_version_of_the_package(package: Path, steep: str, tmp_path: Path) -> None:
    (tmp_path / "spec.yaml").write_text(steep.replace("use: [./steep.py]\n", ""), encoding="utf-8")
    named = find(str(tmp_path / "spec.yaml"), [])
    compiled = named.compiled()
    write(tree(named, compiled), tmp_path / "out")
    assert Plan.load(tmp_path / "out" / "plan.json") == compiled.plan
    metadata = package / "steepness-2.0.dist-info" / "METADATA"
    metadata.write_text(metadata.read_text(encoding="utf-8").replace("Version: 2.0", "Version: 3.0"), encoding="utf-8")
    with pytest.raises(EnvironmentProblem, match=r"steepness 2\.0, here is 3\.0"):
        Plan.load(tmp_path / "out" / "plan.json")
