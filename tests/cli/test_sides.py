"""What diff compares: specs, git revisions, compiled trees, runs and points, from the command line."""

import json
import subprocess
from pathlib import Path

import pytest
from made_runs import SPEC, Folder

from dllm_run.cli.gitfiles import Revision, RevisionFolder

STEPS = "stages.look.sampler.steps=16"
SWEEP = "sweep: {grid: {stages.look.sampler.steps: [16, 32, 64]}}\n"


def git(*words: str) -> str:
    command = ["git", "-c", "user.name=a", "-c", "user.email=a@example.org", "-c", "init.defaultBranch=main", *words]
    return subprocess.run(command, check=True, capture_output=True, text=True).stdout


@pytest.fixture
def repository(folder: Folder) -> Folder:
    """The folder under git, with one commit."""
    git("init", "-q")
    git("add", "spec.yaml", "docs.txt")
    git("commit", "-qm", "first")
    return folder


def changes(text: str) -> list[tuple[str, object, object]]:
    return [(change["path"], change["old"], change["new"]) for change in json.loads(text)["changes"]]


# --- compiled trees and runs


def test_compiled_trees_differ_as_their_specs_do(folder: Folder) -> None:
    other = SPEC.replace("max_length: 64", "max_length: 32").replace("width: 128", "width: 256").replace("micro: 8", "micro: 4")
    folder.write(other, "other.yaml")
    for name in ("spec", "other"):
        assert folder.said("compile", f"{name}.yaml", "-o", name)[0] == 0
    code, expected = folder.said("diff", "spec.yaml", "other.yaml", "--json")
    assert code == 4 and len(changes(expected)) == 3
    for old, new in (("spec", "other"), ("spec.yaml", "other"), ("spec", "other.yaml")):
        assert folder.said("diff", old, new, "--json") == (4, expected)


def test_trees_of_sweeps_differ_as_their_specs_do(folder: Folder) -> None:
    folder.write(SPEC + SWEEP.replace("[16", "[8, 16"))
    folder.write(SPEC + SWEEP, "other.yaml")
    for name in ("spec", "other"):
        folder.said("compile", f"{name}.yaml", "-o", name)
    expected = folder.said("diff", "spec.yaml", "other.yaml")
    assert "1 removed: steps=8" in expected[1]
    assert folder.said("diff", "spec", "other") == expected


def test_a_tree_is_read_without_its_spec(folder: Folder) -> None:
    folder.said("compile", "spec.yaml", "-o", "tree")
    (folder.path / "tree" / "spec.yaml").unlink()
    assert folder.said("diff", "tree", "spec.yaml")[1].startswith("no difference")


def test_a_run_is_named_by_its_name_its_id_or_its_folder(folder: Folder) -> None:
    plan = folder.run(done=("train.data", "train"))
    for name in ("small", plan.run_id, plan.run_id[:5], f"small/{plan.run_id}", f"runs/small/{plan.run_id}"):
        code, said = folder.said("diff", name, "spec.yaml", "-s", STEPS, "--json")
        assert code == 4 and changes(said) == [("stages.look.sampler.steps", 32, 16)]


def test_the_work_that_stands_is_counted(folder: Folder) -> None:
    folder.run(done=("train.data", "train"))
    said = folder.said("diff", "small", "spec.yaml", "-s", STEPS)[1]
    # Two stages of five seconds; bound is kept and was never run.
    assert "Reusable: 3 of 4 stages; 2 of them have results here, 0:10 of work." in said


def test_a_tree_of_another_version_is_exit_6(folder: Folder) -> None:
    folder.said("compile", "spec.yaml", "-o", "tree")
    file = folder.path / "tree" / "plan.json"
    file.write_text(file.read_text().replace("dllm-run/plan/1", "dllm-run/plan/0"))
    code, said = folder.said("diff", "tree", "spec.yaml")
    assert code == 6 and "'dllm-run/plan/0'" in said and "compile its spec anew" in said


