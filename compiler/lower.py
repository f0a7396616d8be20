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
from .read import MAX_FOUND
from .shorten import listed, shortened
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
            todo = [name]
            # With a stack of its own: a long chain of stages costs no recursion.
            while todo:
                stage = self.spec.stages[todo[-1]]
                needed = [
                    part.value.stage for part in parts(stage) if isinstance(part.value, Reference) and part.value.stage not in self.ids
                ]
                if needed:
                    todo.extend(reversed(needed))
                else:
                    self._stage(todo.pop())

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
        body = DataStage(data=data, format=stage.data_format or self.format_of(model, data), tokenizer=tokenizer, launch=self.spec.launch)
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
        while isinstance(model, Reference) or (model.tokenizer is None and isinstance(model.from_, Reference)):
            origin = model if isinstance(model, Reference) else model.from_
            assert isinstance(origin, Reference)
            model = self._model_of(origin)
        if model.tokenizer is not None:
            return model.tokenizer
        assert isinstance(model.from_, str), "a model from scratch without tokenizer is a diagnostic"
        return model.from_

    def format_of(self, model: Model | Reference, data: Data) -> str:
        """How a stage reads data that trains on none: as the stage does that trains on just these, else as its model last did."""
        for stage in self.spec.stages.values():
            if stage.data_format is not None and getattr(stage, "data", None) == data:
                return stage.data_format
        source = model if isinstance(model, Reference) else model.from_
        return self.spec.stages[source.stage].data_format or "text" if isinstance(source, Reference) else "text"

    def _model_of(self, reference: Reference) -> Model | Reference:
        found = getattr(self.spec.stages[reference.stage], "model", None)
        assert isinstance(found, Model | Reference)
        return found


_SHOWN = 10
"""Stages of a circle that are named."""

_Graph = dict[str, list[tuple[str, tuple[str, ...]]]]
"""Stages that each stage needs, with the path of the reference that says so."""


def edge_problems(spec: Spec) -> list[tuple[tuple[str, ...], Diagnostic]]:
    """References to stages that are not there, to outputs they do not have or that do not fit, and cycles; with their paths."""
    found: list[tuple[tuple[str, ...], Diagnostic]] = []
    graph: _Graph = {}
    for name, stage in spec.stages.items():
        graph[name] = []
        for part in parts(stage):
            if isinstance(part.value, Reference) and len(found) < MAX_FOUND:
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
        label = f"did you mean ${{stages.{guess}}}?" if guess else f"stages here: {listed(spec.stages)}"
        return Diagnostic(code="E201", message=f"there is no stage {shortened(edge.stage)!r}", label=label)
    outputs = spec.stages[edge.stage].outputs
    if edge.output and edge.output not in outputs:
        guess = nearest(edge.output, outputs)
        label = f"did you mean ${{stages.{edge.stage}.out.{guess}}}?" if guess else f"it has: {', '.join(outputs)}"
        return Diagnostic(code="E203", message=f"stage {edge.stage!r} has no output {shortened(edge.output)!r}", label=label)
    output = edge.output or outputs[0]
    wanted = part.leaf.output if part.leaf is not None else None
    if wanted is not None and output != wanted:
        kind = spec.stages[edge.stage].word
        return Diagnostic(code="E203", message=f"{part.path[-1]} needs a {wanted}, but stage {edge.stage!r} ({kind}) gives {output}")
    return None


def _cycle(graph: _Graph) -> list[tuple[tuple[str, ...], Diagnostic]]:
    done: set[str] = set()
    for start in graph:
        # The trail from `start`, with what is left to follow from each stage on it.
        trail = {} if start in done else {start: iter(graph[start])}
        while trail:
            name = next(reversed(trail))
            needed, _ = next(trail[name], (None, ()))
            if needed is None:
                done.add(name)
                del trail[name]
            elif needed in trail:
                names = list(trail)
                loop = [*names[names.index(needed) :], needed]
                first = next(path for other, path in graph[needed] if other == loop[1])
                return [(first, Diagnostic(code="E202", message=f"the stages need each other in a circle: {_arrows(loop)}"))]
            elif needed not in done:
                trail[needed] = iter(graph[needed])
    return []


def _arrows(names: list[str]) -> str:
    return " -> ".join(names if len(names) <= _SHOWN else [*names[: _SHOWN // 2], "…", *names[-_SHOWN // 2 :]])
