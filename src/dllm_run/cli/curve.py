"""The loss curve of a run drawn in characters."""

import math
from collections.abc import Sequence

from rich.text import Text

WIDTH, HEIGHT = 72, 14
TRAIN, HELD_OUT, RATE = 38, 208, 71  # blue, orange and green of the 256 colours
BARS, RATE_BARS = "▁▂▃▄▅▆▇█", 40

Points = Sequence[Sequence[float]]


def curve_text(train: Points, held_out: Points, unit: str, measure: str = "bound") -> Text:
    """Train losses as dots, the measure of held-out rows as a line; points are (step, value), those that are not finite left out."""
    dots, line = _finite(train), _finite(held_out)
    if not dots and not line:
        return Text("no finite loss to draw")
    # Here and not above: this import takes 180 to 330 ms (measured, plotext 6.1), and most commands draw no curve.
    import plotext

    figure = plotext.figure
    figure.clear.all()
    figure.theme("simple")
    figure.plot_size(WIDTH, HEIGHT)
    for points, sign, joined, colour in ((dots, "·", False, TRAIN), (line, "braille", True, HELD_OUT)):
        if points:
            marker = plotext.marker(sign, plotext.pixel(foreground=colour))
            figure.draw(figure.signal([step for step, _ in points], [value for _, value in points], marker=marker).lines(joined))
    for axis in (0, 1):
        ticks = round_ticks([point[axis] for point in dots + line])
        figure.ruler(axis).ticks(ticks, [f"{tick:g}" for tick in ticks])
    return Text("\n").join([_legend(bool(dots), bool(line), unit, measure), Text.from_ansi(figure.build().string().rstrip())])


def rate_text(points: Points) -> Text | None:
    """The learning rate as a line of bars and its peak; None where it never changed."""
    rates = [rate for _, rate in _finite(points)]
    if not rates or min(rates) == max(rates):
        return None
    peak, count = max(rates), min(RATE_BARS, len(rates))
    chosen = [rates[index * (len(rates) - 1) // max(1, count - 1)] for index in range(count)]
    bars = "".join(BARS[round(rate / peak * (len(BARS) - 1))] for rate in chosen)
    return Text.assemble("   learning rate ", (bars, f"color({RATE})"), f" peak {peak:g}")


def round_ticks(values: Sequence[float]) -> list[float]:
    """Three to six multiples of 1, 2 or 5 times a power of ten between the least and the greatest value; one value is its own tick."""
    low, high = min(values), max(values)
    if low == high:
        return [low]
    power = 10.0 ** math.floor(math.log10((high - low) / 2))
    width = next(power * factor for factor in (1, 2, 5, 10) if (high - low) / (power * factor) <= 5)
    # Rounded, since 3 * 0.1 is not 0.3.
    return [round(width * count, 12) for count in range(math.ceil(low / width - 1e-9), math.floor(high / width + 1e-9) + 1)]


def _finite(points: Points) -> list[tuple[float, float]]:
    return [(step, value) for step, value in points if math.isfinite(value)]


def _legend(dots: bool, line: bool, unit: str, measure: str) -> Text:
    train = [("··· ", f"color({TRAIN})"), ("train   ", "")] if dots else []
    held_out = [("⠒⠒⠒ ", f"color({HELD_OUT})"), (f"held-out {measure}   ", "")] if line else []
    return Text.assemble("   ", *train, *held_out, (unit, "dim"), " over steps")
