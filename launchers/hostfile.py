"""DeepSpeed's hostfile: hosts and the processes that each can hold."""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from dllm_run.specs.errors import EnvironmentProblem

_NAME = re.compile(r"[A-Za-z0-9_]([A-Za-z0-9._-]*[A-Za-z0-9_])?")


class Host(NamedTuple):
    """A machine and the number of processes on it."""

    name: str
    slots: int


def hostfile(hosts: Sequence[Host]) -> str:
    """One `NAME slots=N` a line, in the order given: the first host holds rank 0. Raises EnvironmentProblem with all that is wrong."""
    wrong = list(_wrong(hosts))
    if wrong:
        raise EnvironmentProblem("no hostfile from these hosts: " + "; ".join(wrong))
    return "".join(f"{host.name} slots={host.slots}\n" for host in hosts)


def _wrong(hosts: Sequence[Host]) -> Iterator[str]:
    if not hosts:
        yield "there are none"
    for name, count in Counter(host.name for host in hosts).items():
        if count > 1:
            yield f"{name} stands there {count} times, which DeepSpeed refuses: add its slots up on one line"
        if _NAME.fullmatch(name) is None:
            yield f"{name!r} is no host name"
    for host in hosts:
        if host.slots < 1:
            yield f"{host.name} has {host.slots} slots, so nothing would run there: leave it out, or give it one"
