"""How fast a data set is prepared: megabytes of text a second and core, for tokenizers of bytes, characters and byte pairs.

python tests/benchmarks/preparation.py [--megabytes 8] [--processes 1]: the text is that of pydoc's topics, again and again.
"""

import argparse
import pydoc_data.topics
import tempfile
import time
from pathlib import Path

from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import PreTrainedTokenizerFast

from dllm_run.runtime.encode import Encoder
from dllm_run.runtime.parallel import in_order
from dllm_run.runtime.prepare import parted
from dllm_run.runtime.prepared import Writer
from dllm_run.runtime.sequence import Sequence
from dllm_run.runtime.sources import Found
from dllm_run.runtime.spool import Spool
from dllm_run.runtime.tokenizers import Tokens, from_folder, from_word
from dllm_run.specs.vocabulary.data import Data
from dllm_run.specs.vocabulary.source import Source
from dllm_run.specs.vocabulary.tokenizers.bytes import Bytes
from dllm_run.specs.vocabulary.tokenizers.characters import Characters

CHUNK = 500


def trained(folder: Path, texts: list[str]) -> Tokens:
    """A byte-pair tokenizer of 8,000 tokens."""
    backend = Tokenizer(models.BPE())
    backend.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    backend.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(vocab_size=8000, special_tokens=["<eos>", "<mask>"], show_progress=False)
    backend.train_from_iterator(texts, trainer)
    PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", pad_token="<eos>", mask_token="<mask>").save_pretrained(folder)
    return from_folder(folder)


def prepared(tokens: Tokens, rows: list[dict[str, str]], folder: Path, processes: int) -> float:
    """Seconds from rows to a stored split: spool, tokenise, cut, write. Of one process those of its core, whatever else runs on it."""
    clock = time.process_time if processes == 1 else time.perf_counter
    started = clock()
    encoder = Encoder(data=Data(sources=(Source(path="./x.jsonl"),), max_length=1024), tokens=tokens)
    with Spool(folder / "spool") as spool, Writer(folder / "train.arrow") as writer:
        for number, row in enumerate(rows):
            spool.add(Found(row, 0, 0, number, 0, 0))
        read = list(spool.rows(list(range(len(spool)))))
        chunks = [read[start : start + CHUNK] for start in range(0, len(read), CHUNK)]
        for part in in_order(encoder.encoded, chunks, processes):
            for piece in zip(part.tokens, part.runs, strict=True):
                for ids, runs in parted(piece, 1024):
                    writer.add(Sequence(tokens=ids, runs=runs))
    return clock() - started


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--megabytes", type=float, default=8)
    parser.add_argument("--processes", type=int, default=1)
    options = parser.parse_args()
    blank = dict.fromkeys([*range(10), *range(11, 32), *range(127, 9000)], " ")
    texts = [part.translate(blank) for topic in pydoc_data.topics.topics.values() for part in topic.split("\n\n") if part.strip()]
    size = sum(map(len, texts))
    times = max(1, round(options.megabytes * 1e6 / size))
    rows = [{"text": text} for _ in range(times) for text in texts]
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        for label, tokens in (
            ("bytes", from_word(Bytes(), folder)),
            ("characters", from_word(Characters(), folder)),
            ("byte pairs", trained(folder / "bpe", texts)),
        ):
            seconds = prepared(tokens, rows, folder, options.processes)
            rate = size * times / 1e6 / seconds / options.processes
            print(f"{label:12} {size * times / 1e6:.1f} MB in {seconds:.1f} s with {options.processes} processes: {rate:.2f} MB/s a core")


if __name__ == "__main__":
    main()
