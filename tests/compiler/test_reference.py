"""The reference page is current, whole, and its links lead somewhere."""

import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.compiler.entries import INDEX, NAME, effect_of, entries, families, look_up, places_of, suggestion
from dllm_run.compiler.forms import bounds, default, form
from dllm_run.compiler.reference import reference
from dllm_run.specs.effect import Effect
from dllm_run.specs.field import FieldInfo, Leaf, fields_of, shape_of
from dllm_run.specs.quantity import Quantity
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.objectives import Objective
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.word import members

ROOT = Path(__file__).parents[2]


def info_at(path: str) -> FieldInfo:
    (entry,) = look_up(path).exact
    return entry.info


def test_the_reference_page_is_current(current: Callable[[str, str], None]) -> None:
    current("docs/language.md", reference())


def test_every_link_of_the_page_leads_somewhere() -> None:
    page = reference()
    anchors = set(re.findall(r'<a id="([^"]+)">', page))
    anchors |= {re.sub(r"[^a-z0-9 -]", "", heading.lower()).replace(" ", "-") for heading in re.findall(r"^#+ (.*)$", page, re.MULTILINE)}
    links = re.findall(r"\]\(([^)]+)\)", page)
    assert len(links) > 100
    assert {link[1:] for link in links if link.startswith("#")} <= anchors
    assert [link for link in links if not link.startswith("#") and not (ROOT / "docs" / link).is_file()] == []


def test_the_page_has_a_row_for_every_field_and_every_word() -> None:
    page = reference()
    rows = [line for line in page.splitlines() if line.startswith("|")]
    missing = [entry.path for entry in entries() if not any(entry.info.leaf.meaning.replace("|", "\\|") in row for row in rows)]
    assert [path for path in missing if path[-1] not in ("kind", "type", "family", "estimator")] == []
    assert [
        word for base in families() for word in members(base) if f">{word} |" not in page.replace("</a>", ">") and f"[{word}]" not in page
    ] == []


def test_a_table_row_has_as_many_cells_as_its_head() -> None:
    for line in reference().splitlines():
        if line.startswith("|"):
            assert len(re.findall(r"(?<!\\)\|", line)) in (3, 6), line


@pytest.mark.parametrize(
    ("annotation", "leaf", "said"),
    [
        pytest.param(int, Leaf(meaning="", minimum=1, unit="rows"), "integer (rows; at least 1)", id="integer"),
        pytest.param(float | None, Leaf(meaning="", above=0, below=1), "number (more than 0, less than 1) or null", id="open interval"),
        pytest.param(str, Leaf(meaning="", choices=("a", "b", "c")), "`a`, `b` or `c`", id="choices"),
        pytest.param(
            Quantity, Leaf(meaning="", units=("steps", "fraction"), maximum=1), "`N steps` or a fraction (at most 1)", id="amount"
        ),
        pytest.param(tuple[str, ...], Leaf(meaning=""), "a list (text)", id="list"),
        pytest.param(dict[str, Model], Leaf(meaning=""), "a map of names (model {…})", id="map"),
        pytest.param(Objective, Leaf(meaning=""), "one of the objectives", id="family"),
        pytest.param(bool, Leaf(meaning=""), "`true`, `false`", id="truth value"),
    ],
)
def test_a_field_says_its_form_in_words(annotation: type, leaf: Leaf, said: str) -> None:
    assert form(FieldInfo(name="x", key="x", shape=shape_of(annotation), leaf=leaf, required=True, default=None)) == said


def test_bounds_are_said_with_their_kind() -> None:
    assert bounds(Leaf(meaning="", minimum=0, below=1)) == "at least 0, less than 1"
    assert bounds(Leaf(meaning="", above=0, maximum=2)) == "more than 0, at most 2"
    assert bounds(Leaf(meaning="")) == ""


def test_a_default_is_written_as_a_user_would() -> None:
    assert default(info_at("stages.x.objective.start")) == "masks"
    assert default(info_at("stages.x.optimizer.warmup")) == "0.0"
    assert default(info_at("stages.x.optimizer.learning_rate")) is None
    assert default(info_at("stages.x.batch.micro")) == "null"
    assert default(info_at("compute.deterministic")) == "false"


def test_fields_have_the_effect_that_a_spec_gives_them() -> None:
    assert effect_of(info_at("launch.partition")) is Effect.NONE, "launch says so for what is below it"
    assert effect_of(info_at("launch.setup")) is Effect.NUMERICS
    assert effect_of(info_at("stages.x.checkpoint.keep")) is Effect.NONE
    assert effect_of(info_at("stages.x.optimizer.beta1")) is Effect.RESULT


@pytest.mark.parametrize(
    ("asked", "places"),
    [
        pytest.param("stages.train.batch.micro", ["stages.NAME.batch.micro"], id="path of a spec"),
        pytest.param("data.docs.sources.2.path", ["data.NAME.sources.N.path"], id="position in a list"),
        pytest.param("data.docs.sources.path", ["data.NAME.sources.N.path"], id="position left out"),
        pytest.param("name", ["name"], id="top"),
    ],
)
def test_a_path_finds_its_field(asked: str, places: list[str]) -> None:
    assert [".".join(entry.path) for entry in look_up(asked).exact] == places


def test_the_end_of_a_path_finds_every_field_that_ends_so() -> None:
    assert [".".join(entry.path) for entry in look_up("learning_rate").inner] == ["stages.NAME.optimizer.learning_rate"]
    limits = {".".join(entry.path) for entry in look_up("limit").inner}
    assert {"data.NAME.limit", "data.NAME.sources.N.limit", "stages.NAME.evaluate.limit"} <= limits
    assert [".".join(entry.path) for entry in look_up("mdlm.schedule").inner] == ["stages.NAME.objective.schedule"]
    assert not look_up("rate") and not look_up("stages.train.nothing") and not look_up("docs.limit")


def test_words_and_families_are_found_by_name() -> None:
    assert [word.word for word in look_up("mdlm").words] == ["mdlm"]
    assert len(look_up("llada").words) == 2, "a family and a sampler"
    assert len(look_up("sudoku").words) == 2, "a generator and a task"
    assert look_up("samplers").families


@pytest.mark.parametrize(
    ("typed", "meant"),
    [
        ("stages.train.optimizer.learning_rat", "stages.train.optimizer.learning_rate"),
        ("optimiser.beta1", "optimizer.beta1"),
        ("lr", "learning_rate"),
        ("mdml", "mdlm"),
        ("sampler", None),
    ],
)
def test_a_misspelt_path_is_answered_with_the_nearest(typed: str, meant: str | None) -> None:
    assert meant is None or suggestion(typed) == meant
    assert bool(look_up(typed)) is (meant is None)


def test_every_place_of_a_map_is_told() -> None:
    assert {".".join(path) for path in places_of(Model)} == {"model", "stages.NAME.model"}
    assert [".".join(path) for path in places_of(Objective)] == ["stages.NAME.objective"]
    assert all(NAME not in path[-1:] and INDEX not in path[-1:] for entry in entries() for path in entry.places)
    assert len(entries()) > len(fields_of(Spec)) + 60
