"""Every diagnostic has a code, a golden text, and a case here that brings it about. The texts are read in review as a user would."""

import json
import re
from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.compiler.lock import lock_text
from dllm_run.compiler.read import MAX_BYTES
from dllm_run.compiler.render import render
from dllm_run.specs.errors import Diagnostic
from dllm_run.specs.plan import InputRecord

ROOT = Path(__file__).parents[2]
GOLDEN = ROOT / "tests" / "golden" / "errors"

SPEC = """\
version: 1
name: small
data:
  docs: {sources: [./docs.txt], holdout: 0.1, max_length: 64}
stages:
  train:
    kind: pretrain
    model: {scratch: {family: llama, layers: 2, width: 64}, tokenizer: bytes}
    data: ${data.docs}
    objective: mdlm
    batch: {global: 32, micro: 8}
    optimizer: {learning_rate: 1e-3, warmup: 0.1}
    duration: 100 steps
  bound:
    kind: eval
    model: ${stages.train}
    data: ${data.docs}
    tasks: [held_out_text]
    likelihood: {estimator: elbo, samples: 8}
  look:
    kind: sample
    model: ${stages.train}
    prompts: ["Once "]
    max_new_tokens: 64
    sampler: {type: llada, steps: 16, block_size: 16}
compute: {device: cpu}
"""
BARE = """\
from dataclasses import dataclass
from typing import ClassVar

from dllm_run.specs.vocabulary.schedules import Schedule


@dataclass(frozen=True, slots=True, kw_only=True)
class Steep(Schedule):
    word: ClassVar[str] = "steep"
    power: float = 2.0


def build(word): ...
"""
MODEL = "{scratch: {family: llama, layers: 2, width: 64}, tokenizer: bytes}"
LEAPS = ("{type: llada, steps: 16, block_size: 16}", "edit_flow")
LONG_START = "{type: edit_flow, start: {type: masks, length: 65}}"
TEN_MISTAKES = """\
version: 2
name: Ten Mistakes
seed: -1
data:
  docs: {sources: [./docs.txt], holdout: 1.5, max_lenght: 64}
stages:
  train:
    kind: pretrain
    model: {scratch: {family: lama, layers: 2, width: 64}, tokenizer: bytes}
    data: ${data.docs}
    objective: {type: mdlm, schedule: {type: linear, power: 2}}
    batch: many
    optimizer: {warmup: 0.1}
    duration: 100
  look:
    kind: sample
    model: ${stages.train}
    prompts: ["Once "]
    sampler: {type: llada, temperature: cold}
"""


TWO_HOSTS = "launch: {type: torchrun, hosts: [{name: a}, {name: b}]}\n"


def edited(*pairs: str, more: str = "") -> str:
    """SPEC with each odd text replaced by the one that follows it, and more at its end."""
    text = SPEC
    for old, new in zip(pairs[::2], pairs[1::2], strict=True):
        assert text.count(old) >= 1, old
        text = text.replace(old, new)
    return text + more


def blocks(fields: str, attention: str = "block_causal") -> str:
    """The training stage of SPEC with an objective over blocks."""
    trained = SPEC[: SPEC.index("  bound:")] + "compute: {device: cpu}\n"
    model = "tokenizer: bytes, attention: " + attention
    return trained.replace("objective: mdlm", f"objective: {{type: bd3lm, {fields}}}").replace("tokenizer: bytes", model)


def at_checkpoint(which: str, training: str = "checkpoint: {every: 20 steps}") -> str:
    """SPEC whose samples come from weights on the way of the training."""
    taken = f'    model: {{from: "${{stages.train}}", checkpoint: {which}}}\n    prompts'
    return edited("duration: 100 steps", f"duration: 100 steps\n    {training}", "    model: ${stages.train}\n    prompts", taken)


def sampled_blocks(sampler: str) -> str:
    """A model over blocks, sampled."""
    look = SPEC[SPEC.index("  look:") :].replace("{type: llada, steps: 16, block_size: 16}", sampler)
    return blocks("block_size: 16").replace("compute: {device: cpu}\n", look)


AS_GGUF = '  file: {kind: convert, model: "${stages.train}", to: gguf}\n'
GPU = "compute: {gpus_per_node: 1, gpu: GPU}"


def on_gpu(model: str, gpu: str, *pairs: str) -> str:
    """The training alone, of published weights on a GPU."""
    text = edited(MODEL, model, "compute: {device: cpu}", GPU.replace("GPU", gpu), *pairs)
    return text[: text.index("  bound:")] + text[text.index("compute:") :]


def large_batch() -> str:
    text = edited(
        "    model: ${stages.train}\n    prompts",
        "    model: Qwen/Qwen3-4B\n    batch: 3000\n    prompts",
        '["Once "]',
        f"{['Once'] * 3000}",
    )
    return text[: text.index("  train:")] + text[text.index("  look:") :].replace(
        "compute: {device: cpu}", GPU.replace("GPU", "rtx3090-24gb")
    )


def sudoku(*pairs: str) -> str:
    return edited("./docs.txt", "{generate: sudoku}", "tokenizer: bytes", "tokenizer: characters", *pairs)


def two_evaluations_of_the_top() -> str:
    return edited("compute: {device: cpu}", "compute: {device: gpu, threads: 0}")


def chain_of_references() -> str:
    return "".join(f"x{number}: ['${{x{number + 1}}}']\n" for number in range(150)) + "x150: 1\n"


def doubling_references() -> str:
    lists = [", ".join(['"${x' + str(number) + '}"'] * 8) for number in range(8)]
    return "x0: [1, 1, 1, 1]\n" + "".join(f"x{number + 1}: [{items}]\n" for number, items in enumerate(lists))


def doubling_aliases() -> str:
    lists = [", ".join(["*" + name] * 8) for name in "abcdef"]
    return "a: &a [1, 2, 3, 4, 5, 6, 7, 8]\n" + "".join(f"{name}: &{name} [{items}]\n" for name, items in zip("bcdefg", lists, strict=True))


def circle_of_stages() -> str:
    other = """\
  other:
    kind: pretrain
    model: {from: "${stages.train}"}
    data: ${data.docs}
    objective: mdlm
    batch: 8
    optimizer: {learning_rate: 1e-3}
    duration: 10 steps
  bound:
"""
    return edited(MODEL, '{from: "${stages.other}"}', "  bound:\n", other)


