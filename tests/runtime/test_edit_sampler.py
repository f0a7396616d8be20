"""The sampler of Edit Flows against a plain loop: one row, one position at a time, Python lists, the same random numbers."""

import bisect
import itertools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field, replace

import pytest
import torch
from edit_toys import constant_model, edit_model
from sampler_toys import CPU, Given, chance_of

from dllm_run.runtime.build import build
from dllm_run.runtime.canvas import Request, lay_out
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.edit_engine import EditEngine, Flow, edited
from dllm_run.runtime.edit_heads import DELETE, INSERT, SUBSTITUTE
from dllm_run.runtime.edit_log import Edited, Happened
from dllm_run.runtime.ledger import Ledger
from dllm_run.runtime.marked import Marked
from dllm_run.runtime.noise import Stream
from dllm_run.specs.vocabulary.kappas import Kappa as KappaWord
from dllm_run.specs.vocabulary.kappas.cosine import CosineKappa
from dllm_run.specs.vocabulary.kappas.cubic import CubicKappa
from dllm_run.specs.vocabulary.kappas.linear import LinearKappa
from dllm_run.specs.vocabulary.samplers.edit_flow import EditFlowSampler

V = 12
M = V - 1


def continuation(prompt: list[int], room: int, identity: int) -> Request:
    return Request(tokens=[*prompt, *[M] * room], id=identity, prompt=len(prompt))


CONTINUED = [continuation([0, 3, 1], 9, 0), continuation([0], 14, 1), continuation([0, 5, 5, 2, 7, 1], 4, 2)]
INFILLED = [
    Request(tokens=[0, M, M, M, 4, 5, M, M, 6], id=10),
    Request(tokens=[0, 2, M, M, M, M, M, M], id=11),
    Request(tokens=[0, 1, 2, 3], id=12),
    Request(tokens=[0, M, 2, M, 3, M], id=13),
]
REQUESTS = {"continued": CONTINUED, "infilled": INFILLED}
STARTS: dict[str, list[int]] = {"empty": [], "masks": [M] * 3, "text": [7, 8]}


def busy_model(*, shift: int = 0) -> Denoiser:
    """Rates at which much happens, other ones at every place."""
    denoiser = edit_model(vocabulary=V, shift=shift)
    head = denoiser.network.rate_heads[0]
    head.weight.data *= 4
    head.bias.data += torch.tensor([0.0, -1.0, 1.0], dtype=head.bias.dtype)
    return denoiser


# --- the plain loop


def weight(word: KappaWord, t: float) -> float:
    if isinstance(word, LinearKappa):
        return 1 / (1 - t)
    if isinstance(word, CosineKappa):
        return math.pi / 2 * math.sin(math.pi / 2 * t) / math.cos(math.pi / 2 * t)
    assert word == CubicKappa(), "a = b = 1"
    return (6 * t**2 - 6 * t + 2) / (1 - (2 * t**3 - 3 * t**2 + 2 * t))


@dataclass
class Row:
    tokens: list[int]
    fixed: list[bool]
    shut: list[bool]
    most: int
    asked: int = 0
    readings: int = 0
    edits: list[tuple[int, int, int, int]] = field(default_factory=list)


def begun(request: Request, start: list[int], *, draft: bool) -> Row:
    row = Row([], [], [], len(request.tokens))
    run = 0
    for place, token in enumerate(request.tokens):
        given = token != M
        run = 0 if given else run + 1
        if given:
            behind = request.tokens[place + 1 : place + 2]
            row.tokens.append(token)
            row.fixed.append(place == 0 if draft else True)
            row.shut.append(False if draft else behind != [M])
        elif run <= len(start):
            row.tokens.append(start[run - 1])
            row.fixed.append(False)
            row.shut.append(False)
    return row


def said(denoiser: Denoiser, tokens: list[int]) -> tuple[list[list[float]], list[list[float]], list[list[float]]]:
    """Rates and both kinds of logits at every position, from the network's own parts."""
    network = denoiser.network
    with torch.no_grad():
        hidden = network.base_model(input_ids=torch.tensor([tokens]), is_causal=False, use_cache=False).last_hidden_state[0]
        rates = torch.nn.functional.softplus(network.rate_heads[0](hidden))
        substitute, insert = network.sub_logits(hidden), network.ins_logits(hidden)
    if denoiser.logit_shift:
        # What becomes of a token is said one place before it; of the first nothing is said.
        moved = torch.cat([torch.zeros_like(rates[:1]), rates[:-1]])
        rates = torch.cat([moved[:, :2], rates[:, 2:]], dim=-1)
        substitute = torch.cat([substitute[:1], substitute[:-1]])
    return rates.tolist(), substitute.tolist(), insert.tolist()


