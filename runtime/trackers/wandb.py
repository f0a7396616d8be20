"""A run of Weights & Biases under the id of the stage: an attempt that goes on adds to the run of the one before."""

import importlib
from collections.abc import Mapping
from typing import Any

from dllm_run.specs.vocabulary.trackers.wandb import Wandb

from ..failure import Failure
from . import Opens, Tracked


class _Run:
    """A run that was begun, or is gone on with."""

    def __init__(self, word: Wandb, tracked: Tracked) -> None:
        library: Any = importlib.import_module(word.package)
        self._library = library
        try:
            self._run = library.init(
                project=word.project or tracked.experiment,
                entity=word.entity,
                group=tracked.group,
                name=tracked.name,
                id=tracked.id,
                resume="allow",
                mode=word.mode,
                dir=str(tracked.folder),
                config=dict(tracked.settings),
                settings=library.Settings(console="off", silent=True),  # what is printed is in the log of the attempt
            )
        except library.errors.Error as error:
            cure = "`wandb login`, or `mode: offline`"
            raise Failure(f"wandb cannot begin a run: {' '.join(str(error).split())[:300]}: {cure}") from None
        # Steps by their number, not in the order in which they come: after an interruption some are done again.
        self._run.define_metric("step")
        self._run.define_metric("*", step_metric="step")

    def log(self, step: int, values: Mapping[str, float]) -> None:
        self._run.log({"step": step, **values})

    def close(self) -> None:
        self._run.finish()
        self._library.teardown()  # the process that writes is done with it only then


def build(word: Wandb) -> Opens:
    """Under the project that the word says."""
    return lambda tracked: _Run(word, tracked)