def tuned(*models: str) -> str:
    """Trainings one after the other, each with something more on its model."""
    stages, before = "", "train"
    for index, model in enumerate(models):
        stages += f"""  tuned{index}:
    kind: pretrain
    model: {{from: "${{stages.{before}}}", {model}}}
    data: ${{data.docs}}
    objective: mdlm
    batch: 8
    optimizer: {{learning_rate: 1e-4}}
    duration: 10 steps
"""
        before = f"tuned{index}"
    return edited("  bound:\n", stages + "  bound:\n")


SCRIPTS = {
    "end": b"#!/bin/sh\n{% for id, points in ids %}\nrun {{ id }}\n",
    "filter": b"#!/bin/sh\n{{ ids | joined }}\n",
    "include": b'#!/bin/sh\n{% include "header.sh" %}\n{{ ids }}\n',
    "name": b"#!/bin/sh\nrun {{ ids }} # {{ stag }}\n",
    "other-name": b"#!/bin/sh\nrun {{ ids }} on {{ gpus }}\n",
    "attribute": b"#!/bin/sh\nrun {{ ids[0].name }}\n",
    "unsafe": b"#!/bin/sh\nrun {{ ids.__class__ }}\n",
    "fails": b"#!/bin/sh\nrun {{ ids + 1 }}\n",
    "first-line": b"# mine\n#!/bin/sh\nrun {{ ids }}\n",
    "address": b"#!/bin/sh\nrun {{ ids.index }}\n",
    "latin": "#!/bin/sh\n# caf\xe9\nrun {{ ids }}\n".encode("latin-1"),
    "locked": b"#!/bin/sh\nrun {{ ids }}\n",
    "unread": b"#!/bin/sh\nrun {{ ids }}\n",
}


def script(name: str, launch: str = "") -> tuple[str, tuple[str, ...]]:
    return edited(more=f"launch: {{type: slurm, script: ./{name}.sbatch.j2{launch}}}\n"), ()


SHORT = ("width: 64", "width: 64, positions: 64")
HELD_OUT = edited(*SHORT, '["Once "]', "{data: {sources: [./notes.txt], holdout: 0.5}}", "    max_new_tokens: 64\n", "")
QUESTION = edited(
    *SHORT,
    "[held_out_text]",
    "[gsm8k]",
    "    likelihood: {estimator: elbo, samples: 8}\n",
    "    sampler: llada\n",
    "    data: ${data.docs}\n    tasks",
    "    tasks",
)

UNSHIFTED = '{from: "${stages.train}", logit_shift: 0}'
SHIFTED = "{scratch: {family: llama, layers: 2, width: 64}, tokenizer: bytes, logit_shift: 1}"


def prepared(*fields: str) -> str:
    """SPEC with its data prepared by a stage that says these fields."""
    rows = "".join(f"    {field}\n" for field in fields)
    stage = "stages:\n  rows:\n    kind: data\n    data: ${data.docs}\n" + rows
    return edited("stages:\n", stage, "    data: ${data.docs}\n    objective", "    data: ${stages.rows}\n    objective")


def edits(model: str, objective: str = "edit_flow", data: str = "${data.docs}") -> str:
    """SPEC with one more training, which edits."""
    stage = f"""\
  edits:
    kind: pretrain
    model: {model}
    data: {data}
    objective: {objective}
    batch: 8
    optimizer: {{learning_rate: 1e-3}}
    duration: 10 steps
  bound:
"""
    return edited("  bound:\n", stage)


def aligned(*fields: str) -> str:
    """A training that starts from nothing, its data prepared by a stage that says these fields."""
    rows = "".join(f"    {field}\n" for field in ("kind: data", "data: ${data.docs}", "tokenizer: bytes", *fields))
    return edits(MODEL, "{type: edit_flow, start: empty}", "${stages.rows}").replace("stages:\n", f"stages:\n  rows:\n{rows}")


def edited_by(sampler: str, *changes: str, objective: str = "{type: edit_flow, schedule: linear}") -> str:
    """SPEC with a training that edits, and this sampler; its evaluation, which that training has no likelihood for, is gone."""
    likelihood = SPEC[SPEC.index("  bound:") : SPEC.index("  look:")]
    return edited(
        likelihood, "", "objective: mdlm", f"objective: {objective}", "{type: llada, steps: 16, block_size: 16}", sampler, *changes
    )


def played(*fields: str) -> str:
    """One more evaluation, in front of the sampling."""
    said = ("kind: eval", "model: ${stages.train}", *fields)
    return "  play:\n" + "".join(f"    {field}\n" for field in said) + "  look:\n"