def choose(logits: Sequence[float], u: float, word: EditFlowSampler, never: tuple[int, ...]) -> int:
    legal = [-math.inf if token == M or token in never else value for token, value in enumerate(logits)]
    top = max(legal)
    if word.temperature == 0:
        return legal.index(top)
    weights = [math.exp((value - top) / word.temperature) for value in legal]
    order = sorted(range(V), key=lambda token: -weights[token])
    kept: list[int] = []
    for token in order[: word.top_k]:
        if word.top_p is not None and kept and sum(weights[other] for other in kept) >= word.top_p * sum(weights):
            break
        kept.append(token)
    cumulative = list(itertools.accumulate(weights[token] if token in kept else 0.0 for token in range(V)))
    return bisect.bisect_right(cumulative, u * cumulative[-1])


def plain(
    denoiser: Denoiser, request: Request, word: EditFlowSampler, kappa: KappaWord, start: list[int], never: tuple[int, ...] = ()
) -> Row:
    row = begun(request, start, draft=word.edit_prompt)
    before: list[int] | None = None
    for step in range(word.steps):
        h, t = 1 / word.steps, step / word.steps
        if row.tokens != before:
            row.readings += 1
        before = row.tokens
        rates, substitutes, inserts = said(denoiser, row.tokens)

        def drawn(position: int, purpose: int, step: int = step) -> float:
            return chance_of(request.id, step, position, purpose)

        plan: list[tuple[int, bool]] = []
        for position in range(len(row.tokens)):
            substitute, delete, insert = (h * weight(kappa, t) * rate for rate in rates[position])
            change = min(1.0, substitute + delete)
            happens = not row.fixed[position] and drawn(position, 0) < change
            deleted = happens and drawn(position, 0) < change * delete / (substitute + delete)
            plan.append(((DELETE if deleted else SUBSTITUTE) if happens else -1, not row.shut[position] and drawn(position, 1) < insert))
        room = row.most - len(row.tokens) + sum(edit == DELETE for edit, _ in plan)
        tokens, fixed, shut = [], [], []
        for position, (edit, inserted) in enumerate(plan):
            if edit == SUBSTITUTE:
                token = choose(substitutes[position], drawn(position, 2 + SUBSTITUTE), word, never)
                row.edits.append((step, SUBSTITUTE, position, token))
                row.asked += 1
                tokens.append(token)
            elif edit == DELETE:
                row.edits.append((step, DELETE, position, -1))
            else:
                tokens.append(row.tokens[position])
            if edit != DELETE:
                fixed.append(row.fixed[position])
                shut.append(row.shut[position])
            if inserted and room:
                room -= 1
                token = choose(inserts[position], drawn(position, 2 + INSERT), word, never)
                row.edits.append((step, INSERT, position, token))
                row.asked += 1
                tokens.append(token)
                fixed.append(False)
                shut.append(False)
        row.tokens, row.fixed, row.shut = tokens, fixed, shut
    return row


def run(
    denoiser: Denoiser,
    requests: list[Request],
    word: EditFlowSampler,
    kappa: KappaWord,
    start: list[int],
    *,
    stream: Stream | None = None,
    never: tuple[int, ...] = (),
    ledger: Ledger | None = None,
    watch: Callable[[Happened], None] | None = None,
) -> list[Edited]:
    canvas = lay_out(requests, mask_token=M, pad=0, device=CPU)
    flow = Flow(schedule=build(kappa), start=start)
    marked = Marked.nothing(CPU, never=never)
    return edited(denoiser, canvas, build(word), flow, stream or Given(), marked=marked, ledger=ledger, watch=watch)


