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
from .trackers import Tracker


@dataclass(frozen=True, slots=True, kw_only=True)
class Random:
    """Values drawn at random: a point for each draw, the same draws for the same seed."""

    samples: int = leaf("How many points are drawn; more keep those that fewer gave.", minimum=1)
    seed: int = leaf("Another seed draws other points.", default=0, minimum=0)
    values: dict[str, Any] = leaf(
        "Paths with a list to choose from, or {low, high, log}: a number between, evenly or evenly in its logarithm; whole if both are.",
        example="{stages.train.optimizer.learning_rate: {low: 1e-5, high: 1e-3, log: true}}",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Sweep:
    """Many points from one spec: the product of what is given here, and of the cases."""

    grid: dict[str, Any] = leaf(
        "Paths and lists of values; every combination is a point.", factory=dict, example="{stages.train.seed: [0, 1, 2]}"
    )
    zip: dict[str, Any] = leaf(
        "Paths and lists of one length: the first values together, the second together, and so on.",
        factory=dict,
        example="{stages.train.batch: [32, 64], stages.train.optimizer.learning_rate: [1e-3, 2e-3]}",
    )
    random: Random | None = leaf("Values drawn at random.", default=None)
    exclude: tuple[dict[str, Any], ...] = leaf(
        "Points that are left out: each with the values that they have, by path; `case` is a path too.",
        default=(),
        example="[{seed: 0, case: dream}]",
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Compare:
    """The table that a finished run ends with: means, standard errors and differences from a baseline."""

    baseline: str = leaf("The row that others are compared with: a case, or axis=value.", example="mdlm")
    over: str | None = leaf(
        "Axis of the sweep that is averaged over, pairing equal values; null: none, each point is a row.", default=None, example="seed"
    )


@dataclass(frozen=True, slots=True, kw_only=True)
class Spec:
    """An experiment."""

    version: int = leaf("Version of the language.", choices=(1,), effect=Effect.NONE)
    name: str = leaf(
        "Name of the experiment: the folder of its runs. May be a template over the spec: `sudoku-{{ seed }}`.",
        pattern=r"^[a-z0-9][a-z0-9._-]*$(?!\n)",
        example="my-experiment",
        template="spec",
        effect=Effect.NONE,
    )
    extends: tuple[str, ...] = leaf(
        "Specs that this one builds on, left to right: files, or recipe:NAME. What stands here wins.",
        default=(),
        example="[./base.yaml]",
        effect=Effect.NONE,
    )
    use: tuple[str, ...] = leaf(
        "Python files with words of your own: vocabulary class and implementation side by side.",
        default=(),
        example="[./focal.py]",
        effect=Effect.NONE,
    )
    seed: int = leaf("Root seed: the default of every stage that draws random numbers.", default=0, minimum=0)
    model: Model | None = leaf("Default model of the stages.", default=None)
    data: dict[str, Data] = leaf("Data sets by name, for ${data.NAME}.", factory=dict)
    stages: dict[str, Stage] = leaf("The stages by name.")
    cases: dict[str, Any] = leaf(
        "Named variants, the rows of a table: each is a piece of a spec that is laid over this one.",
        factory=dict,
        example="{small: {}, large: {model: {scratch: {layers: 8}}}}",
        overlay=True,
    )
    sweep: Sweep | None = leaf("Many points from one spec.", default=None)
    compare: Compare | None = leaf("How the points are compared when they are done.", default=None, effect=Effect.NONE)
    compute: Compute = leaf("Devices and precision of all stages.", factory=Compute)
    launch: Launch = leaf("Where stages run.", factory=Local, effect=Effect.NONE)
    log: tuple[Tracker, ...] = leaf(
        "Trackers that get the metrics of training stages, beside the JSON lines that are always written.",
        default=(),
        effect=Effect.NONE,
        example="[tensorboard]",
    )

    def problems(self) -> Iterator[Problem]:
        """Names that references could not spell."""
        if not self.stages:
            yield Problem(code="E106", message="a spec without stages does nothing", path=("stages",), label="add one")
        for name in self.stages:
            if not re.fullmatch(r"[A-Za-z0-9_-]+", name):
                label = "letters, digits, - and _"
                yield Problem(code="E103", message=f"{name!r} cannot name a stage", path=("stages", name), key=True, label=label)
