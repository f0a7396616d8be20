"""Inputs that lie here are looked into, only a little, only once, and without a trace in the plan."""

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from dllm_run.compiler import at_hand, tables
from dllm_run.compiler.compile import Compiled, Source, compile_spec
from dllm_run.compiler.folders import look_into, model_problems, tokenizer_problems
from dllm_run.compiler.lock import Lock
from dllm_run.compiler.tables import columns_of, look_at
from dllm_run.runtime import readers, sources
from dllm_run.specs.canonical import pretty
from dllm_run.specs.errors import Diagnostic, SpecError

Diagnose = Callable[..., tuple[Diagnostic, ...]]

SPEC = """\
version: 1
name: here
data:
  docs: {sources: [SOURCE], max_length: 32}
stages:
  words: {kind: tokenizer, vocab_size: 300, data: {sources: [SOURCE]}}
  rows: {kind: data, data: "${data.docs}", format: FORMAT, tokenizer: bytes}
"""


def spec(source: str, format: str = "text") -> str:
    return SPEC.replace("SOURCE", source).replace("FORMAT", format)


def write(folder: Path, name: str, content: str | bytes) -> Path:
    path = folder / name
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(content if isinstance(content, bytes) else content.encode("utf-8"))
    return path


# --- tables


def test_what_is_looked_into_is_what_the_runtime_reads() -> None:
    assert set(tables.READABLE) == set(tables._LOOKS) == set(readers.READERS)


TABLES: dict[str, tuple[str, str | bytes, list[str]]] = {
    "lines": ("a.jsonl", '{"b": "x", "a": "y"}\n\n{"a": "z", "b": "w", "c": "v"}\n', ["b", "a"]),
    "list": ("a.json", '[{"b": "x"}, {"b": "y"}]', ["b"]),
    "commas": ("a.csv", 'b,a\r\n"x, y",z\r\n', ["b", "a"]),
    "text": ("a.md", "# Title\n", ["text"]),
    "upper-case-ending": ("a.JSONL", '{"b": "x"}\n', ["b"]),
    "no-line-end": ("a.jsonl", '{"b": "x"}', ["b"]),
    "cell-with-a-line-end": ("a.csv", 'b\n"x\ny"\n', ["b"]),
}


@pytest.mark.parametrize("case", TABLES)
def test_the_columns_of_a_table_are_those_that_the_runtime_finds(case: str, tmp_path: Path) -> None:
    name, content, expected = TABLES[case]
    path = write(tmp_path, name, content)
    look = look_at(path)
    assert list(columns_of(look)) == expected
    rows = [row for row, *_ in readers.READERS[path.suffix.lower()](path, 0)]
    assert [row for _, row in look.rows] == rows[: tables.ROWS]


BROKEN: dict[str, tuple[str, str | bytes]] = {
    "half-a-map": ("a.jsonl", '{"text": "x"}\n{"text": '),
    "a-list-as-a-row": ("a.jsonl", "[1, 2]\n"),
    "a-map-for-a-list": ("a.json", '{"rows": []}'),
    "a-text-as-a-row": ("a.json", '["x"]'),
    "half-a-list": ("a.json", '[{"text": "x"}'),
    "latin-1": ("a.txt", "café".encode("latin-1")),
    "latin-1-in-lines": ("a.jsonl", '{"text": "café"}\n'.encode("latin-1")),
    "no-parquet": ("a.parquet", "PAR1 not really"),
    "no-column": ("a.jsonl", '{"body": "x"}\n'),
    "no-column-in-a-later-row": ("a.jsonl", '{"text": "x"}\n{"body": "x"}\n'),
    "a-number": ("a.jsonl", '{"text": 1}\n'),
    "a-missing-cell": ("a.csv", "id,text\n1\n"),
    "no-rows": ("a.jsonl", "\n\n"),
    "header-alone": ("a.csv", "text\n"),
}  # fmt: skip


@pytest.mark.parametrize("case", BROKEN)
def test_what_the_runtime_would_refuse_is_an_error_here_already(case: str, diagnosing: Diagnose, tmp_path: Path) -> None:
    from dllm_run.runtime.failure import Failure
    from dllm_run.specs.locator import located_files
    from dllm_run.specs.vocabulary.data import Data
    from dllm_run.specs.vocabulary.source import Source as DataSource

    name, content = BROKEN[case]
    write(tmp_path, name, content)
    assert {item.code[:3] for item in diagnosing(spec(f"./{name}"))} == {"E51"}
    with pytest.raises(Failure):
        sources.read_rows(Data(sources=(DataSource(path=f"./{name}"),)), "text", lambda locator: located_files(locator, tmp_path))


