"""GGUF files: transformers' own reader finds the weights and the tokenizer that went in, and what the format cannot hold is refused."""

import math
from pathlib import Path
from typing import Any

import gguf
import pytest
import torch
from runtime_toys import compiled, run_stage
from tokenizers import Regex, Tokenizer, decoders, models, normalizers, pre_tokenizers, trainers
from torch import Tensor
from transformers import AutoModelForCausalLM, AutoTokenizer, LlamaConfig, PreTrainedTokenizerFast, Qwen2Config, Qwen3Config

from dllm_run.runtime.checkpoint import save
from dllm_run.runtime.context import Context
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.edit_heads import add_heads
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.gguf_tokenizer import vocabulary_of
from dllm_run.runtime.noise import Stream
from dllm_run.runtime.seen import everyone
from dllm_run.runtime.tokenizers import from_folder

TEXTS = [
    "It's 1234567 o'clock, says  the clock.\n\n  Then: it doesn't!",
    "Größe 42 — naïve café\t日本語",
    "don't  stop <keep> now",
    "   ",
    "a\r\nb",
]
ROWS = 320
SHAPE = {"vocab_size": ROWS, "hidden_size": 64, "intermediate_size": 96, "num_hidden_layers": 2, "max_position_embeddings": 128}
GROUPED = {**SHAPE, "num_attention_heads": 4, "num_key_value_heads": 2, "rms_norm_eps": 0.02}
# The reader takes a head of 128 dimensions for granted where the architecture is Qwen3's.
WIDE = {**SHAPE, "hidden_size": 256, "num_attention_heads": 2, "num_key_value_heads": 1, "head_dim": 128}
CONFIGS: dict[str, Any] = {
    "llama": LlamaConfig(**GROUPED, tie_word_embeddings=False, rope_parameters={"rope_type": "default", "rope_theta": 700.0}),
    "llama-tied": LlamaConfig(**GROUPED, tie_word_embeddings=True),
    "qwen2": Qwen2Config(**GROUPED, tie_word_embeddings=False),
    "qwen3": Qwen3Config(**WIDE, tie_word_embeddings=True),
}
SPLITS: dict[str, Any] = {
    "gpt-2": pre_tokenizers.ByteLevel(add_prefix_space=False),
    "llama-bpe": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}{1,3}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
    "qwen2": r"(?i:'s|'t|'re|'ve|'m|'ll|'d)|[^\r\n\p{L}\p{N}]?\p{L}+|\p{N}| ?[^\s\p{L}\p{N}]+[\r\n]*|\s*[\r\n]+|\s+(?!\S)|\s+",
}


def bpe(split: Any = SPLITS["gpt-2"], **options: Any) -> PreTrainedTokenizerFast:
    """A byte-level tokenizer of 306 tokens; `<keep>` is an added token that is not special."""
    backend = Tokenizer(models.BPE())
    if isinstance(split, str):
        pattern = pre_tokenizers.Split(Regex(split), behavior="isolated")
        split = pre_tokenizers.Sequence([pattern, pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False)])
    backend.pre_tokenizer = split
    backend.decoder = decoders.ByteLevel()
    alphabet = pre_tokenizers.ByteLevel.alphabet()
    trainer = trainers.BpeTrainer(vocab_size=305, special_tokens=["<eos>", "<mask>", "<s>"], initial_alphabet=alphabet, show_progress=False)
    backend.train_from_iterator(5 * TEXTS, trainer)
    fast = PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", pad_token="<eos>", mask_token="<mask>", **options)
    fast.add_tokens(["<keep>"])
    return fast


def source(folder: Path, config: Any, fast: Any) -> Any:
    """A model in ./source with weights that are no one's default."""
    with torch.random.fork_rng():
        torch.manual_seed(0)
        network = AutoModelForCausalLM.from_config(config).eval()
        for parameter in network.parameters():
            parameter.data += 0.1 * torch.randn_like(parameter)
    network.save_pretrained(folder / "source")
    fast.save_pretrained(folder / "source")
    return network


def converted(folder: Path, dtype: str = "f32", model: str = "{from: ./source}") -> Context:
    text = f"version: 1\nname: toy\nstages: {{out: {{kind: convert, model: {model}, to: {{type: gguf, dtype: {dtype}}}}}}}\n"
    return run_stage(compiled(folder, text), "out", folder)


def logits_of(network: Any) -> Tensor:
    tokens = torch.randint(0, 300, (2, 9), generator=torch.Generator().manual_seed(0))
    full = torch.ones(2, 9, dtype=torch.bool)
    network.config.is_causal = False
    with torch.no_grad():
        return Denoiser(network.eval(), mask_token=ROWS - 1).logits(tokens, everyone(full), full)[:, : ROWS - 1]


def read_back(done: Context) -> Any:
    return AutoModelForCausalLM.from_pretrained(done.entry.output("model"), gguf_file="model.gguf", dtype=torch.float32)


