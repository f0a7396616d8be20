"""Compiled trees on disk as sides of a comparison: what `compile` and `run` wrote, read without compiling anything."""

import json
from pathlib import Path

from dllm_run.compiler.side import Side
from dllm_run.specs.errors import EnvironmentProblem
from dllm_run.specs.plan import SCHEMA, Plan
from dllm_run.specs.store import Runs, read_json


def is_tree(folder: Path) -> bool:
    """Whether a folder holds a compiled spec, as the folder of a run does."""
    return (folder / "plan.json").is_file()


def read_tree(folder: Path) -> Side:
    """A compiled tree as a side. Raises EnvironmentProblem where another version wrote it, or it is damaged."""
    try:
        data = json.loads((folder / "plan.json").read_text(encoding="utf-8"))
        if data["schema"] != SCHEMA:
            raise EnvironmentProblem(
                f"{folder} holds a plan of schema {data['schema']!r}, this version reads {SCHEMA}: compile its spec anew"
            )
        plan = Plan.from_json(data)
        seed = json.loads((folder / "resolved.json").read_text(encoding="utf-8"))["seed"]
    except (ValueError, KeyError, TypeError, AttributeError) as error:
        raise EnvironmentProblem(f"{folder} was written by another version, or is damaged ({error}): compile its spec anew") from None
    except OSError as error:
        raise EnvironmentProblem(f"{folder} is not a whole compiled tree: {Path(str(error.filename)).name} cannot be read") from None
    # Trees of versions before these files told places without their folders, or no origins at all: changes are then told where they act.
    return Side(plan=plan, seed=seed, places=read_json(folder / "sources.json") or {}, origins=read_json(folder / "origins.json") or {})


def find_run(text: str, runs: Runs) -> Path | None:
    """The newest run of that id, beginning of an id, name, or NAME/ID under the folder of runs."""
    matching = [
        path
        for path in runs.all_runs()
        if text in (path.parent.name, f"{path.parent.name}/{path.name}") or (len(text) >= 4 and path.name.startswith(text))
    ]
    return matching[-1] if matching else None
