"""Evaluating a model on tasks, through lm-eval."""

import dataclasses
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from dllm_run.specs.locator import is_task_file, root_of
from dllm_run.specs.reference import Reference
from dllm_run.specs.store import ANSWERED
from dllm_run.specs.vocabulary.stages.eval import Eval, Task
from dllm_run.specs.vocabulary.tasks import BuiltInTask
from dllm_run.specs.word import members

from ..build import module_of
from ..context import Context
from ..failure import Failure
from ..journal import Journal
from ..lm import DiffusionLM
from ..lm_parts import assembled
from ..meeting import barrier
from ..models import Loaded, load
from ..outcome import group_scores, likelihood_of, plain, plain_table, sample_lines, with_error
from ..prepared import held_out_rows
from ..tasks import PUBLISHED, BuiltTask, Setting


def run(context: Context) -> dict[str, Any]:
    """Ask every task and write results, tables and every answer."""
    return evaluated(context, rank=context.world.rank, size=context.world.size, wait=barrier)


def evaluated(context: Context, *, rank: int, size: int, wait: Callable[[], None]) -> dict[str, Any]:
    """The same in one of several processes: they share the forward passes, all come to the same results, and the first writes them."""
    body = context.stage.body
    assert isinstance(body, Eval)
    if body.allow_code_execution:
        # The metrics of Hugging Face ask for this beside lm-eval's own question.
        os.environ["HF_ALLOW_CODE_EVAL"] = "1"
    loaded = load(context, body.model)
    built = {task.name: _built_in(context, body, task, loaded) for task in body.tasks if task.name in members(BuiltInTask)}
    manager = _Tasks(include_defaults=any(_is_library_task(task) for task in body.tasks), include_path=str(PUBLISHED))
    journal = Journal(context.entry.path / ANSWERED, rank=rank, size=size, wait=wait).open()
    results: dict[str, Any] = {}
    path = context.entry.output("results") / "samples.jsonl"
    text = ""
    for task in body.tasks:
        model = assembled(context, loaded, journal, manager.asks_greedy)
        found = _evaluate(model, body, task, _task_form(context, task, built), built.get(task.name), manager)
        scores = group_scores(found["results"], task.name)
        rows = built[task.name].table(scores) if task.name in built else plain_table(scores)
        estimator = None if body.likelihood is None else body.likelihood.word
        likelihood = likelihood_of(model, estimator)
        if task.name in built and likelihood is not None:
            rows = [with_error(rows[0], model), *rows[1:]]
        lines, digest = sample_lines(found.get("samples", {}), model, estimator)
        text += "".join(lines)
        results[task.name] = {
            "scores": {key: plain(value) for key, value in scores.items()},
            "table": [dataclasses.asdict(row) for row in rows],
            "passes": model.passes,
            "likelihood": likelihood,
            "samples": {"rows": len(lines), "sha256": digest},
            "overruled": model.overruled,
        }
        if rank == 0:
            context.emit("result", {"title": task.name, "rows": results[task.name]["table"]})
    wait()
    if rank == 0:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
        shutil.rmtree(context.entry.path / ANSWERED)
    return {"tasks": results}


class _Tasks(TaskManager):  # type: ignore[misc]  # lm-eval has no types
    """lm-eval's tasks, which remembers those that it has read."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.read: dict[str, Any] = {}

    def load(self, task_list: Any) -> Any:
        """Tasks and groups by name."""
        found = super().load(task_list)
        self.read.update(found["tasks"])
        return found

    def asks_greedy(self, name: str | None) -> bool:
        """Whether a task has a metric that reads if the likeliest answer is the right one. No built-in task has."""
        task = self.read.get(name or "")
        if task is None or name in members(BuiltInTask):
            return False
        if task.OUTPUT_TYPE == "loglikelihood":
            return True
        return any(str(metric.get("metric")) == "exact_match" for metric in task.config.metric_list or ())


def _built_in(context: Context, body: Eval, task: Task, loaded: Loaded) -> BuiltTask:
    data = context.output_of(body.data) if isinstance(body.data, Reference) else Path()
    rows = held_out_rows(data) if isinstance(body.data, Reference) else []
    word = members(BuiltInTask)[task.name]
    found: BuiltTask = module_of(word).build(word(), Setting(rows=rows, data=data, tokens=loaded.tokens, seed=context.seed))
    return found


def _is_library_task(task: Task) -> bool:
    return task.name not in members(BuiltInTask) and not is_task_file(task.name)


def _task_form(context: Context, task: Task, built: dict[str, BuiltTask]) -> Any:
    if task.name in built:
        return dict(built[task.name].config)
    if is_task_file(task.name):
        context.input_files(task.name)
        return str(root_of(task.name, context.base))
    return task.name


def _evaluate(model: DiffusionLM, body: Eval, task: Task, form: Any, built: BuiltTask | None, manager: TaskManager) -> Any:
    if built is not None:
        if built.note is not None:
            model.notes[task.name] = built.note
        if built.columns is not None:
            model.columns[task.name] = built.columns
    fewshot = task.num_fewshot if task.num_fewshot is not None else body.num_fewshot
    # Every process knows all answers and comes to the results itself; lm-eval would give them to the first of a node alone.
    local_rank = os.environ.pop("LOCAL_RANK", None)
    try:
        return simple_evaluate(
            model=model,
            tasks=[form],
            num_fewshot=fewshot,
            limit=task.limit if task.limit is not None else body.limit,
            task_manager=manager,
            bootstrap_iters=1000,
            log_samples=True,
            apply_chat_template=body.chat_template,
            fewshot_as_multiturn=body.chat_template,
            confirm_run_unsafe_code=body.allow_code_execution,
            random_seed=model.context.seed,
            numpy_random_seed=model.context.seed,
            torch_random_seed=model.context.seed,
            fewshot_random_seed=model.context.seed,
        )
    except (ConnectionError, FileNotFoundError, KeyError, ValueError) as error:
        message = str(error).splitlines()[0] if str(error) else type(error).__name__
        if "confirm_run_unsafe_code" in message:
            message = "it runs the programs that the model writes: -s stages.NAME.allow_code_execution=true lets it"
        raise Failure(f"task {task.name}: {message}") from error
    finally:
        if local_rank is not None:
            os.environ["LOCAL_RANK"] = local_rank