def fields_of(done: Context) -> dict[str, Any]:
    return {name: field.contents() for name, field in gguf.GGUFReader(done.entry.output("model") / "model.gguf").fields.items()}


@pytest.mark.parametrize("name", list(CONFIGS))
def test_weights_of_32_bits_come_back_the_same(tmp_path: Path, name: str) -> None:
    network = source(tmp_path, CONFIGS[name], bpe())
    done = converted(tmp_path)
    again = read_back(done)
    assert type(again) is type(network) and again.config.tie_word_embeddings is network.config.tie_word_embeddings
    expected = network.state_dict()
    for key, value in again.state_dict().items():
        assert torch.equal(value, expected[key]), key
    torch.testing.assert_close(logits_of(again), logits_of(network), rtol=0, atol=0)
    assert done.entry.results() == {
        "parameters": sum(parameter.numel() for parameter in network.parameters()),
        "bytes": (done.entry.output("model") / "model.gguf").stat().st_size,
    }


@pytest.mark.parametrize(("dtype", "bits", "error"), [("f16", 16, 2e-3), ("q8_0", 8.5, 4e-2)])
def test_fewer_bits_are_close_and_vectors_keep_all(tmp_path: Path, dtype: str, bits: float, error: float) -> None:
    network = source(tmp_path, CONFIGS["llama"], bpe())
    done = converted(tmp_path, dtype)
    again = read_back(done)
    distance = float((logits_of(again) - logits_of(network)).norm() / logits_of(network).norm())
    assert 0 < distance < error, distance
    assert torch.equal(again.model.norm.weight, network.model.norm.weight)
    for tensor in gguf.GGUFReader(done.entry.output("model") / "model.gguf").tensors:
        assert tensor.n_bytes * 8 == tensor.n_elements * (bits if len(tensor.shape) == 2 else 32), tensor.name


def test_biases_of_a_llama_are_there_in_the_order_of_their_matrices(tmp_path: Path) -> None:
    """The reader of transformers drops them, so the file itself is looked at."""
    network = source(tmp_path, LlamaConfig(**GROUPED, attention_bias=True), bpe())
    found = {tensor.name: tensor.data for tensor in gguf.GGUFReader(converted(tmp_path).entry.output("model") / "model.gguf").tensors}
    attention = network.model.layers[1].self_attn
    # A head of 16: pair p of its halves is rows 2p and 2p + 1.
    rows = [16 * head + 8 * half + pair for head in range(4) for pair in range(8) for half in range(2)]
    for name, module, order in (("q", attention.q_proj, rows), ("k", attention.k_proj, rows[:32]), ("v", attention.v_proj, range(32))):
        assert torch.equal(torch.tensor(found[f"blk.1.attn_{name}.bias"]), module.bias.detach()[list(order)]), name
        assert torch.equal(torch.tensor(found[f"blk.1.attn_{name}.weight"]), module.weight.detach()[list(order)]), name
    assert torch.equal(torch.tensor(found["blk.1.attn_output.bias"]), attention.o_proj.bias.detach())


def test_a_row_that_is_no_whole_number_of_blocks_keeps_16_bits(tmp_path: Path) -> None:
    source(tmp_path, LlamaConfig(**{**GROUPED, "intermediate_size": 40}), bpe())
    file = gguf.GGUFReader(converted(tmp_path, "q8_0").entry.output("model") / "model.gguf")
    types = {tensor.name: tensor.tensor_type.name for tensor in file.tensors}
    assert types["blk.0.ffn_down.weight"] == "F16" and types["blk.0.ffn_up.weight"] == "Q8_0"


@pytest.mark.parametrize("split", list(SPLITS))
def test_the_tokenizer_comes_back_and_gives_the_same_tokens(tmp_path: Path, split: str) -> None:
    mine = bpe(SPLITS[split], chat_template="{{ messages[0]['content'] }}!")
    source(tmp_path, CONFIGS["llama"], mine)
    done = converted(tmp_path)
    theirs = AutoTokenizer.from_pretrained(done.entry.output("model"), gguf_file="model.gguf")
    for text in TEXTS:
        ids = mine(text, add_special_tokens=False).input_ids
        assert theirs(text, add_special_tokens=False).input_ids == ids, text
        assert theirs.decode(ids) == text
    assert theirs.convert_tokens_to_ids(["<eos>", "<mask>", "<keep>"]) == mine.convert_tokens_to_ids(["<eos>", "<mask>", "<keep>"])
    assert theirs.eos_token == "<eos>" and theirs.chat_template == mine.chat_template
    fields = fields_of(done)
    assert fields["tokenizer.ggml.pre"] == split and fields["tokenizer.ggml.mask_token_id"] == mine.mask_token_id
    types = fields["tokenizer.ggml.token_type"]
    assert len(types) == len(fields["tokenizer.ggml.tokens"]) == ROWS
    assert [types[mine.convert_tokens_to_ids(token)] for token in ("<mask>", "<keep>", "a")] == [3, 4, 1]
    assert types[306:] == 14 * [5], "rows of the matrix that are no token"


