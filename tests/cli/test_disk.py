"""A disk that is full, one that is read-only, and a store of two users: a sentence or a wait, and nothing is lost."""

import ctypes
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from dllm_run.specs.disk import cannot_write, disk_problem, hindrance
from dllm_run.specs.store import Runs

SPEC = """\
version: 1
name: toy
model: {scratch: {family: llama, layers: 2, width: 256, heads: 2, positions: 64, tie_embeddings: false}, tokenizer: characters}
data:
  toy: {sources: [./texts.jsonl], holdout: 5 rows, max_length: 24}
stages:
  train:
    kind: pretrain
    data: ${data.toy}
    objective: mdlm
    batch: 4
    optimizer: {learning_rate: 1e-3}
    duration: 12 steps
    checkpoint: {every: 2 steps, keep: 20}
compute: {threads: 1, device: cpu}
"""
COMMAND = [sys.executable, "-m", "dllm_run.cli.main", "spec.yaml", "-q"]
SOMEBODY = 54321
needs_root = pytest.mark.skipif(os.geteuid() != 0, reason="only root can mount a small disk, or own files as somebody else")


def placed(folder: Path) -> Path:
    folder.mkdir(parents=True)
    texts = [("some words to learn " * 3)[index : index + 5 + 2 * index] for index in range(18)]
    (folder / "texts.jsonl").write_text("".join(json.dumps({"text": text}) + "\n" for text in texts))
    (folder / "spec.yaml").write_text(SPEC)
    return folder


def weights(folder: Path) -> str:
    (file,) = folder.glob("runs/store/*/model/*model.safetensors")
    return hashlib.sha256(file.read_bytes()).hexdigest()


@pytest.fixture(scope="module")
def calm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = placed(tmp_path_factory.mktemp("calm") / "place")
    subprocess.run(COMMAND, cwd=folder, check=True, capture_output=True)
    return folder


@needs_root
@pytest.mark.slow
def test_a_disk_that_fills_up_in_a_training_is_told_and_with_room_the_run_goes_on(calm: Path, tmp_path: Path) -> None:
    folder = placed(tmp_path / "place")
    (folder / "runs").mkdir()
    # A second name space of mounts: the small disk is seen by this shell alone, and goes with it.
    lines = [
        "mount -t tmpfs -o size=48m none runs || exit 99",
        '"$@" >first 2>&1; echo $? >codes',
        "ls -d runs/store/*/checkpoints/*/COMPLETE >left; grep -l '\"told\": true' runs/store/*/attempts/1/status.json >told",
        '"$@" >second 2>&1; echo $? >>codes',
        "mount -o remount,size=1g runs",
        '"$@" >third 2>&1; echo $? >>codes',
        "cp -r runs kept",
    ]
    done = subprocess.run(["unshare", "-m", "bash", "-c", "\n".join(lines), "bash", *COMMAND], cwd=folder, check=False)
    if done.returncode == 99:
        pytest.skip("no disk can be mounted here")
    first, second = (folder / "first").read_text(), (folder / "second").read_text()
    assert (folder / "codes").read_text().split()[::2] == ["1", "0"], first + second + (folder / "third").read_text()
    for text in (first, second):
        assert "the disk is full; make room" in text and "Traceback" not in text
    assert len((folder / "left").read_text().split()) >= 1
    assert len((folder / "told").read_text().split()) == 1
    (folder / "runs").rmdir()
    (folder / "kept").rename(folder / "runs")
    assert weights(folder) == weights(calm)
    # It went on from a checkpoint.
    attempts = [json.loads(path.read_text()) for path in folder.glob("runs/store/*/attempts/*/status.json")]
    assert max(attempt["from"] for attempt in attempts) >= 2


@needs_root
@pytest.mark.slow
def test_a_disk_that_is_read_only_is_told(tmp_path: Path) -> None:
    folder = placed(tmp_path / "place")
    (folder / "runs").mkdir()
    lines = ["mount -t tmpfs none runs || exit 99", "mount -o remount,ro runs", 'exec "$@"']
    words = ["unshare", "-m", "bash", "-c", "\n".join(lines), "bash", *COMMAND]
    done = subprocess.run(words, cwd=folder, capture_output=True, text=True, check=False)
    if done.returncode == 99:
        pytest.skip("no disk can be mounted here")
    assert done.returncode == 6 and "mounted read-only" in done.stderr and "Traceback" not in done.stderr


