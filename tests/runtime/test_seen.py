"""Who sees whom, against the rule written out for every pair of positions."""

import itertools

import pytest
import torch
from runtime_toys import tiny_llama
from torch import Tensor

from dllm_run.runtime.seen import Seen, block_causal, everyone

V = 23


def yes(*rows: str) -> Tensor:
    return torch.tensor([[letter != "." for letter in row] for row in rows])


def documents(*rows: str) -> Tensor:
    return torch.tensor([[ord(letter) for letter in row] for row in rows])


def by_hand(row: str, block: int | None) -> tuple[list[list[bool]], list[int]]:
    """The mask and the positions of one row; a letter names the document of a token, a dot is padding."""
    positions, counts = [], {}
    for letter in row:
        positions.append(counts.get(letter, 0))
        counts[letter] = counts.get(letter, 0) + 1
    rule = [
        [
            query == key
            or (row[key] != "." and row[key] == row[query] and (block is None or positions[key] // block <= positions[query] // block))
            for key in range(len(row))
        ]
        for query in range(len(row))
    ]
    return rule, positions


def whole(seen: Seen, rows: int) -> Tensor:
    length = seen.valid_BL.shape[1]
    return seen.valid_BL[:, None, :].expand(rows, length, length) if seen.mask_BLL is None else seen.mask_BLL.expand(rows, -1, -1)


@pytest.mark.parametrize("block", [None, 1, 2, 3, 8], ids=str)
@pytest.mark.parametrize("rows", [("aaabbbbc", "aaaaaaaa"), ("aabbb...", "abcdefgh"), ("..aaabbb", "aaaaa...")], ids=" ".join)
def test_packed_rows_are_told_apart_and_positions_start_again(rows: tuple[str, ...], block: int | None) -> None:
    valid, document = yes(*rows), documents(*rows)
    seen = everyone(valid, document) if block is None else block_causal(valid, block, document)
    assert seen.position_BL is not None
    for index, row in enumerate(rows):
        rule, positions = by_hand(row, block)
        for query in range(len(row)):
            if row[query] != ".":
                assert whole(seen, len(rows))[index, query].tolist() == rule[query], (row, query)
                assert int(seen.position_BL[index, query]) == positions[query]


@pytest.mark.parametrize("rows", [("aaaaaa", "aaaaaa"), ("aaaa..", "aaaaaa"), ("..aaaa", "a.....")], ids=" ".join)
@pytest.mark.parametrize("block", [1, 2, 4, 9], ids=str)
def test_blocks_start_at_the_first_token_on_either_side_of_the_padding(rows: tuple[str, ...], block: int) -> None:
    seen = block_causal(yes(*rows), block)
    for index, row in enumerate(rows):
        rule, _ = by_hand(row, block)
        for query in range(len(row)):
            if row[query] != ".":
                assert whole(seen, len(rows))[index, query].tolist() == rule[query]


def test_nothing_is_built_where_nothing_is_hidden_and_the_mask_of_blocks_is_built_once() -> None:
    full = torch.ones(2, 6, dtype=torch.bool)
    assert everyone(full) == Seen(valid_BL=full)
    first, second = block_causal(full, 2), block_causal(torch.ones(3, 6, dtype=torch.bool), 2)
    assert first.mask_BLL is second.mask_BLL and first.mask_BLL is not None and first.mask_BLL.shape == (1, 6, 6)


def test_no_query_is_left_without_a_key() -> None:
    for row, block in itertools.product(("..abb.", "......", "a....."), (None, 1, 2)):
        valid, document = yes(row), documents(row)
        for seen in (everyone(valid, document), block_causal(valid, block or 2, document), block_causal(valid, block or 2)):
            assert bool(whole(seen, 1).any(-1).all())


@pytest.mark.parametrize("shift", [0, 1])
@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
@pytest.mark.parametrize("block", [None, 3], ids=["everyone", "blocks"])
def test_a_packed_row_gives_every_document_the_logits_it_has_alone(block: int | None, kernel: str, shift: int) -> None:
    denoiser = tiny_llama(vocabulary=V, shift=shift)
    denoiser.network.set_attn_implementation(kernel)
    row = torch.randint(0, V - 1, (1, 12), generator=torch.Generator().manual_seed(0))
    valid, document = yes("aaaaabbbbbb."), documents("aaaaabbbbbb.")

    def logits(tokens: Tensor, valid: Tensor, document: Tensor | None) -> Tensor:
        seen = everyone(valid, document) if block is None else block_causal(valid, block, document)
        with torch.no_grad():
            return denoiser.logits(tokens, seen, valid)

    together = logits(row, valid, document)
    for start, stop in ((0, 5), (5, 11)):
        alone = logits(row[:, start:stop], torch.ones(1, stop - start, dtype=torch.bool), None)
        torch.testing.assert_close(together[start:stop], alone, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("kernel", ["sdpa", "eager"])
def test_a_block_does_not_see_the_next_one_and_sees_all_of_its_own(kernel: str) -> None:
    denoiser, full = tiny_llama(vocabulary=V), torch.ones(1, 8, dtype=torch.bool)
    denoiser.network.set_attn_implementation(kernel)
    before = torch.randint(0, V - 1, (1, 8), generator=torch.Generator().manual_seed(0))
    after = before.clone()
    after[0, 7] = (after[0, 7] + 1) % (V - 1)
    with torch.no_grad():
        one, two = (denoiser.logits(tokens, block_causal(full, 4), full)[:, : V - 1] for tokens in (before, after))
    moved = (one - two).abs().amax(-1)
    assert float(moved[:4].max()) == 0
    assert float(moved[4:].min()) > 1e-4
