"""Evaluating a model on tasks, through lm-eval."""

import dataclasses
import json
import math
from typing import Any

from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager

from dllm_run.specs.locator import is_task_file, root_of
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.samplers.llada import Llada
from dllm_run.specs.vocabulary.stages.eval import Eval, Task
from dllm_run.specs.vocabulary.tasks import BuiltInTask
from dllm_run.specs.word import members

from ..build import build, module_of
from ..context import Context
from ..failure import Failure
from ..generate import Generator
from ..likelihood import total_error
from ..lm import DiffusionLM, Settings
from ..models import Loaded, load
from ..noise import Stream
from ..precision import precision_of
from ..prepared import held_out_rows
from ..tasks import BuiltTask, Setting, TableRow


def run(context: Context) -> dict[str, Any]:
    """Ask every task and write results, table and every answer."""
    body = context.stage.body
    assert isinstance(body, Eval)
    loaded = load(context, body.model)
    built = {task.name: _built_in(context, body, task, loaded) for task in body.tasks if task.name in members(BuiltInTask)}
    manager = TaskManager(include_defaults=any(_is_library_task(task) for task in body.tasks))
    results: dict[str, Any] = {}
    answers = context.entry.output("results") / "answers.jsonl"
    answers.parent.mkdir(parents=True, exist_ok=True)
    with answers.open("w", encoding="utf-8") as stream:
        for task in body.tasks:
            model = _model(context, body, loaded, task)
            found = _evaluate(model, body, task, _task_form(context, task, built), built.get(task.name), manager)
            scores = next(iter(found["results"].values()))
            rows = built[task.name].table(scores) if task.name in built else _plain_table(scores)
            if task.name in built and model.bounds.get(task.name):
                rows = [_with_error(rows[0], model, task.name, scores), *rows[1:]]
            results[task.name] = {
                "scores": {key: _plain(value) for key, value in scores.items()},
                "table": [dataclasses.asdict(row) for row in rows],
                "passes": model.passes,
            }
            context.emit("result", {"title": task.name, "rows": results[task.name]["table"]})
            for samples in found.get("samples", {}).values():
                stream.writelines(json.dumps({"task": task.name, **_answer(item)}, ensure_ascii=False) + "\n" for item in samples)
    return {"tasks": results}


def _model(context: Context, body: Eval, loaded: Loaded, task: Task) -> DiffusionLM:
    window = int(loaded.denoiser.network.config.max_position_embeddings)
    if isinstance(body.data, Reference):
        upstream: Any = context.plan.stages[body.data.stage].body
        window = min(window, upstream.data.max_length)
    settings = Settings(
        max_length=window,
        max_new_tokens=body.max_new_tokens,
        samples=body.likelihood.samples if body.likelihood is not None else None,
        batch=body.batch,
        greedy_tasks=frozenset() if task.name in members(BuiltInTask) else frozenset({task.name}),
    )
    stream, precision = Stream(context.seed, "sample"), precision_of(body.compute)
    generator = Generator(loaded, build(body.sampler), stream, body.batch, precision) if body.sampler is not None else None
    greedy = Generator(loaded, build(Llada()), stream, body.batch, precision)
    return DiffusionLM(context, loaded, settings, generator, greedy)


def _built_in(context: Context, body: Eval, task: Task, loaded: Loaded) -> BuiltTask:
    assert isinstance(body.data, Reference)
    data = context.output_of(body.data)
    setting = Setting(rows=held_out_rows(data), data=data, tokens=loaded.tokens, seed=context.seed)
    word = members(BuiltInTask)[task.name]
    found: BuiltTask = module_of(word).build(word(), setting)
    return found


def _is_library_task(task: Task) -> bool:
    return task.name not in members(BuiltInTask) and not is_task_file(task.name)


def _task_form(context: Context, task: Task, built: dict[str, BuiltTask]) -> Any:
    if task.name in built:
        return dict(built[task.name].config)
    if is_task_file(task.name):
        context.input_files(task.name)
        root = root_of(task.name, context.base)
        return str(root)
    return task.name


def _evaluate(model: DiffusionLM, body: Eval, task: Task, form: Any, built: BuiltTask | None, manager: TaskManager) -> Any:
    if built is not None:
        if built.note is not None:
            model.notes[task.name] = built.note
        if built.columns is not None:
            model.columns[task.name] = built.columns
    fewshot = task.num_fewshot if task.num_fewshot is not None else body.num_fewshot
    try:
        return simple_evaluate(
            model=model,
            tasks=[form],
            num_fewshot=fewshot,
            limit=task.limit if task.limit is not None else body.limit,
            task_manager=manager,
            bootstrap_iters=1000,
            log_samples=True,
            random_seed=model.context.seed,
            numpy_random_seed=model.context.seed,
            torch_random_seed=model.context.seed,
            fewshot_random_seed=model.context.seed,
        )
    except (ConnectionError, FileNotFoundError, KeyError, ValueError) as error:
        raise Failure(f"task {task.name}: {str(error).splitlines()[0] if str(error) else type(error).__name__}") from error


def _with_error(row: TableRow, model: DiffusionLM, task: str, scores: dict[str, Any]) -> TableRow:
    """The standard error that comes from the random masks: that of the summed bounds, in the unit of the row."""
    bounds = model.bounds[task]
    total, error = sum(bound.nll for bound in bounds), total_error(bounds)
    # A single mask has no error to tell.
    return dataclasses.replace(row, error=row.value * error / total if total and math.isfinite(error) else None)


def _plain_table(scores: dict[str, Any]) -> list[TableRow]:
    rows = []
    for key, value in scores.items():
        name, _, filtered = key.partition(",")
        if isinstance(value, (int, float)) and not name.endswith("_stderr") and name != "sample_len":
            error = scores.get(f"{name}_stderr,{filtered}")
            meaning = f"lm-eval metric {name}" + (f" after filter {filtered}" if filtered not in ("", "none") else "")
            rows.append(
                TableRow(
                    name=name, value=float(value), unit="", meaning=meaning, error=float(error) if isinstance(error, (int, float)) else None
                )
            )
    return rows


def _answer(sample: dict[str, Any]) -> dict[str, Any]:
    kept = ("doc_id", "doc", "target", "resps", "filtered_resps", "doc_hash", "prompt_hash")
    return {key: _plain(sample[key]) for key in kept if key in sample}


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(item) for item in value]
    if isinstance(value, bool | str | int) or value is None:
        return value
    return float(value) if hasattr(value, "__float__") else str(value)
