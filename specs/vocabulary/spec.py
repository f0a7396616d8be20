"""The spec: everything that may stand at the top of the file."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from dllm_run.specs.effect import Effect
from dllm_run.specs.field import leaf
from dllm_run.specs.problem import Problem

from .compute import Compute
from .data import Data
from .launchers import Launch
from .launchers.local import Local
from .model import Model
from .stages import Stage


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Many points from one spec."""

    grid: dict[str, Any] = leaf(
        "Paths and lists of values; every combination is a point.", factory=dict, example="{stages.train.seed: [0, 1, 2]}"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """An experiment."""

    version: int = leaf("Version of the language.", choices=(1,), effect=Effect.NONE)
    name: str = leaf(
        "Name of the experiment: the folder of its runs.",
        pattern=r"^[a-z0-9][a-z0-9._-]*$(?!\n)",
        example="my-experiment",
        effect=Effect.NONE,
    )
    seed: int = leaf("Root seed: the default of every stage that draws random numbers.", default=0, minimum=0)
    model: Model | None = leaf("Default model of the stages.", default=None)
    data: dict[str, Data] = leaf("Data sets by name, for ${data.NAME}.", factory=dict)
    stages: dict[str, Stage] = leaf("The stages by name.")
    sweep: Sweep | None = leaf("Many points from one spec.", default=None)
    compute: Compute = leaf("Devices and precision of all stages.", factory=Compute)
    launch: Launch = leaf("Where stages run.", factory=Local, effect=Effect.NONE)

    def problems(self) -> Iterator[Problem]:
        """Names that references could not spell."""
        if not self.stages:
            yield Problem(code="E106", message="a spec without stages does nothing", path=("stages",), label="add one")
        for name in self.stages:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                label = "letters, digits, - and _"
                yield Problem(code="E103", message=f"{name!r} cannot name a stage", path=("stages", name), key=True, label=label)
