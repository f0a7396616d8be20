"""What comes out of an evaluation: tables, what was estimated and how well, and a line for every answer."""

import dataclasses
import hashlib
import json
from typing import Any

from .lm import DiffusionLM, Place
from .scoring import Estimate, total_error
from .tasks import TableRow


def group_scores(results: dict[str, Any], name: str) -> dict[str, Any]:
    """lm-eval's scores of a task, or of a group as a whole; what is asked by file goes by the name in it."""
    found: dict[str, Any] = results[name] if name in results else next(iter(results.values()))
    return found


def plain_table(scores: dict[str, Any]) -> list[TableRow]:
    """A row for every metric of a task that is not ours."""
    rows = []
    for key, value in scores.items():
        name, _, filtered = key.partition(",")
        if isinstance(value, (int, float)) and not name.endswith("_stderr") and name != "sample_len":
            error = scores.get(f"{name}_stderr,{filtered}")
            meaning = f"lm-eval metric {name}" + (f" after filter {filtered}" if filtered not in ("", "none") else "")
            rows.append(
                TableRow(
                    name=name, value=float(value), unit="", meaning=meaning, error=float(error) if isinstance(error, (int, float)) else None
                )
            )
    return rows


def with_error(row: TableRow, model: DiffusionLM) -> TableRow:
    """The standard error that comes from the random masks: that of the summed bounds, in the unit of the row."""
    estimates = _all(model.estimates)
    total, error = sum(found.nll for found in estimates), total_error(estimates)
    # A single mask has no error to tell.
    return dataclasses.replace(row, error=None if error is None or not total else row.value * error / total)


def likelihood_of(model: DiffusionLM, estimator: str | None) -> dict[str, Any] | None:
    """How the numbers of a task were estimated; None where it asked for none."""
    estimates = _all(model.estimates)
    if not estimates:
        return None
    errors = [found.error for found in estimates if found.error is not None]
    return {
        "estimator": estimator,
        "texts": len(estimates),
        "draws": sum(found.draws for found in estimates),
        "mean_error": sum(errors) / len(errors) if len(errors) == len(estimates) else None,
    }


def sample_lines(samples: dict[str, Any], model: DiffusionLM, estimator: str | None) -> tuple[list[str], str]:
    """A line of JSON for every question and filter, and the sha256 of all of them."""
    lines = []
    for task, found in samples.items():
        for sample in found:
            lines.append(json.dumps(_sample(task, sample, model, estimator), ensure_ascii=False) + "\n")
    return lines, hashlib.sha256("".join(lines).encode()).hexdigest()


def _sample(task: str, sample: dict[str, Any], model: DiffusionLM, estimator: str | None) -> dict[str, Any]:
    kept = ("doc_id", "filter", "doc", "target", "resps", "filtered_resps", "doc_hash", "prompt_hash", "target_hash")
    out = {"task": task, **{key: plain(sample[key]) for key in kept if key in sample}}
    out["scores"] = {name: plain(sample[name]) for name in sample.get("metrics", ())}
    places = sorted(place for place in model.estimates if place[:2] == (task, sample["doc_id"]))
    if places:
        out["likelihoods"] = [
            {"estimator": estimator, "nll": found.nll, "error": found.error, "draws": found.draws}
            for place in places
            for found in model.estimates[place]
        ]
    return {**out, "answer_hash": hashlib.sha256(json.dumps(out["resps"], ensure_ascii=False).encode()).hexdigest()[:16]}


def _all(estimates: dict[Place, list[Estimate]]) -> list[Estimate]:
    return [found for group in estimates.values() for found in group]


def plain(value: Any) -> Any:
    """A value as JSON has it."""
    if isinstance(value, dict):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [plain(item) for item in value]
    if isinstance(value, bool | str | int) or value is None:
        return value
    return float(value) if hasattr(value, "__float__") else str(value)
