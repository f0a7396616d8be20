"""Secrets: refused wherever they stand, and never shown; what only looks a little like one is let through."""

from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.compiler.render import render
from dllm_run.compiler.secrets import secrets_in
from dllm_run.specs.errors import Diagnostic

ROOT = Path(__file__).parents[2]
DRAWN = "a1b2c3d4e5f6a7b8c9d0e1f2a3b4c5d6e7f8a9b0"
SECRETS = {
    "hugging-face": "hf_" + DRAWN[:30],
    "openai": "sk-proj-" + DRAWN,
    "github": "ghp_" + DRAWN[:36],
    "gitlab": "glpat-" + DRAWN[:20],
    "aws": "AKIA" + "ABCDEFGH12345678",
    "slack": "xoxb-" + "123456789012-abcdef",
    "google": "AIza" + DRAWN[:35],
    "private-key": "-----BEGIN RSA PRIVATE KEY-----",
    "by-name": "WANDB_API_KEY=" + DRAWN,
    "password": "password: hunter2",
    "quoted": '"client_secret": "abcd-efgh"',
    "token": "HF_TOKEN=" + DRAWN[:20],
    "address": "https://me:pass-word-1@example.org/x",
}


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
@pytest.mark.parametrize("place", ["# {}", "x: '{}'", 'x: ["{}"]', "{}"])
def test_a_secret_is_found_in_comments_values_and_bare(secret: str, place: str) -> None:
    assert list(secrets_in(place.format(secret)))


@pytest.mark.parametrize("secret", SECRETS.values(), ids=SECRETS)
def test_a_secret_is_never_shown(secret: str, examples: dict[str, str], diagnosing: Callable[..., tuple[Diagnostic, ...]]) -> None:
    text = examples["sudoku"].replace("name: sudoku", f"name: sudoku  # {secret}")
    found = diagnosing(text, f"launch={{type: slurm, setup: ['export {secret}']}}")
    assert {item.code for item in found} == {"E116"}
    said = render(found)
    for start, end, _ in secrets_in(secret):
        assert secret[start:end] not in said
    assert all(secret[start:end] not in str(item) for start, end, _ in secrets_in(secret) for item in found)


@pytest.mark.parametrize(
    "text",
    [
        "env: [HF_TOKEN, WANDB_API_KEY]",
        "setup: ['export HF_TOKEN=$(cat ~/.token)', 'export WANDB_API_KEY=$WANDB_API_KEY']",
        "duration: 2B tokens",
        "tokenizer: bytes",
        "mask_token: <|mdm_mask|>",
        "special_tokens: {pad_token: <|endoftext|>, mask_token: '[MASK]'}",
        "path: https://example.org/a:b/c",
        "revision: 0123456789abcdef0123456789abcdef01234567",
        "prompts: ['The secret of life is ', 'My password is']",
        "from: GSAI-ML/LLaDA-8B-Base",
        "max_new_tokens: 128",
        "image: /shared/images/torch.sqsh",
    ],
)
def test_what_names_a_secret_or_a_token_of_text_is_none(text: str) -> None:
    assert list(secrets_in(text)) == []


def test_no_recipe_and_no_example_holds_one() -> None:
    files = [*(ROOT / "specs" / "recipes").rglob("*.yaml"), *(ROOT / "tests" / "data").rglob("*.yaml")]
    assert len(files) > 4
    assert [file.name for file in files if list(secrets_in(file.read_text(encoding="utf-8")))] == []


@pytest.mark.parametrize("text", ["token" * 400_000, "password" + " " * 2_000_000, "://" + "a:" * 900_000, "hf_" * 600_000])
def test_a_hostile_text_is_read_once(text: str) -> None:
    """No pattern looks further than a few hundred characters from where it starts."""
    assert list(secrets_in(text)) == []
