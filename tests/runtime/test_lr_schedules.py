"""Learning rates of a whole run against closed forms, through transformers' own scheduler."""

import json
import math
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from runtime_toys import compiled, context_of
from transformers.optimization import get_scheduler

from dllm_run.runtime.train import _arguments
from dllm_run.specs.vocabulary.lr_schedules import LrSchedule
from dllm_run.specs.vocabulary.training import Training
from dllm_run.specs.word import members

STEPS, WARMUP, PEAK = 20, 4, 0.5
SPEC = f"""
version: 1
name: toy
data: {{rows: {{sources: [{{generate: sudoku}}], limit: 40}}}}
stages:
  train:
    kind: pretrain
    model: {{scratch: {{family: llama, layers: 1, width: 32, heads: 2}}, tokenizer: characters}}
    data: "${{data.rows}}"
    objective: mdlm
    batch: 4
    optimizer: {{learning_rate: {PEAK}, warmup: {WARMUP} steps}}
    duration: {STEPS} steps
"""


def rates(folder: Path, schedule: str, warmup: str = "4 steps") -> list[float]:
    """The learning rate of each step, as the arguments of the stage make Trainer schedule it."""
    plan = compiled(folder, SPEC, f"stages.train.optimizer.lr_schedule={schedule}", f"stages.train.optimizer.warmup={warmup}")
    context = context_of(plan, "train", folder)
    body = context.stage.body
    assert isinstance(body, Training)
    arguments = _arguments(body, context, STEPS)
    optimizer = torch.optim.AdamW([torch.nn.Parameter(torch.zeros(1))], lr=arguments.learning_rate)
    kwargs = arguments.lr_scheduler_kwargs
    scheduler = get_scheduler(arguments.lr_scheduler_type, optimizer, arguments.get_warmup_steps(STEPS), STEPS, kwargs)
    found = []
    for _ in range(STEPS):
        found.append(float(scheduler.get_last_lr()[0]))
        optimizer.step()
        scheduler.step()
    return found


def share(step: int) -> float:
    return (step - WARMUP) / (STEPS - WARMUP)


def fall(step: int, last: int, form: Callable[[float], float], low: float) -> float:
    """1 until `last` steps are left."""
    begin = STEPS - last
    return 1.0 if step < begin else low + (1 - low) * form((step - begin) / last)


FORMS: dict[str, tuple[str, Callable[[int], float]]] = {
    "constant": ("constant", lambda step: 1.0),
    "linear": ("linear", lambda step: 1 - share(step)),
    "cosine": ("cosine", lambda step: math.cos(math.pi / 2 * share(step)) ** 2),
    "cosine min": ("{type: cosine, min_ratio: 0.1}", lambda step: 0.1 + 0.9 * math.cos(math.pi / 2 * share(step)) ** 2),
    "restarts": (
        "{type: cosine_with_restarts, cycles: 4}",
        lambda step: math.cos(math.pi / 2 * ((step - WARMUP) % 4) / 4) ** 2,  # 16 steps are 4 cycles of 4
    ),
    "polynomial": ("polynomial", lambda step: (1 - share(step)) ** 2),
    "polynomial cubic": ("{type: polynomial, power: 3, min_ratio: 0.2}", lambda step: 0.2 + 0.8 * (1 - share(step)) ** 3),
    "inverse_sqrt": ("inverse_sqrt", lambda step: math.sqrt(WARMUP / step)),
    "inverse_sqrt scale": ("{type: inverse_sqrt, timescale: 9}", lambda step: math.sqrt(9 / (9 + step - WARMUP))),
    "wsd": ("wsd", lambda step: fall(step, 2, lambda x: 1 - x, 0.0)),
    "wsd cosine": ("{type: wsd, decay: 8 steps, shape: cosine}", lambda step: fall(step, 8, lambda x: (1 + math.cos(math.pi * x)) / 2, 0)),
    "wsd sqrt": ("{type: wsd, decay: 0.25, shape: sqrt, min_ratio: 0.0}", lambda step: fall(step, 5, lambda x: 1 - math.sqrt(x), 0)),
}


@pytest.mark.parametrize("name", FORMS)
def test_the_learning_rate_follows_its_closed_form(name: str, tmp_path: Path) -> None:
    text, form = FORMS[name]
    expected = [PEAK * (step / WARMUP if step < WARMUP else form(step)) for step in range(STEPS)]
    assert rates(tmp_path, text) == pytest.approx(expected, rel=1e-12, abs=1e-15)


def test_a_wsd_that_ends_above_zero_also_warms_up_from_there(tmp_path: Path) -> None:
    found = rates(tmp_path, "{type: wsd, decay: 4 steps, min_ratio: 0.2}")
    rising = [PEAK * (0.2 + 0.8 * step / WARMUP) for step in range(WARMUP)]
    falling = [PEAK * (0.2 + 0.8 * (1 - step / 4)) for step in range(4)]
    assert found == pytest.approx([*rising, *[PEAK] * 12, *falling])


def test_an_inverse_square_root_without_warm_up_has_the_timescale_of_the_library(tmp_path: Path) -> None:
    assert rates(tmp_path, "inverse_sqrt", "0.0") == pytest.approx([PEAK * math.sqrt(10_000 / (10_000 + step)) for step in range(STEPS)])


def test_every_schedule_of_the_language_is_compared() -> None:
    assert set(members(LrSchedule)) == {name.partition(" ")[0].replace("restarts", "cosine_with_restarts") for name in FORMS}


def test_the_plan_has_every_option_of_a_schedule(tmp_path: Path) -> None:
    plan = compiled(tmp_path, SPEC, "stages.train.optimizer.lr_schedule=wsd")
    bodies = [json.loads(json.dumps(stage.to_json()))["body"] for stage in plan.stages.values()]
    (optimizer,) = [body["optimizer"] for body in bodies if "optimizer" in body]
    assert optimizer["lr_schedule"] == {"type": "wsd", "decay": 0.1, "shape": "linear", "min_ratio": 0.0}
