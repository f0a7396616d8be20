"""An evaluation as a stage: its files, what it tells of its estimates, processes that share it, and a process that is killed."""

import hashlib
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import pytest
from lm_eval import simple_evaluate
from lm_eval.tasks import TaskManager
from runtime_toys import compiled, context_of, run_stage, stage_id

from dllm_run.launchers.job import Job
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.lm import DiffusionLM
from dllm_run.runtime.stages.eval import evaluated
from dllm_run.specs.canonical import pretty
from dllm_run.specs.store import ANSWERED, Runs

SPEC = """
version: 1
name: toy
model: {scratch: {family: llama, layers: 1, width: 16, heads: 2, positions: 128}, tokenizer: bytes}
data:
  toy: {sources: [{generate: sudoku}], holdout: 12 rows, max_length: 32}
stages:
  train: {kind: pretrain, data: "${data.toy}", objective: mdlm, batch: 4, optimizer: {learning_rate: 1e-3}, duration: 2 steps}
  ask:
    kind: eval
    model: ${stages.train}
    data: ${data.toy}
    tasks: [held_out_text, ./choice.yaml, ./answer.yaml]
    likelihood: {estimator: elbo, samples: 12, error: 6, rounds: 3}
    sampler: {type: llada, temperature: 1.0}
    max_new_tokens: 6
    batch: 3
compute: {device: cpu, precision: fp32, threads: 1}
"""
CHOICE = """
task: choice
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/docs.jsonl}}}}
test_split: test
output_type: multiple_choice
doc_to_text: "{{{{question}}}}"
doc_to_choice: "{{{{choices}}}}"
doc_to_target: label
metric_list: [{{metric: acc}}]
"""
ANSWER = """
task: answer
dataset_path: json
dataset_kwargs: {{data_files: {{test: {folder}/docs.jsonl}}}}
test_split: test
output_type: generate_until
repeats: 2
doc_to_text: "{{{{question}}}}"
doc_to_target: "{{{{answer}}}}"
generation_kwargs: {{until: ["."], do_sample: false}}
metric_list: [{{metric: exact_match, aggregation: mean, higher_is_better: true}}]
"""


