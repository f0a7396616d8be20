"""Which files of a data set of a hub are a split of a configuration: as its README says, else by the names of its files."""

import re
from collections.abc import Iterable
from pathlib import PurePosixPath
from typing import Any, NamedTuple

import yaml

from dllm_run.specs.locator import TABLE_SUFFIXES, LocatedFile

from .failure import Failure

_KEYWORDS = {
    "train": ("train", "training"),
    "validation": ("validation", "valid", "val", "dev"),
    "test": ("test", "testing", "eval", "evaluation"),
}
_SHARD = re.compile(r"(?P<split>\w+)-\d{5}-of-\d{5}")
_HEADER = re.compile(r"\A---\s*\n(.*?)\n---\s*(?:\n|\Z)", re.DOTALL)


class Config(NamedTuple):
    """A configuration: its splits with the patterns of their files."""

    name: str
    splits: dict[str, list[str]]
    is_default: bool


def files_of_split(locator: str, files: list[LocatedFile], config: str | None, split: str) -> list[LocatedFile]:
    """The files of a split, in the order of their names. Raises Failure with what there is instead."""
    readme = next((file.path for file in files if file.name == "README.md"), None)
    configs = [] if readme is None else configs_of(readme.read_text(encoding="utf-8", errors="replace"))
    tables = [file for file in files if PurePosixPath(file.name).suffix.lower() in TABLE_SUFFIXES]
    if configs:
        chosen = _config(locator, configs, config)
        patterns = chosen.splits.get(split)
        if patterns is None:
            raise Failure(f"{locator} has no split {split!r}{_of(chosen.name)}: there is {', '.join(sorted(chosen.splits)) or 'none'}")
        matching = [_pattern(text) for text in patterns]
        found = [file for file in tables if any(pattern.fullmatch(file.name) for pattern in matching)]
    else:
        below = tables if config is None else [file for file in tables if file.name.startswith(f"{config}/") or f"/{config}/" in file.name]
        splits = by_name(below)
        if split not in splits:
            there = ", ".join(sorted(splits)) or "no file of a kind that is read"
            raise Failure(f"{locator} has no split {split!r}{_of(config)}: there is {there}")
        found = splits[split]
    if not found:
        raise Failure(f"{locator}: split {split!r} has no file of a kind that is read here; known are {', '.join(TABLE_SUFFIXES)}")
    return found


def _of(config: str | None) -> str:
    return "" if config is None else f" in configuration {config!r}"


def _config(locator: str, configs: list[Config], name: str | None) -> Config:
    names = ", ".join(config.name for config in configs)
    if name is not None:
        found = next((config for config in configs if config.name == name), None)
        if found is None:
            raise Failure(f"{locator} has no configuration {name!r}: there is {names}")
        return found
    found = next((config for config in configs if config.is_default), None) or next((one for one in configs if one.name == "default"), None)
    if found is None and len(configs) > 1:
        raise Failure(f"{locator} has configurations and none is its default: name one with `config`, of {names}")
    return found or configs[0]


def configs_of(readme: str) -> list[Config]:
    """The configurations that the header of a README describes."""
    header = _HEADER.match(readme)
    try:
        said = yaml.safe_load(header[1]) if header is not None else None
    except yaml.YAMLError:
        return []
    listed = said.get("configs") if isinstance(said, dict) else None
    found = [_described(item) for item in listed if isinstance(item, dict)] if isinstance(listed, list) else []
    return [config for config in found if config.splits]


def _described(item: dict[str, Any]) -> Config:
    files, folder = item.get("data_files"), item.get("data_dir")
    splits: dict[str, list[str]] = {}
    if isinstance(files, list) and all(isinstance(entry, dict) for entry in files):
        for entry in files:
            splits.setdefault(str(entry.get("split", "train")), []).extend(_texts(entry.get("path")))
    elif files is not None:
        splits["train"] = _texts(files)
    if folder is not None:
        splits = {name: [f"{str(folder).rstrip('/')}/{path}" for path in paths] for name, paths in splits.items()}
    return Config(str(item.get("config_name", "default")), splits, bool(item.get("default")))


def _texts(value: Any) -> list[str]:
    return [str(part) for part in value] if isinstance(value, list) else [str(value)]


def _pattern(glob: str) -> "re.Pattern[str]":
    """`**` crosses folders, `*` and `?` do not."""
    parts = re.split(r"(\*\*/|\*\*|\*|\?)", glob.removeprefix("./"))
    forms = {"**/": "(?:.*/)?", "**": ".*", "*": "[^/]*", "?": "[^/]"}
    return re.compile("".join(forms[part] if part in forms else re.escape(part) for part in parts))


def by_name(files: Iterable[LocatedFile]) -> dict[str, list[LocatedFile]]:
    """Splits by the names of files, or of their folders: `data/train-00000-of-00002.parquet`, `test.jsonl`; all are `train` otherwise."""
    listed = list(files)
    found: dict[str, list[LocatedFile]] = {}
    for file in listed:
        split = _split_in(file.name)
        if split is not None:
            found.setdefault(split, []).append(file)
    return found if found or not listed else {"train": listed}


def _split_in(name: str) -> str | None:
    path = PurePosixPath(name)
    shard = _SHARD.fullmatch(path.stem)
    if shard is not None:
        return _split_of_words(shard["split"]) or shard["split"]
    # The name of a file says more than that of its folder.
    return next((split for part in (path.stem, *reversed(path.parts[:-1])) if (split := _split_of_words(part)) is not None), None)


def _split_of_words(text: str) -> str | None:
    words = set(re.split(r"[^a-zA-Z]+", text.lower()))
    return next((split for split, keywords in _KEYWORDS.items() if words & set(keywords)), None)
