"""The nearest word: typos, other people's spellings, and the cases in which silence is better."""

import random

import pytest

from dllm_run.compiler.suggest import FOREIGN, nearest, nearest_free

STAGE = ["batch", "data", "duration", "evaluate", "learning_rate", "lr_schedule", "model", "objective", "optimizer"]
STAGE += ["steps", "temperature", "warmup"]
SAMPLER = ["block_size", "cache", "cfg_scale", "max_new_tokens", "remasking", "schedule", "steps", "threshold", "top_k", "top_p"]


@pytest.mark.parametrize(
    ("word", "choices", "meant"),
    [
        pytest.param("learning_rat", STAGE, "learning_rate", id="letter-missing"),
        pytest.param("objectives", STAGE, "objective", id="letter-too-many"),
        pytest.param("modle", STAGE, "model", id="transposition"),
        pytest.param("ot", ["to", "gguf"], "to", id="transposition-in-a-short-word"),
        pytest.param("DATA", STAGE, "data", id="case"),
        pytest.param("learning-rate", STAGE, "learning_rate", id="hyphen"),
        pytest.param("learningRate", STAGE, "learning_rate", id="camel-case"),
        pytest.param("temp", STAGE, "temperature", id="prefix"),
        pytest.param("Block-Length", SAMPLER, "block_size", id="foreign-in-other-clothes"),
        pytest.param("rigth", ["right", "filter"], "right", id="word-of-an-enum"),
    ],
)
def test_a_typo_is_answered_with_the_nearest_word(word: str, choices: list[str], meant: str) -> None:
    assert nearest(word, choices) == meant


@pytest.mark.parametrize(
    ("word", "meant"),
    [
        ("lr", "learning_rate"),
        ("max_steps", "duration"),
        ("num_train_epochs", "duration"),
        ("epochs", "duration"),
        ("per_device_train_batch_size", "batch"),
        ("warmup_ratio", "warmup"),
        ("warmup_steps", "warmup"),
        ("block_length", "block_size"),
        ("gen_length", "max_new_tokens"),
        ("max_length_new", "max_new_tokens"),
        ("dataset", "data"),
        ("noise_schedule", "schedule"),
        ("scheduler", "schedule"),
        ("cfg", "cfg_scale"),
    ],
)
def test_the_spelling_of_another_tool_is_understood(word: str, meant: str) -> None:
    assert nearest(word, [*STAGE, *SAMPLER]) == meant


@pytest.mark.parametrize(
    ("word", "choices"),
    [
        pytest.param("epochs", ["alpha", "rank"], id="foreign-word-without-its-target"),
        pytest.param("lr", ["alpha", "rank"], id="short-foreign-word-without-its-target"),
        pytest.param("zebra", STAGE, id="nothing-alike"),
        pytest.param("", STAGE, id="empty-word"),
        pytest.param("model", [], id="no-choices"),
    ],
)
def test_nothing_is_suggested_where_nothing_is_near(word: str, choices: list[str]) -> None:
    assert nearest(word, choices) is None


def test_a_foreign_word_means_the_first_of_its_targets_that_is_known() -> None:
    assert nearest("per_device_train_batch_size", ["global", "micro"]) == "micro"
    assert nearest("scheduler", ["learning_rate", "lr_schedule"]) == "lr_schedule"


def test_a_beginning_that_fits_two_words_is_left_to_likeness() -> None:
    assert nearest("top_", ["top_k", "top_p", "topology"]) in {"top_k", "top_p"}


def test_the_order_of_the_choices_plays_no_part() -> None:
    words = [*STAGE, *SAMPLER]
    shuffled = list(words)
    for seed in range(20):
        random.Random(seed).shuffle(shuffled)
        for typo in ("tpo_k", "stop", "schedul", "top", "mode", "bach"):
            assert nearest(typo, shuffled) == nearest(typo, words)


def test_foreign_words_are_written_as_they_are_looked_up() -> None:
    for word, targets in FOREIGN.items():
        assert word == word.casefold().replace("-", "_")
        assert targets and word not in targets


def test_of_two_words_that_are_equally_near_the_free_one_is_meant() -> None:
    assert nearest_free("beta3", ["beta1", "beta2"], ["beta1"]) == "beta2"
    assert nearest_free("beta3", ["beta1", "beta2"], ["beta2"]) == "beta1"


def test_a_word_that_is_taken_is_still_meant_where_the_free_ones_are_farther() -> None:
    assert nearest_free("bach", ["batch", "launch"], ["batch"]) == "batch"
    assert nearest_free("bach", ["batch", "launch"], []) == "batch"


def test_a_text_too_long_for_a_typo_and_a_list_too_long_to_compare_have_no_nearest() -> None:
    assert nearest("model" * 100, ["model"]) is None
    assert nearest("modle", [f"m{number}" for number in range(1000)] + ["model"]) is None
