"""Operations of a whole stage, the least and the most: what it has to do, times what one pass costs."""

from dllm_run.specs.flops import training_flops
from dllm_run.specs.geometry import Geometry
from dllm_run.specs.questions import QUESTIONS
from dllm_run.specs.vocabulary.stages.eval import Eval, Task
from dllm_run.specs.vocabulary.stages.sample import HeldOut, Sample
from dllm_run.specs.vocabulary.tasks import BuiltInTask
from dllm_run.specs.vocabulary.training import Training
from dllm_run.specs.word import members

from .amounts import Range, padded_tokens, prompt_tokens, row_tokens, sequence_tokens, steps_of
from .facts import Facts
from .flops import likelihood_flops, sampling_flops
from .settings import PROMPT, trained_adapter


def flops_of(facts: Facts) -> Range | None:
    """Operations of a stage; None where geometry or amount of work is not known."""
    stage, geometry = facts.stage, facts.geometry
    if geometry is None:
        return None
    if isinstance(stage, Training):
        return _training(stage, geometry, facts)
    if isinstance(stage, Sample):
        return _sampling(stage, geometry, facts)
    found = [_task(stage, task, geometry, facts) for task in stage.tasks]
    known = [pair for pair in found if pair is not None]
    return (sum(low for low, _ in known), sum(high for _, high in known)) if len(known) == len(found) else None


def training_steps(facts: Facts) -> tuple[int, int] | None:
    """Optimizer steps of a training stage."""
    assert isinstance(facts.stage, Training) and facts.data is not None
    return steps_of(facts.stage, facts.data, facts.size, facts.tokenizer)


def _training(stage: Training, geometry: Geometry, facts: Facts) -> Range | None:
    steps = training_steps(facts)
    if steps is None:
        return None
    assert facts.data is not None
    known = facts.data, facts.size, facts.tokenizer
    (shortest, longest), padded = sequence_tokens(*known), padded_tokens(*known)

    passed, adapter = stage.objective.passed(), trained_adapter(stage, facts.kept)

    def flops(tokens: float, length: float) -> float:
        return training_flops(
            geometry,
            tokens=tokens * passed.positions,
            length=length * passed.length,
            scored_share=stage.objective.scored_share() / passed.positions,
            gradient_checkpointing=stage.compute.gradient_checkpointing,
            adapters=None if adapter is None else geometry.lora_parameters(adapter.r),
        )

    if stage.duration.unit == "tokens":
        return flops(stage.duration.amount, shortest), flops(stage.duration.amount * padded / longest, padded)
    batch = stage.batch.global_
    return flops(steps[0] * batch * shortest, shortest), flops(steps[1] * batch * padded, padded)


def _sampling(stage: Sample, geometry: Geometry, facts: Facts) -> Range:
    if isinstance(stage.prompts, HeldOut):
        assert facts.data is not None
        longest = stage.prompts.length or facts.data.max_length
        rows = min(stage.prompts.limit, facts.size.held_out) if facts.size is not None else stage.prompts.limit
        lengths = [min(longest, length) for length in sequence_tokens(facts.data, facts.size, facts.tokenizer)]
        opened = [max(1, round(length * stage.prompts.mask.ratio)) for length in lengths]
    else:
        rows, new = len(stage.prompts), stage.max_new_tokens or 1
        lengths = [float(given + new) for given in prompt_tokens(stage.prompts, facts.tokenizer)]
        opened = [new, new]
    low, high = (
        sampling_flops(geometry, prompts=rows, passes=stage.sampler.passes(count), canvas=length, scored=stage.sampler.window(count))
        for count, length in zip(opened, lengths, strict=True)
    )
    return low, high


def _task(stage: Eval, task: Task, geometry: Geometry, facts: Facts) -> Range | None:
    limit = task.limit or stage.limit
    built_in = members(BuiltInTask).get(task.name)
    if built_in is None:
        return _questions(stage, limit or QUESTIONS.get(task.name), geometry)
    assert issubclass(built_in, BuiltInTask)
    if built_in.questions is not None:
        return _questions(stage, min(limit or built_in.questions, built_in.questions), geometry)
    if facts.size is None or facts.data is None:
        return None
    rows = min(limit or facts.size.held_out, facts.size.held_out)
    lengths = row_tokens(facts.data, facts.size, facts.tokenizer)
    if not built_in.emptied:
        given = stage.likelihood
        low, high = (
            likelihood_flops(geometry, rows=rows, samples=1 if given is None else given.passes(length), length=length) for length in lengths
        )
        return low, high
    if stage.sampler is None:
        return None
    opened = [max(1, round(length * built_in.emptied)) for length in lengths]
    low, high = (
        sampling_flops(geometry, prompts=rows, passes=stage.sampler.passes(count), canvas=length, scored=stage.sampler.window(count))
        for count, length in zip(opened, lengths, strict=True)
    )
    return low, high


def _questions(stage: Eval, questions: int | None, geometry: Geometry) -> Range | None:
    """Of a library's task that generates; how many answers one that scores has is not known."""
    if questions is None or stage.sampler is None or stage.likelihood is not None:
        return None
    new, sampler = stage.max_new_tokens, stage.sampler
    low, high = (
        sampling_flops(geometry, prompts=questions, passes=sampler.passes(new), canvas=canvas, scored=sampler.window(new))
        for canvas in (new, max(new, min(geometry.positions, new + PROMPT)))
    )
    return low, high
