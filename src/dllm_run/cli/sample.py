"""`dllm-run sample SPEC_OR_RUN`: samples of a model, filling in on the terminal; texts in a pipe; a kept trace played again."""

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

from rich.console import Console

from dllm_run.specs.errors import StageFailed
from dllm_run.specs.store import Runs

from .child import Child, Event
from .display import Display
from .kept_spec import find_spec
from .replay import kept_samples, replayed
from .sampled import Sampled, Wish, sampled
from .usage import Usage

SCHEMA = "dllm-run/sample/1"


def main(options: argparse.Namespace) -> int:
    """0 done; 1 where the model does not load or a prompt cannot be read, 3 where the sampler does not fit, 5 where nothing is trained."""
    runs = Runs(Path(options.runs))
    if options.replay:
        return _replay(options, runs)
    texts = prompts_of(options.prompt or [], sys.stdin)
    wish = Wish(
        stage=options.stage,
        point=options.point,
        sampler=options.sampler,
        steps=options.steps,
        temperature=options.temperature,
        seed=options.seed,
        max_new_tokens=options.max_new_tokens,
        rows=options.number,
        own_prompts=not texts,
    )
    named = find_spec(options.spec, options.set, runs)
    found = sampled(named, wish, runs, Console(highlight=False, stderr=True))
    asked = _asked(found, texts, options.number)
    with Child(found, runs) as child:
        return _document(found, child, asked) if options.json else _shown(found, child, asked, options.color)


def prompts_of(words: Sequence[str], lines: Any) -> list[str]:
    """The texts of `--prompt`; `-` stands for the lines of standard input."""
    return [text for word in words for text in ([line.rstrip("\n") for line in lines] if word == "-" else [word])]


def _asked(found: Sampled, texts: list[str], number: int | None) -> dict[str, Any]:
    """What the model is asked. Raises Usage for samples that would all be one."""
    own = found.body.prompts
    if not isinstance(own, tuple):
        return {"ask": "own"}
    if number is None:
        return {"ask": "texts", "texts": texts} if texts else {"ask": "own"}
    if number > 1 and not found.body.sampler.draws_random_numbers():
        raise Usage(f"-n {number}: the sampler draws no random numbers, so all samples of a prompt are one: --temperature 1 draws")
    return {"ask": "texts", "texts": [text for text in texts or own for _ in range(number)]}


def _document(found: Sampled, child: Child, asked: dict[str, Any]) -> int:
    """One JSON document."""
    console = Console(highlight=False, stderr=True)
    child.ready(lambda event: _note(console, event))
    samples, results = [], {}
    for event in child.told(child.ask(asked["ask"], asked)):
        if event["event"] == "filled":
            samples.append({key: value for key, value in event.items() if key not in ("event", "time", "number")})
        elif event["event"] == "finished":
            results = event["results"]
        _note(console, event)
        refuse(event)
    print(json.dumps(document(found.source, found.name, found.stage_id, samples, results), indent=2, ensure_ascii=False))
    return 0


def document(model: str, stage: str, stage_id: str, samples: list[dict[str, Any]], results: dict[str, Any]) -> dict[str, Any]:
    """What `--json` prints."""
    return {"schema": SCHEMA, "model": model, "stage": stage, "id": stage_id, "samples": samples, "results": results}


def _shown(found: Sampled, child: Child, asked: dict[str, Any], color: str) -> int:
    """Canvases that fill in on a terminal; elsewhere the texts alone."""
    console, errors = Console(highlight=False), Console(highlight=False, stderr=True)
    if not console.is_terminal:
        child.ready(lambda event: _note(errors, event))
        texts = []
        for event in child.told(child.ask(asked["ask"], asked)):
            if event["event"] == "filled":
                texts.append(event["text"])
                print(("\n" if len(texts) > 1 else "") + event["text"], flush=True)
            _note(errors, event)
            refuse(event)
        return 0
    started = time.monotonic()
    with Display(console, animate=True, color=color) as display:
        display.handle(_begin(found.name, found.source, found.stage_id))
        child.ready(display.handle)
        for event in child.told(child.ask(asked["ask"], asked)):
            display.handle(event)
            refuse(event)
        display.handle({"event": "done", "seconds": time.monotonic() - started})
    return 0


def refuse(event: Event) -> None:
    """Raises StageFailed where the model says that it cannot."""
    if event["event"] == "refused":
        raise StageFailed(event["message"])


def _note(console: Console, event: Event) -> None:
    if event["event"] == "note":
        console.print(event["text"], markup=False, soft_wrap=True)


def _begin(name: str, source: str, stage_id: str) -> Event:
    return {"event": "stage", "stage": name, "kind": f"from {source}", "id": stage_id, "attempt": 1}


def _replay(options: argparse.Namespace, runs: Runs) -> int:
    """Play what a stage has kept: neither a model nor torch is needed."""
    given = {
        "--prompt": options.prompt,
        "--sampler": options.sampler,
        "--steps": options.steps,
        "--temperature": options.temperature,
        "--seed": options.seed,
        "--max-new-tokens": options.max_new_tokens,
    }
    wrong = [name for name, value in given.items() if value is not None]
    if wrong:
        raise Usage(f"--replay plays what is there: {', '.join(wrong)} would change it")
    stage = kept_samples(options.spec, options.stage, options.point, options.set, runs)
    if options.json:
        rows = stage.rows[: options.number]
        print(json.dumps(document(stage.source, stage.name, stage.entry.path.name, rows, stage.results), indent=2, ensure_ascii=False))
        return 0
    with Display(Console(highlight=False), animate=True, color=options.color) as display:
        display.handle(_begin(stage.name, stage.source, stage.entry.path.name))
        for event in replayed(stage, options.number):
            display.handle(event)
        display.finish()
    return 0
