"""Whether a model was trained on conversations, and a conversation as a canvas whose answer is open."""

from collections.abc import Sequence
from typing import Any

from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.stages.data import DataStage
from dllm_run.specs.vocabulary.training import Training

from .canvas import Request
from .chat import Message, opened
from .context import Context
from .failure import Failure
from .stages.data import template_of
from .tokenizers import Tokens


def conversation_template(context: Context, model: Model | Reference, tokens: Tokens) -> str:
    """The template that lays out the model's conversations. Raises Failure where it was trained on none."""
    source = model
    while True:
        reference = source if isinstance(source, Reference) else source.from_
        if not isinstance(reference, Reference):
            break
        body: Any = context.plan.stages[reference.stage].body
        data = _data_of(context, body)
        if data is not None and data.format == "pairs":
            if data.data.chat_template is False:
                raise Failure(f"{context.plan.name_of(reference.stage)} trained on prompts with responses that no chat template lays out")
            found = template_of(context, data.data) or tokens.template
            assert found is not None, "its data were laid out by a template"
            return found
        source = body.model
    if isinstance(source, Model) and source.scratch is not None:
        raise Failure("the model was trained on texts from scratch, not on conversations")
    if tokens.template is None:
        raise Failure("neither the model's family nor its tokenizer has a chat template")
    return tokens.template


def _data_of(context: Context, body: Any) -> DataStage | None:
    if not isinstance(body, Training) or not isinstance(body.data, Reference):
        return None
    found = context.plan.stages[body.data.stage].body
    return found if isinstance(found, DataStage) else None


def turn_to_answer(messages: Sequence[Message], template: str, tokens: Tokens, *, id: int, answer: int, positions: int) -> Request:
    """A conversation with `answer` open places behind it. Raises Failure where the model has no room for both."""
    given = opened(tokens.fast, template, messages).tokens
    if len(given) + answer > positions:
        raise Failure(f"a conversation of {len(given)} tokens with an answer of {answer} does not fit the model's {positions}")
    until = () if tokens.turn_text is None else (tokens.turn_text,)
    return Request(tokens=[*given, *[tokens.mask] * answer], id=id, prompt=len(given), ends=True, until=until)
