"""One text for one value: what is hashed, compared and written into plans."""

import hashlib
import json
import math
from json.encoder import encode_basestring
from typing import Any


def canonical(value: Any) -> str:
    """Canonical JSON: sorted keys, no spaces, shortest round-trip floats, integral floats as they are typed."""
    return json.dumps(value, sort_keys=True, separators=(",", ":"), ensure_ascii=False, allow_nan=False)


def scalar(value: str | int | float | bool | None) -> str:
    """`canonical` of a scalar, several times as fast. Raises ValueError for a number that is not finite."""
    if isinstance(value, str):
        return encode_basestring(value)
    if value is None:
        return "null"
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, float) and not math.isfinite(value):
        raise ValueError(f"{value} has no text in JSON")
    return repr(value)


def pretty(value: Any) -> str:
    """The same value for people: sorted keys, two spaces, a final newline."""
    return json.dumps(value, sort_keys=True, indent=2, ensure_ascii=False, allow_nan=False) + "\n"


def digest(value: Any) -> str:
    """sha256 of the canonical JSON, in hex."""
    return hashlib.sha256(canonical(value).encode()).hexdigest()