CASES: dict[str, tuple[str | bytes, tuple[str, ...]]] = {
    # The text is no YAML that the language allows.
    "E101": (edited("optimizer: {learning_rate: 1e-3,", "optimizer: {learning_rate: 1e-3"), ()),
    "E101-bare-reference": (edited("    data: ${data.docs}\n    obj", "    model: {from: ${stages.look}}\n    obj"), ()),
    "E101-two-documents": (edited(more="---\nname: second\n"), ()),
    "E101-flag": (SPEC, ("stages.train.batch={global: 3",)),
    "E107": (edited("    batch: {global", "    duration: 3 steps\n    batch: {global"), ()),
    "E108": (edited("name: small", "name: !!str small"), ()),
    "E109": (edited("    kind: sample", "    <<: {}\n    kind: sample"), ()),
    "E110": ("a: " + "[" * 120 + "]" * 120, ()),
    "E110-references": (chain_of_references(), ()),
    "E111": (doubling_aliases(), ()),
    "E111-references": (doubling_references(), ()),
    "E112": (b"name: caf\xe9\n", ()),
    "E112-utf16": ("name: x".encode("utf-16"), ()),
    "E113": ("# nothing yet\n", ()),
    "E114": ("#" * (MAX_BYTES + 1), ()),
    "E115": (edited("learning_rate: 1e-3", "learning_rate: 1e999"), ()),
    "E115-not-finite": (edited("learning_rate: 1e-3", "learning_rate: .inf"), ()),
    "E115-64-bits": (edited("name: small", "name: small\nseed: 99999999999999999999"), ()),
    # A secret is never shown, wherever it stands.
    "E116": (edited("name: small", "name: small  # HF_TOKEN is hf_abcdefghijklmnopqrst0123"), ()),
    "E116-flag": (SPEC, ("launch={type: slurm, env: [WANDB_API_KEY=0123456789abcdef0123]}",)),
    # Files that a spec builds on.
    "E120-extends": (edited("name: small", "name: small\nextends: [./bsae.yaml, recipe:sudku]"), ()),
    "E120-recipe": (edited("name: small", "name: small\nextends: [recipe:sudku]"), ()),
    "E120-profile": (edited(more="launch: {profile: jean-zay}\n"), ()),
    "E120-use": (edited("name: small", "name: small\nuse: [./focal.py]"), ()),
    "E121": (edited("name: small", "name: small\nextends: [./circle.yaml]"), ()),
    "E121-profile": (edited(more="launch: {profile: ./nested.yaml}\n"), ()),
    "E123": (edited(more="launch: {type: local, profile: ./slurm.yaml}\n"), ()),
    "E130": (edited("name: small", "name: small\nuse: [./heavy.py]"), ()),
    "E130-field": (edited("name: small", "name: small\nuse: [./bare.py]"), ()),
    "E131": (edited("name: small", 'name: "small-{{ sede }}"'), ()),
    "E131-syntax": (edited('["Once "]', '["{% if %}"]'), ()),
    # Cases, sweeps, comparisons.
    "E104-cases": (edited(more="cases: {a: 1}\n"), ()),
    "E122": (edited(more="cases: {a: {name: other, sweep: {}}, b: {}}\n"), ()),
    "E124": (edited(more="sweep: {zip: {seed: [0, 1], stages.train.batch: [8, 16, 32]}}\n"), ()),
    "E125": (edited(more=f"sweep: {{grid: {{seed: {list(range(400))}, stages.train.seed: {list(range(400))}}}}}\n"), ()),
    "E126": (edited(more="sweep: {grid: {seed: [0, 1]}, exclude: [{sede: 0}]}\n"), ()),
    "E126-all": (edited(more="sweep: {grid: {seed: [0]}, exclude: [{seed: 0}]}\n"), ()),
    "E127": (edited(more="sweep: {random: {samples: 3, values: {seed: {low: 9, high: 3}, stages.train.seed: {low: 0, log: true}}}}\n"), ()),
    "E128-averaged": (edited(more="sweep: {grid: {seed: [0, 1]}}\ncompare: {baseline: seed=0, over: seed}\n"), ()),
    "E128-nothing": (edited("    kind: eval\n", "    kind: sample\n", more="cases: {a: {}, b: {seed: 1}}\ncompare: {baseline: a}\n"), ()),
    "E128": (edited(more="cases: {small: {}, large: {}}\nsweep: {grid: {seed: [0, 1]}}\ncompare: {baseline: smal, over: sed}\n"), ()),
    # A key or a value that the language does not have.
    "E102-top": (edited("name: small", "name: small\nsweeep: {}"), ()),
    "E102-stage": (edited("    batch: {", "    batchsize: 3\n    batch: {"), ()),
    "E102-foreign": (edited("duration: 100 steps", "max_steps: 100"), ()),
    "E102-objective": (edited("objective: mdlm", "objective: {type: mdlm, noise_schedule: linear}"), ()),
    "E102-sampler": (edited("block_size: 16", "block_length: 16"), ()),
    "E102-no-guess": (edited("block_size: 16", "zzz: 16"), ()),
    "E102-copied": (edited("max_length: 64", "max_lenght: 64"), ()),
    "E102-copied-to-a-wrong-place": (edited("batch: {global: 32, micro: 8}", "batch: ${data.docs}"), ()),
    "E102-sweep": (edited(more="sweep: {gird: {seed: [0, 1]}}\n"), ()),
    "E102-sweep-path": (edited(more="sweep: {grid: {stages.train.optimizer.learning_rat: [1e-3, 1e-4]}}\n"), ()),
    "E102-flag": (SPEC, ("stages.look.sampler.stepz=8",)),
    "E103-enum": (edited("warmup: 0.1", "lr_schedule: cosin"), ()),
    "E103-objective": (edited("objective: mdlm", "objective: mdml"), ()),
    "E103-kind": (edited("kind: pretrain", "kind: pretrian"), ()),
    "E103-tokenizer": (edited("tokenizer: bytes", "tokenizer: byte"), ()),
    "E103-generator": (edited("sources: [./docs.txt]", "sources: [{generate: sodoku}]"), ()),
    "E103-version": (edited("version: 1", "version: 2"), ()),
    "E103-name": (edited("name: small", "name: My Model"), ()),
    "E103-name-with-line-end": (edited("name: small", 'name: "small\\n"'), ()),
    "E103-unit": (edited("100 steps", "100 rows"), ()),
    "E103-no-unit": (edited("100 steps", "'100'"), ()),
    "E103-time": (edited(more="launch: {type: slurm, time: tomorrow}\n"), ()),
    "E103-extra": (edited(more='launch: {type: slurm, extra: {comment: "a\\nb", --x: 1, array: 0-3}}\n'), ()),
    "E103-stage-name": (edited("  look:", "  look at:"), ()),
    "E103-gpu": (edited("compute: {device: cpu}", "compute: {gpus_per_node: 1, gpu: h100}"), ()),
    "E103-inherited": (two_evaluations_of_the_top(), ()),
    "E104": (edited("global: 32", "global: many"), ()),
    "E104-shorthand": (edited("batch: {global: 32, micro: 8}", "batch: many"), ()),
    "E104-list": (edited("batch: {global: 32, micro: 8}", "batch: [32]"), ()),
    "E104-bool": (edited("objective: mdlm", "objective: true"), ()),
    "E104-null": (edited("objective: mdlm", "objective: null"), ()),
    "E104-amount": (edited("duration: 100 steps", "duration: 100"), ()),
    "E104-amount-too-large": (edited("duration: 100 steps", f"duration: {'9' * 400} steps"), ()),
    "E104-no-map": ("- version: 1\n", ()),
    "E104-stages": ("version: 1\nname: x\nstages: [train]\n", ()),
    "E104-sweep": (edited(more="sweep: [0, 1]\n"), ()),
    "E104-grid": (edited(more="sweep: {grid: {seed: 1}}\n"), ()),
    "E104-flag": (SPEC, ("stages.train.batch=x", "stages.train.optimizer.learning_rate=high")),
    "E104-extra": (edited(more="launch: {type: slurm, extra: {comment: [a, b]}}\n"), ()),
    "E105-top": ("name: x\n", ()),
    "E105-kind": (edited("    kind: pretrain\n", ""), ()),
    "E105-stage": (edited("    objective: mdlm\n", "", "    duration: 100 steps\n", ""), ()),
    "E105-nested": (edited("learning_rate: 1e-3, ", ""), ()),
    "E105-word": (edited("objective: mdlm", "objective: {schedule: cosine}"), ()),
    "E105-misspelt-stage-in-a-flag": (SPEC, ("stages.trian.batch=8",)),
    "E105-misspelt-stage-in-a-sweep": (edited(more="sweep: {grid: {stages.trian.batch: [8, 16]}}\n"), ()),
    "E105-max-new-tokens": (edited("    max_new_tokens: 64\n", ""), ()),
    "E106": (edited("layers: 2", "layers: 0"), ()),
    "E106-fraction": (edited("holdout: 0.1", "holdout: 1.5"), ()),
    "E106-no-steps": (edited("100 steps", "0 steps"), ()),
    "E106-empty-holdout": (edited("holdout: 0.1", "holdout: 0 rows"), ()),
    "E106-no-sources": (edited("sources: [./docs.txt]", "sources: []"), ()),
    "E106-no-tasks": (edited("tasks: [held_out_text]", "tasks: []"), ()),
    "E106-no-prompts": (edited('prompts: ["Once "]', "prompts: []"), ()),
    "E106-no-stages": ("version: 1\nname: x\nstages: {}\n", ()),
    "E106-grid": (edited(more="sweep: {grid: {seed: []}}\n"), ()),
    # References.
    # A job script of the user's own.
    "E140": script("end"),
    "E140-filter": script("filter"),
    "E140-include": script("include"),
    "E141": script("name"),
    "E141-no-guess": script("other-name"),
    "E141-attribute": script("attribute"),
    "E142": script("unsafe"),
    "E143": script("fails"),
    "E143-first-line": script("first-line"),
    "E143-address": script("address"),
    "E144": script("not-here"),
    "E144-text": script("latin"),
    "E145": script("locked"),
    "E146": script("unread", ", partition: gpu, mem: 8G, setup: [module load x]"),
    "E103-script": (edited(more="launch: {type: slurm, script: own.sbatch.j2}\n"), ()),
    "E201": (edited("    data: ${data.docs}\n    obj", "    data: ${data.doc}\n    obj"), ()),
    "E201-no-guess": (edited("    data: ${data.docs}\n    obj", "    data: ${corpus.all}\n    obj"), ()),
    "E201-stage": (edited("    model: ${stages.train}\n    prompts", "    model: ${stages.trian}\n    prompts"), ()),
    "E201-top-model": (edited("    model: ${stages.train}\n", "", more='model: {from: "${stages.trian}"}\n'), ()),
    "E202": (edited("{sources: [./docs.txt], holdout: 0.1, max_length: 64}", "${data.more}\n  more: ${data.docs}"), ()),
    "E202-stages": (circle_of_stages(), ()),
    "E203": (edited("    model: ${stages.train}\n    prompts", "    model: ${stages.train.out.weights}\n    prompts"), ()),
    "E203-kind": (edited("    model: ${stages.train}\n    prompts", "    model: ${stages.bound}\n    prompts"), ()),
    "E204": (edited("./docs.txt", '"./${data.name}.txt"'), ()),
    "E205": (SPEC, ("stages.train.batch",)),
    "E205-empty-part": (SPEC, ("stages..batch=3",)),
    "E205-into-a-reference": (SPEC, ("stages.train.data.limit=100",)),
    "E205-into-an-edge": (SPEC, ("stages.look.model.from=./other",)),
    "E205-sweep-into-an-edge": (edited(more="sweep: {grid: {stages.look.model.checkpoint: [last, step 5]}}\n"), ()),
    "E205-sweep-into-a-reference": (edited(more="sweep: {grid: {stages.train.data.limit: [10, 20]}}\n"), ()),
    # Fields that do not go together.
    "E301": (edited(MODEL, "{tokenizer: bytes}"), ()),
    "E301-both": (edited("tokenizer: bytes}", "tokenizer: bytes, from: ./weights}"), ()),
    "E301-source": (edited("sources: [./docs.txt]", "sources: [{limit: 3}]"), ()),
    "E302": (edited(", tokenizer: bytes}", "}"), ()),
    "E310": (edited("width: 64", "width: 64, heads: 5"), ()),
    "E310-odd": (edited("width: 64", "width: 66, heads: 2"), ()),
    "E311": (edited("micro: 8", "micro: 7"), ()),
    "E311-processes": (edited("device: cpu", "device: cpu, processes: 6", "global: 32", "global: 60", "micro: 8", "micro: 4"), ()),
    "E311-share": (edited("device: cpu", "device: cpu, processes: 6", ", micro: 8", ""), ()),
    "E311-flag": (SPEC, ("stages.train.batch=33",)),
    "E312": (edited("warmup: 0.1", "warmup: 200 steps"), ()),
    "E312-epochs": (sudoku("100 steps", "2 epochs", "warmup: 0.1", "warmup: 200 steps"), ()),
    "E312-decay": (edited("warmup: 0.1", "warmup: 0.5, lr_schedule: {type: wsd, decay: 60 steps}"), ()),
    "E312-polynomial": (edited("warmup: 0.1", "warmup: 100 steps, lr_schedule: polynomial"), ()),
    "E313-epochs": (sudoku("100 steps", "2 epochs\n    evaluate: {every: 50 steps}\n    checkpoint: {every: 50 steps}"), ()),
    "E313": (edited("100 steps", "100 steps\n    evaluate: {every: 500 steps}"), ()),
    "E313-warning": (edited("100 steps", "100 steps\n    checkpoint: {every: 500 steps}"), ()),
    "E314": (edited(", holdout: 0.1", "", "100 steps", "100 steps\n    evaluate: {every: 50 steps}"), ()),
    "E314-prompts": (edited(", holdout: 0.1", "", '["Once "]\n    max_new_tokens: 64', "{data: '${data.docs}'}"), ()),
    "E315": (edited("width: 64", "width: 64, positions: 32"), ()),
    "E315-published": (edited(MODEL, "google-bert/bert-base-uncased", "max_length: 64", "max_length: 1024"), ()),
    "E315-held-out": (HELD_OUT, ()),
    "E318": (edited(*SHORT), ()),
    "E318-question": (QUESTION, ()),
    "E316": (edited("block_size: 16", "block_size: 24"), ()),
    "E317": (edited("steps: 16", "steps: 18"), ()),
    "E323": (edited("[./docs.txt], holdout: 0.1", "[{generate: sudoku}], holdout: 288 rows"), ()),
    "E320": (edited("    likelihood: {estimator: elbo, samples: 8}\n", "    sampler: llada\n"), ()),
    "E630": (edited("samples: 8}", "samples: 1, error: 0.1}"), ()),
    "E631": (
        edited("    tasks: [held_out_text]\n", "    tasks: [held_out_text, {name: mbpp_instruct, num_fewshot: 3}]\n    sampler: llada\n"),
        (),
    ),
    "E320-nothing": (edited("    likelihood: {estimator: elbo, samples: 8}\n", ""), ()),
    "E321": (edited("[held_out_text]", "[held_out_text, held_out_text]"), ()),
    "E330": (on_gpu("GSAI-ML/LLaDA-8B-Base", "a100-40gb"), ()),
    "E330-adapter": (on_gpu("Qwen/Qwen3-4B", "rtx3090-24gb", "micro: 8", "micro: 1"), ()),
    "E330-quantised": (on_gpu("GSAI-ML/LLaDA-8B-Base", "rtx3090-24gb", "micro: 8", "micro: 1", "max_length: 64", "max_length: 1024"), ()),
    "E330-micro": (on_gpu("Qwen/Qwen3-0.6B", "a100-40gb", "max_length: 64", "max_length: 2048"), ()),
    "E330-micro-and-checkpointing": (on_gpu("Qwen/Qwen3-1.7B", "a100-40gb", "max_length: 64", "max_length: 2048"), ()),
    "E330-batch": (large_batch(), ()),
    "E430-gpu": (edited("compute: {device: cpu}", "compute: {gpu: a100-40gb}"), ()),
    "E430-gpu-of-a-cpu": (edited("compute: {device: cpu}", "compute: {device: cpu, gpus_per_node: 1, gpu: a100-40gb}"), ()),
    "E322": (edited("samples: 8}\n", "samples: 8}\n    num_fewshot: 2\n"), ()),
    "E440": (blocks("block_size: 16, time_range: [0.9, 0.4]"), ()),
    "E440-three": (blocks("block_size: 16, time_range: [0.1, 0.4, 0.5]"), ()),
    "E440-complement": (blocks("block_size: 16, time_range: [0.45, 0.95], complementary: true"), ()),
    "E441": (blocks("block_size: 16, weighting: cart"), ()),
    "E600": (edited("{type: llada, steps: 16, block_size: 16}", "{type: fast_dllm, threshold: 0.9, remasking: entropy}"), ()),
    "E600-factor": (edited("{type: llada, steps: 16, block_size: 16}", "{type: fast_dllm, factor: 1, remasking: random}"), ()),
    "E600-entropy": (edited("{type: llada, steps: 16, block_size: 16}", "{type: fast_dllm, entropy_bound: 0.2, remasking: random}"), ()),
    "E601": (edited("{type: llada, steps: 16, block_size: 16}", "{type: remdm, revision: loop, loop_start: 0.1, loop_end: 0.5}"), ()),
    "E602": (edited("family: llama", "family: bert", "{type: llada, steps: 16, block_size: 16}", "{type: fast_dllm, cache: dual}"), ()),
    "E603": (edited("model: ${stages.train}\n    prompts", "model: Qwen/Qwen3-0.6B\n    prompts", *LEAPS), ()),
    "E603-scratch": (edited("${stages.train}\n    prompts", f"{MODEL}\n    prompts", *LEAPS), ()),
    "E603-convert": (
        edited(
            "${stages.train}\n    prompts",
            "${stages.heads}\n    prompts",
            "  look:\n",
            "  heads: {kind: convert, model: Qwen/Qwen3-0.6B, to: edit_flow}\n  look:\n",
            *LEAPS,
        ),
        (),
    ),
    "E604": (edited_by("{type: edit_flow, schedule: cubic}"), ()),
    "E604-start": (edited_by("{type: edit_flow, start: empty}"), ()),
    "E605": (edited_by("edit_flow", "max_new_tokens: 64", "max_new_tokens: 48"), ()),
    "E605-own": (edited("${stages.train}\n    prompts", "./weights\n    prompts", LEAPS[0], LONG_START), ()),
    "E606": (edited_by("edit_flow", "  look:\n", played("data: ${data.docs}", "tasks: [fill_in_the_middle]", "sampler: edit_flow")), ()),
    "E420-edits-a-masked-model": (edited(*LEAPS), ()),
    "E420-masks-of-an-edited-model": (edited_by("llada"), ()),
    "E420-draft-of-a-question": (
        edited_by("edit_flow", "  look:\n", played("tasks: [arithmetic]", "sampler: {type: edit_flow, edit_prompt: true}")),
        (),
    ),
    "E430-draft-of-held-out-rows": (
        edited_by("{type: edit_flow, edit_prompt: true}", 'prompts: ["Once "]\n    max_new_tokens: 64', 'prompts: {data: "${data.docs}"}'),
        (),
    ),
    "E430-greedy-edits": (edited_by("{type: edit_flow, temperature: 0, top_p: 0.9}"), ()),
    "E102-guided-edits": (edited_by("{type: edit_flow, cfg_scale: 1.5, cache: dual}"), ()),
    # What does not go together, or does nothing: see compiler/compatibility.py.
    # Adapters and quantised weights.
    "E530": (edited("tokenizer: bytes}", "tokenizer: bytes, lora: 8, quantization: nf4}"), ()),
    "E531": (tuned("quantization: int8"), ()),
    "E531-merge": (tuned("lora: 8", "adapter: merge, quantization: nf4"), ()),
    "E532": (tuned("lora: 8", "lora: 4"), ()),
    "E535": (tuned("lora: 8", "adapter: continue, adapter_from: ./other"), ()),
    "E534": (edited("  bound:\n", "  whole: {kind: merge, model: \"${stages.train}\"}\n  bound:\n"), ()),
    "E430-no-adapter": (tuned("adapter: continue"), ()),
    "E430-adapter-that-goes-on": (tuned("lora: 8", "adapter: continue, lora: 4"), ()),
    "E106-targets": (tuned("lora: {targets: q_proj}"), ()),
    "E480": (edited("device: cpu", "device: cpu, strategy: zero2"), ()),
    "E480-several": (edited("device: cpu", "device: cpu, processes: 4, strategy: none"), ()),
    "E481": (edited("{device: cpu}", "{device: cpu, nodes: 2, processes: 3}\nlaunch: slurm", "32, micro: 8", "48"), ()),
    "E481-gpus": (edited("device: cpu", "gpus_per_node: 2, processes: 4"), ()),
    "E482": (edited("device: cpu", "device: cpu, nodes: 2, processes: 4"), ()),
    "E482-hosts": (edited("device: cpu", "device: cpu, nodes: 3, processes: 3", "32, micro: 8", "48", more=TWO_HOSTS), ()),
    "E103-hosts": (edited(more="launch: {type: torchrun, hosts: [{name: a}, {name: b}, {name: a}], hostfile: ./hosts}\n"), ()),
    "E103-host-name": (edited(more="launch: {type: deepspeed, hosts: [{name: 'a b'}]}\n"), ()),
    "E103-via": (edited(more="launch: {type: deepspeed, via: rsh}\n"), ()),
    "E103-container": (edited(more="launch: {type: slurm, container: {image: a.sif, runtime: docker}}\n"), ()),
    "E483": (edited("device: cpu", "device: cpu, processes: 4, strategy: zero3", "duration", "ema: 0.9\n    duration"), ()),
    "E430-processes": (edited("    prompts", "    compute: {processes: 2}\n    prompts"), ()),
    "E430-strategy": (edited("tasks: [held_out_text]", "tasks: [held_out_text]\n    compute: {processes: 2, strategy: zero2}"), ()),
    "E482-evaluation": (edited("tasks: [held_out_text]", "tasks: [held_out_text]\n    compute: {processes: 2, nodes: 2}"), ()),
    "E420-compile": (edited("device: cpu", "device: cpu, processes: 4, strategy: zero3, compile: true"), ()),
    "E430-compile": (edited("tasks: [held_out_text]", "tasks: [held_out_text]\n    compute: {compile: true}"), ()),
    "E106-log": (edited(more="log: [tensorboard, {type: wandb, project: mine}, wandb]\n"), ()),
    "E420": (edited("sources: [./docs.txt]", "sources: [{generate: sudoku}]", "kind: pretrain", "kind: sft"), ()),
    "E420-packing": (edited("max_length: 64", "max_length: 64, packing: cut", "./docs.txt", "./pairs.csv", "pretrain", "sft"), ()),
    "E420-format-of-prepared-data": (prepared("format: pairs", "tokenizer: bytes").replace("./docs.txt", "./pairs.csv"), ()),
    "E420-attention": (blocks("block_size: 16", "bidirectional"), ()),
    "E420-block-causal": (edited("tokenizer: bytes}", "tokenizer: bytes, attention: block_causal}"), ()),
    "E421": (prepared("format: text", "tokenizer: characters"), ()),
    "E421-logit-shift": (edited(MODEL, SHIFTED, "${stages.train}\n    prompts", f"{UNSHIFTED}\n    prompts"), ()),
    "E421-tokenizer": (edited("${stages.train}\n    prompts", '{from: "${stages.train}", tokenizer: characters}\n    prompts'), ()),
    "E430": (edited('["Once "]', "{data: '${data.docs}'}"), ()),
    "E430-columns": (edited("max_length: 64", "max_length: 64, columns: {prompt: question}"), ()),
    "E430-handed-down-to-no-use": (edited("    kind: pretrain", "    kind: pretrain\n    compute: {gradient_checkpointing: false}",
                                          "{device: cpu}", "{device: cpu, gradient_checkpointing: true}"), ()),
    "E430-tasks": (edited("samples: 8}\n", "samples: 8}\n    sampler: llada\n    max_new_tokens: 16\n"), ()),
    "E430-max-weight": (edited("objective: mdlm", "objective: {type: dream, max_weight: 5}"), ()),
    "E430-exact": (blocks("block_size: 1, schedule: cosine, time_sampling: stratified"), ()),
    "E430-time-range": (blocks("block_size: 16, time_epsilon: 0.01, time_range: [0.3, 0.8]"), ()),
    "E430-seed": (edited("max_new_tokens: 64", "max_new_tokens: 64\n    seed: 3"), ()),
    "E430-window": (edited("duration: 100 steps", "duration: 100 steps\n    stop: {loss_above: 10, window: 20}"), ()),
    "E490": (edited("duration: 100 steps", "duration: 100 steps\n    stop: {patience: 3}"), ()),
    "E491": (edited("duration: 100 steps", "duration: 100 steps\n    checkpoint: {best: true}"), ()),
    "E492": (at_checkpoint("best"), ()),
    "E492-source": (edited(MODEL, "{from: ./weights, tokenizer: bytes, checkpoint: best}"), ()),
    "E493": (at_checkpoint("step 25", "checkpoint: {every: 20 steps, keep: all}"), ()),
    "E493-keep": (at_checkpoint("step 20", "checkpoint: {every: 20 steps, keep: 2}"), ()),
    "E103-checkpoint": (at_checkpoint("newest"), ()),
    # Inputs that are here.
    "E450": (edits("${stages.train}"), ()),
    "E451": (aligned("start: masks"), ()),
    "E451-none": (aligned(), ()),
    "E452": (edits(MODEL, "{type: edit_flow, start: {type: masks, length: 128}}"), ()),
    # Data sets.
    "E460": (edited("[./docs.txt]", "[{path: ./docs.txt, weight: 3}, ./docs.txt]"), ()),
    "E461": (edited("max_length: 64", "max_length: 64, where: text|length > 3"), ()),
    "E461-source": (edited("[./docs.txt]", "[{path: ./docs.txt, where: text|length > 3}]"), ()),
    "E462": (edited("[./docs.txt]", '["acme/rows[train:1000]+acme/more[test]"]'), ()),
    "E462-share": (edited("[./docs.txt]", '["acme/rows[train:10%]|acme/more"]'), ()),
    "E463": (edited("max_length: 64", "max_length: 64, chat_template: llama3", "./docs.txt", "./pairs.csv", "pretrain", "sft"), ()),
    "E464": (edited("max_length: 64", "max_length: 64, padding: train_eos, padding_multiple: 128"), ()),
    "E103-packing": (edited("max_length: 64", "max_length: 64, packing: true"), ()),
    "E131-chat": (
        edited("max_length: 64", 'max_length: 64, chat_template: "{% for m in all %}"', "./docs.txt", "./pairs.csv", "pretrain", "sft"),
        (),
    ),
    "E131-condition": (edited("max_length: 64", 'max_length: 64, where: "{{ text| }}"'), ()),
    "E510-condition": (edited("max_length: 64", 'max_length: 64, where: "{{ level > 3 }}"'), ()),
    "E420-streaming": (edited("max_length: 64", "max_length: 64, streaming: true, packing: documents"), ()),
    "E420-buckets": (edited("max_length: 64", "max_length: 64, streaming: true", "micro: 8}", "micro: 8, bucketing: 4}"), ()),
    "E430-padding": (edited("max_length: 64", "max_length: 64, packing: cut, padding: train_eos"), ()),
    "E430-split": (edited("[./docs.txt]", "[{path: ./docs.txt, split: train}]"), ()),
    "E510": (edited("./docs.txt", "./rows.jsonl"), ()),
    "E510-pairs": (edited("kind: pretrain", "kind: sft"), ()),
    "E430-revision": (edited(MODEL, "{from: ./weights, tokenizer: bytes, revision: v1}"), ()),
    "E430-revision-twice": (edited(MODEL, "{from: acme/tiny@v1, tokenizer: bytes, revision: v1}"), ()),
    "E510-byte-order-mark": (edited("./docs.txt", "./marked.csv"), ()),
    "E511": (edited("./docs.txt", "./broken.jsonl"), ()),
    "E511-not-utf8": (edited("./docs.txt", "./latin.txt"), ()),
    "E512": (edited("./docs.txt", "./mixed"), ()),
    "E513": (edited("./docs.txt", "./numbers.jsonl"), ()),
    "E514": (edited("./docs.txt", "./empty.jsonl"), ()),
    "E515": (edited(MODEL, "{from: ./mixed, tokenizer: bytes}"), ()),
    "E515-file": (edited(MODEL, "./docs.txt"), ()),
    "E516": (edited(MODEL, "{from: ./bare, tokenizer: bytes}"), ()),
    "E516-encoder-decoder": (edited(MODEL, "{from: ./both, tokenizer: bytes}"), ()),
    "E517": (edited(MODEL, "{from: ./small, tokenizer: bytes}"), ()),
    "E518": (edited(MODEL, "./small"), ()),
    "E520": (edited(MODEL, "{from: ./steps, tokenizer: bytes}"), ()),
    "E533": (edited(MODEL, "{from: ./adapter, tokenizer: bytes}"), ()),
    "E533-no-base": (edited(MODEL, "./own-adapter"), ()),
    "E537": (edited(MODEL, "{from: acme/tiny, adapter_from: ./small, adapter: continue}"), ()),
    "E537-kind": (edited(MODEL, "{from: acme/tiny, adapter_from: ./prefix, adapter: continue}"), ()),
    "E537-weights": (edited(MODEL, "{from: acme/tiny, adapter_from: ./emptied, adapter: continue}"), ()),
    "E537-file": (edited(MODEL, "{from: acme/tiny, adapter_from: ./docs.txt, adapter: continue}"), ()),
    "E536": (edited(MODEL, "{from: Qwen/Qwen3-0.6B, lora: {r: 8, targets: [self_attn.query_proj, v_proj]}}"), ()),
    "E536-no-guess": (edited(MODEL, "{from: GSAI-ML/LLaDA-8B-Base, lora: {targets: [attn_out, ff_out]}}"), ()),
    "W531": (edited(MODEL, "{from: GSAI-ML/LLaDA-8B-Base, quantization: nf4, lora: 8}"), ()),
    "W520": (edited(MODEL, "{from: ./dream, tokenizer: bytes, logit_shift: 0}"), ()),
    "E538": (edited("family: llama", "family: bert", "  bound:", f"{AS_GGUF}  bound:"), ()),
    "E538-published": (edited(MODEL, "google-bert/bert-base-uncased", "  bound:", f"{AS_GGUF}  bound:"), ()),
    "E519": (edited("tokenizer: bytes", "tokenizer: {type: pattern, vocabulary: ./vocab.txt}"), ()),
    "E315-config": (edited(MODEL, "{from: ./short, tokenizer: bytes}"), ()),
    # Warnings.
    "W420": (edited("{device: cpu}", "{device: cpu, gpus_per_node: 1}", more="launch: slurm\n"), ()),
    "W420-one-block": (blocks("block_size: 128"), ()),
    "W420-no-gpu": (edited("{device: cpu}", "{device: cuda}", more="launch: slurm\n"), ()),
    "W600": (sampled_blocks("{type: bd3lm, block_size: 32}"), ()),
    "E420-sampler": (sampled_blocks("llada"), ()),
    "E430-steps": (edited("{type: llada, steps: 16, block_size: 16}", "{type: fast_dllm, threshold: 0.9, steps: 16, refresh: 2}"), ()),
    "W431-log": (edited("kind: pretrain", "kind: pretrain\n    log: []", more="log: [tensorboard]\n"), ()),
    "W431-model": (edited(more="model: ./small\n", ), ()),
    "W510": (edited("./docs.txt", "./large.json"), ()),
    "W511": (edited("./docs.txt", "./two-kinds/*"), ()),
    "W512": (edited(MODEL, "{from: ./foreign, tokenizer: bytes}"), ()),
    "W513": (edited(MODEL, "{from: ./sliding, tokenizer: bytes}"), ()),
    "W316": (edited("steps: 16", "steps: 128"), ()),
    "W330": (on_gpu("Qwen/Qwen3-1.7B", "a100-40gb", "micro: 8", "micro: 32", "max_length: 64", "max_length: 88"), ()),
    "W330-mem": (edited(more="launch: {type: slurm, mem: 400M}\n"), ()),
    "W331": (on_gpu("Qwen/Qwen3-0.6B", "a100-40gb", "100 steps", "2000000 steps") + "launch: {type: slurm, time: 1-12}\n", ()),
    "W431": (edited("  docs:", "  notes: {sources: [./notes.txt]}\n  docs:"), ()),
    "W432": (edited(more="cases: {a: {}, b: {launch: local}}\n"), ()),
    "W501": (edited("./docs.txt", "package:no_such_package_here/docs.txt"), ()),
    "W501-hub": (edited("[./docs.txt]", "[allenai/tulu-3-sft-mixture]"), ()),
    "W501-file": (edited("./docs.txt", "./not-here.txt"), ()),
    # Everything at once.
    "E103-ten-mistakes": (TEN_MISTAKES, ()),
}  # fmt: skip


LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"], "vocab_size": 300}
FOLDERS: dict[str, dict[str, object]] = {
    "bare": {"model_type": "bert", "architectures": ["BertModel"]},
    "both": {"model_type": "t5", "is_encoder_decoder": True, "architectures": ["T5ForConditionalGeneration"]},
    "small": {**LLAMA, "vocab_size": 100},
    "short": {**LLAMA, "max_position_embeddings": 32},
    "foreign": {"model_type": "own", "architectures": ["OwnModel"], "auto_map": {"AutoConfig": "configuration_own.OwnConfig"}},
    "dream": {"model_type": "Dream", "architectures": ["DreamModel"], "vocab_size": 300},
    "steps/checkpoint-90": LLAMA,
    "steps/checkpoint-100": LLAMA,
    "sliding": {**LLAMA, "model_type": "mistral", "sliding_window": 32},
}
ADAPTER = {"peft_type": "LORA", "r": 8, "base_model_name_or_path": "acme/tiny"}
FILES = {
    **{
        f"{name}/adapter_config.json": json.dumps(said)
        for name, said in {
            "adapter": ADAPTER,
            "emptied": ADAPTER,
            "own-adapter": {**ADAPTER, "base_model_name_or_path": ""},
            "prefix": {"peft_type": "PREFIX_TUNING"},
        }.items()
    },
    **{f"{name}/adapter_model.safetensors": "" for name in ("adapter", "own-adapter", "prefix")},
    "docs.txt": "A text.\n",
    "notes.txt": "A text.\n",
    "rows.jsonl": '{"id": 1, "body": "A text."}\n{"id": 2, "body": "Another."}\n',
    "pairs.csv": "prompt,response\n2 + 2,4\n",
    "marked.csv": "\ufefftext,label\nA text.,1\n",
    "broken.jsonl": '{"text": "A text."}\n{"text": \n',
    "numbers.jsonl": '{"text": "A text."}\n{"text": 7}\n',
    "empty.jsonl": "",
    "large.json": "[" + '{"text": "A text."},' * 60_000 + '{"text": "The last."}]',
    "mixed/page.html": "<html></html>\n",
    "two-kinds/README.md": "Read me.\n",
    "two-kinds/rows.jsonl": '{"text": "A text."}\n',
    "vocab.txt": "[MASK]\n[CLS]\n[SEP]\n[unk]\n[PAD]\nA\nB\n",
    "circle.yaml": "extends: [./other.yaml]\n",
    "other.yaml": "seed: 3\nextends: [./circle.yaml]\n",
    "nested.yaml": "profile: other\n",
    "slurm.yaml": "type: slurm\npartition: gpu\n",
    "heavy.py": "from dataclasses import dataclass\n\nimport torch\n",
    "bare.py": BARE,
    **{f"{folder}/config.json": json.dumps(config) for folder, config in FOLDERS.items()},
    **{f"{folder}/model.safetensors": "" for folder in FOLDERS},
}


