"""From typed stages to planned ones: data sets become stages, references become ids, seeds are decided."""

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Any

from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.hub import hub_id
from dllm_run.specs.inventory import Edge, Inventories
from dllm_run.specs.parts import Path, replaced
from dllm_run.specs.plan import PlannedStage
from dllm_run.specs.published import published_type
from dllm_run.specs.reference import Reference
from dllm_run.specs.texts import Texts
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.launchers import Launch
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.vocabulary.stages.data import DataStage
from dllm_run.specs.vocabulary.stages.sample import Sample
from dllm_run.specs.vocabulary.starts import Start
from dllm_run.specs.vocabulary.tokenizers import Tokenizer
from dllm_run.specs.vocabulary.training import Training

from .follow import dtype_of, logit_shift_of, objective_of, special_tokens_of, tokenizer_of
from .identity import RecordOf, own_text, stage_id
from .micro import micro_solved
from .read import MAX_FOUND
from .shorten import listed, shortened
from .suggest import nearest


@dataclass(frozen=True, slots=True)
class _Skeleton:
    """A stage complete but for the ids of those it reads: the same at every point that changes only these."""

    body: Stage
    own: str
    inputs: tuple[str, ...]
    words: dict[str, int | str]


@dataclass(slots=True)
class Lowered:
    """The planned stages of all points. What points share, the very same object, is worked out once."""

    record_of: RecordOf
    planned: dict[str, PlannedStage] = field(default_factory=dict)
    """By id, each after those it needs."""
    inputs: dict[str, str] = field(default_factory=dict)
    """Locators of all that the stages read, with what they are."""
    inventories: Inventories = field(default_factory=Inventories)
    texts: Texts = field(default_factory=Texts)
    _skeletons: dict[tuple[Any, ...], tuple[Any, _Skeleton]] = field(default_factory=dict)

    def forget(self) -> None:
        """Let go of what was worked out, but for the planned stages: a long sweep shall not hold all of it."""
        self.inventories, self.texts = Inventories(), Texts()
        self._skeletons.clear()

    def point(self, spec: Spec) -> dict[str, str]:
        """Names to ids of the stages of one point. Its edges must hold: see `edge_problems`."""
        lowering = _Lowering(spec, self)
        lowering.run()
        return lowering.ids

    def plan(self, key: tuple[Any, ...], alive: Any, make: Callable[[], Stage], edges: dict[Path, Reference]) -> str:
        """The id of the stage that `make` gives, with its edges. `alive` is what the key knows by identity."""
        known = self._skeletons.get(key)
        if known is None:
            known = self._skeletons[key] = (alive, self._skeleton(make(), edges))
        skeleton = known[1]
        found = stage_id(skeleton.own, edges)
        if found not in self.planned:
            needs = tuple(dict.fromkeys(edges.values()))
            body = replaced(skeleton.body, edges)
            self.planned[found] = PlannedStage(body=body, needs=needs, inputs=skeleton.inputs, words=skeleton.words)
        return found

    def _skeleton(self, body: Stage, edges: dict[Path, Reference]) -> _Skeleton:
        bare = replaced(body, {path: Reference("", edge.output) for path, edge in edges.items()})
        inventory = self.inventories.of(body)
        inputs = tuple(dict.fromkeys(item.text for item in inventory.inputs))
        self.inputs.update((item.text, item.what) for item in inventory.inputs)
        return _Skeleton(bare, own_text(bare, inventory, self.record_of, self.texts), inputs, dict(inventory.words))


