"""The traits of a stage: what its own words say, and what is true of its data and its model through every reference."""

import functools
from collections.abc import Iterator
from typing import Any

from dllm_run.specs.hub import hub_id
from dllm_run.specs.inventory import Inventories
from dllm_run.specs.parts import Part, Path, parts
from dllm_run.specs.published import published_type
from dllm_run.specs.reference import Reference
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.families import architecture_of, family_for
from dllm_run.specs.vocabulary.lora import Lora
from dllm_run.specs.vocabulary.model import Model
from dllm_run.specs.vocabulary.spec import Spec
from dllm_run.specs.vocabulary.stages import Stage
from dllm_run.specs.vocabulary.stages.data import DataStage
from dllm_run.specs.vocabulary.training import Training

from .follow import adapter_of, shift_of_type
from .lower import format_of
from .trait import Trait, below


def traits_of(spec: Spec, inventories: Inventories, consulted: set[Path], *, swept: bool) -> list["Traits"]:
    """The traits of every stage; `swept` says whether this is one point of several."""
    return [Traits(spec, name, inventories, consulted, swept=swept) for name in spec.stages]


class Traits:
    """The traits of one stage, found when they are asked for. References that lead nowhere give traits that are not there."""

    def __init__(self, spec: Spec, name: str, inventories: Inventories, consulted: set[Path], *, swept: bool) -> None:
        self.spec = spec
        self.inventories = inventories
        self.consulted = consulted
        """Takes the place of everything that was asked for."""
        self.name = name
        self.stage = spec.stages[name]
        self.path: Path = ("stages", name)
        self.swept = swept
        self._found: dict[str, Trait] = {}

    @functools.cached_property
    def parts(self) -> tuple[Part, ...]:
        """Everything in the stage with its path in the spec; walked once for all who look at it."""
        return tuple(parts(self.stage, self.path))

    def objects(self) -> Iterator[tuple[Path, Any]]:
        """Every vocabulary object in the stage with its path in the spec."""
        return (((*self.path, *path), value) for path, value in self.inventories.of(self.stage).objects)

    def find(self, trait: str, own: Trait | None = None) -> Trait:
        """A trait by its path; see `specs/compatibility.py` for what the first part may be."""
        root, _, rest = trait.partition(".")
        if root == "own":
            assert own is not None, "a row stands on an object"
            return self._told(below(own, rest))
        if trait not in self._found:
            found = below(self._root(root), rest) if root in _ROOTS else below(Trait(self.stage, self.path), trait)
            self._found[trait] = self._told(found)
        return self._found[trait]

    def _told(self, trait: Trait) -> Trait:
        if isinstance(trait.value, Stage) or (trait.value is None and len(trait.path) == len(self.path)):
            # Of a stage as a whole only the kind is ever asked; what is not there would be there with another model or other data.
            self.consulted.update((*trait.path, key) for key in (Stage.tag, "model", "data", "prompts"))
        else:
            self.consulted.add(trait.path)
        return trait

    def own_stage(self) -> Trait:
        """The stage itself, for fields whose name another trait has."""
        return Trait(self.stage, self.path)

    def data(self) -> Trait:
        """The data set that the stage reads."""
        return self._read_through(self.name)[1]

    def format(self) -> Trait:
        """How the data are read; the place is the field that says so, or the kind of the stage that implies it."""
        reader, data = self._read_through(self.name)
        stage, path = self.spec.stages[reader], ("stages", reader)
        if isinstance(stage, DataStage):
            return Trait(stage.format, (*path, "format"))
        model = below(Trait(stage, path), "model").value
        if data.value is None or (model is None and stage.data_format is None):
            return Trait(None if data.value is None else "text", (*path, "kind"))
        return Trait(stage.data_format or format_of(self.spec, model, data.value), (*path, "kind"))

    def prepared(self) -> Trait:
        """The stage that prepares the data, where the spec has one."""
        reader, data = self._read_through(self.name)
        stage = self.spec.stages[reader]
        return Trait(stage if isinstance(stage, DataStage) else None, data.path[:2])

    def edit_heads(self) -> Trait:
        """Whether the weights have heads for edits: False where they began from scratch or were published without, and never got any.

        Told at their last stage, or where they are named.
        """
        upstream = list(self._upstream(self.name))
        self.consulted.update(("stages", name, key) for name in upstream for key in (Stage.tag, "model", "objective", "to"))
        added = next((name for name in upstream if self.spec.stages[name].adds_edit_heads()), None)
        if added is not None:
            return Trait(True, ("stages", added))
        weights = self.weights()
        source = below(weights, "from")
        if isinstance(source.value, str) and published_type(hub_id(source.value).name) is not None:
            return Trait(False, source.path)
        fresh = below(weights, "scratch").value is not None
        return Trait(False, ("stages", upstream[0])) if fresh and upstream else Trait(None, self.path)

    def tokenizer(self) -> Trait:
        """The tokenizer of the stage's model, or of the data that it prepares; none where it lies beside weights."""
        if isinstance(self.stage, DataStage):
            return self._known(Trait(self.stage.tokenizer, (*self.path, "tokenizer")))
        return self._known(self._first_tokenizer(self._models(self.name)))

    def data_tokenizer(self) -> Trait:
        """The tokenizer that the data were prepared with, where another stage has prepared them."""
        reader, data = self._read_through(self.name)
        stage = self.spec.stages[reader]
        if reader == self.name or not isinstance(stage, DataStage):
            return Trait(None, data.path)
        return self._known(Trait(stage.tokenizer, ("stages", reader, "tokenizer")))

    def model(self) -> Trait:
        """The model with the facts that the stage goes by: those where it was first named."""
        return next(self._models(self.name), Trait(None, self.path))

    def weights(self) -> Trait:
        """The model in which the weights began."""
        return [Trait(None, self.path), *self._models(self.name)][-1]

    def trained(self) -> Trait:
        """The stage that trained the weights which this stage starts from."""
        upstream = (name for name in self._upstream(self.name) if below(Trait(self.spec.stages[name], ()), "objective").value is not None)
        name = next(upstream, None)
        return Trait(None, self.path) if name is None else Trait(self.spec.stages[name], ("stages", name))

    def trained_tokenizer(self) -> Trait:
        """The tokenizer of that stage."""
        name = self.trained().path[1]
        return Trait(None, self.path) if name == self.name else self._known(self._first_tokenizer(self._models(name)))

    def trained_logit_shift(self) -> Trait:
        """The logit shift of that stage, as far as the text of the spec tells."""
        name = self.trained().path[1]
        if name == self.name:
            return Trait(None, self.path)
        for trait in self._models(name):
            model: Model = trait.value
            outside = published_type(model.from_) if isinstance(model.from_, str) else None
            shift = shift_of_type(outside) if model.stated_shift is None else model.stated_shift
            if shift is not None:
                return Trait(shift, (*trait.path, "logit_shift"))
        return Trait(None, self.path)

    def architecture(self) -> Trait:
        """The `model_type` of the stock architecture of the weights, as far as the text of the spec tells."""
        model = self.weights()
        if not isinstance(model.value, Model):
            return Trait(None, model.path)
        scratch, source = model.value.scratch, model.value.from_
        if scratch is not None:
            return Trait(architecture_of(type(scratch)), (*model.path, "scratch"))
        kind = published_type(source) if isinstance(source, str) else None
        family = family_for(kind)
        return Trait(kind if family is None else architecture_of(family), (*model.path, "from"))

    def masked_architecture(self) -> Trait:
        """Whether the architecture of the weights is an encoder, made to fill in masks; of one in no family nothing is known."""
        architecture = self.architecture()
        family = family_for(architecture.value)
        return Trait(None if family is None else family.masked, architecture.path)

    def carried(self) -> Trait:
        """True where an adapter lies over the weights that the stage starts from."""
        model = below(Trait(self.stage, self.path), "model")
        if model.value is None or self._leads_nowhere():
            return Trait(None, model.path)
        return Trait(True if self._adapter(model.value) is not None else None, model.path)

    def trained_adapter(self) -> Trait:
        """The adapter that the stage has left which the model comes from: its rank, or where it lies."""
        source = below(Trait(self.stage, self.path), "model.from")
        if not isinstance(source.value, Reference) or self._leads_nowhere():
            return Trait(None, source.path)
        adapter = self._adapter(source.value)
        return Trait(f"rank {adapter.r}" if isinstance(adapter, Lora) else adapter, ("stages", source.value.stage, "model"))

    def _adapter(self, model: Model | Reference) -> Lora | str | None:
        upstream = self._upstream(self.name)
        self.consulted.update(("stages", name, key) for name in upstream for key in (Stage.tag, "model"))
        return adapter_of(model, self.spec.stages.__getitem__)

    def source(self) -> Trait:
        """The stage whose model this stage starts from."""
        model = below(Trait(self.stage, self.path), "model").value
        source = model.from_ if isinstance(model, Model) else model
        if not isinstance(source, Reference) or source.stage not in self.spec.stages:
            return Trait(None, (*self.path, "model"))
        return Trait(self.spec.stages[source.stage], ("stages", source.stage))

    def kept_checkpoint(self) -> Trait:
        """The step nearest to the one that the model names, of those that its training keeps; none where that is not known yet."""
        source, named = self.source(), below(Trait(self.stage, self.path), "model.checkpoint").value
        path = (*source.path, "checkpoint")
        if not isinstance(source.value, Training) or named is None or not named.startswith("step "):
            return Trait(None, path)
        self.consulted.update((*source.path, key) for key in ("duration", "batch"))
        nearest = source.value.nearest_kept(int(named.removeprefix("step ")))
        return Trait(None if nearest is None else f"step {nearest}", path)

    def nowhere(self) -> Trait:
        """True where the chain of models leads back, or to a stage that is not there: that is told, and nothing follows from it."""
        return Trait(self._leads_nowhere() or None, (*self.path, "model"))

    def _leads_nowhere(self) -> bool:
        """Whether the chain of models leads back, or to a stage that is not there."""
        last = [self.name, *self._upstream(self.name)][-1]
        model = below(Trait(self.spec.stages[last], ()), "model").value
        return isinstance(model.from_ if isinstance(model, Model) else model, Reference)

    def sweep(self) -> Trait:
        """True where this is one point of several."""
        return Trait(True if self.swept else None, ("sweep",))

    def _root(self, root: str) -> Trait:
        if root not in self._found:
            self._found[root] = _ROOTS[root](self)
        return self._found[root]

    def _read_through(self, name: str) -> tuple[str, Trait]:
        """The stage that reads the rows, this one or the one that its edge leads to, and its data set."""
        inventory = self.inventories.of(self.spec.stages[name])
        for path, value in inventory.objects:
            if isinstance(value, Data):
                return name, Trait(value, ("stages", name, *path))
        for _, reference, leaf in inventory.edges:
            target = self.spec.stages.get(reference.stage)
            if leaf is not None and leaf.output == "data" and isinstance(target, DataStage):
                return reference.stage, Trait(target.data, ("stages", reference.stage, "data"))
        return name, Trait(None, ("stages", name))

    def _upstream(self, name: str) -> Iterator[str]:
        """The stages whose output the model of a stage is, the nearest first."""
        seen = {name}
        while True:
            model = below(Trait(self.spec.stages[name], ()), "model").value
            source = model.from_ if isinstance(model, Model) else model
            if not isinstance(source, Reference) or source.stage in seen or source.stage not in self.spec.stages:
                return
            name = source.stage
            seen.add(name)
            yield name

    def _models(self, name: str) -> Iterator[Trait]:
        """The models that are named on the way to where the weights of a stage began, its own first."""
        for stage in (name, *self._upstream(name)):
            found = below(Trait(self.spec.stages[stage], ("stages", stage)), "model")
            if isinstance(found.value, Model):
                yield found

    def _first_tokenizer(self, models: Iterator[Trait]) -> Trait:
        named = (below(model, "tokenizer") for model in models)
        return next((trait for trait in named if trait.value is not None), Trait(None, self.path))

    def _known(self, tokenizer: Trait) -> Trait:
        """Tokenizer stages stand for what they train; of a folder nothing is known."""
        if isinstance(tokenizer.value, Reference):
            return Trait(self.spec.stages.get(tokenizer.value.stage), tokenizer.path)
        return Trait(None, tokenizer.path) if isinstance(tokenizer.value, str) else tokenizer


_ROOTS = {
    "stage": Traits.own_stage,
    "data": Traits.data,
    "format": Traits.format,
    "prepared": Traits.prepared,
    "architecture": Traits.architecture,
    "masked_architecture": Traits.masked_architecture,
    "edit_heads": Traits.edit_heads,
    "tokenizer": Traits.tokenizer,
    "data_tokenizer": Traits.data_tokenizer,
    "model": Traits.model,
    "weights": Traits.weights,
    "trained": Traits.trained,
    "trained_tokenizer": Traits.trained_tokenizer,
    "trained_logit_shift": Traits.trained_logit_shift,
    "carried": Traits.carried,
    "source": Traits.source,
    "kept_checkpoint": Traits.kept_checkpoint,
    "nowhere": Traits.nowhere,
    "trained_adapter": Traits.trained_adapter,
    "sweep": Traits.sweep,
}