@pytest.fixture(scope="module")
def prepared(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with the task files and a store in which everything but the evaluation is done."""
    folder = tmp_path_factory.mktemp("asked")
    docs = [
        {"question": f"{index}+{index}=", "choices": ["3.", "44.", "5."], "label": index % 3, "answer": str(2 * index)}
        for index in range(7)
    ]
    (folder / "docs.jsonl").write_text("".join(json.dumps(doc) + "\n" for doc in docs), encoding="utf-8")
    (folder / "choice.yaml").write_text(CHOICE.format(folder=folder), encoding="utf-8")
    (folder / "answer.yaml").write_text(ANSWER.format(folder=folder), encoding="utf-8")
    plan = compiled(folder, SPEC)
    point = next(iter(plan.points.values()))
    for stage in plan.stages:
        name = next(name for name, key in point.stages.items() if key == stage)
        if name != "ask":
            run_stage(plan, name, folder)
    return folder


def ask(folder: Path, *flags: str) -> tuple[dict[str, Any], Path]:
    """Results and folder of the evaluation, run anew."""
    context = context_of(compiled(folder, SPEC, *flags), "ask", folder)
    results = evaluated(context, rank=0, size=1, wait=lambda: None)
    return results, context.entry.output("results")


def lines(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "samples.jsonl").read_text(encoding="utf-8").splitlines()]


def test_every_answer_has_a_line_with_its_hash_and_every_number_its_estimator(prepared: Path) -> None:
    results, out = ask(prepared)
    found = lines(out)
    assert [line["task"] for line in found] == ["held_out_text"] * 12 + ["choice"] * 7 + ["answer"] * 7
    for line in found:
        assert line["answer_hash"] == hashlib.sha256(json.dumps(line["resps"], ensure_ascii=False).encode()).hexdigest()[:16]
    assert [len(line["likelihoods"]) for line in found[:19]] == [1] * 12 + [3] * 7
    for one in [one for line in found[:12] for one in line["likelihoods"]]:
        assert one["estimator"] == "elbo" and one["draws"] in (12, 24, 36) and one["error"] > 0
    told = results["tasks"]["held_out_text"]["likelihood"]
    draws = [line["likelihoods"][0]["draws"] for line in found[:12]]
    assert (told["estimator"], told["texts"], told["draws"]) == ("elbo", 12, sum(draws))
    raw = (out / "samples.jsonl").read_text(encoding="utf-8").splitlines(keepends=True)
    assert results["tasks"]["./answer.yaml"]["samples"] == {"rows": 7, "sha256": hashlib.sha256("".join(raw[19:]).encode()).hexdigest()}
    assert not (out.parent / ANSWERED).exists()


def test_a_task_that_asks_for_the_likeliest_answer_of_a_sampler_that_draws_is_told_of(prepared: Path) -> None:
    results, _ = ask(prepared)
    assert results["tasks"]["./answer.yaml"]["overruled"] == {
        "answer": "the task asks for the likeliest answer, and the sampler draws at temperature 1"
    }
    assert results["tasks"]["./choice.yaml"]["overruled"] == {}


def test_repeats_of_a_question_get_answers_of_their_own(prepared: Path) -> None:
    _, out = ask(prepared)
    answers = [line["resps"][0] for line in lines(out)[19:]]
    assert all(len(pair) == 2 for pair in answers) and sum(pair[0] != pair[1] for pair in answers) >= 5


def test_processes_that_share_an_evaluation_write_what_one_writes(prepared: Path, tmp_path: Path) -> None:
    expected, out = ask(prepared)
    samples = (out / "samples.jsonl").read_bytes()
    (out / "samples.jsonl").unlink()
    plan = compiled(prepared, SPEC, "stages.ask.compute.processes=3")
    (tmp_path / "plan.json").write_text(pretty(plan.to_json()), encoding="utf-8")
    job = Job(plan=tmp_path / "plan.json", stage_id=stage_id(plan, "ask"), runs=prepared / "runs", base=prepared, processes=3)
    assert subprocess.run(job.command(), env={**os.environ, "OMP_NUM_THREADS": "1"}, check=False, timeout=300).returncode == 0
    entry = Runs(prepared / "runs").entry(stage_id(plan, "ask"))
    assert entry.results() == json.loads(pretty(expected))
    assert (out / "samples.jsonl").read_bytes() == samples
    assert entry.attempts()[-1].status()["processes"] == 3
    entry.done_file.unlink()


COMMAND = [sys.executable, "-m", "dllm_run.runtime"]


def test_a_killed_evaluation_goes_on_with_the_answers_it_has_and_ends_alike(prepared: Path, tmp_path: Path) -> None:
    plan = compiled(prepared, SPEC)
    (tmp_path / "plan.json").write_text(pretty(plan.to_json()), encoding="utf-8")
    entry = Runs(prepared / "runs").entry(stage_id(plan, "ask"))
    command = [*COMMAND, str(tmp_path / "plan.json"), stage_id(plan, "ask"), "--runs", str(prepared / "runs"), "--base", str(prepared)]
    expected, out = ask(prepared)
    samples = (out / "samples.jsonl").read_bytes()
    kills = 0
    for seconds in range(2):
        process = subprocess.Popen(command, env=os.environ)
        journal = entry.path / ANSWERED / "answers-00000.jsonl"
        wanted = (journal.read_bytes().count(b"\n") if journal.is_file() else 0) + 3 + 4 * seconds
        while process.poll() is None and not (journal.is_file() and journal.read_bytes().count(b"\n") >= wanted):
            time.sleep(0.002)
        if process.poll() is None:
            process.send_signal(signal.SIGKILL)
            kills += 1
        process.wait(60)
    assert kills == 2 and not entry.done
    kept = (entry.path / ANSWERED / "answers-00000.jsonl").read_bytes().count(b"\n")
    assert kept > 3
    assert subprocess.run(command, env=os.environ, check=False, timeout=300).returncode == 0
    assert entry.results() == json.loads(pretty(expected))
    assert (out / "samples.jsonl").read_bytes() == samples
    entry.done_file.unlink()


def test_code_is_run_only_where_the_plan_lets_it(prepared: Path) -> None:
    unsafe = CHOICE.format(folder=prepared).replace("task: choice", "task: unsafe\nunsafe_code: true")
    (prepared / "unsafe.yaml").write_text(unsafe, encoding="utf-8")
    only = "stages.ask.tasks=[./unsafe.yaml]"
    with pytest.raises(Failure, match=r"it runs the programs that the model writes: -s stages.NAME.allow_code_execution=true"):
        ask(prepared, only, "stages.ask.sampler=null")
    results, _ = ask(prepared, only, "stages.ask.sampler=null", "stages.ask.allow_code_execution=true")
    assert results["tasks"]["./unsafe.yaml"]["samples"]["rows"] == 7


def test_the_model_is_lm_evals_own_by_its_name_and_arguments(prepared: Path, tmp_path: Path) -> None:
    expected, _ = ask(prepared)
    (tmp_path / "plan.json").write_text(pretty(compiled(prepared, SPEC).to_json()), encoding="utf-8")
    arguments = f"plan={tmp_path / 'plan.json'},stage=ask,runs={prepared / 'runs'},base={prepared}"
    found = simple_evaluate(
        model="dllm_run",
        model_args=arguments,
        tasks=[str(prepared / "choice.yaml")],
        task_manager=TaskManager(include_defaults=False),
        bootstrap_iters=1000,
        device="cpu",
    )
    assert found["results"]["choice"]["acc,none"] == expected["tasks"]["./choice.yaml"]["scores"]["acc,none"]
    for wrong, message in (
        ("plan=p,stage=ask,steps=3", "steps means nothing"),
        ("stage=ask", "plan and stage must be given"),
        (arguments.replace("stage=ask", "stage=look"), "stage=look: it is none; evaluations of the plan are ask"),
    ):
        with pytest.raises(Failure, match=message):
            DiffusionLM.create_from_arg_string(wrong, {"batch_size": 1})
    with pytest.raises(Failure, match="--batch_size auto: give a number"):
        DiffusionLM.create_from_arg_string(arguments, {"batch_size": "auto"})
    with pytest.raises(Failure, match="--device cuda: the plan says cpu"):
        DiffusionLM.create_from_arg_string(arguments, {"device": "cuda"})
