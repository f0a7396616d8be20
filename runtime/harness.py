"""`python -m dllm_run.runtime.harness --model dllm_run --model_args plan=FILE,stage=NAME …`: lm-eval's command with our model."""

import sys

from lm_eval.__main__ import cli_evaluate

from .failure import Failure
from .lm import DiffusionLM


def main() -> int:
    """lm-eval's own command line: reading the model class has put it into lm-eval's table."""
    assert DiffusionLM.__name__
    try:
        cli_evaluate()
    except Failure as failure:
        print(failure, file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