def test_only_the_beginning_of_a_large_file_is_read(tmp_path: Path) -> None:
    line = '{"text": "' + "x" * 1000 + '"}\n'
    path = write(tmp_path, "a.jsonl", line * 30 + "\n" * (2 << 20) + "not JSON\n")
    look = look_at(path)
    assert len(look.rows) == tables.ROWS and not look.problem
    text = write(tmp_path, "a.txt", "é" * (1 << 20) + "x")  # two bytes a letter: the cut splits none
    assert not look_at(text).problem
    assert not look_at(write(tmp_path, "b.txt", "x" + "é" * (1 << 20))).problem, "here it splits one"


def test_a_first_row_that_is_too_long_is_not_checked_and_said_so(tmp_path: Path) -> None:
    assert look_at(write(tmp_path, "a.jsonl", '{"text": "' + "x" * (2 << 20) + '"}\n')).unchecked
    assert look_at(write(tmp_path, "a.csv", 'text\n"' + "x" * (2 << 20) + '"\n')).unchecked


def test_a_parquet_table_is_checked_by_its_first_rows(tmp_path: Path, diagnosing: Diagnose) -> None:
    parquet, table = pytest.importorskip("pyarrow.parquet"), pytest.importorskip("pyarrow").table
    parquet.write_table(table({"body": ["x"] * 50}), tmp_path / "a.parquet")
    assert {item.code: item.fix for item in diagnosing(spec("./a.parquet").replace("  words", "  # words"))} == {
        "E510": "data.docs.columns.text=body"
    }


def test_the_first_file_of_a_glob_with_a_fault_is_told_and_no_other(tmp_path: Path, diagnosing: Diagnose) -> None:
    for name in ("a", "b", "c"):
        write(tmp_path, f"rows/{name}.jsonl", '{"text": "x"}\n' if name == "a" else '{"body": "x"}\n')
    found = diagnosing(spec("./rows/*.jsonl"))
    assert {item.message.split(":")[0] for item in found} == {"b.jsonl"}


def test_an_empty_file_beside_one_with_rows_is_no_fault(tmp_path: Path, diagnosing: Diagnose) -> None:
    write(tmp_path, "rows/a.jsonl", "")
    write(tmp_path, "rows/b.jsonl", '{"text": "x"}\n')
    assert diagnosing(spec("./rows/*.jsonl")) == ()


def test_of_many_files_the_last_ones_may_hold_the_rows(tmp_path: Path, diagnosing: Diagnose) -> None:
    for number in range(20):
        write(tmp_path, f"rows/{number:02}.jsonl", '{"text": "x"}\n' if number == 19 else "")
    assert diagnosing(spec("./rows/*.jsonl")) == ()


def test_a_glob_that_matches_nothing_says_that_its_folder_is_here(tmp_path: Path, diagnosing: Diagnose) -> None:
    write(tmp_path, "rows/a.jsonl", "")
    (found, *_) = diagnosing(spec('"./rows/*.csv"'))
    assert found.code == "W501" and found.notes[-1] == "rows is here, and no file in it matches"
    assert [item.notes for item in diagnosing(spec('"./nowhere/*.csv"'))] == [("`run` needs it here",)]


def test_a_module_of_a_package_has_texts_alone(diagnosing: Diagnose) -> None:
    assert diagnosing(spec('"package:pydoc_data/topics"')) == ()
    assert {item.code for item in diagnosing(spec('"package:pydoc_data/topics"', "pairs"))} == {"E510"}


# --- the plan does not know


def test_a_plan_is_the_same_where_the_files_are_and_where_they_are_not(tmp_path: Path) -> None:
    """With a lock, which holds their content, even the ids are."""
    text = spec("./rows.csv").encode()
    write(tmp_path, "rows.csv", "text\nx\n")
    here = compile_spec(Source(file="spec.yaml", data=text), Lock(tmp_path))
    there = compile_spec(Source(file="spec.yaml", data=text), Lock(tmp_path / "elsewhere", locked=dict(here.plan.inputs)))
    assert pretty(here.plan.to_json()) == pretty(there.plan.to_json())
    bare = compile_spec(Source(file="spec.yaml", data=text), Lock(tmp_path / "elsewhere"))
    assert {item.code for item in bare.warnings} == {"W501"}


