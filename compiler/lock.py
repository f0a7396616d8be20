"""The lock: content hashes of everything a plan reads from outside the spec."""

import importlib.metadata
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dllm_run.specs.canonical import pretty
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.inputs import input_files, is_downloaded, model_type_in
from dllm_run.specs.locator import PACKAGE, kind_of, located_files, root_of, sha256_of
from dllm_run.specs.plan import InputRecord

SCHEMA = "dllm-run/lock/1"


@dataclass(slots=True)
class Lock:
    """What is known of inputs: read from a lock file first, else from this machine's disk."""

    base: Path
    """Folder that relative paths start from."""
    locked: dict[str, InputRecord] = field(default_factory=dict)
    seen: dict[str, InputRecord] = field(default_factory=dict)
    looked: dict[tuple[str, str], Any] = field(default_factory=dict)
    """What was seen in inputs that lie here; for diagnostics alone."""

    def record(self, locator: str, what: str) -> InputRecord:
        """The record of an input: the locked one, or the disk's, or an unresolved one."""
        if locator in self.locked:
            return self.locked[locator]
        if locator not in self.seen:
            self.seen[locator] = fingerprint(locator, what, self.base)
        return self.seen[locator]

    def content(self, locator: str) -> bytes | None:
        """The bytes of an input that is one file here; None where it is not."""
        files = located_files(locator, self.base)
        try:
            return files[0].path.read_bytes() if len(files) == 1 else None
        except OSError:
            return None

    def drift(self, records: Iterable[InputRecord]) -> list[str]:
        """Inputs whose content here differs from what is locked, as sentences."""
        found: list[str] = []
        for record in records:
            if record.locator not in self.locked:
                continue
            if record.kind == "hub":
                found.extend(_hub_drift(record, self.base))
                continue
            here = fingerprint(record.locator, "data", self.base)
            if here.files != record.files:
                found.append(f"{record.locator} {'changed' if here.resolved else 'is gone'} since the lock was written")
        return found

    def elsewhere(self, records: Iterable[InputRecord]) -> list[InputRecord]:
        """What is locked of hubs and not among these: a spec with other flags reads it, and a branch may have moved since."""
        read = {record.locator for record in records}
        return [record for locator, record in self.locked.items() if record.kind == "hub" and locator not in read]


def _hub_drift(record: InputRecord, base: Path) -> Iterator[str]:
    if not is_downloaded(record, base):
        yield f"{record.locator} is not downloaded here: `dllm-run fetch` does it"
        return
    for name, path in input_files(record, base):
        # The hub's cache names large files by their content, and reading those takes as long as a plan should not.
        if path.resolve().name != record.files[name] and sha256_of(path) != record.files[name]:
            yield f"{record.locator}: {name} is not what was downloaded: `dllm-run fetch` brings it anew"
            return


def fingerprint(locator: str, what: str, base: Path) -> InputRecord:
    """The record of an input as it is on this machine; without files where it is not here. Raises EnvironmentProblem if unreadable."""
    kind = kind_of(locator, what)
    files: dict[str, str] = {}
    if kind != "hub":
        for name, path in located_files(locator, base):
            try:
                files[name] = sha256_of(path)
            except OSError as error:
                raise EnvironmentProblem(f"{locator}: {path.name} cannot be read: {error.strerror}") from None
    folder = root_of(locator, base) if what == "model" and "config.json" in files else None
    return InputRecord(kind=kind, locator=locator, revision=_version(locator), files=files, model_type=model_type_in(folder))


def _version(locator: str) -> str | None:
    if not locator.startswith(PACKAGE):
        return None
    try:
        return importlib.metadata.version(locator.removeprefix(PACKAGE).partition("/")[0])
    except importlib.metadata.PackageNotFoundError:
        return None


def read_lock(path: Path) -> dict[str, InputRecord]:
    """The records of a lock file; empty where there is none. Raises EnvironmentProblem for a broken one."""
    try:
        text = path.read_bytes()
    except OSError:
        return {}
    return parse_lock(text, path.name)


def parse_lock(text: bytes, name: str) -> dict[str, InputRecord]:
    """The records of the text of a lock file. Raises EnvironmentProblem for a broken one, called `name`."""
    try:
        data = json.loads(text)
        if data["schema"] != SCHEMA:
            raise EnvironmentProblem(
                f"{name} has schema {data['schema']!r}, this version reads {SCHEMA}: `dllm-run lock --update` rewrites it"
            )
        return {locator: InputRecord.from_json(item) for locator, item in data["inputs"].items()}
    except (ValueError, KeyError, TypeError, AttributeError):
        raise EnvironmentProblem(f"{name} is not a lock file: delete it, or `dllm-run lock --update` to rewrite it") from None


def lock_text(records: Iterable[InputRecord]) -> str:
    """The text of a lock file."""
    inputs: dict[str, Any] = {record.locator: record.to_json() for record in records if record.resolved}
    return pretty({"schema": SCHEMA, "inputs": inputs})