WORDS = {
    "drawn": EditFlowSampler(steps=12),
    "greedy": EditFlowSampler(steps=12, temperature=0),
    "filtered": EditFlowSampler(steps=9, temperature=0.7, top_k=4, top_p=0.8),
    "in one": EditFlowSampler(steps=1),
    "finely": EditFlowSampler(steps=60),
    "drafts": EditFlowSampler(steps=12, edit_prompt=True),
}
KAPPAS: dict[str, KappaWord] = {"linear": LinearKappa(), "cubic": CubicKappa(), "cosine": CosineKappa()}


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("requests", REQUESTS)
@pytest.mark.parametrize("word", WORDS)
def test_texts_edits_and_costs_are_those_of_a_plain_loop(word: str, requests: str, start: str) -> None:
    denoiser, ledger = busy_model(), Ledger()
    found = run(denoiser, REQUESTS[requests], WORDS[word], CubicKappa(), STARTS[start], ledger=ledger)
    expected = [plain(denoiser, request, WORDS[word], CubicKappa(), STARTS[start]) for request in REQUESTS[requests]]
    assert [row.tokens for row in found] == [row.tokens for row in expected]
    kinds = [list(zip(row.edits.step, row.edits.edit, row.edits.position, row.edits.token, strict=True)) for row in found]
    assert kinds == [row.edits for row in expected]
    assert ledger.head_rows == sum(row.asked for row in expected), "tokens are scored where one is written, and nowhere else"


def test_in_these_cases_much_of_every_kind_happens() -> None:
    """Or the comparison with the plain loop would say little."""
    counts = dict.fromkeys((SUBSTITUTE, DELETE, INSERT), 0)
    for requests, start in itertools.product(REQUESTS.values(), STARTS.values()):
        for row in run(busy_model(), requests, WORDS["drawn"], CubicKappa(), start):
            for edit in row.edits.edit:
                counts[edit] += 1
    assert min(counts.values()) > 10, counts


@pytest.mark.parametrize("kappa", KAPPAS)
@pytest.mark.parametrize("shift", [0, 1])
def test_the_schedule_and_the_logit_shift_of_the_weights_are_followed(kappa: str, shift: int) -> None:
    denoiser = busy_model(shift=shift)
    found = run(denoiser, CONTINUED, WORDS["drawn"], KAPPAS[kappa], [M] * 4)
    expected = [plain(denoiser, request, WORDS["drawn"], KAPPAS[kappa], [M] * 4) for request in CONTINUED]
    assert [row.tokens for row in found] == [row.tokens for row in expected]


def test_tokens_that_are_suppressed_are_never_written() -> None:
    denoiser, never = busy_model(), (1, 2, 4, 5)
    found = run(denoiser, CONTINUED, WORDS["drawn"], LinearKappa(), [M] * 4, never=never)
    expected = [plain(denoiser, request, WORDS["drawn"], LinearKappa(), [M] * 4, never) for request in CONTINUED]
    assert [row.tokens for row in found] == [row.tokens for row in expected]
    assert not {token for row in found for token in row.edits.token} & {*never, M}


# --- what must hold whatever the model says


@pytest.mark.parametrize("start", STARTS)
@pytest.mark.parametrize("requests", REQUESTS)
def test_what_is_given_stays_and_nothing_comes_between(requests: str, start: str) -> None:
    """Rates so high that every edit which is allowed happens at every step."""
    denoiser = constant_model([40.0, 20.0, 60.0], [1.0] * M, [1.0] * M)
    for row in run(denoiser, REQUESTS[requests], EditFlowSampler(steps=6), LinearKappa(), STARTS[start], stream=Stream(3, "test")):
        request = REQUESTS[requests][row.request]
        given = [token for token in request.tokens if token != M]
        assert [token for token, step in zip(row.tokens, row.step, strict=True) if step == -1] == given
        assert len(row.tokens) <= len(request.tokens)
        # Between the k-th and the next given token something stands only where the request has a hole.
        holes = {place for place, run in enumerate(runs(request.tokens, lambda token: token != M)) if run}
        filled = {place for place, run in enumerate(runs(row.step, lambda step: step == -1)) if run}
        assert filled <= holes


def runs(values: list[int], given: Callable[[int], bool]) -> list[int]:
    """How many values that are not given stand behind each that is; the first number is of those before any."""
    found = [0]
    for value in values:
        if given(value):
            found.append(0)
        else:
            found[-1] += 1
    return found


def test_a_draft_is_edited_but_for_the_token_that_begins_it() -> None:
    denoiser = constant_model([40.0, 20.0, 60.0], [1.0] * M, [1.0] * M)
    word = EditFlowSampler(steps=4, edit_prompt=True)
    (row,) = run(denoiser, [continuation([0, 1, 1, 1], 4, 0)], word, LinearKappa(), [], stream=Stream(3, "test"))
    assert row.tokens[0] == 0 and row.step[0] == -1 and -1 not in row.step[1:]


