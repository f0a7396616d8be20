"""The plan: the intermediate representation that crosses layers. Complete, frozen, and the same bytes wherever it is made."""

import functools
import hashlib
import importlib
import importlib.metadata
import json
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from .canonical import digest
from .codec import decode, encode
from .errors import EnvironmentProblem
from .plugin import PluginError, words_in
from .reference import Reference
from .texts import Texts
from .vocabulary.stages import Stage
from .word import Word, using

SCHEMA = "dllm-run/plan/1"


def kept_name(path: str) -> str:
    """Where a compiled tree keeps a file that the spec builds on, by its path from the spec's folder, or recipe:NAME."""
    if path.startswith("recipe:"):
        return f"inputs/recipes/{path.removeprefix('recipe:')}.yaml"
    words = {"..": "up", "~": "home", "": "root"}
    return "/".join(["inputs", *(words.get(part, part) for part in path.split("/"))])


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRecord:
    """What stands for an input: it is never copied. No files: not resolved yet."""

    kind: str
    """`file`, `package` or `hub`."""
    locator: str
    revision: str | None
    files: dict[str, str]
    """Name within the input to sha256."""
    model_type: str | None = None
    """Of a model what its config.json says; None where that is not known."""

    @property
    def resolved(self) -> bool:
        """Whether the content is known."""
        return bool(self.files)

    def to_json(self) -> dict[str, Any]:
        """Plain data; a type that is not known is left out."""
        more = {} if self.model_type is None else {"model_type": self.model_type}
        return {"kind": self.kind, "locator": self.locator, "revision": self.revision, "files": self.files, **more}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "InputRecord":
        """Read back what `to_json` gave. Raises KeyError, TypeError or ValueError for anything else."""
        found = data.get("model_type")
        if found is not None and not isinstance(found, str):
            raise TypeError("model_type is a text")
        return cls(kind=data["kind"], locator=data["locator"], revision=data["revision"], files=dict(data["files"]), model_type=found)


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """One stage: its vocabulary object with every default written in and every reference turned into an id."""

    body: Stage
    needs: tuple[Reference, ...]
    """The outputs that it reads, by stage id."""
    inputs: tuple[str, ...]
    """Locators of the inputs that it reads."""
    words: dict[str, int | str]
    """Words that it uses with their semantic versions."""

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"body": encode(self.body), "needs": encode(self.needs), "inputs": list(self.inputs), "words": self.words}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "PlannedStage":
        """Read back what `to_json` gave. Raises DecodeError where the body does not fit this version."""
        return cls(
            body=decode(Stage, data["body"], planned=True),
            needs=tuple(Reference(item["stage"], item["output"]) for item in data["needs"]),
            inputs=tuple(data["inputs"]),
            words=dict(data["words"]),
        )


