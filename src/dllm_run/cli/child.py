"""The process that holds a model: started with a plan of its own, asked and answering in JSON lines, gone when nobody asks."""

import json
import os
import shutil
import signal
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import TracebackType
from typing import Any, Self

from dllm_run.specs.canonical import pretty
from dllm_run.specs.errors import StageFailed
from dllm_run.specs.plan import kept_name
from dllm_run.specs.store import Runs

from .sampled import Sampled

Event = dict[str, Any]
ENDS = ("finished", "refused", "cancelled")
"""Events after which what was asked is over."""


class Child:
    """A model that loads while its display starts. A context: it ends with it."""

    def __init__(self, found: Sampled, runs: Runs) -> None:
        self._folder = Path(tempfile.mkdtemp(prefix="dllm-run-"))
        self._log = self._folder / "log.txt"
        self._asked = 0
        self._log_is_told = False
        (self._folder / "plan.json").write_text(pretty(found.plan.to_json()), encoding="utf-8")
        # Words from outside lie beside the plan, as in a compiled tree.
        for path, data in found.compiled.inputs.items():
            file = self._folder / kept_name(path)
            file.parent.mkdir(parents=True, exist_ok=True)
            file.write_bytes(data)
        where = ["--runs", str(runs.root), "--base", str(found.named.base), "--log", str(self._log)]
        command = [sys.executable, "-m", "dllm_run.runtime.served", str(self._folder / "plan.json"), found.stage_id, *where]
        # In a group of its own: the terminal's Ctrl-C is for the one who asks.
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=log, bufsize=0, start_new_session=True
            )
        assert self._process.stdin is not None and self._process.stdout is not None
        self._in = self._process.stdin
        # Read with a buffer, written without one: a line may be written while another is on its way out.
        self._out = os.fdopen(os.dup(self._process.stdout.fileno()), "rb")

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None) -> None:
        if self._process.poll() is None:
            # It has nothing to save, and a long step is not waited for.
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
        self._in.close()
        self._out.close()
        if not self._log_is_told:
            shutil.rmtree(self._folder, ignore_errors=True)

    def ready(self, tell: Callable[[Event], None]) -> Event:
        """Wait for the model; `tell` what happens meanwhile. Raises StageFailed where it cannot be loaded."""
        for event in self._events():
            if event["event"] == "ready":
                return event
            if event["event"] == "refused":
                raise StageFailed(event["message"])
            tell(event)
        raise self._death()

    def ask(self, ask: str, fields: Mapping[str, Any]) -> int:
        """Ask for something; its number. Raises StageFailed where the process is gone."""
        self._asked += 1
        self._write({"ask": ask, "number": self._asked, **fields})
        return self._asked

    def cancel(self, number: int) -> None:
        """What has this number is no longer wanted; nothing where it is over."""
        self._write({"ask": "cancel", "number": number})

    def told(self, number: int) -> Iterator[Event]:
        """Events up to the one that ends what was asked. Raises StageFailed where the process ends before."""
        for event in self._events():
            yield event
            if event["event"] in ENDS and event["number"] == number:
                return
        raise self._death()

    def _events(self) -> Iterator[Event]:
        while line := self._out.readline():
            yield json.loads(line)

    def _write(self, asked: Mapping[str, Any]) -> None:
        rest = json.dumps(asked, ensure_ascii=False).encode() + b"\n"
        try:
            while rest:
                rest = rest[self._in.write(rest) :]
        except OSError:
            raise self._death() from None

    def _death(self) -> StageFailed:
        code = self._process.wait()
        self._log_is_told = True
        lines = self._log.read_text(encoding="utf-8", errors="replace").split("\n")
        last = next((line.strip() for line in reversed(lines) if line.strip()), "it said nothing")
        how = f"was killed by signal {-code}" if code < 0 else f"ended with code {code}"
        return StageFailed(f"the process of the model {how}: {last}\n  log: {self._log}")
