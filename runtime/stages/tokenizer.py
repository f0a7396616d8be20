"""Training a tokenizer on the training rows of a data set."""

from collections.abc import Iterator
from typing import Any

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from dllm_run.specs.vocabulary.stages.tokenizer import TokenizerStage

from ..context import Context
from ..prepare import choose, key_of
from ..sources import Row, each_row


def run(context: Context) -> dict[str, Any]:
    """Byte-level byte-pair encoding: every text has tokens, whatever was seen in training."""
    body = context.stage.body
    assert isinstance(body, TokenizerStage)
    found = list(each_row(body.data, "text", context.input_files))
    chosen = choose([key_of(item.row) for item in found], [item.source for item in found], body.data)
    rows = [found[index].row for index in chosen.training]
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(
        vocab_size=body.vocab_size, special_tokens=["<eos>", "<mask>"], initial_alphabet=alphabet, show_progress=False
    )
    backend.train_from_iterator(_texts(rows, context), trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", pad_token="<eos>", mask_token="<mask>")
    fast.save_pretrained(str(context.entry.output("tokenizer")))
    return {"tokens": len(fast), "rows": len(rows)}


def _texts(rows: list[Row], context: Context) -> Iterator[str]:
    for index, row in enumerate(rows, start=1):
        yield row["text"]
        context.progress("rows", index, len(rows))