@pytest.fixture(autouse=True)
def files(tmp_path: Path) -> None:
    for name, text in FILES.items():
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(text, encoding="utf-8")
    (tmp_path / "latin.txt").write_bytes("Un café.\n".encode("latin-1"))
    for name, data in SCRIPTS.items():
        (tmp_path / f"{name}.sbatch.j2").write_bytes(data)
    record = InputRecord(kind="file", locator="./locked.sbatch.j2", revision=None, files={"locked.sbatch.j2": "0" * 64})
    (tmp_path / "spec.lock.json").write_text(lock_text([record]), encoding="utf-8")


@pytest.mark.parametrize("case", CASES)
def test_an_error_reads_as_its_golden_text_has_it(
    case: str, diagnosing: Callable[..., tuple[Diagnostic, ...]], golden: Callable[[str, str], None]
) -> None:
    text, flags = CASES[case]
    found = diagnosing(text, *flags)
    assert case[:4] in {item.code for item in found}
    golden(f"errors/{case}.txt", render(found) + "\n")


def codes_in_the_source() -> set[str]:
    files = [file for layer in ("compiler", "specs") for file in (ROOT / layer).rglob("*.py")]
    return {code for file in files for code in re.findall(r"\b[EW][0-9]{3}\b", file.read_text(encoding="utf-8"))}


