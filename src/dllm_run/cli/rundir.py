"""The folder of a run: the compiled tree, and links from points and stage names into the store."""

import contextlib
import os
from pathlib import Path

from dllm_run.specs.plan import Plan
from dllm_run.specs.store import Runs

from .write import unfinished, write


def prepare(files: dict[str, bytes], plan: Plan, runs: Runs) -> Path:
    """Write the folder of a run, or find it as it is. Raises OSError where it cannot be written."""
    folder = runs.run(plan.name, plan.run_id)
    if unfinished(files, folder):
        write(files, folder)
    with contextlib.suppress(PermissionError):  # of a run of somebody else it is only looked at what is done
        (folder / "plan.json").touch()
    for point_id, point in plan.points.items():
        for name, stage_id in point.stages.items():
            _link(folder / "points" / point_id / name, runs.entry(stage_id).path)
    return folder


def _link(link: Path, target: Path) -> None:
    link.parent.mkdir(parents=True, exist_ok=True)
    text = os.path.relpath(target, link.parent)
    if not link.is_symlink():
        link.symlink_to(text)
