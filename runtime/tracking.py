"""The trackers of a stage while it runs."""

import contextlib
from collections.abc import Iterator
from typing import Any

from dllm_run.specs.codec import encode
from dllm_run.specs.vocabulary.training import Training

from .build import build
from .context import Context
from .trackers import Opens, Tracked


@contextlib.contextmanager
def tracked(context: Context) -> Iterator[None]:
    """What the stage tells as metrics goes to its trackers too. Raises Failure where one cannot be opened."""
    body = context.stage.body
    assert isinstance(body, Training)
    with contextlib.ExitStack() as stack:
        for word in body.log if context.world.first else ():
            opens: Opens = build(word)
            tracker = opens(_tracked(context, encode(body)))
            stack.callback(tracker.close)
            context.trackers.append(tracker)
        stack.callback(context.trackers.clear)
        yield


def _tracked(context: Context, settings: dict[str, Any]) -> Tracked:
    plan, checkpoints = context.plan, context.entry.complete_checkpoints()
    point = next(point.name for point in plan.points.values() if context.stage_id in point.stages.values())
    name = plan.name_of(context.stage_id)
    return Tracked(
        id=context.stage_id,
        name=name if len(plan.points) == 1 else f"{point} {name}",
        group=plan.run_id,
        experiment=plan.name,
        folder=context.entry.path / "attempts",
        step=checkpoints[-1][0] if checkpoints else 0,
        settings=settings,
    )