def test_every_code_has_a_golden_text_and_every_golden_text_a_code_and_a_case() -> None:
    files = {file.stem for file in GOLDEN.glob("*.txt")}
    assert codes_in_the_source() == {name[:4] for name in files}
    assert files == set(CASES)


@pytest.mark.parametrize("case", [case for case, (text, _) in CASES.items() if isinstance(text, str)])
def test_every_error_of_a_place_is_told_once(case: str, diagnosing: Callable[..., tuple[Diagnostic, ...]]) -> None:
    text, flags = CASES[case]
    found = diagnosing(text, *flags)
    assert len({(item.code, item.mark, item.message) for item in found}) == len(found)


@pytest.mark.parametrize("case", [case for case, (text, _) in CASES.items() if isinstance(text, str)])
def test_a_cure_that_an_error_offers_removes_it(case: str, diagnosing: Callable[..., tuple[Diagnostic, ...]]) -> None:
    text, flags = CASES[case]
    for item in diagnosing(text, *flags):
        if item.fix is not None and item.code != "E205":
            cured = diagnosing(text, *flags, item.fix)
            assert (item.code, item.mark, item.message) not in {(other.code, other.mark, other.message) for other in cured}
            assert not {other.code for other in cured if other.code[:2] in ("E1", "E2")} - {
                other.code for other in diagnosing(text, *flags)
            }
