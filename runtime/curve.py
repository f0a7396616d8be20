"""The loss curve as a picture."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .history import History


def save_curve(path: Path, found: History, *, measure: str, unit: str) -> None:
    """Write a PNG: training loss as dots with a running mean, what is told of the held-out rows as a line."""
    figure = Figure(figsize=(7, 4), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    if found.train:
        steps, losses = zip(*found.train, strict=True)
        axes.plot(steps, losses, ".", color="#9db4c8", markersize=3, label="training loss")
        axes.plot(steps, _smooth(list(losses)), color="#3f6f9f", linewidth=1.2, label="training loss, running mean")
    if found.held_out:
        steps, bounds = zip(*found.held_out, strict=True)
        axes.plot(steps, bounds, "o-", color="#c8553d", markersize=3, linewidth=1.5, label=f"held-out {measure}")
    axes.set_xlabel("step")
    axes.set_ylabel(unit)
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(alpha=0.25)
    if found.train or found.held_out:
        axes.legend(frameon=False)
    figure.savefig(str(path), metadata={"Software": None})


def _smooth(values: list[float]) -> list[float]:
    decay, mean, weight, out = 0.95, 0.0, 0.0, []
    for value in values:
        mean, weight = decay * mean + (1 - decay) * value, decay * weight + (1 - decay)
        out.append(mean / weight)
    return out