@pytest.mark.parametrize(
    ("name", "change"),
    [
        pytest.param("plan.json", lambda text: text[:100], id="cut off"),
        pytest.param("plan.json", lambda text: text.replace('"learning_rate"', '"rate"'), id="unknown field"),
        pytest.param("plan.json", lambda text: "[]", id="no map"),
        pytest.param("resolved.json", None, id="missing file"),
    ],
)
def test_a_damaged_tree_is_exit_6(folder: Folder, name: str, change: object) -> None:
    folder.said("compile", "spec.yaml", "-o", "tree")
    file = folder.path / "tree" / name
    if callable(change):
        file.write_text(change(file.read_text()))
    else:
        file.unlink()
    code, said = folder.said("diff", "tree", "spec.yaml")
    assert code == 6 and "tree" in said


# --- points


def test_a_point_is_named_behind_what_holds_it(folder: Folder) -> None:
    folder.write(SPEC + SWEEP)
    plan = folder.run()
    point_id = next(point_id for point_id, point in plan.points.items() if point.name == "steps=16")
    folder.said("compile", "spec.yaml", "-o", "tree")
    for whole in ("spec.yaml", "small", plan.run_id, "tree", f"runs/small/{plan.run_id}"):
        for point in ("steps=16", point_id, point_id[:6]):
            code, said = folder.said("diff", f"{whole}/{point}", f"{whole}/steps=64", "--json")
            assert code == 4 and changes(said) == [("stages.look.sampler.steps", 16, 64)]


def test_a_point_may_hold_slashes_and_colons(folder: Folder) -> None:
    (folder.path / "a").mkdir()
    (folder.path / "a" / "x:y.txt").write_text("A text.\nAnother.\nA third.\n")
    folder.write(SPEC + 'sweep: {grid: {data.docs.sources: [["./docs.txt"], ["./a/x:y.txt"]]}}\n')
    code, said = folder.said("diff", 'spec.yaml/sources=["./docs.txt"]', 'spec.yaml/sources=["./a/x:y.txt"]', "--json")
    assert code == 4 and changes(said) == [("data.docs.sources.0.path", "./docs.txt", "./a/x:y.txt")]


def test_a_point_of_a_sweep_equals_the_spec_with_its_values(folder: Folder) -> None:
    folder.write(SPEC + SWEEP, "sweep.yaml")
    folder.write(SPEC.replace("steps: 32", "steps: 16"))
    assert folder.said("diff", "sweep.yaml/steps=16", "spec.yaml")[1].startswith("no difference")


def test_of_a_point_only_what_it_reads_counts(folder: Folder) -> None:
    folder.write("Some.\nMore.\nWords.\n", "more.txt")
    folder.write(SPEC + 'sweep: {grid: {data.docs.sources: [["./docs.txt"], ["./more.txt"]]}}\n')
    folder.run()
    folder.write("Other.\nMore.\nWords.\n", "more.txt")
    for name, code in (("docs", 0), ("more", 4)):
        point = f'sources=["./{name}.txt"]'
        assert folder.said("diff", f"small/{point}", f"spec.yaml/{point}")[0] == code


def test_an_unknown_point_is_answered_with_the_nearest(folder: Folder) -> None:
    folder.write(SPEC + SWEEP)
    code, said = folder.said("diff", "spec.yaml/steps=61", "spec.yaml")
    assert code == 5 and "did you mean steps=" in said


# --- git


def test_a_revision_is_compared_with_the_file_of_now(repository: Folder) -> None:
    repository.write(SPEC.replace("steps: 32", "steps: 64"))
    code, said = repository.said("diff", "HEAD:spec.yaml", "spec.yaml", "--json")
    assert code == 4 and changes(said) == [("stages.look.sampler.steps", 32, 64)]
    assert repository.said("diff", "HEAD:spec.yaml", "HEAD:spec.yaml")[1].startswith("no difference")


def test_places_in_a_revision_name_it(repository: Folder) -> None:
    repository.write(SPEC.replace("steps: 32", "steps: 64"))
    change = json.loads(repository.said("diff", "spec.yaml", "HEAD:spec.yaml", "--json")[1])["changes"][0]
    line = 1 + SPEC[: SPEC.index("steps: 32")].count("\n")
    assert change["place"] == f"HEAD:spec.yaml:{line}"


