"""How far a stage is and how long it still takes, from its progress events."""

from dataclasses import dataclass, field
from typing import Any

from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from dllm_run.specs.pace import Pace

EVERY_SECONDS = 10.0
EVERY_SHARE = 0.1


@dataclass(slots=True)
class Meter:
    """The progress of one attempt of one stage."""

    stage: str
    loss: float | None = None
    tokens_per_second: float | None = None
    pace: Pace = field(default_factory=Pace, init=False)
    _last: float = field(default=0.0, init=False)
    _told: tuple[float, int] | None = field(default=None, init=False)

    def update(self, event: dict[str, Any]) -> None:
        """Take in a progress event."""
        if self.pace.update(event["unit"], event["done"], event["total"], event["time"]):
            self._told = self.loss = self.tokens_per_second = None
        self.loss, self.tokens_per_second = event.get("loss", self.loss), event.get("tokens_per_second", self.tokens_per_second)
        self._last = event["time"]

    @property
    def unit(self) -> str:
        """What is counted; empty before the first event."""
        return self.pace.unit

    @property
    def done(self) -> int:
        """How many of them."""
        return self.pace.done

    @property
    def total(self) -> int:
        """How many there are."""
        return self.pace.total

    def due(self) -> bool:
        """Whether a plain line is due: the first and the last event, else 10 s or 10 % after the last line."""
        if self._told is not None and self.done < self.total:
            since, count = self._last - self._told[0], self.done - self._told[1]
            if since < EVERY_SECONDS and count < EVERY_SHARE * self.total:
                return False
        if self._told is not None and self._told[1] == self.done:
            return False
        self._told = (self._last, self.done)
        return True

    def facts(self) -> list[str]:
        """Loss, speed and time left, as far as they are known."""
        facts = [] if self.loss is None else [f"loss {short_loss(self.loss)}"]
        if self.tokens_per_second is not None:
            facts.append(f"{short_count(self.tokens_per_second)} tok/s")
        elif self.pace.rate is not None:
            facts.append(f"{short_count(self.pace.rate)} {self.unit}/s")
        left = self.pace.seconds_left
        if left is not None and self.done < self.total:
            facts.append(f"{clock_text(left)} left")
        return facts

    def plain(self) -> str:
        """The progress as a line of a log."""
        share = f"{self.done / self.total:.0%}" if self.total else ""
        return "  ".join([self.stage, f"{self.done}/{self.total} {self.unit}", *([share] if share else []), *self.facts()])

    def line(self, width: int) -> Table:
        """The progress as a line with a bar, at most `width` columns wide."""
        facts = "  ".join([f"{self.done}/{self.total}", *self.facts()])
        bar = max(5, min(40, width - len(self.stage) - len(facts) - 5))
        table = Table.grid(padding=(0, 2, 0, 0))
        table.add_column(no_wrap=True)
        table.add_column(width=bar)
        table.add_column(no_wrap=True)
        table.add_row(Text(self.stage, style="bold"), ProgressBar(total=max(self.total, 1), completed=self.done, width=bar), facts)
        return table


def short_count(value: float) -> str:
    """950, 15.8k or 1.2M; below ten with one decimal."""
    if value < 1000:
        return f"{value:.1f}" if value < 10 else f"{value:.0f}"
    return f"{value / 1000:.1f}k" if value < 999_950 else f"{value / 1_000_000:.1f}M"


def short_loss(value: float) -> str:
    """Two decimals, three below one."""
    return f"{value:.2f}" if abs(value) >= 1 else f"{value:.3f}"


def clock_text(seconds: float) -> str:
    """0:42, 12:05 or 3:07:00."""
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