def test_a_file_with_a_fault_is_an_error_only_where_it_is(tmp_path: Path, compiling: Callable[..., Compiled]) -> None:
    write(tmp_path, "rows.csv", "body\nx\n")
    with pytest.raises(SpecError):
        compiling(spec("./rows.csv"))
    assert compiling(spec("./rows.csv"), base=tmp_path / "elsewhere").plan.stages


def test_every_input_is_looked_into_once_whatever_the_number_of_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    write(tmp_path, "rows.csv", "text\nx\n")
    write(tmp_path, "vocab.txt", "[MASK]\n[CLS]\n[SEP]\n[UNK]\n[PAD]\nx\n")
    seen: list[str] = []
    for name in ("look_at", "look_into", "_read_lines", "located_files"):
        original = getattr(at_hand, name)
        monkeypatch.setattr(
            at_hand, name, lambda *given, original=original, name=name: (seen.append(f"{name} {Path(given[0]).name}"), original(*given))[1]
        )
    text = spec("./rows.csv").replace("tokenizer: bytes", "tokenizer: {type: pattern, vocabulary: ./vocab.txt}")
    text += "sweep: {grid: {data.docs.max_length: [8, 16, 24], stages.words.vocab_size: [300, 301, 302]}}\n"
    assert len(compile_spec(Source(file="spec.yaml", data=text.encode()), Lock(tmp_path)).plan.points) == 9
    assert len(seen) == len(set(seen)) > 2


# --- models

LLAMA = {"model_type": "llama", "architectures": ["LlamaForCausalLM"]}


def folder(path: Path, config: object, **files: str) -> Path:
    write(path, "config.json", config if isinstance(config, str) else json.dumps(config))
    for name, content in files.items():
        write(path, name.replace("__", "."), content)
    return path


MODELS = {
    "a-model": (LLAMA, {"model__safetensors": ""}, []),
    "shards": (LLAMA, {"model-00001-of-00002__safetensors": ""}, []),
    "old-weights": (LLAMA, {"pytorch_model__bin": ""}, []),
    "no-weights": (LLAMA, {}, ["E516"]),
    "masked": ({"model_type": "bert", "architectures": ["BertForMaskedLM"]}, {"model__safetensors": ""}, []),
    "no-head": ({"model_type": "bert", "architectures": ["BertModel"]}, {"model__safetensors": ""}, ["E516"]),
    "no-architectures": ({"model_type": "llama"}, {"model__safetensors": ""}, []),
    "encoder-and-decoder": ({"model_type": "t5", "is_encoder_decoder": True}, {"model__safetensors": ""}, ["E516"]),
    "not-json": ("{", {"model__safetensors": ""}, ["E515"]),
    "a-list": ("[]", {"model__safetensors": ""}, ["E515"]),
    "no-type": ({}, {"model__safetensors": ""}, ["E515"]),
    "unknown-type": ({"model_type": "no-such-type"}, {"model__safetensors": ""}, ["W512"]),
    "code-of-its-own": ({"model_type": "own", "architectures": ["OwnModel"], "auto_map": {}}, {"model__safetensors": ""}, ["W512"]),
    "dream": ({"model_type": "Dream", "architectures": ["DreamModel"], "auto_map": {}}, {"model__safetensors": ""}, []),
    "llada-without-its-code": ({"model_type": "llada", "architectures": ["LLaDAModelLM"]}, {"model__safetensors": ""}, []),
    "a2d": ({"model_type": "a2d-qwen3", "architectures": ["A2DQwen3LMHeadModel"]}, {"model__safetensors": ""}, []),
    "edit-flow": ({"model_type": "editflow-dream", "architectures": ["EditFlowDreamModel"]}, {"model__safetensors": ""}, []),
    "gpt-2": ({"model_type": "gpt2", "architectures": ["GPT2LMHeadModel"]}, {"model__safetensors": ""}, []),
    "code-of-its-own-for-a-known-type": ({**LLAMA, "architectures": ["LlamaXModel"], "auto_map": {}}, {"model__safetensors": ""}, []),
    "tables-for-an-architecture": ({"model_type": "llama", "architectures": "LlamaModel"}, {"model__safetensors": ""}, []),
}  # fmt: skip


@pytest.mark.parametrize("case", MODELS)
def test_a_folder_is_a_model_that_can_be_built_or_says_why_not(case: str, tmp_path: Path) -> None:
    config, files, expected = MODELS[case]
    found = look_into(folder(tmp_path / "m", config, **files))
    assert found is not None and [problem.code for problem in model_problems(found, "./m")] == expected


