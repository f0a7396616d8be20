"""What follows for a model from the family of its weights: mask token, chat, logit shift, padding."""

from collections.abc import Iterator, Mapping

from dllm_run.specs.hub import hub_id
from dllm_run.specs.plan import InputRecord
from dllm_run.specs.published import published_type
from dllm_run.specs.vocabulary.families import family_for
from dllm_run.specs.vocabulary.model import Model

_NOT_KNOWN = "not known here: the run reads config.json"


def of_family(model: Model, inputs: Mapping[str, InputRecord]) -> Iterator[tuple[str, str, str]]:
    """(what, value, where it comes from); nothing of a model that another stage makes."""
    kind: str | None
    if model.scratch is not None:
        kind, place = type(model.scratch).model_types[0], "scratch"
    elif isinstance(model.from_, str):
        locator = str(model.locator())
        record = inputs.get(locator)
        here = None if record is None else record.model_type
        kind, place = here or published_type(hub_id(locator).name), "config.json" if here else "published"
    else:
        return
    if kind is None:
        yield "(family)", _NOT_KNOWN, ""
        return
    family = family_for(kind)
    if family is None:
        yield "(family)", f"none: {kind} is read as its config.json says", place
        return
    source = f"family {family.word}"
    yield "(family)", family.word, place
    yield "(mask token)", family.mask_token or "the tokenizer's, else <|mask|> is added", source
    yield "(end of turn)", family.end_of_turn or "the end of the text", source
    yield "(chat template)", "the family's" if family.chat_template is not None else "the tokenizer's", source
    own = model.logit_shift is not None
    yield "(logit shift)", str(model.logit_shift if own else family.logit_shift), "the spec" if own else source
    yield "(padding side)", f"{family.padding_side} in its published code; either gives the same here", source
