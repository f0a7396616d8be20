"""A conversation as the user steers it."""

import pytest

from dllm_run.cli.turns import Conversation


def talked() -> Conversation:
    found = Conversation("Be brief.")
    found.answered("one?", "1")
    found.answered("two?", "2")
    return found


def test_a_question_stands_behind_everything_that_was_said() -> None:
    assert [(item["role"], item["content"]) for item in talked().messages("three?")] == [
        ("system", "Be brief."),
        ("user", "one?"),
        ("assistant", "1"),
        ("user", "two?"),
        ("assistant", "2"),
        ("user", "three?"),
    ]


def test_undo_takes_back_the_last_question_with_its_answer_and_says_which() -> None:
    conversation = talked()
    assert conversation.command("/undo") == "forgotten: two?"
    assert conversation.said == [("one?", "1")]
    conversation.command("/undo")
    assert conversation.command("/undo") == "there is nothing to forget"


def test_a_reset_keeps_what_the_system_says() -> None:
    conversation = talked()
    assert conversation.command("/reset") == "the conversation is forgotten"
    assert conversation.messages("x") == [{"role": "system", "content": "Be brief."}, {"role": "user", "content": "x"}]


def test_quit_ends_and_help_names_every_command() -> None:
    assert talked().command("/quit") is None
    assert all(name in str(talked().command("/help")) for name in ("/reset", "/undo", "/help", "/quit"))


@pytest.mark.parametrize("line", ["/rest", "/undo that", "/"])
def test_an_unknown_command_changes_nothing_and_is_told(line: str) -> None:
    conversation = talked()
    assert line.split()[0] in str(conversation.command(line)) and "/help" in str(conversation.command(line))
    assert conversation == talked()