TOKENIZERS: dict[str, tuple[dict[str, str], list[str]]] = {
    "none": ({}, ["E518"]),
    "config-alone": ({"tokenizer_config__json": "{}"}, ["E518"]),
    "of-bert": ({"vocab__txt": "", "tokenizer_config__json": '{"tokenizer_class": "BertTokenizer"}'}, []),
    "of-llama": ({"tokenizer__json": "", "tokenizer_config__json": '{"tokenizer_class": "LlamaTokenizerFast"}'}, []),
    "of-llama-with-mask": (
        {"tokenizer__json": "", "tokenizer_config__json": '{"tokenizer_class": "LlamaTokenizerFast", "mask_token": "<m>"}'}, []),
    "mask-in-the-map": (
        {"tokenizer__json": "", "tokenizer_config__json": '{"tokenizer_class": "GPT2Tokenizer"}',
         "special_tokens_map__json": '{"mask_token": {"content": "<m>"}}'}, []),
    "mask-that-is-null": (
        {"tokenizer__json": "", "tokenizer_config__json": '{"tokenizer_class": "Qwen2Tokenizer", "mask_token": null}'}, []),
    "of-a-class-that-is-not-known": ({"tokenizer__json": "", "tokenizer_config__json": '{"tokenizer_class": "Odd"}'}, []),
    "without-settings": ({"tokenizer__json": ""}, []),
}  # fmt: skip


@pytest.mark.parametrize("case", TOKENIZERS)
def test_a_tokenizer_has_files_and_is_given_a_mask_token_where_it_has_none(case: str, tmp_path: Path) -> None:
    files, expected = TOKENIZERS[case]
    found = look_into(folder(tmp_path / "m", LLAMA, **files))
    assert found is not None and [problem.code for problem in tokenizer_problems(found)] == expected


@pytest.mark.parametrize(
    ("config", "window"),
    [
        ({"sliding_window": 128}, 128),
        ({"sliding_window": 128, "use_sliding_window": False}, None),
        ({"sliding_window": None}, None),
        ({"sliding_window": 128, "layer_types": ["full_attention"]}, None),
        ({"sliding_window": 128, "layer_types": ["full_attention", "sliding_attention"], "use_sliding_window": False}, 128),
        ({}, None),
    ],
)
def test_a_window_slides_only_where_a_layer_says_so(config: dict[str, object], window: int | None, tmp_path: Path) -> None:
    found = look_into(folder(tmp_path / "m", {**LLAMA, **config}))
    assert found is not None and found.window == window


TRAIN = """\
version: 1
name: sizes
stages:
  train:
    kind: pretrain
    model: {from: ./m, tokenizer: bytes}
    data: {sources: [{generate: sudoku}], max_length: 64}
    objective: mdlm
    batch: 2
    optimizer: {learning_rate: 1e-3}
    duration: 10 steps
"""


@pytest.mark.parametrize(
    ("sizes", "codes"),
    [
        ({"vocab_size": 258, "max_position_embeddings": 64}, []),
        ({"vocab_size": 257, "max_position_embeddings": 64}, ["E517"]),
        ({"vocab_size": 258, "max_position_embeddings": 63}, ["E315"]),
        ({"vocab_size": 258, "n_positions": 63}, ["E315"]),
        ({"vocab_size": 258, "sliding_window": 64}, []),
        ({"vocab_size": 258, "sliding_window": 63}, ["W513"]),
    ],
)
def test_sizes_of_the_weights_are_held_against_the_spec(
    sizes: dict[str, int], codes: list[str], tmp_path: Path, diagnosing: Diagnose
) -> None:
    folder(tmp_path / "m", {**LLAMA, **sizes}, model__safetensors="")
    assert [item.code for item in diagnosing(TRAIN)] == codes


@pytest.mark.parametrize("word", ["bytes", "characters"])
def test_the_tokens_that_a_word_declares_are_those_of_its_tokenizer(word: str, tmp_path: Path) -> None:
    from dllm_run.runtime.tokenizers import from_word
    from dllm_run.specs.vocabulary.tokenizers import Tokenizer
    from dllm_run.specs.word import members

    cls = members(Tokenizer)[word]
    assert issubclass(cls, Tokenizer) and cls.size == from_word(cls(), tmp_path).size
