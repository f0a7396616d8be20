"""Which stage is sampled from, and what becomes of it: by specs and runs that never trained."""

from collections.abc import Callable

import pytest
from made_runs import SPEC, Folder, finish
from rich.console import Console

from dllm_run.cli.kept_spec import find_spec
from dllm_run.cli.sampled import NEW_TOKENS, Sampled, Wish, sampled
from dllm_run.specs.errors import NotFound, SpecError
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.samplers.bd3lm import Bd3lmSampler
from dllm_run.specs.vocabulary.samplers.dream import DreamSampler
from dllm_run.specs.vocabulary.samplers.llada import Llada

Find = Callable[..., Sampled]
NO_LOOK = "stages.look=null"


@pytest.fixture
def find(folder: Folder) -> Find:
    """Finds what is sampled from, with every training stage done."""

    def found(text: str | None, *flags: str, **wishes: object) -> Sampled:
        if text is not None and text.endswith(".yaml"):
            folder.run(*flags, done=("train", "train.data"))
        wish = Wish(**wishes)  # type: ignore[arg-type]
        return sampled(
            find_spec(text, flags if text and text.endswith(".yaml") else (), folder.runs), wish, folder.runs, Console(stderr=True)
        )

    return found


def test_the_stage_that_samples_is_the_one_of_the_run_where_nothing_is_changed(folder: Folder, find: Find) -> None:
    (point,) = folder.run(done=("train",)).points.values()
    by_spec = find("spec.yaml", own_prompts=True)
    assert by_spec.name == "look" and by_spec.stage_id == point.stages["look"] and by_spec.source == "train"
    for text in ("small", None, str(folder.runs.all_runs()[0])):
        assert find(text, own_prompts=True).stage_id == by_spec.stage_id
    # Of a plan of many stages the model's process reads what it needs alone.
    assert set(by_spec.plan.names.values()) == {"train", "train.data", "look"}


def test_flags_of_a_run_count_when_it_is_sampled_from(folder: Folder, find: Find) -> None:
    (point,) = folder.run("stages.train.objective.schedule=cosine", done=("train",)).points.values()
    assert find("small", own_prompts=True).stage_id == point.stages["look"]


def test_the_command_line_changes_the_stage_and_not_its_model(find: Find) -> None:
    before = find("spec.yaml", own_prompts=True)
    found = find("spec.yaml", steps=8, temperature=0.5, max_new_tokens=32, seed=4)
    assert isinstance(found.body.sampler, Llada)
    assert (found.body.sampler.steps, found.body.sampler.temperature, found.body.sampler.block_size) == (8, 0.5, 32)
    assert (found.body.max_new_tokens, found.body.seed, found.body.model) == (32, 4, before.body.model)
    # Another sampler takes no settings of the one that it replaces.
    assert find("spec.yaml", sampler="dream").body.sampler == DreamSampler().completed()


def test_a_model_without_a_stage_that_samples_is_sampled_as_its_evaluation_does(find: Find) -> None:
    more = "stages.bound.sampler={type: llada, steps: 3}"
    found = find("spec.yaml", NO_LOOK, more, "stages.bound.tasks=[held_out_text, gsm8k]")
    assert (found.name, found.body.prompts, found.body.max_new_tokens) == ("sample", ("",), NEW_TOKENS)
    assert isinstance(found.body.sampler, Llada) and found.body.sampler.steps == 3


def test_without_any_sampler_in_the_spec_it_is_that_of_the_objective(find: Find) -> None:
    assert isinstance(find("spec.yaml", NO_LOOK).body.sampler, Llada)
    assert isinstance(find("spec.yaml", NO_LOOK, "stages.train.objective=dream", "stages.bound=null").body.sampler, DreamSampler)
    blocks = ("stages.train.objective={type: bd3lm, block_size: 8}", "stages.train.model.attention=block_causal", "stages.bound=null")
    sampler = find("spec.yaml", NO_LOOK, *blocks).body.sampler
    assert isinstance(sampler, Bd3lmSampler) and sampler.block_size == 8


def test_a_name_that_is_taken_is_not_taken_again(folder: Folder, find: Find) -> None:
    folder.write(SPEC.replace("look:", "sample:"))
    assert find("spec.yaml", stage="train").name == "sample-train"


def test_held_out_rows_make_room_for_texts_where_texts_are_asked_for(find: Find) -> None:
    rows = (
        'stages.look.prompts={data: "${data.docs}", limit: 2}',
        "stages.look.max_new_tokens=null",
        "stages.look.sampler.block_size=null",
    )
    assert find("spec.yaml", *rows).body.max_new_tokens == NEW_TOKENS
    own = find("spec.yaml", *rows, own_prompts=True, rows=1).body
    assert own.max_new_tokens is None and own.prompts.limit == 1  # type: ignore[union-attr]


def test_of_a_sweep_one_point_is_named(find: Find) -> None:
    sweep = "sweep.grid={stages.train.optimizer.learning_rate: [1e-3, 2e-3]}"
    with pytest.raises(NotFound, match=r"has 2 points: say which with --point: learning_rate=0.001, learning_rate=0.002"):
        find("spec.yaml", sweep)
    one, two = (find("spec.yaml", sweep, point=f"learning_rate={rate}").body.model for rate in ("0.001", "0.002"))
    assert isinstance(one, Reference) and one != two


def test_what_is_not_trained_is_said_with_the_command_that_trains_it(folder: Folder) -> None:
    with pytest.raises(NotFound, match=r"train has no result under runs yet: `dllm-run run spec.yaml` first"):
        sampled(find_spec("spec.yaml", (), folder.runs), Wish(), folder.runs, Console(stderr=True))


def test_of_two_models_the_last_that_is_done_is_taken(folder: Folder) -> None:
    folder.write(SPEC + "  more: {kind: pretrain, model: '${stages.train}', data: '${data.docs}', objective: mdlm, batch: 8,\n"
                 "    optimizer: {learning_rate: 1e-4}, duration: 5 steps}\n")  # fmt: skip
    (point,) = folder.run(NO_LOOK, "stages.bound=null", done=("train",)).points.values()

    def source() -> str:
        return sampled(
            find_spec("spec.yaml", (NO_LOOK, "stages.bound=null"), folder.runs), Wish(), folder.runs, Console(stderr=True)
        ).source

    assert source() == "train"
    finish(folder.runs.entry(point.stages["more"]))
    assert source() == "more"


def test_a_sampler_that_the_model_cannot_take_is_an_error_of_the_spec(find: Find) -> None:
    with pytest.raises(SpecError) as error:
        find("spec.yaml", sampler="{type: bd3lm, block_size: 8}")
    assert {item.code for item in error.value.diagnostics} == {"E420"}
