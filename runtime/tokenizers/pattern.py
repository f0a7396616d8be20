"""A vocabulary file and a regular expression."""

from pathlib import Path

from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers
from transformers import PreTrainedTokenizerFast

from dllm_run.specs.locator import located_files
from dllm_run.specs.vocabulary.tokenizers.pattern import Pattern

from ..failure import Failure


def build(word: Pattern, base: Path) -> PreTrainedTokenizerFast:
    """Pieces are the matches of the expression; ids are line numbers. Raises Failure where the file lacks a special token."""
    files = located_files(word.vocabulary, base)
    if len(files) != 1:
        raise Failure(f"{word.vocabulary} must be one file with a token a line; {len(files)} files were found")
    lines = files[0].path.read_text(encoding="utf-8").splitlines()
    vocabulary = {token: index for index, token in reversed(list(enumerate(lines)))}
    special = {"mask": word.mask, "begin": word.begin, "end": word.end, "unknown": word.unknown, "pad": word.pad}
    missing = [f"{name}: {token}" for name, token in special.items() if token not in vocabulary]
    if missing:
        raise Failure(f"{word.vocabulary} has no token for {', '.join(missing)}")
    backend = Tokenizer(models.WordLevel(vocabulary, unk_token=word.unknown))
    backend.pre_tokenizer = pre_tokenizers.Split(Regex(word.pattern), behavior="isolated")
    backend.decoder = decoders.Fuse()
    return PreTrainedTokenizerFast(
        tokenizer_object=backend,
        mask_token=word.mask,
        cls_token=word.begin,
        sep_token=word.end,
        unk_token=word.unknown,
        pad_token=word.pad,
    )
