"""The error of a command line that argparse cannot see."""

from dllm_run.specs.errors import DllmError


class Usage(DllmError):
    """Arguments that do not go together."""

    exit_code = 2
