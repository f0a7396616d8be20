"""One process of a training whose numbers are float64, which no spec asks for: rounding then hides nothing."""

import sys

from dllm_run.runtime import __main__ as runtime
from dllm_run.runtime import train

_load = train.load


def _double(*arguments: object) -> object:
    found = _load(*arguments)  # type: ignore[arg-type]
    found.denoiser.double()
    return found


train.load = _double  # type: ignore[assignment]
if __name__ == "__main__":
    sys.exit(runtime.main())
