"""Edit Flows in the compiler: which models have heads, how data are aligned, what goes together, what changes an id."""

from collections.abc import Callable
from typing import Any

import pytest

from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.estimate.facts import facts_of
from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.texts import Texts
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.objectives.edit_flow import EditFlow
from dllm_run.specs.vocabulary.source import Source
from dllm_run.specs.vocabulary.stages.data import DataStage
from dllm_run.specs.vocabulary.starts.empty import Empty
from dllm_run.specs.vocabulary.starts.masks import Masks
from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes

Diagnosed = Callable[..., tuple[Diagnostic, ...]]
Compiling = Callable[..., Compiled]

TRAINING = 'data: "${data.docs}", batch: 8, optimizer: {learning_rate: 1e-3}, duration: 10 steps'
SCRATCH = "{scratch: {family: llama, layers: 2, width: 64, tie_embeddings: false}, tokenizer: bytes}"
HEAD = """\
version: 1
name: edits
data: {docs: {sources: [{generate: sudoku}], holdout: 0.1, max_length: 128}}
compute: {device: cpu}
stages:
"""


def spec(**stages: str) -> str:
    return HEAD + "".join(f"  {name}: {{{text}}}\n" for name, text in stages.items())


def trained(model: str, objective: str) -> str:
    return f"kind: pretrain, model: {model}, objective: {objective}, {TRAINING}"


def from_(name: str) -> str:
    return f'"${{stages.{name}}}"'


BASE = {"base": trained(SCRATCH, "mdlm")}
HEADS = {**BASE, "heads": f"kind: convert, model: {from_('base')}, to: edit_flow"}


@pytest.mark.parametrize(
    ("stages", "refused"),
    [
        ({"edits": trained(SCRATCH, "edit_flow")}, False),
        ({**BASE, "edits": trained(from_("base"), "edit_flow")}, True),
        ({**HEADS, "edits": trained(from_("heads"), "edit_flow")}, False),
        ({**HEADS, "more": trained(from_("heads"), "mdlm"), "edits": trained(from_("more"), "edit_flow")}, False),
        ({"first": trained(SCRATCH, "edit_flow"), "edits": trained(from_("first"), "edit_flow")}, False),
        ({**BASE, "more": trained(from_("base"), "mdlm"), "edits": trained(from_("more"), "edit_flow")}, True),
        ({"edits": trained("{from: ./weights, tokenizer: bytes}", "edit_flow")}, False),
    ],
    ids=["scratch", "masked", "converted", "masked after", "edited before", "masked twice", "not known"],
)
def test_a_model_that_cannot_have_heads_is_refused(stages: dict[str, str], refused: bool, diagnosing: Diagnosed) -> None:
    assert ("E450" in {item.code for item in diagnosing(spec(**stages))}) is refused


def test_a_likelihood_of_a_model_that_edits_is_refused(diagnosing: Diagnosed) -> None:
    asked = 'kind: eval, model: {}, data: "${{data.docs}}", tasks: [held_out_text], likelihood: {{estimator: elbo, samples: 2}}'
    for objective, codes in (("mdlm", set()), ("edit_flow", {"E420"})):
        text = spec(train=trained(SCRATCH, objective), bound=asked.format(from_("train")))
        assert {item.code for item in diagnosing(text)} == codes


def test_packed_rows_are_refused(diagnosing: Diagnosed) -> None:
    found = diagnosing(spec(edits=trained(SCRATCH, "edit_flow")), "data.docs.packing=cut")
    assert [(item.code, item.fix) for item in found] == [("E420", "data.docs.packing=none")]


@pytest.mark.parametrize("value", ["-0.1", "2.1"])
@pytest.mark.parametrize("name", ["a", "b"])
def test_a_cubic_schedule_that_could_fall_is_refused(name: str, value: str, diagnosing: Diagnosed) -> None:
    schedule = f"{{type: edit_flow, schedule: {{type: cubic, {name}: {value}}}}}"
    assert [item.code for item in diagnosing(spec(edits=trained(SCRATCH, schedule)))] == ["E106"]


# --- data and ids


def planned(compiled: Compiled) -> dict[str, tuple[str, Any]]:
    (point,) = compiled.plan.points.values()
    return {name: (found, compiled.plan.stages[found].body) for name, found in point.stages.items()}


def test_data_are_aligned_with_the_start_of_the_objective_that_reads_them(compiling: Compiling) -> None:
    found = planned(
        compiling(
            spec(
                masked=trained(SCRATCH, "mdlm"),
                empty=trained(SCRATCH, "{type: edit_flow, start: empty}"),
                masks=trained(SCRATCH, "{type: edit_flow, start: {type: masks, length: 8}}"),
                linear=trained(SCRATCH, "{type: edit_flow, start: empty, schedule: linear}"),
            )
        )
    )
    assert [found[f"{name}.data"][1].start for name in ("masked", "empty", "masks")] == [None, Empty(), Masks(length=8)]
    assert found["linear.data"][0] == found["empty.data"][0], "the schedule is no business of the data"
    assert len({found[f"{name}.data"][0] for name in ("masked", "empty", "masks")}) == 3


