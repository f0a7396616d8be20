"""What a misspelling certainly means: one answer or none, and never a word that means something else."""

import pytest

from dllm_run.compiler.certain import MEANT, Answer, certain
from dllm_run.compiler.suggest import FOREIGN

OPTIMIZER = ("learning_rate", "lr_schedule", "warmup", "weight_decay", "beta1", "beta2")


@pytest.mark.parametrize(
    ("word", "choices", "meant"),
    [
        pytest.param("Learning-Rate", OPTIMIZER, Answer("learning_rate"), id="case and dash"),
        pytest.param("lr", OPTIMIZER, Answer("learning_rate"), id="foreign"),
        pytest.param("batchsize", ("batch", "data"), Answer("batch"), id="foreign without its underscore"),
        pytest.param("max_steps", ("duration",), Answer("duration", "steps"), id="foreign with a unit"),
        pytest.param("learning_rat", OPTIMIZER, Answer("learning_rate"), id="a letter missing"),
        pytest.param("warmupp", OPTIMIZER, Answer("warmup"), id="a letter too many"),
        pytest.param("objectibe", ("objective",), Answer("objective"), id="another letter"),
        pytest.param("mdml", ("mdlm", "dream"), Answer("mdlm"), id="neighbours changed places"),
        pytest.param("mdm", ("mdlm", "dream"), None, id="a short word may be another word"),
        pytest.param("zero4", ("zero1", "zero2", "zero3"), None, id="three answers"),
        pytest.param("fsdp", ("fsdp2", "ddp"), None, id="digits are no slip"),
        pytest.param("fsdp1", ("fsdp2", "ddp"), None, id="another digit"),
        pytest.param("sheduler", ("schedule", "lr_schedule"), None, id="two slips"),
        pytest.param("scheduler", ("schedule", "lr_schedule"), None, id="a foreign word of two meanings"),
        pytest.param("guidance_scale", ("cfg_scale",), None, id="foreign, another scale"),
        pytest.param("gradient_accumulation_steps", ("batch", "micro"), None, id="foreign, another thing"),
        pytest.param("per_device_train_batch_size", ("batch",), None, id="rows of a device are no global batch"),
        pytest.param("limit", ("limits", "where"), None, id="a word of the language elsewhere"),
        pytest.param("", ("a",), None, id="nothing"),
        pytest.param("-_", ("a",), None, id="no letters"),
        pytest.param("l" * 10_000, OPTIMIZER, None, id="very long"),
    ],
)
def test_a_word_means_the_one_choice_that_it_can_mean(word: str, choices: tuple[str, ...], meant: Answer | None) -> None:
    assert certain(word, choices) == meant
    assert certain(word, reversed(choices)) == meant


def test_what_is_certain_is_what_would_be_suggested() -> None:
    assert set(MEANT) < set(FOREIGN)
    assert [name for name, answers in MEANT.items() if not {answer.word for answer in answers} <= set(FOREIGN[name])] == []