def test_data_of_a_revision_come_from_it(repository: Folder) -> None:
    Path("docs.txt").write_text("Other words.\nAnother text.\nA third.\n")
    code, said = repository.said("diff", "HEAD:spec.yaml", "spec.yaml", "--json")
    assert code == 4 and [path for path, _, _ in changes(said)] == ["inputs[./docs.txt]"]
    git("commit", "-qam", "second")
    assert repository.said("diff", "HEAD:spec.yaml", "spec.yaml")[0] == 0
    assert repository.said("diff", "HEAD~1:spec.yaml", "HEAD:spec.yaml")[0] == 4


def test_data_that_git_does_not_keep_come_from_the_disk(repository: Folder) -> None:
    git("rm", "-q", "--cached", "docs.txt")
    git("commit", "-qm", "second")
    assert repository.said("diff", "HEAD:spec.yaml", "spec.yaml")[0] == 0


def test_a_pattern_means_in_a_revision_what_it_means_on_the_disk(folder: Folder) -> None:
    for name in ("texts/a.txt", "texts/b.txt", "texts/b.md", "texts/deep/c.txt", "texts/.hidden.txt", "other/d.txt"):
        folder.write(f"Words of {name}.\n", name)
    for number, pattern in enumerate(
        ["./texts/*.txt", "texts/**/*.txt", "./texts", "./texts/[ab].txt", "texts/a.txt", "../exp/texts/?.md"]
    ):
        folder.write(SPEC.replace("./docs.txt", f'"{pattern}"'), f"exp/spec{number}.yaml")
    for name in ("texts", "other"):
        (folder.path / name).rename(folder.path / "exp" / name)
    git("init", "-q")
    git("add", "-f", ".")
    git("commit", "-qm", "first")
    for number in range(6):
        code, said = folder.said("diff", f"HEAD:exp/spec{number}.yaml", f"exp/spec{number}.yaml")
        assert code == 0 and said.startswith("no difference"), (number, said)
    folder.write("Changed.\n", "exp/texts/deep/c.txt")
    codes = [folder.said("diff", f"HEAD:exp/spec{number}.yaml", f"exp/spec{number}.yaml")[0] for number in range(6)]
    # Only ** and the whole folder reach the deep file.
    assert codes == [0, 4, 4, 0, 0, 0]


def test_a_pointer_of_git_lfs_counts_as_the_file_it_stands_for(repository: Folder) -> None:
    sha = subprocess.run(["sha256sum", "docs.txt"], check=True, capture_output=True, text=True).stdout.split()[0]
    whole = Path("docs.txt").read_text()
    Path("docs.txt").write_text(f"version https://git-lfs.github.com/spec/v1\noid sha256:{sha}\nsize {len(whole)}\n")
    git("commit", "-qam", "lfs")
    Path("docs.txt").write_text(whole)
    assert repository.said("diff", "HEAD:spec.yaml", "spec.yaml")[0] == 0


def test_the_lock_of_a_revision_holds_for_it(repository: Folder) -> None:
    repository.said("lock", "spec.yaml")
    git("add", "spec.lock.json")
    git("commit", "-qm", "lock")
    Path("docs.txt").write_text("Other words.\nAnother text.\nA third.\n")
    git("commit", "-qam", "the data changed, the lock did not")
    repository.said("lock", "spec.yaml", "--update")
    assert repository.said("diff", "HEAD:spec.yaml", "spec.yaml")[0] == 4


def test_paths_are_those_of_git_or_of_the_current_folder(repository: Folder, monkeypatch: pytest.MonkeyPatch) -> None:
    repository.write(SPEC.replace("./docs.txt", "../docs.txt"), "inner/deep.yaml")
    git("add", ".")
    git("commit", "-qm", "second")
    monkeypatch.chdir(repository.path / "inner")
    for spelt in ("HEAD:inner/deep.yaml", "HEAD:deep.yaml", "HEAD:./deep.yaml"):
        assert repository.said("diff", spelt, "deep.yaml") == repository.said("diff", "deep.yaml", "deep.yaml")
    assert repository.said("diff", "HEAD:../spec.yaml", "../spec.yaml")[0] == 0


def test_a_point_of_a_revision(repository: Folder) -> None:
    repository.write(SPEC + SWEEP)
    git("commit", "-qam", "sweep")
    code, said = repository.said("diff", "HEAD:spec.yaml/steps=16", "HEAD:spec.yaml/steps=64", "--json")
    assert code == 4 and changes(said) == [("stages.look.sampler.steps", 16, 64)]