def test_edits_lead_from_the_start_to_the_text() -> None:
    denoiser = busy_model()
    for row in run(denoiser, [*CONTINUED, *INFILLED], EditFlowSampler(steps=20), CosineKappa(), [M] * 3):
        assert replayed(row.start, row.edits) == row.tokens
        assert all(0 < chance <= 1 for chance in row.edits.chance)
        assert all((probability == 1) == (edit == DELETE) for edit, probability in zip(row.edits.edit, row.edits.probability, strict=True))


def replayed(start: list[int], edits: Happened) -> list[int]:
    tokens = list(start)
    for step in sorted(set(edits.step)):
        places = [place for place, other in enumerate(edits.step) if other == step]
        for place in reversed(places):
            at, edit, token = edits.position[place], edits.edit[place], edits.token[place]
            if edit == INSERT:
                tokens.insert(at + 1, token)
            elif edit == SUBSTITUTE:
                tokens[at] = token
            else:
                del tokens[at]
    return tokens


def test_a_row_is_the_same_alone_in_a_batch_and_in_the_place_of_one_that_left() -> None:
    denoiser, requests = busy_model(), [*CONTINUED, *INFILLED]
    word, stream = EditFlowSampler(steps=15), Stream(5, "test")
    together = run(denoiser, requests, word, CubicKappa(), [M] * 3, stream=stream)
    for index, request in enumerate(requests):
        (alone,) = run(denoiser, [request], word, CubicKappa(), [M] * 3, stream=stream)
        assert replace(alone, request=index, edits=Happened()) == replace(together[index], edits=Happened())
        assert alone.edits.position == together[index].edits.position
    flow = Flow(schedule=build(CubicKappa()), start=[M] * 3)
    ledger, marked = Ledger(), Marked.nothing(CPU)
    engine = EditEngine(denoiser, build(word), flow, stream, marked=marked, ledger=ledger, slots=2)
    waiting, found, turn = list(range(len(requests))), {}, 0
    with torch.inference_mode():
        while waiting or len(engine):
            # One enters every fourth step: rows at different times share a batch.
            if waiting and len(engine) < 2 and turn % 4 == 0:
                index = waiting.pop(0)
                engine.enter(lay_out([requests[index]], mask_token=M, pad=0, device=CPU), [index])
            turn += 1
            if len(engine):
                found.update({row.request: row for row in engine.step()})
    assert [found[index].tokens for index in range(len(requests))] == [row.tokens for row in together]
    assert ledger.turns == word.steps * len(requests)


def test_a_row_that_no_edit_has_touched_is_not_read_again() -> None:
    denoiser, word = busy_model(), EditFlowSampler(steps=80)
    for request in CONTINUED:
        ledger = Ledger()
        run(denoiser, [request], word, LinearKappa(), [M] * 3, ledger=ledger)
        readings = plain(denoiser, request, word, LinearKappa(), [M] * 3).readings
        assert ledger.passes == readings < word.steps
    quiet = constant_model([1e-9, 1e-9, 1e-9], [1.0] * M, [1.0] * M)
    ledger = Ledger()
    run(quiet, CONTINUED, word, LinearKappa(), [M], stream=Stream(0, "test"), ledger=ledger)
    assert (ledger.passes, ledger.head_rows, ledger.tokens) == (1, 0, 0)


# --- laws that are known


def test_insertions_of_one_step_fall_independently_at_the_first_order() -> None:
    """Over all pairs of cells of two uniforms: h w rate of them lie below the chance, whatever the other is."""
    denoiser = constant_model([1e-9, 1e-9, 0.6], [1.0] * M, [1.0] * M)
    cells = 40
    counts = {0: 0, 1: 0, 2: 0}
    for first, second in itertools.product(range(cells), repeat=2):

        class Cells(Given):
            def uniform(self, *components: torch.Tensor) -> torch.Tensor:
                position, purpose = torch.broadcast_tensors(*components)[2:]
                u = torch.where(position == 0, (first + 0.5) / cells, (second + 0.5) / cells)  # noqa: B023
                return torch.where(purpose == 1, u, 0.5).float()

        # Of the second step of two: t = 1/2, h w = 1/2 (1 / (1 - 1/2)) = 1. In the first one h w = 1/2.
        request = Request(tokens=[0, M, M, M, M], id=0, prompt=1)
        (row,) = run(denoiser, [request], EditFlowSampler(steps=2), LinearKappa(), [M], stream=Cells())
        counts[sum(step == 0 for step in row.edits.step)] += 1
    # h w rate = 0.3 at t = 0.
    expected = {0: 0.7**2, 1: 2 * 0.3 * 0.7, 2: 0.3**2}
    assert {number: count / cells**2 for number, count in counts.items()} == pytest.approx(expected, abs=1e-9)