@dataclass(slots=True)
class _Lowering:
    """Lowers the stages of one point."""

    spec: Spec
    shared: Lowered
    ids: dict[str, str] = field(default_factory=dict)

    def run(self) -> None:
        """Lower every stage, each after those it refers to."""
        for name in self.spec.stages:
            todo = [name]
            # With a stack of its own: a long chain of stages costs no recursion.
            while todo:
                edges = self.shared.inventories.of(self.spec.stages[todo[-1]]).edges
                needed = [edge.reference.stage for edge in edges if edge.reference.stage not in self.ids]
                if needed:
                    todo.extend(reversed(needed))
                else:
                    self.stage(todo.pop())

    def stage(self, name: str) -> str:
        """The id of a stage, planned after those it refers to."""
        if name not in self.ids:
            stage = self.spec.stages[name]
            edges: dict[Path, Reference] = {}
            inventory = self.shared.inventories.of(stage)
            for path, reference, _ in inventory.edges:
                target = self.spec.stages[reference.stage]
                edges[path] = Reference(self.stage(reference.stage), reference.output or target.outputs[0])
            for path, data in inventory.data:
                edges[path] = Reference(self._data(name, stage, data), "data")
            solved = micro_solved(stage, self.spec.stages.__getitem__)
            # What is solved follows from other stages too, so that it belongs to what identifies the skeleton.
            micro = solved.batch.micro if solved is not stage and isinstance(solved, Training) else None
            facts = self._facts(stage)
            key = (id(stage), self.spec.seed, micro, tuple(facts.values()))
            self.ids[name] = self.shared.plan(key, stage, lambda: self._seeded(replaced(solved, facts).completed()), edges)
        return self.ids[name]

    def _facts(self, stage: Stage) -> dict[Path, Any]:
        """What a stage's own model leaves open and its origin decides."""
        model = getattr(stage, "model", None)
        if not isinstance(model, Model) or model.scratch is not None:
            return {}
        stage_of = self.spec.stages.__getitem__
        return {
            ("model", "logit_shift"): logit_shift_of(model, stage_of, self._type_of),
            ("model", "special_tokens"): special_tokens_of(model, stage_of),
            ("model", "dtype"): dtype_of(model, stage_of),
        }

    def _type_of(self, locator: str) -> str | None:
        return self.shared.record_of(locator, "model").model_type or published_type(hub_id(locator).name)

    def _data(self, name: str, stage: Stage, data: Data) -> str:
        model = getattr(stage, "model", None)
        assert isinstance(model, Model | Reference)
        tokenizer = self.tokenizer_of(model)
        edges: dict[Path, Reference] = {}
        if isinstance(tokenizer, Reference):
            edges = {("tokenizer",): Reference(self.stage(tokenizer.stage), "tokenizer")}
        form = stage.data_format or format_of(self.spec, model, data)
        # On the CPU, but sent off as the rest is: a cluster asks for account and set-up lines there too.
        launch: Launch = self.spec.launch
        start = self._start(stage)
        special = special_tokens_of(model, self.spec.stages.__getitem__)
        read_by = tokenizer if isinstance(tokenizer, (str, Reference)) else id(tokenizer)
        key = (id(data), form, read_by, special, start, id(launch), self.spec.seed)
        found = self.shared.plan(
            key,
            (data, tokenizer, launch),
            lambda: self._seeded(
                DataStage(data=data, format=form, tokenizer=tokenizer, special_tokens=special, start=start, launch=launch).completed()
            ),
            edges,
        )
        self.ids[f"{name}.data"] = found
        return found

    def _start(self, stage: Stage) -> Start | None:
        """What the sequences of a stage are aligned with: those that are shown to a sampler which edits are laid out as in its training."""
        if isinstance(stage, Training):
            return stage.objective.data_start()
        if not isinstance(stage, Sample) or not stage.sampler.edits:
            return None
        trained = objective_of(stage.model, self.spec.stages.__getitem__)
        return None if trained is None else trained.data_start()

    def _seeded(self, body: Stage) -> Stage:
        seed = None
        if body.draws_random_numbers():
            seed = self.spec.seed if body.seed is None else body.seed
        return body if body.seed == seed else replace(body, seed=seed)

    def tokenizer_of(self, model: Model | Reference) -> Tokenizer | Reference | str:
        """The tokenizer of a model's origin: never an edge to trained weights."""
        found = tokenizer_of(model, self.spec.stages.__getitem__)
        assert found is not None, "a model from scratch without tokenizer is a diagnostic"
        return found


_SHOWN = 10
"""Stages of a circle that are named."""


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


def edge_problems(spec: Spec, inventories: Inventories) -> list[tuple[tuple[str, ...], Diagnostic]]:
    """References to stages that are not there, to outputs they do not have or that do not fit, and cycles; with their paths."""
    found: list[tuple[tuple[str, ...], Diagnostic]] = []
    graph: _Graph = {}
    for name, stage in spec.stages.items():
        graph[name] = []
        for edge in inventories.of(stage).edges:
            if len(found) >= MAX_FOUND:
                break
            path = ("stages", name, *edge.path)
            problem = _edge_problem(spec, edge)
            if problem is not None:
                found.append((path, problem))
            else:
                graph[name].append((edge.reference.stage, path))
    if not found:
        found.extend(_cycle(graph))
    return found


def _edge_problem(spec: Spec, edge: Edge) -> Diagnostic | None:
    reference = edge.reference
    if reference.stage not in spec.stages:
        guess = nearest(reference.stage, spec.stages)
        label = f"did you mean ${{stages.{guess}}}?" if guess else f"stages here: {listed(spec.stages)}"
        return Diagnostic(code="E201", message=f"there is no stage {shortened(reference.stage)!r}", label=label)
    target = spec.stages[reference.stage]
    if reference.output and reference.output not in target.outputs:
        guess = nearest(reference.output, target.outputs)
        label = f"did you mean ${{stages.{reference.stage}.out.{guess}}}?" if guess else f"it has: {', '.join(target.outputs)}"
        return Diagnostic(code="E203", message=f"stage {reference.stage!r} has no output {shortened(reference.output)!r}", label=label)
    output = reference.output or target.outputs[0]
    wanted = edge.leaf.output if edge.leaf is not None else None
    if wanted is not None and output != wanted:
        text = f"{edge.path[-1]} needs a {wanted}, but stage {reference.stage!r} ({target.word}) gives {output}"
        return Diagnostic(code="E203", message=text)
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
