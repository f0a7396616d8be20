"""Conversations in the form of ShareGPT."""

from dllm_run.specs.vocabulary.mappings.sharegpt import ShareGpt

from ..failure import Failure
from . import Mapping, Row

_ROLES = {"human": "user", "user": "user", "gpt": "assistant", "chatgpt": "assistant", "assistant": "assistant", "system": "system"}


def build(word: ShareGpt) -> Mapping:
    """Adds the messages in the form that chat templates know."""

    def converted(row: Row) -> Row:
        turns = row.get(word.column)
        if not isinstance(turns, list):
            raise Failure(f"column {word.column!r} holds no list")
        return {**row, "messages": [_message(turn) for turn in turns]}

    return converted


def _message(turn: object) -> dict[str, str]:
    if not isinstance(turn, dict) or not isinstance(turn.get("value"), str) or turn.get("from") not in _ROLES:
        raise Failure(f"{str(turn)[:80]!r} is no turn: a turn is {{from, value}}, and `from` is one of {', '.join(_ROLES)}")
    return {"role": _ROLES[turn["from"]], "content": turn["value"]}