def test_of_a_token_becomes_each_thing_at_its_share() -> None:
    """Rates of substitution 0.5 and deletion 0.25 at h w = 1: a half, a quarter, and the rest stays."""
    denoiser = constant_model([0.5, 0.25, 1e-12], [0.2, 0.8, *[0.0] * (M - 2)], [1.0] * M)
    requests = [Request(tokens=[0, M], id=index, prompt=1) for index in range(20000)]
    found = run(denoiser, requests, EditFlowSampler(steps=1), LinearKappa(), [M], stream=Stream(1, "law"))
    texts = [tuple(row.tokens[1:]) for row in found]
    shares = {text: texts.count(text) / len(texts) for text in set(texts)}
    assert shares == pytest.approx({(): 0.25, (M,): 0.25, (0,): 0.1, (1,): 0.4}, abs=0.012)
    assert {round(chance, 9) for row in found for chance in row.edits.chance} == {0.25, 0.5}


def test_rates_that_exceed_a_step_happen_for_sure_and_in_proportion() -> None:
    denoiser = constant_model([6.0, 2.0, 9.0], [1.0] * M, [1.0] * M)
    requests = [Request(tokens=[0, M, M], id=index, prompt=1) for index in range(4000)]
    found = run(denoiser, requests, EditFlowSampler(steps=1), LinearKappa(), [M], stream=Stream(1, "law"))
    kinds = [edit for row in found for edit, at in zip(row.edits.edit, row.edits.position, strict=True) if at == 1 and edit != INSERT]
    assert len(kinds) == 4000 and kinds.count(DELETE) / 4000 == pytest.approx(0.25, abs=0.03)
    assert {row.edits.chance[0] for row in found} == {1.0}, "the first edit is an insertion behind the prompt"


def test_another_schedule_gives_other_chances() -> None:
    """At t = 1/2 of two steps: linear 1/2 x 1 / (1/2) = 1, cubic 1/2 x (1/2) / (1/2) = 1/2; at t = 0: 1/2 x 1 and 1/2 x 2."""
    denoiser = constant_model([1e-12, 1e-12, 0.25], [1.0] * M, [1.0] * M)
    chances = {}
    for name in ("linear", "cubic"):
        requests = [continuation([0], 30, index) for index in range(8)]
        found = run(denoiser, requests, EditFlowSampler(steps=2), KAPPAS[name], [M] * 20, stream=Stream(2, "law"))
        pairs = {pair for row in found for pair in zip(row.edits.step, row.edits.chance, strict=True)}
        assert len({step for step, _ in pairs}) == 2
        chances[name] = {step: pytest.approx(chance) for step, chance in pairs}
    assert chances["linear"] == {0: 0.125, 1: 0.25}
    assert chances["cubic"] == {0: 0.25, 1: 0.125}


def test_draws_near_a_chance_are_told_as_ties() -> None:
    denoiser = constant_model([1e-12, 1e-12, 0.5], [1.0] * M, [1.0] * M)

    class Near(Given):
        def uniform(self, *components: torch.Tensor) -> torch.Tensor:
            position, purpose = torch.broadcast_tensors(*components)[2:]
            return torch.where((purpose == 1) & (position == 1), 0.5 + 1e-12, 0.9).float().double()

    class Exact(Near):
        def uniform(self, *components: torch.Tensor) -> torch.Tensor:
            position, purpose = torch.broadcast_tensors(*components)[2:]
            return torch.where((purpose == 1) & (position == 1), 0.5, 0.9).double()

    request = continuation([0], 4, 0)
    (row,) = run(denoiser, [request], EditFlowSampler(steps=1), LinearKappa(), [M, M], stream=Exact())
    assert row.ties == 1
    (row,) = run(denoiser, [request], EditFlowSampler(steps=1), LinearKappa(), [M, M], stream=Given())
    assert row.ties == 0