def test_a_field_that_joined_late_moves_no_id_at_its_default() -> None:
    """The text that is hashed is that of the language before it."""
    data = Data(sources=(Source(path="./a.txt"),))
    before, after = DataStage(data=data, tokenizer=Bytes()), DataStage(data=data, tokenizer=Bytes(), start=Empty())
    assert '"start"' not in Texts().results(before, {}) and '"start":{"type":"empty"}' in Texts().results(after, {})
    assert '"start":null' in Texts().whole(before)


def test_the_seed_of_a_conversion_that_draws_enters_its_id(compiling: Compiling) -> None:
    one, other = (planned(compiling(spec(**HEADS), f"stages.heads.seed={seed}")) for seed in (1, 2))
    assert one["heads"][0] != other["heads"][0] and one["base"][0] == other["base"][0]


# --- estimates


def test_the_parameters_of_the_heads_are_counted_where_they_are_trained(compiling: Compiling) -> None:
    """Two matrices of 258 tokens by 64, three rates of 64 inputs and a bias."""
    compiled = compiling(spec(masked=trained(SCRATCH, "mdlm"), edits=trained(SCRATCH, "edit_flow")))
    found = planned(compiled)

    def parameters(name: str) -> int:
        facts = facts_of(found[name][1], lambda other: compiled.plan.stages[other].body, None)
        assert facts is not None and facts.geometry is not None
        return facts.geometry.parameters()

    assert parameters("edits") - parameters("masked") == 2 * 258 * 64 + 3 * 64 + 3


def test_as_many_positions_are_scored_as_remain() -> None:
    assert EditFlow().scored_share() == EditFlow().schedule.mean_remaining()
    assert not EditFlow().in_strata() and EditFlow(time_sampling="stratified").in_strata()


# --- sampling


EDITS = trained(SCRATCH, "edit_flow")
SAID = 'kind: sample, prompts: ["Once "], max_new_tokens: 64'


@pytest.mark.parametrize(
    ("model", "sampler", "codes"),
    [
        ("edits", "edit_flow", set()),
        ("edits", "{type: edit_flow, schedule: cubic, start: masks}", set()),
        ("edits", "{type: edit_flow, schedule: {type: cubic, a: 0.5}}", {"E604"}),
        ("edits", "llada", {"E420"}),
        ("edits", "dream", {"E420"}),
        ("edits", "ancestral", {"E420"}),
        ("base", "edit_flow", {"E420"}),
        ("heads", "edit_flow", {"E420"}),
        ("heads", "llada", set()),
    ],
)
def test_edits_and_masks_are_sampled_each_by_their_own(model: str, sampler: str, codes: set[str], diagnosing: Diagnosed) -> None:
    text = spec(**HEADS, edits=EDITS, look=f"{SAID}, model: {from_(model)}, sampler: {sampler}")
    assert {item.code for item in diagnosing(text)} == codes


def test_published_weights_have_no_heads_until_a_stage_adds_them(diagnosing: Diagnosed) -> None:
    direct = spec(edits=trained("{from: Qwen/Qwen3-0.6B, tokenizer: bytes}", "edit_flow"))
    assert "E450" in {item.code for item in diagnosing(direct)}
    heads = "kind: convert, model: Qwen/Qwen3-0.6B, to: edit_flow"
    assert "E450" not in {item.code for item in diagnosing(spec(heads=heads, edits=trained(from_("heads"), "edit_flow")))}


def test_rows_that_are_mended_are_laid_out_as_in_training(compiling: Compiling) -> None:
    mended = 'kind: sample, model: {}, prompts: {{data: "${{data.docs}}"}}, sampler: {}'
    found = planned(
        compiling(
            spec(**BASE, edits=EDITS, mend=mended.format(from_("edits"), "edit_flow"), fill=mended.format(from_("base"), "llada")),
        )
    )
    assert found["mend.data"][0] == found["edits.data"][0] and found["fill.data"][0] == found["base.data"][0]


def test_of_a_sampler_steps_count_and_heads_weigh(compiling: Compiling) -> None:
    compiled = compiling(spec(edits=EDITS, look=f"{SAID}, model: {from_('edits')}, sampler: {{type: edit_flow, steps: 7}}"))
    look = planned(compiled)["look"][1]
    assert look.sampler.passes(64) == 7 and look.sampler.draws_random_numbers()
    facts = facts_of(look, lambda other: compiled.plan.stages[other].body, None)
    assert facts is not None and facts.geometry is not None and facts.geometry.edit_heads
