"""From typed stages to planned ones: data sets become stages, references become ids, seeds are decided."""

from dataclasses import dataclass, field, replace

from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.parts import Part, parts, rebuild, words_of
from dllm_run.specs.plan import PlannedStage
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.vocabulary.stages.data import DataStage
from dllm_run.specs.vocabulary.tokenizers import Tokenizer

from .identity import RecordOf, inputs_of, stage_id
from .suggest import nearest


@dataclass(slots=True)
class Lowering:
    """Lowers the stages of one point. `edges` must hold: see `edge_problems`."""

    spec: Spec
    record_of: RecordOf
    planned: dict[str, PlannedStage] = field(default_factory=dict)
    """By id, each after those it needs."""
    ids: dict[str, str] = field(default_factory=dict)
    """Names to ids."""

    def run(self) -> None:
        """Lower every stage, each after those it refers to."""
        for name in self.spec.stages:
            self._stage(name)

    def _stage(self, name: str) -> str:
        if name not in self.ids:
            stage = self.spec.stages[name].completed()
            lowered: Stage = rebuild(stage, lambda part: self._lower_part(name, stage, part))
            self.ids[name] = self._plan(lowered)
        return self.ids[name]

    def _lower_part(self, name: str, stage: Stage, part: Part) -> object:
        if isinstance(part.value, Reference):
            target = self.spec.stages[part.value.stage]
            return Reference(self._stage(part.value.stage), part.value.output or target.outputs[0])
        if isinstance(part.value, Data) and part.leaf is not None and part.leaf.output == "data":
            return Reference(self._data(name, stage, part.value), "data")
        return part.value

    def _data(self, name: str, stage: Stage, data: Data) -> str:
        model = getattr(stage, "model", None)
        assert isinstance(model, Model | Reference)
        tokenizer = self.tokenizer_of(model)
        if isinstance(tokenizer, Reference):
            tokenizer = Reference(self._stage(tokenizer.stage), "tokenizer")
        # On the CPU, but sent off as the rest is: a cluster asks for account and set-up lines there too.
        body = DataStage(
            data=data, format=stage.data_format or format_of(self.spec, model, data), tokenizer=tokenizer, launch=self.spec.launch
        )
        found = self._plan(body.completed())
        self.ids[f"{name}.data"] = found
        return found

    def _plan(self, body: Stage) -> str:
        seed = None
        if body.draws_random_numbers():
            seed = self.spec.seed if body.seed is None else body.seed
        body = replace(body, seed=seed)
        found = stage_id(body, self.record_of)
        if found not in self.planned:
            needs = tuple(dict.fromkeys(part.value for part in parts(body) if isinstance(part.value, Reference)))
            self.planned[found] = PlannedStage(body=body, needs=needs, inputs=tuple(inputs_of(body)), words=words_of(body))
        return found

    def tokenizer_of(self, model: Model | Reference) -> Tokenizer | Reference | str:
        """The tokenizer of a model's origin: never an edge to trained weights."""
        if isinstance(model, Reference):
            return self.tokenizer_of(self._model_of(model))
        if model.tokenizer is not None:
            return model.tokenizer
        if isinstance(model.from_, Reference):
            return self.tokenizer_of(self._model_of(model.from_))
        assert model.from_ is not None, "a model from scratch without tokenizer is a diagnostic"
        return model.from_

    def _model_of(self, reference: Reference) -> Model | Reference:
        found = getattr(self.spec.stages[reference.stage], "model", None)
        assert isinstance(found, Model | Reference)
        return found


def format_of(spec: Spec, model: Model | Reference, data: Data) -> str:
    """How a stage reads data that trains on none: as the stage does that trains on just these, else as its model last did."""
    for stage in spec.stages.values():
        if stage.data_format is not None and getattr(stage, "data", None) == data:
            return stage.data_format
    source = model if isinstance(model, Reference) else model.from_
    trained = spec.stages.get(source.stage) if isinstance(source, Reference) else None
    return trained.data_format or "text" if trained is not None else "text"


_Graph = dict[str, list[tuple[str, tuple[str, ...]]]]
"""Stages that each stage needs, with the path of the reference that says so."""


def edge_problems(spec: Spec) -> list[tuple[tuple[str, ...], Diagnostic]]:
    """References to stages that are not there, to outputs they do not have or that do not fit, and cycles; with their paths."""
    found: list[tuple[tuple[str, ...], Diagnostic]] = []
    graph: _Graph = {}
    for name, stage in spec.stages.items():
        graph[name] = []
        for part in parts(stage):
            if isinstance(part.value, Reference):
                path = ("stages", name, *part.path)
                problem = _edge_problem(spec, part.value, part)
                if problem is not None:
                    found.append((path, problem))
                else:
                    graph[name].append((part.value.stage, path))
    if not found:
        found.extend(_cycle(graph))
    return found


def _edge_problem(spec: Spec, edge: Reference, part: Part) -> Diagnostic | None:
    if edge.stage not in spec.stages:
        guess = nearest(edge.stage, spec.stages)
        label = f"did you mean ${{stages.{guess}}}?" if guess else f"stages here: {', '.join(spec.stages)}"
        return Diagnostic(code="E201", message=f"there is no stage {edge.stage!r}", label=label)
    outputs = spec.stages[edge.stage].outputs
    if edge.output and edge.output not in outputs:
        return Diagnostic(code="E203", message=f"stage {edge.stage!r} has no output {edge.output!r}", label=f"it has: {', '.join(outputs)}")
    output = edge.output or outputs[0]
    wanted = part.leaf.output if part.leaf is not None else None
    if wanted is not None and output != wanted:
        kind = spec.stages[edge.stage].word
        return Diagnostic(code="E203", message=f"{part.path[-1]} needs a {wanted}, but stage {edge.stage!r} ({kind}) gives {output}")
    return None


def _cycle(graph: _Graph) -> list[tuple[tuple[str, ...], Diagnostic]]:
    state: dict[str, int] = {}
    trail: list[str] = []

    def visit(name: str) -> list[str]:
        state[name] = 1
        trail.append(name)
        for needed, _ in graph[name]:
            if state.get(needed) == 1:
                return [*trail[trail.index(needed) :], needed]
            if needed not in state and (found := visit(needed)):
                return found
        trail.pop()
        state[name] = 2
        return []

    for name in graph:
        if name not in state and (loop := visit(name)):
            message = f"the stages need each other in a circle: {' -> '.join(loop)}"
            path = next(path for needed, path in graph[loop[0]] if needed == loop[1])
            return [(path, Diagnostic(code="E202", message=message))]
    return []
