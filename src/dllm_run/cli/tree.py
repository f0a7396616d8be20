"""The compiled tree: spec, resolved spec, sources, lock, plan, scripts and a manifest, as text by file name."""

import hashlib
from pathlib import Path

from dllm_run.compiler.compile import Compiled
from dllm_run.compiler.lock import lock_text
from dllm_run.launchers import local, slurm
from dllm_run.specs.canonical import pretty
from dllm_run.specs.codec import encode
from dllm_run.specs.store import write_atomic
from dllm_run.specs.vocabulary.launchers.slurm import Slurm

from .specs import Named

MANIFEST = "MANIFEST.sha256"


def tree(named: Named, compiled: Compiled) -> dict[str, bytes]:
    """Every file of a compiled spec; the same bytes in any folder and on any machine."""
    launcher = slurm if isinstance(compiled.spec.launch, Slurm) else local
    texts = {
        "resolved.json": pretty(encode(compiled.spec, planned=False)),
        "sources.json": pretty({path: _short(place) for path, place in compiled.sources().items()}),
        "lock.json": lock_text(compiled.plan.inputs.values()),
        "plan.json": pretty(compiled.plan.to_json()),
        **{f"artefacts/{name}": text for name, text in launcher.render(compiled.plan).items()},
    }
    files = {"spec.yaml": named.source.data, **{name: text.encode() for name, text in texts.items()}}
    if named.source.flags:
        files["flags.txt"] = "".join(f"{flag}\n" for flag in named.source.flags).encode()
    files[MANIFEST] = "".join(f"{hashlib.sha256(files[name]).hexdigest()}  {name}\n" for name in sorted(files)).encode()
    return files


def write(files: dict[str, bytes], folder: Path) -> None:
    """Write a tree; scripts are executable."""
    for name, data in files.items():
        path = folder / name
        write_atomic(path, data.decode())
        if name.endswith((".sh", ".sbatch")):
            path.chmod(0o755)


def differences(files: dict[str, bytes], folder: Path) -> list[str]:
    """Names of files that are missing, more, or other than they should be."""
    there = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()} if folder.is_dir() else set()
    other = {name for name in there & files.keys() if (folder / name).read_bytes() != files[name]}
    return sorted((there ^ files.keys()) | other)


def _short(place: str) -> str:
    """The file's name alone: the folder in which somebody compiled is nobody's business."""
    return place.rpartition("/")[2]
