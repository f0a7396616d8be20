"""A folder to publish: weights, tokenizer, and a model card that says what a reader must know to use them."""

import json
from pathlib import Path
from typing import Any

from dllm_run.specs.vocabulary.conversions.hub import Hub

from ..checkpoint import DTYPES, published_format, save
from ..context import Context
from ..denoiser import is_masked_lm
from ..edit_heads import has_heads
from ..failure import Failure
from ..models import Loaded, origin
from . import Converted

_CARD = """\
---
library_name: transformers
pipeline_tag: text-generation
tags:
- diffusion-language-model
- dllm-run
{base}---

# A model of dllm-run

A diffusion language model{of}: it fills in `{mask}` (token {mask_id}), it does not write from left to right.

```python
from transformers import AutoTokenizer, {auto}

tokenizer = AutoTokenizer.from_pretrained("FOLDER")
model = {auto}.from_pretrained("FOLDER"){both}
```

- {sight}
- {shift}
- Stage {stage} of a plan of dllm-run, {parameters:,} parameters in {dtype}. `dllm-run` loads this folder as `model: ./FOLDER`.
"""


_SIGHT = {
    "bidirectional": "Every position sees every other: `is_causal` is false in its config.json.",
    "block_causal": "A position sees its own block and those before it: pass the mask that says so, or it sees everything.",
}


def build(word: Hub) -> Converted:
    """The conversion of the word."""

    def publish(context: Context, loaded: Loaded, folder: Path) -> dict[str, Any]:
        network = loaded.denoiser.network.to(DTYPES[word.dtype])
        if has_heads(network):
            raise Failure("a model with heads for edits is no model of transformers: its folder as it was trained is what others load")
        save(network, folder, shard_size=word.shard_size)
        _say_dtype(folder, word.dtype)
        loaded.tokens.fast.save_pretrained(str(folder))
        (folder / "README.md").write_text(card(context, loaded, word), encoding="utf-8")
        weights = sorted(path.name for path in folder.glob("*.safetensors"))
        return {"parameters": network.num_parameters(), "files": weights, "bytes": sum((folder / name).stat().st_size for name in weights)}

    return publish


def _say_dtype(folder: Path, name: str) -> None:
    """A published config says what its own weights were, and transformers would load these so."""
    path = folder / "config.json"
    said = json.loads(path.read_text(encoding="utf-8"))
    said.pop("torch_dtype", None)
    path.write_text(json.dumps({**said, "dtype": name}, indent=2, sort_keys=True) + "\n", encoding="utf-8")


def card(context: Context, loaded: Loaded, word: Hub) -> str:
    """The model card: Markdown with its front matter."""
    network, denoiser = loaded.denoiser.network, loaded.denoiser
    facts = origin(context, context.stage.body.model)  # type: ignore[attr-defined]  # a stage that converts has a model
    source = facts.from_ if isinstance(facts.from_, str) else None
    hub = source if source is not None and not source.startswith((".", "/", "~", "package:")) else None
    masked, own = is_masked_lm(network), published_format(network) is not None
    return _CARD.format(
        base="" if hub is None else f"base_model: {hub}\n",
        of="" if source is None else f" made of {source}",
        mask=loaded.tokens.fast.mask_token,
        mask_id=loaded.tokens.mask,
        auto="AutoModelForMaskedLM" if masked else "AutoModel" if own else "AutoModelForCausalLM",
        both="" if masked or not own else "  # with the code that its family publishes",
        sight="An encoder: every position sees every other." if masked else _SIGHT[facts.attention],
        shift="The logits at a position speak of the next one."
        if denoiser.logit_shift
        else "The logits at a position speak of that position.",
        stage=context.stage_id,
        parameters=network.num_parameters(),
        dtype=word.dtype,
    )