def test_what_libraries_say_of_a_disk_is_understood(tmp_path: Path) -> None:
    def chained() -> Exception:
        try:
            try:
                raise OSError(28, "No space left on device", "x")
            except OSError as error:
                raise RuntimeError("cannot save") from error
        except RuntimeError as error:
            return error

    rust = Exception('Error while serializing: IoError(Os { code: 28, kind: StorageFull, message: "No space left on device" })')
    for error in (OSError(28, "No space left on device"), OSError(122, "Disk quota exceeded"), chained(), rust):
        assert "make room" in (disk_problem(error, tmp_path) or "")
    assert "read-only" in (disk_problem(OSError(30, "Read-only file system"), tmp_path) or "")
    for error in (ValueError("wrong"), FileNotFoundError(2, "No such file", "x"), PermissionError(13, "Permission denied", "model.bin")):
        assert disk_problem(error, tmp_path) is None
    assert "somewhere cannot be written: Is a directory" in str(cannot_write(OSError(21, "Is a directory"), "somewhere"))


# --- two users


def as_another(words: list[str], folder: Path) -> "subprocess.Popen[str]":
    """A command without root's right to write what belongs to others."""
    libc = ctypes.CDLL(None)

    def mortal() -> None:
        for capability in (1, 2, 3):  # DAC_OVERRIDE, DAC_READ_SEARCH, FOWNER
            libc.prctl(24, capability, 0, 0, 0)  # PR_CAPBSET_DROP

    return subprocess.Popen(words, cwd=folder, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, preexec_fn=mortal)


def said(words: list[str], folder: Path) -> tuple[int, str]:
    process = as_another(words, folder)
    text, _ = process.communicate(timeout=300)
    return process.returncode, text


def belongs_to_somebody(folder: Path) -> None:
    for path in (folder, *folder.rglob("*")):
        os.chown(path, SOMEBODY, SOMEBODY, follow_symlinks=False)


@pytest.fixture
def theirs(calm: Path, tmp_path: Path) -> Path:
    """A finished run of somebody else."""
    folder = tmp_path / "place"
    shutil.copytree(calm, folder, symlinks=True)
    belongs_to_somebody(folder / "runs")
    return folder


@needs_root
@pytest.mark.slow
def test_what_another_user_has_finished_is_used(theirs: Path) -> None:
    code, text = said(COMMAND, theirs)
    assert code == 0 and "nothing to run" in text


@needs_root
@pytest.mark.slow
def test_what_another_user_has_begun_and_left_is_named(theirs: Path) -> None:
    for path in theirs.glob("runs/store/*/DONE"):
        path.unlink()
    for name in ("runs", "runs/toy", "runs/store"):
        os.chown(theirs / name, 0, 0)
    for path in (theirs / "runs" / "toy").rglob("*"):
        os.chown(path, 0, 0, follow_symlinks=False)
    for words in (COMMAND, [*COMMAND[:3], "submit", "spec.yaml"]):
        code, text = said(words, theirs)
        assert code == 6 and f"belongs to user {SOMEBODY}, and you are root" in text and "Traceback" not in text
    # The folder of the run too.
    belongs_to_somebody(theirs / "runs" / "toy")
    code, text = said(COMMAND, theirs)
    assert code == 6 and f"belongs to user {SOMEBODY}" in text and "Traceback" not in text


@needs_root
@pytest.mark.slow
def test_what_another_user_works_on_is_waited_for(theirs: Path) -> None:
    belongs_to_me = [theirs / "runs", theirs / "runs" / "store", *(theirs / "runs" / "toy").rglob("*"), theirs / "runs" / "toy"]
    for path in belongs_to_me:
        os.chown(path, 0, 0, follow_symlinks=False)
    (done,) = [path for path in theirs.glob("runs/store/*/DONE") if (path.parent / "model").is_dir()]
    done.rename(done.with_name("later"))
    with (done.parent / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        process = as_another([word for word in COMMAND if word != "-q"], theirs)
        time.sleep(5)
        assert process.poll() is None, process.communicate()
        done.with_name("later").rename(done)
    text, _ = process.communicate(timeout=60)
    assert process.returncode == 0 and "works on train: waiting for it" in text


@needs_root
def test_whose_folder_it_is_stands_in_the_error(tmp_path: Path) -> None:
    assert hindrance(tmp_path / "not" / "yet") is None
    os.chown(tmp_path, SOMEBODY, SOMEBODY)
    problem = str(cannot_write(PermissionError(13, "Permission denied", str(tmp_path / "new")), tmp_path))
    assert f"{tmp_path} belongs to user {SOMEBODY}" in problem and "g+ws" in problem


@pytest.mark.parametrize(("mode", "made"), [(0o775, 0o660), (0o755, 0o640)])
def test_a_folder_that_its_group_may_write_stays_open_to_it(mode: int, made: int, tmp_path: Path) -> None:
    tmp_path.chmod(mode)
    before = os.umask(0o027)
    try:
        Runs(tmp_path).open_to_group()
        file = tmp_path / "file"
        file.touch()
    finally:
        os.umask(before)
    assert file.stat().st_mode & 0o777 == made
