"""The compiled tree: spec, resolved spec, sources, inputs, lock, plan, artefacts and a manifest, as bytes by file name."""

import hashlib
import posixpath

from dllm_run import __version__
from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.lock import lock_text
from dllm_run.launchers import deepspeed, local, slurm, torchrun
from dllm_run.launchers.stages import stage_files
from dllm_run.launchers.template import fill
from dllm_run.specs.canonical import pretty
from dllm_run.specs.codec import encode
from dllm_run.specs.plan import kept_name
from dllm_run.specs.vocabulary.launchers.slurm import Slurm

from .manifest import MANIFEST, manifest
from .scripts import texts_of
from .specs import RECIPE, Named

README = "README.txt"
_RENDERS = {"local": local.render, "torchrun": torchrun.render, "deepspeed": deepspeed.render}
"""By the word of a launcher; Slurm's scripts may be made of the user's templates."""


def tree(named: Named, compiled: Compiled) -> dict[str, bytes]:
    """Every file of a compiled spec; the same bytes in any folder and on any machine."""
    plan = compiled.plan
    on_slurm = isinstance(compiled.spec.launch, Slurm)
    scripts = slurm.render(plan, texts_of(compiled.scripts)) if on_slurm else _RENDERS[compiled.spec.launch.word](plan)
    inputs = _inputs(compiled)
    flags = "".join(f"{flag}\n" for flag in named.source.flags)
    start = "submit.sh" if on_slurm else "run.sh"
    about = {"name": plan.name, "version": __version__, "flags": flags, "inputs": inputs, "start": start}
    texts = {
        README: fill(README, about),
        "resolved.json": pretty(encode(compiled.spec, planned=False)),
        "sources.json": pretty({path: _from_spec(place, named.source.file) for path, place in compiled.sources().items()}),
        "origins.json": pretty(compiled.origins()),
        "lock.json": lock_text(plan.inputs.values()),
        "plan.json": pretty(plan.to_json()),
        **{f"artefacts/{name}": text for name, text in {**scripts, **stage_files(plan)}.items()},
        **({"flags.txt": flags} if flags else {}),
    }
    files = {"spec.yaml": named.source.data, **inputs, **{name: text.encode() for name, text in texts.items()}}
    files[MANIFEST] = manifest({name: hashlib.sha256(data).hexdigest() for name, data in files.items()})
    return files


def _inputs(compiled: Compiled) -> dict[str, bytes]:
    """Files that this tree was written from. Two templates may have one name, so each is in a folder named after its content."""
    found = {kept_name(path): data for path, data in compiled.inputs.items()}
    for locator, data in compiled.scripts.items():
        ((name, sha256),) = compiled.plan.inputs[locator].files.items()
        found[f"inputs/{sha256[:8]}/{name}"] = data
    return found


def _from_spec(place: str, spec: str) -> str:
    """A place from the folder of the spec: the folder in which somebody compiled is nobody's business."""
    return place if place.startswith((RECIPE, "-s")) else posixpath.relpath(place, posixpath.dirname(spec) or ".")
