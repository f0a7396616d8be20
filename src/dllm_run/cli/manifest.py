"""The manifest of a compiled tree, in the format of `sha256sum`: the last file to be written, which tells a tree of ours from others."""

from collections.abc import Mapping
from pathlib import Path

MANIFEST = "MANIFEST.sha256"


def manifest(digests: Mapping[str, str]) -> bytes:
    """The manifest over files by name."""
    return "".join(f"{digests[name]}  {name}\n" for name in sorted(digests)).encode()


def names_in(path: Path) -> set[str]:
    """Files that a manifest on disk names, with itself; none where there is no manifest, or something else of its name."""
    try:
        lines = path.read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError):
        return set()
    named = [line.split("  ", 1) for line in lines]
    if not all(len(parts) == 2 and len(parts[0]) == 64 for parts in named):
        return set()
    return {MANIFEST, *(parts[1] for parts in named)}
