"""The plan: the intermediate representation that crosses layers. Complete, frozen, and the same bytes wherever it is made."""

import json
from dataclasses import dataclass
from typing import Any

from .canonical import digest
from .codec import decode, encode
from .reference import Reference
from .vocabulary.stages import Stage

SCHEMA = "dllm-run/plan/1"


@dataclass(frozen=True, slots=True, kw_only=True)
class InputRecord:
    """What stands for an input: it is never copied. No files: not resolved yet."""

    kind: str
    """`file`, `package` or `hub`."""
    locator: str
    revision: str | None
    files: dict[str, str]
    """Name within the input to sha256."""

    @property
    def resolved(self) -> bool:
        """Whether the content is known."""
        return bool(self.files)

    def to_json(self) -> dict[str, Any]:
        """Plain data."""
        return {"kind": self.kind, "locator": self.locator, "revision": self.revision, "files": self.files}

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "InputRecord":
        """Read back what `to_json` gave."""
        return cls(kind=data["kind"], locator=data["locator"], revision=data["revision"], files=dict(data["files"]))


@dataclass(frozen=True, slots=True, kw_only=True)
class PlannedStage:
    """One stage: its vocabulary object with every default written in and every reference turned into an id."""

    body: Stage
    needs: tuple[Reference, ...]
    """The outputs that it reads, by stage id."""
    inputs: tuple[str, ...]
    """Locators of the inputs that it reads."""
    words: dict[str, int]
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
class Point:
    """One point of a sweep: its stages by the names that the user gave."""

    name: str
    stages: dict[str, str]


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """All stages of all points; a stage that points share appears once."""

    name: str
    inputs: dict[str, InputRecord]
    stages: dict[str, PlannedStage]
    """By id, each after those it needs."""
    points: dict[str, Point]

    @property
    def run_id(self) -> str:
        """8 hex of the digest of the plan: the same plan continues the same run."""
        return digest(self.to_json())[:8]

    def names(self) -> dict[str, str]:
        """Every stage by id, with the name under which the first point has it; of several, that of the stage that runs first."""
        order = {found: index for index, found in enumerate(self.stages)}
        found: dict[str, str] = {}
        for point in self.points.values():
            here: dict[str, list[str]] = {}
            for name, stage_id in point.stages.items():
                here.setdefault(stage_id, []).append(name)
            for stage_id, names in here.items():
                if stage_id not in found:
                    found[stage_id] = min(names, key=lambda name: order[point.stages[name.removesuffix(".data")]])
        return found

    def name_of(self, stage_id: str) -> str:
        """The name of one stage."""
        return self.names()[stage_id]

    def to_json(self) -> dict[str, Any]:
        """Plain data; key order is the order of execution."""
        return {
            "schema": SCHEMA,
            "name": self.name,
            "inputs": {locator: record.to_json() for locator, record in self.inputs.items()},
            "order": list(self.stages),
            "stages": {stage_id: stage.to_json() for stage_id, stage in self.stages.items()},
            "points": {point_id: {"name": point.name, "stages": point.stages} for point_id, point in self.points.items()},
        }

    @classmethod
    def from_json(cls, data: dict[str, Any]) -> "Plan":
        """Read back what `to_json` gave. Raises ValueError for another schema."""
        if data.get("schema") != SCHEMA:
            raise ValueError(f"this is not a plan of schema {SCHEMA}: {data.get('schema')!r}")
        return cls(
            name=data["name"],
            inputs={locator: InputRecord.from_json(item) for locator, item in data["inputs"].items()},
            stages={stage_id: PlannedStage.from_json(data["stages"][stage_id]) for stage_id in data["order"]},
            points={point_id: Point(name=item["name"], stages=dict(item["stages"])) for point_id, item in data["points"].items()},
        )

    @classmethod
    def loads(cls, text: str) -> "Plan":
        """Read a plan.json."""
        return cls.from_json(json.loads(text))