@dataclass(frozen=True, slots=True, kw_only=True)
class PluginRecord:
    """A word from outside: where its code is, and which version of it the plan was made with."""

    word: str
    """`family/word`."""
    source: str
    """The file, as it lies beside the plan, or `module:Class` of an installed package."""
    distribution: str
    """The package; empty for a file."""
    version: str
    """Of the package; of a file the sha256."""
    semantics: int

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {
            "word": self.word,
            "source": self.source,
            "distribution": self.distribution,
            "version": self.version,
            "semantics": self.semantics,
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "PluginRecord":
        """Read back what `to_json` gave."""
        return cls(**{key: data[key] for key in ("word", "source", "distribution", "version", "semantics")})


@dataclass(frozen=True, slots=True, kw_only=True)
class Point:
    """One point of a sweep: its stages by the names that the user gave."""

    name: str
    stages: dict[str, str]
    case: str | None = None
    values: dict[str, Any] = field(default_factory=dict)
    """What the sweep assigns, by path."""

    def to_json(self) -> dict[str, Any]:
        """Plain data; what a spec without cases or sweep does not have is left out."""
        more: dict[str, Any] = {"case": self.case} if self.case is not None else {}
        return {"name": self.name, "stages": self.stages, **more, **({"values": self.values} if self.values else {})}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Point":
        """Read back what `to_json` gave."""
        return cls(name=data["name"], stages=dict(data["stages"]), case=data.get("case"), values=dict(data.get("values", {})))


@dataclass(frozen=True, kw_only=True)
class Plan:
    """All stages of all points; a stage that points share appears once."""

    name: str
    inputs: dict[str, InputRecord]
    stages: dict[str, PlannedStage]
    """By id, each after those it needs."""
    points: dict[str, Point]
    plugins: tuple[PluginRecord, ...] = ()

    @functools.cached_property
    def run_id(self) -> str:
        """8 hex of the digest of the plan: the same plan continues the same run."""
        texts = Texts()
        bodies = {stage_id: hashlib.sha256(texts.whole(stage.body).encode()).hexdigest() for stage_id, stage in self.stages.items()}
        return digest({**self._frame(), "bodies": bodies})[:8]

    def name_of(self, stage_id: str) -> str:
        """The name of one stage."""
        return self.names[stage_id]

    @functools.cached_property
    def names(self) -> dict[str, str]:
        """Every stage by id, with the name under which the first point has it; of several, that of the stage that runs first."""
        order = {found: index for index, found in enumerate(self.stages)}
        names: dict[str, str] = {}
        for point in self.points.values():
            mine: dict[str, list[str]] = {}
            for name, stage_id in point.stages.items():
                mine.setdefault(stage_id, []).append(name)
            for stage_id, found in mine.items():
                if stage_id not in names:
                    names[stage_id] = min(found, key=lambda name: order[point.stages[name.removesuffix(".data")]])
        return names

    def _frame(self) -> dict[str, Any]:
        """Everything but the stages."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "inputs": {locator: record.to_json() for locator, record in self.inputs.items()},
            "order": list(self.stages),
            "points": {point_id: point.to_json() for point_id, point in self.points.items()},
            **({"plugins": [record.to_json() for record in self.plugins]} if self.plugins else {}),
        }

    def to_json(self) -> dict[str, Any]:
        """Plain data; `order` is the order of execution."""
        return {**self._frame(), "stages": {stage_id: stage.to_json() for stage_id, stage in self.stages.items()}}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Plan":
        """Read back what `to_json` gave, its words in use. Raises ValueError for another schema."""
        if data.get("schema") != SCHEMA:
            raise ValueError(f"this is not a plan of schema {SCHEMA}: {data.get('schema')!r}")
        return cls(
            name=data["name"],
            inputs={locator: InputRecord.from_json(item) for locator, item in data["inputs"].items()},
            stages={stage_id: PlannedStage.from_json(data["stages"][stage_id]) for stage_id in data["order"]},
            points={point_id: Point.from_json(item) for point_id, item in data["points"].items()},
            plugins=tuple(PluginRecord.from_json(item) for item in data.get("plugins", [])),
        )

    @classmethod
    def loads(cls, text: str) -> "Plan":
        """Read the text of a plan.json, its words in use."""
        return cls.from_json(json.loads(text))

    @classmethod
    def load(cls, path: Path) -> "Plan":
        """Read a plan.json and the words that lie beside it. Raises EnvironmentProblem for words that are not those of the plan."""
        data = json.loads(path.read_text(encoding="utf-8"))
        with using(words_beside(path, data)):
            return cls.from_json(data)


def words_beside(path: Path, data: dict[str, Any]) -> list[type[Word]]:
    """The words from outside that the plan at `path` was made with. Raises EnvironmentProblem where they are not here, or others."""
    records = [PluginRecord.from_json(item) for item in data.get("plugins", [])]
    found: list[type[Word]] = []
    for source in dict.fromkeys(record.source for record in records if not record.distribution):
        found.extend(_words_of_file(path.parent / source, [record for record in records if record.source == source]))
    return found + [_word_of_package(record) for record in records if record.distribution]


def _words_of_file(file: Path, records: Iterable[PluginRecord]) -> list[type[Word]]:
    try:
        data = file.read_bytes()
        words = words_in(str(file), data)
    except OSError as error:
        raise EnvironmentProblem(f"{file.name}, which the plan takes words from, cannot be read: {error.strerror}") from None
    except PluginError as error:
        raise EnvironmentProblem(f"{file.name}: {error}") from None
    if any(hashlib.sha256(data).hexdigest() != record.version for record in records):
        raise EnvironmentProblem(f"{file.name} is not the file that the plan was made with")
    return words


def _word_of_package(record: PluginRecord) -> type[Word]:
    module, _, name = record.source.partition(":")
    try:
        here = importlib.metadata.version(record.distribution)
        cls = vars(importlib.import_module(module))[name]
    except (ImportError, KeyError):
        raise EnvironmentProblem(f"{record.word} comes from {record.distribution} {record.version}, which is not installed here") from None
    if here != record.version or cls.semantics != record.semantics:
        text = f"{record.word} comes from {record.distribution} {record.version}, here is {here}"
        raise EnvironmentProblem(f"{text}: install that version, or compile again")
    found: type[Word] = cls
    return found
