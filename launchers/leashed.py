"""`python -m dllm_run.launchers.leashed COMMAND …`: become a command that is told to end when whoever started it is gone."""

import os
import signal
import sys

from dllm_run.specs.leash import dies_with_parent

if __name__ == "__main__":
    dies_with_parent(signal.SIGTERM)
    os.execvp(sys.argv[1], sys.argv[1:])
