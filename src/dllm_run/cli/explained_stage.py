"""`plan --explain STAGE`: every reason why a stage runs, through all that it needs, and what would spare it."""

import json
from collections.abc import Iterator
from dataclasses import asdict, dataclass
from typing import Any

from rich.console import Console
from rich.markup import escape

from dllm_run.compiler.reasons import Reason
from dllm_run.compiler.suggest import nearest
from dllm_run.specs.errors import NotFound
from dllm_run.specs.plan import Plan

from .history import Earlier
from .state import StageState
from .why import Hit

_SHOWN = 8
"""Stages of one name, in the points of a sweep, that are explained at once."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Explained:
    """One stage with all that is known of why it runs."""

    state: StageState
    reasons: tuple[Reason, ...]
    against: Earlier | None
    checkpoints: tuple[int, ...]
    """Steps of the complete ones, oldest first."""
    hit: Hit | None


def chosen_stages(found: list[StageState], plan: Plan, wanted: str) -> list[StageState]:
    """The stages of that name, of POINT/STAGE, or of that id. Raises NotFound with the nearest names."""
    by_id = {state.id: state for state in found}
    names: dict[str, list[str]] = {}
    for point_id, point in plan.points.items():
        for name, stage_id in point.stages.items():
            for spelt in (name, f"{point.name}/{name}", f"{point_id}/{name}"):
                names.setdefault(spelt, []).append(stage_id)
    ids = names.get(wanted) or [stage_id for stage_id in by_id if len(wanted) >= 4 and stage_id.startswith(wanted)]
    if not ids:
        known = sorted({name for point in plan.points.values() for name in point.stages})
        guess = nearest(wanted, known) or nearest(wanted, names)
        raise NotFound(f"there is no stage {wanted!r}: " + (f"did you mean {guess}?" if guess else f"there are {', '.join(known)}"))
    return [by_id[stage_id] for stage_id in dict.fromkeys(ids)]


def explain(state: StageState) -> Explained:
    """Everything about one stage."""
    why = state.explained
    done = state.status == "done"
    against = None if done else why.earlier(state.id, many=True)
    return Explained(
        state=state,
        reasons=why.all_reasons(state.id, against),
        against=against,
        checkpoints=tuple(step for step, _ in why.entry(state.id).complete_checkpoints()),
        hit=None if against is None else why.hit(state.id, against),
    )


def upstream(state: StageState, found: list[StageState]) -> Iterator[StageState]:
    """All stages of `found` that a stage needs, the nearest first."""
    by_id = {item.id: item for item in found}
    seen, waiting = {state.id}, [state.id]
    while waiting:
        for need in state.explained.plan.stages[waiting.pop(0)].needs:
            if need.stage not in seen:
                seen.add(need.stage)
                waiting.append(need.stage)
                yield by_id[need.stage]


def show_explained(found: list[StageState], plan: Plan, wanted: str, *, as_json: bool) -> None:
    """Print the explanation of the stages that `wanted` names, with what they need. Raises NotFound."""
    stages = chosen_stages(found, plan, wanted)
    if as_json:
        documents = [
            _document(explain(state)) | {"upstream": [_document(explain(need)) for need in upstream(state, found)]} for state in stages
        ]
        print(json.dumps({"schema": "dllm-run/plan-explain/1", "stages": documents}, indent=2, ensure_ascii=False))
        return
    console = Console(highlight=False)
    for state in stages[:_SHOWN]:
        for line in text(state, found):
            console.print(line, soft_wrap=True)
    if len(stages) > _SHOWN:
        console.print(f"… and {len(stages) - _SHOWN} more of that name: POINT/STAGE names one")


def text(state: StageState, found: list[StageState]) -> Iterator[str]:
    """The explanation of a stage for people, with rich's markup."""
    yield from _stage_lines(explain(state), "")
    needs = list(upstream(state, found))
    if needs:
        yield "  needs"
    for need in needs:
        yield from _stage_lines(explain(need), "    ")


def _stage_lines(found: Explained, indent: str) -> Iterator[str]:
    state = found.state
    colour = {"done": "green", "blocked": "red"}.get(state.action, "yellow")
    yield f"{indent}[bold]{escape(state.name)}[/bold]  {state.kind}  [{colour}]{state.action}[/{colour}]  [dim]{state.id}[/dim]"
    if state.status == "done":
        yield f"{indent}  same id, result in the store"
        return
    told = [reason for reason in found.reasons if found.against is None or reason not in found.against.reasons]
    yield from (f"{indent}  {escape(reason.text)}" for reason in told)
    against = found.against
    if against is not None:
        what = "finished" if against.done else "begun"
        yield f"{indent}  since {escape(against.name)} of {escape(against.plan.run)} ({what}):"
        yield from (f"{indent}    {escape(reason.text)}" for reason in against.reasons)
    if found.checkpoints:
        steps = ", ".join(map(str, found.checkpoints))
        blocked = [reason.text for reason in found.reasons if reason.what == "blocked"]
        then = f"blocked: {blocked[0]}" if blocked else f"resumes at step {found.checkpoints[-1]}"
        yield f"{indent}  checkpoints at {steps}: {escape(then)}"
    if found.hit is not None:
        yield f"{indent}  a result is there ({found.hit.id} of {escape(found.hit.run)}) if these were reverted:"
        yield from (f"{indent}    {escape(item)}" for item in found.hit.reverted)


def _document(found: Explained) -> dict[str, Any]:
    state, against, hit = found.state, found.against, found.hit
    return {
        "id": state.id,
        "name": state.name,
        "kind": state.kind,
        "status": state.status,
        "action": state.action,
        "reasons": [asdict(reason) for reason in found.reasons],
        "blocked": [reason.text for reason in found.reasons if reason.what == "blocked"],
        "against": None if against is None else {"id": against.id, "name": against.name, "run": against.plan.run, "done": against.done},
        "checkpoints": list(found.checkpoints),
        "hit": None if hit is None else {"id": hit.id, "run": hit.run, "reverted": list(hit.reverted)},
    }
