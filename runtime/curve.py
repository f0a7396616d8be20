"""The loss curve as a picture."""

from pathlib import Path

from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

from .history import History


def save_curve(path: Path, found: History, *, measure: str, unit: str) -> None:
    """Write a PNG: training loss as dots with a running mean, what is told of the held-out rows as a line, the learning rate below."""
    figure = Figure(figsize=(7, 5), dpi=120, layout="constrained")
    FigureCanvasAgg(figure)
    axes, below = figure.subplots(2, 1, sharex=True, height_ratios=(5, 1))
    if found.train:
        steps, losses = zip(*found.train, strict=True)
        axes.plot(steps, losses, ".", color="#9db4c8", markersize=3, label="training loss")
        axes.plot(steps, _smooth(list(losses)), color="#3f6f9f", linewidth=1.2, label="training loss, running mean")
    if found.held_out:
        steps, bounds = zip(*found.held_out, strict=True)
        axes.plot(steps, bounds, "o-", color="#c8553d", markersize=3, linewidth=1.5, label=f"held-out {measure}")
    if found.learning_rate:
        below.plot(*zip(*found.learning_rate, strict=True), color="#5d8a5d", linewidth=1.2)
    below.set_xlabel("step")
    below.set_ylabel("learning rate", fontsize=8)
    below.set_ylim(bottom=0)
    axes.set_ylabel(unit)
    for plot in (axes, below):
        plot.spines[["top", "right"]].set_visible(False)
        plot.grid(alpha=0.25)
    if found.train or found.held_out:
        axes.legend(frameon=False)
    figure.savefig(str(path), metadata={"Software": None})


def _smooth(values: list[float]) -> list[float]:
    decay, mean, weight, out = 0.95, 0.0, 0.0, []
    for value in values:
        mean, weight = decay * mean + (1 - decay) * value, decay * weight + (1 - decay)
        out.append(mean / weight)
    return out
