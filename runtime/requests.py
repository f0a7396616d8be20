"""Signals that ask a stage to save what there is and stop: none is lost, from the first line of the process on."""

import os
import signal
import time
from types import FrameType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from .context import Context

PREEMPTED, INTERRUPTED = 75, 130
ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGUSR2)
"""What people and schedulers send; USR2 comes some time before a time limit, or with a pre-emption."""
_SAME_SIGNAL_SECONDS = 0.3
"""A signal to a group of processes also comes by way of whoever started them."""


class Requests:
    """What this process was asked for. A launcher blocks the signals until somebody listens, so that they wait."""

    def __init__(self, *, alone: bool) -> None:
        self.alone = alone
        self.name = ""
        """Of the signal that decides how it goes on; empty: none came."""
        self._context: Context | None = None
        self._hard = 0.0

    def listen(self) -> None:
        """From here on."""
        for number in ASKING:
            signal.signal(number, self._handle)
        signal.pthread_sigmask(signal.SIG_UNBLOCK, ASKING)

    def attach(self, context: "Context") -> None:
        """The stage has begun: it stops at the end of its first step where something came before."""
        self._context = context
        if self.name:
            self._ask(context)

    @property
    def exit_code(self) -> int:
        """Of a process that stopped as it was asked to: whether to queue it again is for whoever sent the signal to know."""
        return PREEMPTED if self.name == "SIGUSR2" else INTERRUPTED

    def _handle(self, number: int, frame: FrameType | None) -> None:
        self.name = signal.Signals(number).name if number == signal.SIGUSR2 or not self.name else self.name
        if number != signal.SIGUSR2:
            now = time.monotonic()
            # The second time somebody has no patience left; a scheduler's notice is no such thing, however often it comes.
            if self._hard and now - self._hard > _SAME_SIGNAL_SECONDS:
                os._exit(INTERRUPTED)
            self._hard = self._hard or now
        if self._context is not None:
            self._ask(self._context)
        elif self.alone and number != signal.SIGUSR2:
            os._exit(INTERRUPTED)  # nothing has begun; of several, others may have, and would wait for this one

    def _ask(self, context: "Context") -> None:
        if not context.stage.body.ends_at_a_step:
            # There are no steps to save: what is done is done again, but for answers, which are kept as they come.
            if context.world.first:
                context.attempt.write_status({**context.attempt.status(), "state": "interrupted", "signal": self.name})
            os._exit(self.exit_code)
        context.asked = True
