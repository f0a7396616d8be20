"""Job scripts of the user's own, filled in while a spec is compiled: the compiler knows no launcher, so the check comes from here."""

import importlib
from collections.abc import Iterable, Mapping

from dllm_run.specs.plan import Plan
from dllm_run.specs.script import ScriptProblem


def check_scripts(plan: Plan, scripts: Mapping[str, bytes]) -> Iterable[ScriptProblem]:
    """What is wrong with the templates of a plan."""
    # jinja2 takes a fifth of the time of `validate`, and most specs have no template of their own.
    slurm = importlib.import_module("dllm_run.launchers.slurm_scripts")
    found: list[ScriptProblem] = slurm.check(plan, texts_of(scripts))
    return found


def texts_of(scripts: Mapping[str, bytes]) -> dict[str, str]:
    """Templates as text; that they are text the compiler has checked."""
    return {locator: data.decode() for locator, data in scripts.items()}
