"""What the hub's client runs into, as sentences that say what to do."""

import errno
import os
from typing import Any

from huggingface_hub import HfApi, get_token
from huggingface_hub.errors import (
    EntryNotFoundError,
    GatedRepoError,
    HfHubHTTPError,
    HFValidationError,
    HTTPError,
    LocalEntryNotFoundError,
    OfflineModeIsEnabled,
    RepositoryNotFoundError,
    RevisionNotFoundError,
    XetDownloadError,
)

from dllm_run.compiler.suggest import nearest
from dllm_run.specs.hub import cache_folder, hub_id
from dllm_run.specs.published import PUBLISHED

# ValueError: an answer that is no JSON, or an id of no form that a hub has. RuntimeError: what the Xet library raises.
CLIENT_ERRORS = (HTTPError, OSError, EntryNotFoundError, XetDownloadError, ValueError, RuntimeError)
TYPES = {"model": "model", "data": "dataset"}
"""What a locator locates -> what the hub calls it."""
_PAGES = {"model": "", "data": "datasets/"}
_NAMES = {"model": "model", "data": "data set"}
_MANY = 3
_ELSEWHERE = "`dllm-run fetch SPEC` where there is a network, with an HF_HOME that both machines see; or give a folder (./NAME)"


def problem_text(error: BaseException, locator: str, what: str) -> str:
    """A sentence about an input, and what to do."""
    if isinstance(error, LocalEntryNotFoundError) and error.__cause__ is not None:
        return problem_text(error.__cause__, locator, what)
    if isinstance(error, OfflineModeIsEnabled):
        return f"{locator} is on a hub and not all here, and HF_HUB_OFFLINE forbids to ask it: unset it; or {_ELSEWHERE}"
    if isinstance(error, GatedRepoError):
        return _gated(locator, what)
    if isinstance(error, RepositoryNotFoundError):
        return _not_found(locator, what)
    if isinstance(error, RevisionNotFoundError):
        return _no_revision(locator, what)
    if isinstance(error, HFValidationError):
        return f"{locator} is no id that a hub can have: it is ORG/NAME, a folder begins with ./ ../ or /"
    if isinstance(error, HfHubHTTPError):
        return _refused(error, locator)
    if isinstance(error, HTTPError):
        text = f"{locator}: the connection to {_endpoint()} failed ({_line(error)})"
        return f"{text}: the same command continues, with the files that are here; or {_ELSEWHERE}"
    if isinstance(error, OSError) and error.errno in (errno.ENOSPC, errno.EDQUOT):
        return f"{locator}: the disk of {cache_folder()} is full: make room, or set HF_HOME to a folder on another disk"
    if isinstance(error, OSError) and error.errno is not None:
        return f"{locator}: {error.filename or cache_folder()} cannot be written: {error.strerror}; HF_HOME says where downloads go"
    return f"{locator}: the download from {_endpoint()} failed ({_line(error)}): the same command tries again"


def _gated(locator: str, what: str) -> str:
    page = f"{_endpoint()}/{_PAGES[what]}{hub_id(locator).name}"
    if get_token() is None:
        return f"{locator} is gated: accept its terms on {page}, then `hf auth login` with a token (https://huggingface.co/settings/tokens)"
    return f"{locator} is gated and your token has no access: accept its terms on {page}, and let the token read gated repositories"


def _not_found(locator: str, what: str) -> str:
    name = hub_id(locator).name
    found = list(dict.fromkeys([*_published(name, what), *_searched(name, what)]))[:_MANY]
    guess = f": did you mean {' or '.join(found)}?" if found else f"; a {_NAMES[what]} of your own begins with ./ ../ or /"
    private = "" if get_token() is not None else ", or it is private and you are not logged in (`hf auth login`)"
    return f"there is no {_NAMES[what]} {name} on {_endpoint()}{private}{guess}"


def _published(name: str, what: str) -> list[str]:
    guess = nearest(name, PUBLISHED) if what == "model" else None
    return [] if guess is None else [guess]


def _searched(name: str, what: str) -> list[str]:
    """The ids most alike among those that the hub finds by the last part of a name."""
    api: Any = HfApi()
    search = api.list_models if what == "model" else api.list_datasets
    try:
        ids = [item.id for item in search(search=name.rpartition("/")[2], limit=20)]
    except CLIENT_ERRORS:
        return []  # the answer is without a guess then
    guess = nearest(name, ids)
    return [guess] if guess is not None else ids[:_MANY]


def _no_revision(locator: str, what: str) -> str:
    name, revision = hub_id(locator)
    try:
        refs: Any = HfApi().list_repo_refs(name, repo_type=TYPES[what])
        names = [item.name for item in (*refs.branches, *refs.tags)]
    except CLIENT_ERRORS:
        names = []
    guess = nearest(str(revision), names)
    known = f": did you mean {guess}?" if guess else f": branches and tags are {', '.join(names[:20])}" if names else ""
    return f"{name} has no revision {revision}{known}"


def _refused(error: Any, locator: str) -> str:
    status = error.response.status_code
    if status == 401:
        return f"{locator}: the hub does not know your token: `hf auth login` with a new one (HF_TOKEN, if it is set, comes first)"
    if status == 403:
        return f"{locator}: your token may not read it: {error.server_message or 'give the token read access'}"
    if status == 429:
        return f"{locator}: too many requests: wait some minutes, or `hf auth login`, which allows more"
    return f"{locator}: {_endpoint()} answers {status}: try again later"


def _endpoint() -> str:
    return str(HfApi().endpoint)


def _line(error: BaseException) -> str:
    return next(iter(str(error).strip().splitlines()), type(error).__name__).split(os.linesep)[0][:200]