@pytest.mark.parametrize(
    ("old", "said"),
    [
        pytest.param("HEAD:spec.yml", "did you mean spec.yaml?", id="unknown path"),
        pytest.param("HEAD:nothing/at/all", "YAML files there: spec.yaml", id="nothing near"),
        pytest.param("HEAD~7:spec.yaml", "no revision 'HEAD~7'", id="unknown revision"),
        pytest.param("mian:spec.yaml", "did you mean main?", id="misspelt branch"),
        pytest.param("--output=x:spec.yaml", "no revision", id="no option for git"),
        pytest.param("spec.yml", "did you mean spec.yaml?", id="unknown file"),
        pytest.param("runs", "there is no spec, compiled tree or run", id="no run"),
        pytest.param(".", "neither a compiled tree nor a run", id="a folder of something else"),
    ],
)
def test_what_is_not_there_is_exit_5_with_what_is(repository: Folder, old: str, said: str) -> None:
    git("branch", "-M", "main")
    code, text = repository.said("diff", "--", old, "spec.yaml")
    assert code == 5 and said in text


def test_no_repository_is_exit_5(folder: Folder) -> None:
    code, said = folder.said("diff", "HEAD:spec.yaml", "spec.yaml")
    assert code == 5 and "in no git repository" in said


def test_a_folder_of_a_revision_reads_as_extends_does(repository: Folder) -> None:
    repository.write("base: true\n", "bases/base.yaml")
    git("add", ".")
    git("commit", "-qm", "second")
    repository.write("base: false\n", "bases/base.yaml")
    read = RevisionFolder(Revision.find("HEAD", Path.cwd()), "bases")
    assert read("base.yaml") == b"base: true\n"
    assert read("../spec.yaml") == SPEC.encode()
    with pytest.raises(FileNotFoundError, match="outside of the repository"):
        read("../../spec.yaml")
    with pytest.raises(FileNotFoundError, match=r"did you mean bases/base\.yaml"):
        read("bas.yaml")


def test_a_spec_of_a_revision_extends_files_of_that_revision(repository: Folder) -> None:
    repository.write(SPEC, "bases/base.yaml")
    repository.write("extends: [bases/base.yaml]\n", "spec.yaml")
    git("add", ".")
    git("commit", "-qm", "third")
    repository.write(SPEC.replace("global: 32", "global: 64"), "bases/base.yaml")
    code, said = repository.said("diff", "HEAD:spec.yaml", "spec.yaml")
    assert code == 4 and "stages.train.batch.global" in said and "32 -> 64" in said and "bases/base.yaml" in said


# --- endings


def test_numerics_are_exit_4_with_strict_alone(folder: Folder) -> None:
    words = ("diff", "small", "spec.yaml", "-s", "stages.train.batch.micro=4")
    folder.run()
    assert folder.said(*words)[0] == 0
    assert folder.said(*words, "--strict")[0] == 4
    assert folder.said("diff", "small", "spec.yaml", "-s", "stages.train.checkpoint.keep=4", "--strict")[0] == 0


def test_flags_that_nothing_reads_are_exit_2(folder: Folder) -> None:
    folder.run()
    code, said = folder.said("diff", "small", "small", "-s", "seed=3")
    assert code == 2 and "compiled already" in said


def test_the_document_says_all_that_the_text_does(folder: Folder) -> None:
    folder.run(done=("train.data",))
    document = json.loads(folder.said("diff", "small", "spec.yaml", "-s", "stages.train.batch={global: 32, micro: 4}", "--json")[1])
    assert document["schema"] == "dllm-run/diff/1"
    (change,) = document["changes"]
    assert change == {
        "path": "stages.train.batch.micro",
        "old": 8,
        "new": 4,
        "effect": "numerics",
        "place": "-s:1",
        "notes": ["accumulation 4 -> 8, global stays 32"],
        "points": [],
    }
    assert document["derived"] == [{"stage": "train", "name": "accumulation", "old": 4, "new": 8}]
    assert document["invalidated"] == [] and document["kept"] == ["train.data", "train", "bound", "look"]
    assert {stage["name"]: stage["seconds"] for stage in document["stages"]} == {
        "train.data": 5.0,
        "train": None,
        "bound": None,
        "look": None,
    }
