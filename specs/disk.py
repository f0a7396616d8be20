"""What keeps a file from being written, in a sentence: a full disk, one that is mounted read-only, a folder of somebody else."""

import errno
import os
import pwd
import shutil
from collections.abc import Iterator
from pathlib import Path

from .errors import EnvironmentProblem

_FULL, _READ_ONLY = "the disk is full", "it is mounted read-only"
_CAUSES = {errno.ENOSPC: _FULL, errno.EDQUOT: "your quota is used up", errno.EROFS: _READ_ONLY}
_CURES = {
    _FULL: "; make room, and what is done goes on from where it is",
    _CAUSES[errno.EDQUOT]: "; make room, and what is done goes on from where it is",
}
_WORDS = {"no space left": _FULL, "disk quota exceeded": _CAUSES[errno.EDQUOT], "read-only file system": _READ_ONLY}
"""How libraries that are not written in Python say it."""
_ROOM = 1 << 20
"""Bytes below which a disk is full for what a stage writes."""


def cannot_write(error: OSError, place: Path | str) -> EnvironmentProblem:
    """The error for a user; `place`: what was to be written, where the system does not say it."""
    path = Path(os.fsdecode(error.filename) if isinstance(error.filename, (str, bytes)) else place)
    return EnvironmentProblem(f"{path} cannot be written: {_cause(error.errno, path) or error.strerror or error}")


def hindrance(folder: Path) -> EnvironmentProblem | None:
    """Why this user can put nothing into a folder that is there, or will be; None where that is possible."""
    there = _existing(folder)
    if os.statvfs(there).f_flag & os.ST_RDONLY:
        number = errno.EROFS
    elif not os.access(there, os.W_OK | os.X_OK):
        number = errno.EACCES
    elif shutil.disk_usage(there).free < _ROOM:
        number = errno.ENOSPC
    else:
        return None
    return cannot_write(OSError(number, os.strerror(number)), there)


def disk_problem(error: BaseException, folder: Path) -> str | None:
    """The sentence where it was the disk that made a stage fail, whatever the library that wrote makes of it; else None."""
    for found in _chain(error):
        # A file of the user's that cannot be read says so itself.
        if isinstance(found, OSError) and found.errno in _CAUSES:
            return str(cannot_write(found, folder))
        for words, cause in _WORDS.items():
            if words in str(found).lower():
                return f"{folder} cannot be written: {cause}{_CURES.get(cause, '')}"
    return f"{folder} cannot be written: {_FULL}{_CURES[_FULL]}" if shutil.disk_usage(folder).free < _ROOM else None


def _chain(error: BaseException | None) -> Iterator[BaseException]:
    seen: set[int] = set()
    while error is not None and id(error) not in seen:
        seen.add(id(error))
        yield error
        error = error.__cause__ or error.__context__


def _cause(number: int | None, path: Path) -> str:
    if number in (errno.EACCES, errno.EPERM):
        there = _existing(path)
        owner, own = there.stat().st_uid, os.geteuid()
        if owner == own:
            return f"you have no right to write {there}"
        return (
            f"{there} belongs to {user_name(owner)}, and you are {user_name(own)}; --runs DIR names another folder of runs, and a group "
            "shares one that was made with `mkdir runs; chgrp GROUP runs; chmod g+ws runs`"
        )
    cause = _CAUSES.get(number or 0, "")
    return f"{cause}{_CURES.get(cause, '')}"


def _existing(path: Path) -> Path:
    found = path.absolute()
    while not found.exists():
        found = found.parent
    return found


def user_name(user: int) -> str:
    """The name of a user by number, also of one whom this machine does not know."""
    try:
        return pwd.getpwuid(user).pw_name
    except KeyError:  # of another machine
        return f"user {user}"