def test_a_reader_is_told_that_attention_is_not_causal_and_where_logits_point(tmp_path: Path) -> None:
    source(tmp_path, CONFIGS["qwen2"], bpe())
    fields = fields_of(converted(tmp_path, model="{from: ./source, logit_shift: 1}"))
    assert fields["general.architecture"] == "qwen2" and fields["qwen2.attention.causal"] is False
    assert fields["diffusion.shift_logits"] is True and fields["tokenizer.ggml.add_bos_token"] is False
    assert fields["qwen2.attention.head_count_kv"] == 2 and fields["qwen2.rope.dimension_count"] == 16


def test_the_frequencies_of_llama_3_are_written_as_it_slows_them(tmp_path: Path) -> None:
    rope = {
        "rope_type": "llama3", "rope_theta": 10000.0, "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0,
        "original_max_position_embeddings": 64,
    }  # fmt: skip
    source(tmp_path, LlamaConfig(**GROUPED, rope_parameters=rope), bpe())
    file = gguf.GGUFReader(converted(tmp_path).entry.output("model") / "model.gguf")
    (found,) = (tensor.data for tensor in file.tensors if tensor.name == "rope_freqs.weight")
    expected = []
    for pair in range(8):
        turns = 64 / (2 * math.pi * 10000.0 ** (2 * pair / 16))  # of the pair within the length it was trained for
        share = min(1.0, max(0.0, (turns - 1) / (4 - 1)))
        expected.append(1 / (share + (1 - share) / 8))
    assert list(found) == pytest.approx(expected, rel=1e-5) and 1 < expected[1] < 8


@pytest.mark.parametrize(
    ("fast", "what"),
    [
        pytest.param(lambda: word_level(), "byte-level byte-pair encoding, and this one is WordLevel", id="words"),
        pytest.param(lambda: bpe(r"\p{N}{2}|."), "no name for the way in which this tokenizer splits", id="split"),
        pytest.param(lambda: bpe(pre_tokenizers.ByteLevel(add_prefix_space=True)), "no name for the way", id="prefix-space"),
        pytest.param(lambda: lowered(), "normalises texts by Lowercase", id="normalizer"),
    ],
)
def test_a_tokenizer_that_the_format_cannot_hold_is_refused_before_anything_is_written(tmp_path: Path, fast: Any, what: str) -> None:
    source(tmp_path, CONFIGS["llama"], fast())
    with pytest.raises(Failure, match=what):
        converted(tmp_path)
    assert not list(tmp_path.rglob("*.gguf"))


def word_level() -> PreTrainedTokenizerFast:
    backend = Tokenizer(models.WordLevel({"<eos>": 0, "<mask>": 1, "a": 2}, unk_token="<eos>"))
    return PreTrainedTokenizerFast(tokenizer_object=backend, eos_token="<eos>", mask_token="<mask>")


def lowered() -> PreTrainedTokenizerFast:
    fast = bpe()
    fast.backend_tokenizer.normalizer = normalizers.Lowercase()
    return fast


def test_rotary_positions_that_the_format_cannot_say_are_refused(tmp_path: Path) -> None:
    rope = {"rope_type": "dynamic", "rope_theta": 10000.0, "factor": 2.0}
    source(tmp_path, LlamaConfig(**GROUPED, rope_parameters=rope), bpe())
    with pytest.raises(Failure, match="rotary positions of type dynamic"):
        converted(tmp_path)


def test_another_architecture_of_a_folder_is_refused_when_it_is_known(tmp_path: Path) -> None:
    from transformers import MistralConfig

    source(tmp_path, MistralConfig(**GROUPED, sliding_window=None), bpe())
    with pytest.raises(Failure, match="a mistral cannot be written as GGUF here"):
        converted(tmp_path)


def test_heads_for_edits_are_refused_rather_than_dropped(tmp_path: Path) -> None:
    network = source(tmp_path, CONFIGS["llama"], bpe())
    add_heads(network, Stream(0, "edit heads"))
    save(network, tmp_path / "source")
    with pytest.raises(Failure, match="no place for heads for edits"):
        converted(tmp_path)


def test_a_vocabulary_has_a_row_for_every_row_of_the_matrix(tmp_path: Path) -> None:
    bpe().save_pretrained(tmp_path)
    found = vocabulary_of(from_folder(tmp_path), 310)
    assert found.tokens[306:] == ("[PAD306]", "[PAD307]", "[PAD308]", "[PAD309]") and found.split == "gpt-2"
    assert len(set(found.tokens)) == 310 and all(len(merge.split(" ")) == 2 for merge in found.merges)
