"""Several processes train as one does, die together, and go on with the same bits. Two real processes on the CPU."""

import importlib.util
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from runtime_toys import run_stage
from several import KILLED, PATIENCE, SPEC, Place, alike, children, free_port, gone, lives, placed, rank_of

SLOW = pytest.mark.slow
TWO = ("compute.processes=2",)
ZERO = pytest.mark.skipif(importlib.util.find_spec("deepspeed") is None, reason="deepspeed is not here")
STRATEGIES = [
    pytest.param("ddp"),
    pytest.param("fsdp2"),
    pytest.param("zero2", marks=ZERO),
    pytest.param("zero1", marks=[ZERO, SLOW]),
    pytest.param("zero3", marks=[ZERO, SLOW]),
]
RESUMED = [pytest.param("ddp"), pytest.param("fsdp2", marks=SLOW), pytest.param("zero2", marks=[ZERO, SLOW])]


@pytest.fixture(scope="module")
def fresh(tmp_path_factory: pytest.TempPathFactory) -> Place:
    return placed(tmp_path_factory.mktemp("fresh") / "place")


@pytest.fixture(scope="module")
def alone(fresh: Place, tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Trained in one process."""
    return alike(fresh, tmp_path_factory.mktemp("alone") / "place").ran()


_undisturbed: dict[str, Place] = {}


@pytest.fixture
def undisturbed(fresh: Place, tmp_path_factory: pytest.TempPathFactory, strategy: str) -> Place:
    """Trained in two processes, without a stop."""
    if strategy not in _undisturbed:
        flags = (*TWO, f"compute.strategy={strategy}")
        _undisturbed[strategy] = alike(fresh, tmp_path_factory.mktemp(strategy) / "place", *flags).ran()
    return _undisturbed[strategy]


def near(place: Place, other: Place, tolerance: float = 2e-5) -> None:
    """The same losses and held-out bounds at every step, to the rounding of float32 and what six steps of Adam make of it."""
    for key in ("loss", "bound"):
        mine, expected = place.losses(key), other.losses(key)
        assert [step for step, _ in mine] == [step for step, _ in expected]
        assert [value for _, value in mine] == pytest.approx([value for _, value in expected], rel=tolerance)
    mine_by_name, expected_by_name = place.weights(), other.weights()
    assert mine_by_name.keys() == expected_by_name.keys()
    for name, value in expected_by_name.items():
        torch.testing.assert_close(mine_by_name[name], value, rtol=0, atol=1e-3, msg=lambda text, name=name: f"{name}: {text}")


@pytest.mark.parametrize("strategy", STRATEGIES)
def test_two_processes_train_as_one_does(strategy: str, undisturbed: Place, alone: Place) -> None:
    near(undisturbed, alone)
    assert undisturbed.entry.results() is not None and undisturbed.status()["processes"] == 2
    mine, other = undisturbed.entry.results() or {}, alone.entry.results() or {}
    assert mine.pop("kept_steps") == other.pop("kept_steps")
    assert {**mine, "seconds": 0} == pytest.approx({**other, "seconds": 0}, rel=2e-5)


@SLOW
def test_four_processes_without_accumulation_train_as_one_does(fresh: Place, alone: Place, tmp_path: Path) -> None:
    near(alike(fresh, tmp_path / "place", "compute.processes=4").ran(), alone)


DROPOUT = "model.dropout=0.2"
TIED = "model.scratch.tie_embeddings=true"


@pytest.fixture(scope="module", params=[DROPOUT, TIED], ids=["dropout", "tied"])
def harder(request: pytest.FixtureRequest, fresh: Place, tmp_path_factory: pytest.TempPathFactory) -> tuple[str, Place]:
    """What makes it harder to train alike, and one process that trained with it."""
    return request.param, alike(fresh, tmp_path_factory.mktemp("harder") / "one", request.param).ran()


@SLOW
@pytest.mark.parametrize("strategy", ["ddp", "fsdp2", pytest.param("zero3", marks=ZERO)])
def test_dropout_and_tied_weights_change_nothing_about_that(strategy: str, harder: tuple[str, Place], fresh: Place, tmp_path: Path) -> None:
    """What is dropped hangs on the micro batch, and which rows share one does not hang on the number of processes."""
    more, one = harder
    near(alike(fresh, tmp_path / "two", more, *TWO, f"compute.strategy={strategy}").ran(), one)


ADAPTER = SPEC.replace(
    "  train:\n    kind: pretrain\n",
    """\
  base:
    kind: pretrain
    data: ${data.toy}
    objective: mdlm
    batch: 8
    optimizer: {learning_rate: 1e-2}
    duration: 2 steps
  train:
    kind: pretrain
    model: {from: "${stages.base}", lora: {r: 4, dropout: 0.1}}
""",
)


@pytest.fixture(scope="module")
def based(tmp_path_factory: pytest.TempPathFactory) -> Place:
    """Weights to lay an adapter over."""
    place = placed(tmp_path_factory.mktemp("based") / "place", spec=ADAPTER)
    run_stage(place.plan, "base", place.folder)
    return place


NF4 = "stages.train.model.quantization=nf4"


@pytest.fixture(scope="module")
def adapted(based: Place, tmp_path_factory: pytest.TempPathFactory) -> Callable[[tuple[str, ...]], Place]:
    """One process that trained an adapter with these flags: once for each."""
    found: dict[tuple[str, ...], Place] = {}

    def of(flags: tuple[str, ...]) -> Place:
        if flags not in found:
            found[flags] = alike(based, tmp_path_factory.mktemp("adapted") / "one", *flags, spec=ADAPTER).ran()
        return found[flags]

    return of


@SLOW
@pytest.mark.parametrize(
    ("strategy", "flags"),
    [
        # Quantised weights stay whole in every process; where these are divided the adapter lies over plain ones.
        pytest.param("ddp", (NF4,), id="ddp-nf4"),
        pytest.param("zero2", (NF4,), id="zero2-nf4", marks=ZERO),
        pytest.param("fsdp2", (), id="fsdp2"),
        pytest.param("zero3", (), id="zero3", marks=ZERO),
    ],
)
def test_an_adapter_is_trained_as_in_one_process_and_goes_on_with_the_same_bits(
    strategy: str, flags: tuple[str, ...], adapted: Callable[[tuple[str, ...]], Place], based: Place, tmp_path: Path
) -> None:
    several = ["stages.train.compute.processes=2", f"stages.train.compute.strategy={strategy}", *flags]
    one = adapted(flags)
    two = alike(based, tmp_path / "two", *several, spec=ADAPTER).ran()
    near(two, one)
    place = alike(based, tmp_path / "stopped", *several, spec=ADAPTER)
    process = place.after(1)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130, place.told()
    assert place.ran().sha() == two.sha()


def in_double(place: Place, processes: int) -> Place:
    """Trained in float64, by processes that are told by their environment alone who they are."""
    common = {**os.environ, "OMP_NUM_THREADS": "1", "WORLD_SIZE": str(processes), "LOCAL_WORLD_SIZE": str(processes)}
    common |= {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port())}
    script = str(Path(__file__).with_name("double_rank.py"))
    command = [sys.executable, script, "plan.json", place.stage, "--runs", "runs", "--threads", "1"]
    ranks = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
    started = [subprocess.Popen(command, cwd=place.folder, env={**common, **rank}, stderr=subprocess.DEVNULL) for rank in ranks]
    assert [process.wait(timeout=PATIENCE) for process in started] == [0] * processes, place.told()
    return place


@SLOW
def test_in_float64_the_number_of_processes_is_not_seen(fresh: Place, tmp_path: Path) -> None:
    one = in_double(alike(fresh, tmp_path / "one"), 1)
    two = in_double(alike(fresh, tmp_path / "two", *TWO, "stages.train.batch.micro=4"), 2)
    assert [value for _, value in two.losses()] == pytest.approx([value for _, value in one.losses()], rel=1e-9)
    for name, value in one.weights().items():
        assert value.dtype == torch.float64
        torch.testing.assert_close(two.weights()[name], value, rtol=0, atol=1e-7)


@SLOW
def test_two_nodes_of_one_process_each_meet_at_the_first(fresh: Place, alone: Place, tmp_path: Path) -> None:
    """As the script of a cluster starts them, here with both nodes on this machine."""
    place = alike(fresh, tmp_path / "place", *TWO)
    more = ["plan.json", place.stage, "--runs", "runs", "--base", "."]
    where = ["-n", "1", "--nodes", "2", "--address", "127.0.0.1", "--port", str(free_port())]
    command = [sys.executable, "-m", "dllm_run.launchers.ranks", *where]
    environment = {**os.environ, "OMP_NUM_THREADS": "1"}
    nodes = [
        subprocess.Popen([*command, "--node", str(node), *more], cwd=place.folder, env=environment, stderr=subprocess.DEVNULL)
        for node in (1, 0)
    ]
    assert [node.wait(timeout=PATIENCE) for node in nodes] == [0, 0], place.told()
    near(place, alone)


# --- death

_TRIES = 8


def killed(place: Place, rank: int, number: int = signal.SIGKILL) -> tuple[int, list[int]]:
    """Wait for a checkpoint that is being written, kill that process, and give the exit code and all processes there were."""
    for _ in range(_TRIES):
        process = place.after(1)
        while process.poll() is None:
            if (place.entry.checkpoints / "checkpoint-4").is_dir():
                pids = children(process.pid)
                victims = [pid for pid in pids if rank_of(pid) == rank]
                if victims:
                    os.kill(victims[0], number)
                    return process.wait(timeout=60), pids
            time.sleep(0.0005)
        # A checkpoint is there for milliseconds, and on a busy machine nobody may have looked in that time.
        assert process.returncode == 0, place.told()
        shutil.rmtree(place.entry.path)
    raise AssertionError(f"in {_TRIES} trainings no checkpoint was seen while it was written")


@pytest.mark.parametrize("strategy", RESUMED)
@pytest.mark.parametrize("rank", [0, pytest.param(1, marks=SLOW)])
def test_one_that_is_killed_takes_all_along_and_the_next_run_ends_with_the_same_bits(
    rank: int, strategy: str, fresh: Place, undisturbed: Place, tmp_path: Path
) -> None:
    place = alike(fresh, tmp_path / "place", *TWO, f"compute.strategy={strategy}")
    code, pids = killed(place, rank)
    assert code == KILLED and gone(pids)
    status = place.status()
    assert (status["state"], status["message"]) == ("failed", f"process {rank} was killed by signal 9")
    assert status["log"].endswith("log.txt" if rank == 0 else "log.rank1.txt") and Path(status["log"]).is_file()
    newest = place.entry.complete_checkpoints()[-1][0]
    assert newest in (2, 4)
    place.ran()
    assert place.notes() == [f"continues from step {newest}"]
    assert place.losses() == undisturbed.losses() and place.losses("bound") == undisturbed.losses("bound")
    assert place.sha() == undisturbed.sha()
    assert sorted(path.name for path in place.entry.checkpoints.iterdir()) == ["step-4", "step-6"]


@pytest.mark.parametrize("strategy", RESUMED)
def test_a_signal_to_all_makes_them_save_at_the_same_step(strategy: str, fresh: Place, undisturbed: Place, tmp_path: Path) -> None:
    place = alike(fresh, tmp_path / "place", *TWO, f"compute.strategy={strategy}")
    process = place.after(1)
    pids = children(process.pid)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130, place.told()
    assert gone(pids) and place.status()["state"] == "interrupted"
    stopped = place.losses()[-1][0]
    assert place.entry.complete_checkpoints()[-1][0] == stopped < 6
    place.ran()
    assert place.losses() == undisturbed.losses() and place.sha() == undisturbed.sha()


def test_nothing_stays_behind_of_processes_whose_supervisor_is_killed(fresh: Place, tmp_path: Path) -> None:
    # So long a training that they do not just come to their end.
    place = alike(fresh, tmp_path / "place", *TWO, "stages.train.duration=5000 steps")
    process = place.after(1)
    pids = children(process.pid)
    assert sorted(rank for rank in map(rank_of, pids) if rank is not None) == [0, 1]
    process.kill()
    process.wait()
    try:
        assert gone(pids)
    finally:
        for pid in filter(lives, pids):
            os.kill(pid, signal.SIGKILL)


# --- other processes than the plan's


@pytest.mark.parametrize(
    ("planned", "started", "message"),
    [
        (2, 1, "the plan is for 2 processes, and 1 process was started"),
        pytest.param(1, 2, "the plan is for 1 process, and 2 processes were started", marks=SLOW),
    ],
)
def test_other_processes_than_those_of_the_plan_are_refused(planned: int, started: int, message: str, fresh: Place, tmp_path: Path) -> None:
    place = alike(fresh, tmp_path / "place", f"compute.processes={planned}")
    assert place.run(started) == 1
    status = place.status()
    assert status["state"] == "failed" and message in status["message"], place.told()
    assert not place.losses()


@SLOW
def test_another_number_of_processes_goes_on_with_a_note(fresh: Place, alone: Place, tmp_path: Path) -> None:
    place = alike(fresh, tmp_path / "two", *TWO)
    process = place.after(2)
    os.killpg(process.pid, signal.SIGINT)
    assert process.wait(timeout=60) == 130
    one = alike(place, tmp_path / "one").ran()
    assert one.stage == place.stage, "processes are numerics: the stage is the same"
    assert any("2 processes (ddp) wrote the checkpoint" in note and "1 process (none) go on" in note for note in one.notes()), one.notes()
    near(one, alone)
