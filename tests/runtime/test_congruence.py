"""Training and sampling read a model alike: the same revealed tokens give the same logits, for every family and objective of a plan."""

from pathlib import Path
from typing import Any

import pytest
import torch
from runtime_toys import compiled, context_of
from torch import Tensor

from dllm_run.runtime import decode as decoding
from dllm_run.runtime.board import Board
from dllm_run.runtime.build import build
from dllm_run.runtime.canvas import Request, lay_out
from dllm_run.runtime.decode import decode
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.guided import Guided
from dllm_run.runtime.models import load
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.objectives import Draws
from dllm_run.runtime.objectives.bd3lm import Bd3lmObjective, BlockDraws
from dllm_run.runtime.rows import pad_rows
from dllm_run.specs.vocabulary.families import Family
from dllm_run.specs.word import members

BLOCK, PROMPT = 3, 4
FAMILIES: dict[str, Any] = dict(members(Family))
TEXT = list(b"abcd" + b"efghij")
"""A prompt, and an answer of two blocks."""
PAIRS = dict.fromkeys(("mdlm", "dream"), "{type: llada, block_size: 3, remasking: random}")
"""Objectives, each with the sampler that fills in what it was trained to."""
BLOCKS = "{type: bd3lm, block_size: 3, remasking: random, cache: CACHE}"
SPEC = """
version: 1
name: toy
model: {{scratch: {{family: {family}, layers: 2, width: 32, heads: 2}}, tokenizer: bytes, {model}}}
data: {{rows: {{sources: [./rows.jsonl], max_length: 64}}}}
stages:
  train: {{kind: sft, data: "${{data.rows}}", objective: {objective}, batch: 1, optimizer: {{learning_rate: 1e-3}}, duration: 1 steps}}
  look: {{kind: sample, model: "${{stages.train}}", prompts: [abcd], max_new_tokens: 6, sampler: {sampler}}}
compute: {{attention_kernel: eager}}
"""


Asked = tuple[list[int], list[bool], Tensor]
"""A row of tokens, which of its positions were asked for, and their logits."""


class Overheard(Denoiser):
    """A denoiser that notes the logits from which a loss is taken."""

    def notes(self) -> list[Tensor]:
        found: list[Tensor] = self.__dict__.setdefault("noted", [])
        return found

    def cross_entropy(self, hidden_RD: Tensor, target_R: Tensor, weight_R: Tensor) -> Any:
        self.notes().append(self.head(hidden_RD).detach())
        return super().cross_entropy(hidden_RD, target_R, weight_R)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> list[Asked]:
    """What the sampler asks of the denoiser, row by row, as it goes."""
    found: list[Asked] = []

    class Noting(Guided):
        def logits(self, board: Board, scored_BL: Tensor) -> Tensor:
            logits_RV = super().logits(board, scored_BL)
            count_B = scored_BL.sum(-1).tolist()
            for row, part in enumerate(logits_RV.clone().split(count_B)):
                found.append((board.tokens_BL[row].tolist(), scored_BL[row].tolist(), part))
            return logits_RV

    monkeypatch.setattr(decoding, "Guided", Noting)
    return found


def toy(folder: Path, family: str, objective: str, sampler: str, model: str) -> tuple[Any, Any, Overheard]:
    """Objective and sampler as the plan has them, and the model with weights that say something."""
    (folder / "rows.jsonl").write_text('{"prompt": "abcd", "response": "efghij"}\n', encoding="utf-8")
    plan = compiled(folder, SPEC.format(family=family, objective=objective, sampler=sampler, model=model))
    context = context_of(plan, "train", folder)
    body: Any = context.stage.body
    look: Any = context_of(plan, "look", folder).stage.body
    loaded = load(context, body.model)
    network = loaded.denoiser.network.eval()
    generator = torch.Generator().manual_seed(0)
    for parameter in network.parameters():
        parameter.data += 0.2 * torch.randn(parameter.shape, generator=generator)
    return (
        build(body.objective),
        build(look.sampler),
        Overheard(network, mask_token=loaded.tokens.mask, logit_shift=loaded.denoiser.logit_shift),
    )


