"""What stays of a training beside its last weights: the best ones, and those of the steps that it keeps."""

import json
import math
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

from dllm_run.specs.store import Entry, read_json

from .failure import Failure

AVERAGE = "average"
"""Within a checkpoint: the averaged weights as a model, where there is an average and the step is kept."""
_MEASURE = "measure.json"
_OF_THE_TRAINER = (
    "optimizer",
    "scheduler",
    "rng_state",
    "trainer_state",
    "training_args",
    "scaler",
    "ema.",
    "world.json",
    "COMPLETE",
    _MEASURE,
)
"""How the names of a checkpoint's files begin that only a run that continues reads."""


class Best(NamedTuple):
    """The weights with the lowest held-out measure so far."""

    value: float
    step: int
    folder: Path


def best_of(entry: Entry) -> Best | None:
    """The best weights that were written to the end; of equal ones the earlier."""
    found = []
    for folder in entry.checkpoints.glob("best-*"):
        said = read_json(folder / _MEASURE)
        if said is not None and (folder / "COMPLETE").is_file():
            found.append(Best(float(said["value"]), int(said["step"]), folder))
    return min(found, default=None)


def is_best(entry: Entry, value: float) -> bool:
    """Whether no evaluation before was as low."""
    before = best_of(entry)
    return math.isfinite(value) and (before is None or value < before.value)


def keep_best(entry: Entry, value: float, step: int, write: Callable[[Path], None]) -> None:
    """Let `write` put the weights aside, in the place of those that were the best before."""
    before = best_of(entry)
    folder = entry.checkpoints / f"best-{step}"
    shutil.rmtree(folder, ignore_errors=True)
    write(folder)
    (folder / _MEASURE).write_text(json.dumps({"value": value, "step": step}) + "\n", encoding="utf-8")
    (folder / "COMPLETE").write_text(entry.path.name + "\n", encoding="utf-8")
    if before is not None and before.folder != folder:
        shutil.rmtree(before.folder)


def forget_older(entry: Entry, keep: int | str) -> None:
    """Remove the checkpoints that do not stay."""
    for _, old in [] if isinstance(keep, str) else entry.complete_checkpoints()[:-keep]:
        (old / "COMPLETE").unlink()
        shutil.rmtree(old)


def write_kept(entry: Entry, last: int, tokenizer: Any) -> dict[str, Any]:
    """Make outputs of what stays; the weights of the `last` step are the model already. What the results tell of it."""
    steps = [(step, folder) for step, folder in entry.complete_checkpoints() if step != last]
    for step, folder in steps:
        averaged = folder / AVERAGE
        _as_model(averaged if averaged.is_dir() else folder, entry.weights(f"step {step}"), tokenizer)
    best = best_of(entry)
    if best is not None:
        _as_model(best.folder, entry.weights("best"), tokenizer)
    told = {} if best is None else {"best_step": best.step, "best_held_out": best.value}
    return {"kept_steps": [*(step for step, _ in steps), last], **told}


def _as_model(source: Path, target: Path, tokenizer: Any) -> None:
    shutil.rmtree(target, ignore_errors=True)  # of an attempt that ended in the middle of this
    target.mkdir(parents=True)
    for file in source.iterdir():
        if file.is_file() and not file.name.startswith(_OF_THE_TRAINER):
            try:
                os.link(file, target / file.name)
            except OSError:  # a file system without links
                shutil.copyfile(file, target / file.name)
    tokenizer.save_pretrained(str(target))


def weights_of(entry: Entry, checkpoint: str, stage: str) -> Path:
    """The model of a finished training at a checkpoint. Raises Failure where it did not keep that."""
    results = entry.results() or {}
    if checkpoint == f"step {results.get('steps')}":
        return entry.weights("last")
    folder = entry.weights(checkpoint)
    if not folder.is_dir():
        kept = ", ".join(f"step {step}" for step in results.get("kept_steps", []))
        reason = "it was trained when its `checkpoint` said otherwise, or is shorter"
        cure = f"without {entry.path} it is trained again"
        raise Failure(f"stage {stage} has kept {kept or 'its last weights alone'}, not {checkpoint}: {reason}; {cure}")
    return folder
