"""Trackers: where the metrics of a training go beside the JSON lines that every attempt has."""

from dataclasses import dataclass

from dllm_run.specs.word import Word


@dataclass(frozen=True, slots=True, kw_only=True)
class Tracker(Word):
    """Base of the trackers. A stage has one name in each of them, that of its id, also where it was interrupted and goes on."""
