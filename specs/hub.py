"""Names of what lies on a hub, and where on this machine the hub's client keeps what it downloaded."""

import os
from pathlib import Path
from typing import NamedTuple

from .locator import kind_of

FOLDERS = {"model": "models", "data": "datasets"}
"""What a locator locates -> how the client begins the name of its folder."""


class HubId(NamedTuple):
    """A name on a hub, and the branch, tag or commit that is meant; None: the default branch."""

    name: str
    revision: str | None


def hub_id(locator: str) -> HubId:
    """The parts of `ID` or `ID@REVISION`."""
    name, _, revision = locator.partition("@")
    return HubId(name, revision or None)


def revised(locator: str, revision: str | None, what: str) -> str:
    """`ID@REVISION`, as plan and lock name it; the locator itself where it is on no hub or no revision is given."""
    return locator if revision is None or kind_of(locator, what) != "hub" else f"{locator}@{revision}"


def cache_folder() -> Path:
    """Where the client keeps downloads: as its own variables say, in its own order."""
    home = os.environ.get("HF_HOME") or str(Path(os.environ.get("XDG_CACHE_HOME") or "~/.cache") / "huggingface")
    hub = os.environ.get("HF_HUB_CACHE") or os.environ.get("HUGGINGFACE_HUB_CACHE") or str(Path(home) / "hub")
    return Path(os.path.expandvars(hub)).expanduser()


def snapshot(locator: str, commit: str) -> Path | None:
    """The folder of a commit in that cache; None where nothing of it was downloaded."""
    name = hub_id(locator).name.replace("/", "--")
    # A commit is of one repository, so that it is not asked whether of a model or of a data set.
    places = [cache_folder() / f"{kind}--{name}" / "snapshots" / commit for kind in FOLDERS.values()]
    return next((place for place in places if place.is_dir()), None)
