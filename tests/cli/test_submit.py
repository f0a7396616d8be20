"""`submit`: what is sent, once, and what is left where Slurm refuses. Its commands are fakes that note what they are given."""

import json
import os
import pickle
import stat
from collections.abc import Callable
from pathlib import Path

import pytest
from made_runs import SPEC, Folder, finish

from dllm_run.specs.jobs import CANCELLED, Sending, sendings

SLURM = "launch: {type: slurm, partition: gpu, mem: 8G, setup: ['module load x'], env: [MY_KEY]}\n"
SEEDS = "sweep: {grid: {stages.train.seed: [0, 1, 2]}}\n"
SBATCH = """\
number=$(( $(wc -l < {calls}) + 1 ))
echo sbatch "$(env | grep -c '^SBATCH_')" "${{@: -1}}" >> {calls}
[ -z "$REFUSE" ] || [ "$number" -lt "$REFUSE" ] || { echo "sbatch: error: Batch job submission failed: Invalid partition" >&2; exit 1; }
echo "Submitted batch job $((100 + number))"
"""


@pytest.fixture
def cluster(folder: Folder, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """`cluster(name, body)` changes a command; `calls` has what sbatch got."""
    bin_folder = folder.path / "bin"
    bin_folder.mkdir()
    calls = folder.path / "calls"
    calls.write_text("")

    def command(name: str, body: str) -> None:
        (bin_folder / name).write_text(f"#!/bin/bash\n{body}\n", encoding="utf-8")
        (bin_folder / name).chmod(0o755)

    command("sbatch", SBATCH.replace("{{", "{").replace("}}", "}").replace("{calls}", str(calls)))
    command("scontrol", "echo 'MaxArraySize            = 1001'")
    command("scancel", f'echo scancel "$@" >> {calls}.cancelled')
    command("squeue", "exit 0")
    command("sacct", "exit 1")
    command("srun", "exit 1")
    monkeypatch.setenv("PATH", f"{bin_folder}:/usr/bin:/bin")
    monkeypatch.setenv("SBATCH_PARTITION", "wrong")
    folder.write(SPEC + SLURM + SEEDS)
    return command


def scripts(folder: Folder) -> list[str]:
    lines = (folder.path / "calls").read_text().splitlines()
    return [Path(line.split()[2]).read_text() for line in lines]


def run_of(folder: Folder) -> Path:
    (found,) = folder.runs.all_runs()
    return found


def test_a_job_a_stage_an_array_a_sweep_each_after_what_it_needs(folder: Folder, cluster: Callable[[str, str], None]) -> None:
    code, said = folder.said("submit", "spec.yaml", "--json")
    told = json.loads(said[said.index("{") :])
    assert code == 0 and told["schema"] == "dllm-run/submit/1"
    jobs = {job["name"]: job for job in told["jobs"]}
    assert {name: len(job["tasks"]) for name, job in jobs.items()} == {"train.data": 1, "train": 3, "bound": 3, "look": 3}
    first, train = jobs["train.data"]["id"], jobs["train"]["id"]
    assert jobs["train"]["after"] == f"afterok:{first}" and jobs["look"]["after"] == f"aftercorr:{train}"
    assert jobs["bound"]["after"] == f"aftercorr:{train},afterok:{first}" or jobs["bound"]["after"] == f"afterok:{first},aftercorr:{train}"
    text = next(script for script in scripts(folder) if "--job-name=small.train\n" in script)
    for line in (
        "#SBATCH --partition=gpu",
        "#SBATCH --mem=8G",
        "#SBATCH --requeue",
        "#SBATCH --signal=USR2@120",
        "#SBATCH --kill-on-invalid-dep=yes",
        "#SBATCH --array=0-2%3",
        "module load x",
        "trap : TERM",
    ):
        assert line in text.splitlines(), line
    assert "--time" not in text and "wckey" not in text, "nothing that nobody asked for"
    (export,) = [line for line in text.splitlines() if line.startswith("#SBATCH --export")]
    assert export.endswith(",MY_KEY")
    assert all(line.split()[1] == "0" for line in (folder.path / "calls").read_text().splitlines()), "surroundings do not win"
    assert os.environ["SBATCH_PARTITION"] == "wrong", "and are as they were"


def test_what_is_pickled_is_one_function_that_becomes_the_command(folder: Folder, cluster: Callable[[str, str], None]) -> None:
    folder.said("submit", "spec.yaml")
    (file,) = run_of(folder).glob("jobs/1/train/*_2_submitted.pkl")
    with file.open("rb") as stream:
        found = pickle.load(stream)
    assert (found.function.__module__, found.function.__name__) == ("dllm_run.launchers.task", "start")
    assert found.args == (["-m", "dllm_run.launchers.task", str(file.parent.absolute() / "task.json"), "2"],)


def test_a_second_submit_sends_nothing_that_is_in_the_queue_and_only_what_is_missing(
    folder: Folder, cluster: Callable[[str, str], None]
) -> None:
    folder.said("submit", "spec.yaml")
    ids = [job.id_of(index) for job in sendings(run_of(folder))[0].jobs for index in range(len(job.tasks))]
    cluster("squeue", "\n".join(f"echo '{name}|PENDING|Priority||x'" for name in ids))
    before = (folder.path / "calls").read_text()
    code, said = folder.said("submit", "spec.yaml")
    assert code == 0 and "10 stages are worked on already" in said and (folder.path / "calls").read_text() == before
    cluster("squeue", "exit 0")
    for stage in sendings(run_of(folder))[0].jobs[0].stages + sendings(run_of(folder))[0].jobs[1].stages[:2]:
        finish(folder.runs.entry(stage))
    folder.said("submit", "spec.yaml")
    second = sendings(run_of(folder))[1]
    assert {job.name: len(job.stages) for job in second.jobs if job.name == "train"} == {"train": 1}
    assert "train.data" not in {job.name for job in second.jobs}


def test_where_slurm_refuses_one_job_none_is_left(
    folder: Folder, cluster: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("REFUSE", "3")
    code, said = folder.said("submit", "spec.yaml")
    assert code == 6 and "Invalid partition" in said and "Traceback" not in said
    assert (folder.path / "calls.cancelled").read_text().split() == ["scancel", "101", "102"]
    assert (run_of(folder) / "jobs" / "1" / CANCELLED).is_file()


def test_a_controller_that_does_not_answer_is_told_before_anything_is_sent(folder: Folder, cluster: Callable[[str, str], None]) -> None:
    cluster("scontrol", "echo 'slurm_load_ctl_conf error: Unable to contact slurm controller (connect failure)' >&2; exit 1")
    code, said = folder.said("submit", "spec.yaml")
    assert code == 6 and "does not answer" in said and not (folder.path / "calls").read_text()


def test_a_folder_that_cannot_be_written_is_told(
    folder: Folder, cluster: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*words: object, **more: object) -> None:
        raise OSError(28, "No space left on device", "runs/small")

    monkeypatch.setattr("dllm_run.cli.submit.prepare", full)
    code, said = folder.said("submit", "spec.yaml")
    assert code == 6 and "the disk is full; make room" in said and "Traceback" not in said


def test_a_disk_that_fills_up_between_jobs_leaves_none_of_them(
    folder: Folder, cluster: Callable[[str, str], None], monkeypatch: pytest.MonkeyPatch
) -> None:
    real, written = Sending.write, []

    def full(self: Sending) -> None:
        written.append(len(self.jobs))
        if len(self.jobs) == 2:
            raise OSError(28, "No space left on device", str(self.folder / "jobs.json"))
        real(self)

    monkeypatch.setattr(Sending, "write", full)
    code, said = folder.said("submit", "spec.yaml")
    assert code == 6 and "the disk is full; make room" in said and "Traceback" not in said
    assert (folder.path / "calls.cancelled").read_text().split() == ["scancel", "101", "102"]


def test_a_script_of_ones_own_is_sent_as_it_is(folder: Folder, cluster: Callable[[str, str], None]) -> None:
    (folder.path / "own.j2").write_text(
        '#!/bin/bash\n#SBATCH --export={{ exported | join(",") }}\n{% for option, value in options %}\n#SBATCH --{{ option }}={{ value }}\n'
        "{% endfor %}\n{{ setup | join }}\nmine {{ ids }}\n"
    )
    folder.write(SPEC + "launch: {type: slurm, partition: gpu, script: ./own.j2}\n")
    folder.said("submit", "spec.yaml")
    assert all("\nmine [" in script for script in scripts(folder)) and len(scripts(folder)) == 4


def test_dllm_run_spec_submits_where_its_launch_says_so_and_run_does_not(folder: Folder, cluster: Callable[[str, str], None]) -> None:
    code, said = folder.said("run", "spec.yaml")
    assert code == 6 and "`dllm-run submit` sends it off" in said
    code, said = folder.said("spec.yaml")
    assert code == 0 and len(scripts(folder)) == 4


def test_the_code_in_use_is_kept_by_its_content(folder: Folder, cluster: Callable[[str, str], None]) -> None:
    folder.said("submit", "spec.yaml")
    code = sendings(run_of(folder))[0].code
    kept = folder.runs.root / "store" / "code" / code
    assert (kept / "dllm_run" / "runtime" / "__main__.py").is_file() and stat.S_IMODE(kept.stat().st_mode) == 0o755
    assert f"export PYTHONPATH={kept.absolute()}" in scripts(folder)[0]