def trained_logits(objective: Any, denoiser: Overheard, row: list[int], masked: list[bool]) -> dict[int, Tensor]:
    """The logits from which the objective takes its loss where just these positions are masked, by position."""
    rows = pad_rows([row], [PROMPT], pad=0, samples=[0], visits=[0], slots=[0], batch=1)
    mask_BL = torch.tensor([[0.0 if hidden else 1.0 for hidden in masked]])
    blocks = isinstance(objective, Bd3lmObjective)
    draws = BlockDraws(torch.full_like(mask_BL, 0.5), mask_BL) if blocks else Draws(torch.full((1,), 0.5), mask_BL)
    denoiser.notes().clear()
    objective.loss(denoiser, rows, draws)
    (logits,) = denoiser.notes()
    places = [index for index, hidden in enumerate(masked) if hidden]
    return dict(zip(places, logits, strict=True))


@pytest.mark.parametrize("objective", PAIRS)
@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("family", members(Family))
def test_a_position_has_the_same_logits_in_training_and_in_sampling(
    tmp_path: Path, asked: list[Asked], family: str, shift: int, objective: str
) -> None:
    learned, choices, denoiser = toy(tmp_path, family, objective, PAIRS[objective], f"logit_shift: {shift}")
    mask = denoiser.mask_token
    canvas = lay_out([Request(tokens=TEXT[:PROMPT] + [mask] * 6, id=0, prompt=PROMPT)], mask_token=mask, pad=0, device=torch.device("cpu"))
    decoded = decode(denoiser, canvas, choices, Stream(0, "sample"))
    sampled = list(asked)
    row = decoded.tokens_BL[0].tolist()
    assert len(sampled) == 6 and row[:PROMPT] == TEXT[:PROMPT]
    differing = 0.0
    for tokens, chosen, logits in sampled:
        hidden = [token == mask for token in tokens]
        expected = trained_logits(learned, denoiser, row, hidden)
        for place, found in zip([place for place, is_asked in enumerate(chosen) if is_asked], logits, strict=True):
            torch.testing.assert_close(found, expected[place], rtol=1e-5, atol=1e-5)
            others = [other for where, other in expected.items() if where != place]
            differing = max([differing, *(float((found - other)[:256].abs().max()) for other in others)])
    assert differing > 0.1, "every position has the same logits: the toy cannot tell them apart"


@pytest.mark.parametrize("cache", ["block", "none"])
@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("family", members(Family))
def test_a_block_has_the_same_logits_in_training_and_in_sampling(
    tmp_path: Path, asked: list[Asked], family: str, shift: int, cache: str
) -> None:
    if cache == "block" and FAMILIES[family].masked:
        pytest.skip("an encoder keeps no keys and values")
    model = f"logit_shift: {shift}, attention: block_causal"
    learned, choices, denoiser = toy(tmp_path, family, "{type: bd3lm, block_size: 3}", BLOCKS.replace("CACHE", cache), model)
    mask = denoiser.mask_token
    canvas = lay_out([Request(tokens=TEXT[:PROMPT] + [mask] * 6, id=0, prompt=PROMPT)], mask_token=mask, pad=0, device=torch.device("cpu"))
    row = decode(denoiser, canvas, choices, Stream(0, "sample")).tokens_BL[0].tolist()
    sampled, differing = list(asked), 0.0
    assert len(sampled) == 6
    for tokens, chosen, logits in sampled:
        places = [place for place, is_asked in enumerate(chosen) if is_asked]
        # Training shows a block with masks beside clean ones: those before it are done, and it sees none behind it.
        expected = trained_logits(learned, denoiser, row, [tokens[place] == mask and place in places for place in range(len(tokens))])
        for place, found in zip(places, logits, strict=True):
            torch.testing.assert_close(found, expected[place], rtol=1e-5, atol=1e-5)
            others = [other for where, other in expected.items() if where != place]
            differing = max([differing, *(float((found - other)[:256].abs().max()) for other in others)])
    assert differing > 0.1, "every position has the same logits: the toy cannot tell them apart"
