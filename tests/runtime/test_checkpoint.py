"""Checkpoints: folders in every format are read as what they are, come back as they were, and what is wrong with one is named."""

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import plain_models as plain
import pytest
import torch
import transformers
from runtime_toys import compiled, context_of, run_stage
from safetensors.torch import load_file, save_file
from torch import Tensor

from dllm_run.runtime.checkpoint import from_folder, restore, save
from dllm_run.runtime.denoiser import Denoiser
from dllm_run.runtime.edit_heads import load_heads
from dllm_run.runtime.failure import Failure
from dllm_run.runtime.seen import everyone
from dllm_run.specs.vocabulary.compute import Compute

V, D, N, MLP, LAYERS = 31, 32, 4, 40, 2
TOKENS = torch.randint(0, V - 1, (11,), generator=torch.Generator().manual_seed(1))

# As the hub has it, with smaller sizes, and epsilon and base moved where a default would show.
LLADA: dict[str, Any] = {
    "activation_type": "silu", "alibi": False, "alibi_bias_max": 8.0, "architectures": ["LLaDAModelLM"], "attention_dropout": 0.0,
    "attention_layer_norm": False, "attention_layer_norm_with_affine": True,
    "auto_map": {
        "AutoConfig": "configuration_llada.LLaDAConfig",
        "AutoModelForCausalLM": "modeling_llada.LLaDAModelLM",
        "AutoModel": "modeling_llada.LLaDAModelLM",
    },
    "bias_for_layer_norm": False, "block_group_size": 1, "block_type": "llama", "d_model": D, "embedding_dropout": 0.0,
    "embedding_size": V, "eos_token_id": 3, "flash_attention": False, "include_bias": False, "include_qkv_bias": False,
    "init_cutoff_factor": None, "init_device": "meta", "init_fn": "mitchell", "init_std": 0.02, "input_emb_norm": False,
    "layer_norm_type": "rms", "layer_norm_with_affine": True, "mask_token_id": V - 1, "max_sequence_length": 64,
    "mlp_hidden_size": MLP, "mlp_ratio": 4, "model_type": "llada", "multi_query_attention": None, "n_heads": N, "n_kv_heads": N,
    "n_layers": LAYERS, "pad_token_id": 3, "precision": "amp_bf16", "residual_dropout": 0.0, "rms_norm_eps": 0.03, "rope": True,
    "rope_full_precision": True, "rope_theta": 700.0, "scale_logits": False, "transformers_version": "4.46.3", "use_cache": False,
    "vocab_size": V, "weight_tying": False,
}  # fmt: skip
DREAM: dict[str, Any] = {
    "architectures": ["DreamModel"], "attention_dropout": 0.0,
    "auto_map": {"AutoConfig": "configuration_dream.DreamConfig", "AutoModel": "modeling_dream.DreamModel"},
    "bos_token_id": 3, "eos_token_id": 3, "hidden_act": "silu", "hidden_size": D, "initializer_range": 0.02, "intermediate_size": MLP,
    "mask_token_id": V - 1, "max_position_embeddings": 64, "max_window_layers": LAYERS, "model_type": "Dream",
    "num_attention_heads": N, "num_hidden_layers": LAYERS, "num_key_value_heads": 2, "pad_token_id": 3, "rms_norm_eps": 0.03,
    "rope_scaling": None, "rope_theta": 700.0, "sliding_window": None, "tie_word_embeddings": False, "torch_dtype": "bfloat16",
    "transformers_version": "4.46.2", "use_cache": True, "use_sliding_window": False, "vocab_size": V,
}  # fmt: skip

BLOCK = "model.transformer.blocks."
LLADA_NAMES = {
    "model.embed_tokens": "model.transformer.wte",
    "model.norm": "model.transformer.ln_f",
    "lm_head": "model.transformer.ff_out",
    "self_attn.q_proj": "q_proj",
    "self_attn.k_proj": "k_proj",
    "self_attn.v_proj": "v_proj",
    "self_attn.o_proj": "attn_out",
    "mlp.gate_proj": "ff_proj",
    "mlp.up_proj": "up_proj",
    "mlp.down_proj": "ff_out",
    "input_layernorm": "attn_norm",
    "post_attention_layernorm": "ff_norm",
}


def llada_name(name: str) -> str:
    """Where the published code keeps what Llama calls by this name."""
    stem = name.removesuffix(".weight")
    if stem.startswith("model.layers."):
        layer, _, part = stem.removeprefix("model.layers.").partition(".")
        return f"{BLOCK}{layer}.{LLADA_NAMES[part]}.weight"
    return f"{LLADA_NAMES[stem]}.weight"


def drawn(shapes: dict[str, tuple[int, ...]]) -> dict[str, Tensor]:
    source = torch.Generator().manual_seed(5)
    return {name: torch.randn(shape, generator=source) * 0.3 + (len(shape) == 1) for name, shape in shapes.items()}


def llama_shapes(kv: int, *, bias: bool) -> dict[str, tuple[int, ...]]:
    found: dict[str, tuple[int, ...]] = {"model.embed_tokens.weight": (V, D), "model.norm.weight": (D,), "lm_head.weight": (V, D)}
    for layer in range(LAYERS):
        at = f"model.layers.{layer}."
        for name, size in (("q", D), ("k", kv), ("v", kv)):
            found[f"{at}self_attn.{name}_proj.weight"] = (size, D)
            if bias:
                found[f"{at}self_attn.{name}_proj.bias"] = (size,)
        found[f"{at}self_attn.o_proj.weight"] = (D, D)
        found.update({f"{at}mlp.{name}_proj.weight": (MLP, D) for name in ("gate", "up")})
        found[f"{at}mlp.down_proj.weight"] = (D, MLP)
        found.update({f"{at}{name}.weight": (D,) for name in ("input_layernorm", "post_attention_layernorm")})
    return found


def write(folder: Path, config: dict[str, Any], weights: dict[str, Tensor]) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


@pytest.fixture
def llada(tmp_path: Path) -> Path:
    return write(tmp_path / "llada", LLADA, {llada_name(name): value for name, value in drawn(llama_shapes(D, bias=False)).items()})


@pytest.fixture
def dream(tmp_path: Path) -> Path:
    return write(tmp_path / "dream", DREAM, drawn(llama_shapes(D // 2, bias=True)))


def loaded(folder: Path, kernel: str = "sdpa", dropout: float = 0.0) -> Any:
    return from_folder(folder, Compute(attention_kernel=kernel), dropout, "float32")


def logits_of(network: Any, shift: int = 0, tokens_L: Tensor = TOKENS) -> Tensor:
    valid_BL = torch.ones(1, len(tokens_L), dtype=torch.bool)
    with torch.no_grad():
        return Denoiser(network, mask_token=V - 1, logit_shift=shift).logits(tokens_L[None], everyone(valid_BL), valid_BL)


def close(found: Tensor, expected: Tensor) -> None:
    assert float(expected.std()) > 0.3, "the toy has something to say"
    torch.testing.assert_close(found[:, : V - 1], expected[:, : V - 1], rtol=1e-4, atol=1e-4)


KIND = plain.Kind(heads=N, kv_heads=N, eps=0.03, theta=700.0, tied=False)


def test_a_published_llada_computes_what_the_paper_says(llada: Path) -> None:
    weights = load_file(str(llada / "model.safetensors"))
    close(logits_of(loaded(llada)), plain.llama(lambda name: weights[llada_name(name)], KIND, LAYERS, TOKENS))


def test_a_published_dream_says_at_a_place_what_stands_at_the_next(dream: Path) -> None:
    weights = load_file(str(dream / "model.safetensors"))
    kind = plain.Kind(heads=N, kv_heads=2, eps=0.03, theta=700.0, tied=False, bias=True)
    bare = plain.llama(weights.__getitem__, kind, LAYERS, TOKENS)
    close(logits_of(loaded(dream)), bare)
    close(logits_of(loaded(dream), shift=1), torch.cat([bare[:1], bare[:-1]]))


@pytest.mark.parametrize("name", ["llada", "dream"])
def test_what_was_read_is_written_back_as_it_was(name: str, request: pytest.FixtureRequest, tmp_path: Path) -> None:
    folder: Path = request.getfixturevalue(name)
    save(loaded(folder), tmp_path / "again")
    before, after = load_file(str(folder / "model.safetensors")), load_file(str(tmp_path / "again" / "model.safetensors"))
    assert set(before) == set(after)
    assert all(torch.equal(before[key], after[key]) for key in before)
    assert json.loads((tmp_path / "again" / "config.json").read_text()) == json.loads((folder / "config.json").read_text())


def test_only_what_changed_is_written_anew(llada: Path, tmp_path: Path) -> None:
    network = loaded(llada)
    network.resize_token_embeddings(V + 3, mean_resizing=False)
    save(network, tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text()) == {**LLADA, "vocab_size": V + 3, "embedding_size": V + 3}
    assert loaded(tmp_path / "again").config.vocab_size == V + 3


def test_a_tied_llada_has_no_output_matrix_and_a_grouped_one_fewer_keys(tmp_path: Path) -> None:
    weights = {llada_name(name): value for name, value in drawn(llama_shapes(D // 2, bias=False)).items() if name != "lm_head.weight"}
    folder = write(tmp_path / "tied", {**LLADA, "weight_tying": True, "n_kv_heads": 2}, weights)
    kind = plain.Kind(heads=N, kv_heads=2, eps=0.03, theta=700.0, tied=True)
    close(logits_of(loaded(folder)), plain.llama(lambda name: weights[llada_name(name)], kind, LAYERS, TOKENS))
    save(loaded(folder), tmp_path / "again")
    assert set(load_file(str(tmp_path / "again" / "model.safetensors"))) == set(weights)


def test_a_llada_with_biases_on_its_queries_is_a_qwen_2(tmp_path: Path) -> None:
    weights = drawn(llama_shapes(D, bias=True))
    names = {name: name.removesuffix("bias").removesuffix("weight") for name in weights}
    theirs = {llada_name(stem + "weight").removesuffix("weight") + name.removeprefix(stem): weights[name] for name, stem in names.items()}
    folder = write(tmp_path / "biased", {**LLADA, "include_qkv_bias": True}, theirs)
    kind = plain.Kind(heads=N, kv_heads=N, eps=0.03, theta=700.0, tied=False, bias=True)
    close(logits_of(loaded(folder)), plain.llama(weights.__getitem__, kind, LAYERS, TOKENS))
    save(loaded(folder), tmp_path / "again")
    assert json.loads((tmp_path / "again" / "config.json").read_text()) == {**LLADA, "include_qkv_bias": True}


def test_a_llada_of_another_make_is_refused_by_what_it_says(llada: Path) -> None:
    (llada / "config.json").write_text(json.dumps({**LLADA, "alibi": True, "layer_norm_type": "default"}), encoding="utf-8")
    with pytest.raises(Failure, match="layer_norm_type: default, alibi: True"):
        loaded(llada)


def test_a_checkpoint_of_training_is_restored_from_either_format(llada: Path, tmp_path: Path) -> None:
    network = loaded(llada)
    expected = logits_of(network)
    save(network, tmp_path / "step-1")
    for parameter in network.parameters():
        parameter.data.zero_()
    restore(network, tmp_path / "step-1")
    assert torch.equal(logits_of(network), expected)


def edited(folder: Path, change: Callable[[dict[str, Tensor]], Any]) -> Path:
    weights = load_file(str(folder / "model.safetensors"))
    change(weights)
    save_file(weights, str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


NORM = f"{BLOCK}1.attn_norm.weight"
WRONG: dict[str, tuple[Callable[[dict[str, Tensor]], Any], str]] = {
    "missing": (lambda weights: weights.pop(NORM), rf"missing: {NORM}$"),
    "extra": (
        lambda weights: weights.update({f"{BLOCK}2.attn_norm.weight": torch.ones(D)}),
        rf"not known: {BLOCK}2.attn_norm.weight$",
    ),
    "shape": (lambda weights: weights.update({NORM: torch.ones(D + 1)}), rf"{NORM} is {D + 1} and should be {D}"),
    "two renamed": (
        lambda weights: weights.update({"a": weights.pop(f"{BLOCK}0.q_proj.weight"), "b": weights.pop(f"{BLOCK}0.k_proj.weight")}),
        rf"missing: {BLOCK}0.k_proj.weight, {BLOCK}0.q_proj.weight; not known: a, b",
    ),
    "everything": (lambda weights: weights.clear() or weights.update({"a": torch.ones(1)}), r"missing: .* and 16 more; not known: a"),
}


@pytest.mark.parametrize("wrong", WRONG)
def test_a_tensor_that_does_not_fit_is_named_as_the_folder_has_it(llada: Path, wrong: str) -> None:
    change, told = WRONG[wrong]
    with pytest.raises(Failure, match=told):
        loaded(edited(llada, change))


def test_a_tensor_of_another_shape_is_named_with_both(dream: Path) -> None:
    name = "model.layers.0.mlp.up_proj.weight"
    with pytest.raises(Failure, match=rf"of another shape: {name} is {MLP}x{D - 1} and should be {MLP}x{D}"):
        loaded(edited(dream, lambda weights: weights.update({name: torch.ones(MLP, D - 1)})))


def test_a_file_that_is_no_weights_is_refused(llada: Path) -> None:
    (llada / "model.safetensors").write_bytes(b"not weights")
    with pytest.raises(Failure, match="cannot be read"):
        loaded(llada)


# --- stock architectures


def stock(folder: Path, name: str, **sizes: Any) -> tuple[Path, Any]:
    """A folder as transformers writes it, and the network that it holds."""
    common = {"vocab_size": V, "hidden_size": D, "num_hidden_layers": LAYERS, "num_attention_heads": N, "intermediate_size": MLP}
    common |= {"num_key_value_heads": N, "max_position_embeddings": 64, "pad_token_id": None}
    config = getattr(transformers, f"{name}Config")(**{**common, **sizes})
    masked = name in ("Bert", "Roberta", "ModernBert", "Albert")
    with torch.random.fork_rng():
        torch.manual_seed(3)
        network = getattr(transformers, f"{name}{'ForMaskedLM' if masked else 'ForCausalLM'}")(config).eval()
        for parameter in network.parameters():
            parameter.data += 0.2 * torch.randn_like(parameter)
    network.save_pretrained(str(folder))
    return folder, network


def sees_the_end(network: Any) -> bool:
    other = TOKENS.clone()
    other[-1] = (other[-1] + 1) % (V - 1)
    return not torch.allclose(logits_of(network)[0, : V - 1], logits_of(network, tokens_L=other)[0, : V - 1], atol=1e-4)


WINDOWS: dict[str, tuple[str, dict[str, Any], str]] = {
    "mistral": ("Mistral", {"sliding_window": 3, "num_key_value_heads": 2}, "sdpa"),
    "gemma2": ("Gemma2", {"sliding_window": 3, "head_dim": 8, "num_key_value_heads": 2}, "eager"),
    "gemma3": ("Gemma3", {"sliding_window": 3, "head_dim": 8, "num_key_value_heads": 2}, "sdpa"),
    "qwen2": ("Qwen2", {"sliding_window": 3, "use_sliding_window": True, "max_window_layers": 0}, "sdpa"),
    "mixtral, in no table": ("Mixtral", {"sliding_window": 3, "num_local_experts": 2, "num_key_value_heads": 2}, "sdpa"),
}


@pytest.mark.parametrize("case", WINDOWS)
def test_a_causal_model_with_windows_is_read_without_them(case: str, tmp_path: Path) -> None:
    name, sizes, kernel = WINDOWS[case]
    if name == "Gemma3":
        config = transformers.Gemma3TextConfig(
            vocab_size=V, hidden_size=D, num_hidden_layers=1, num_attention_heads=N, intermediate_size=MLP, pad_token_id=None, **sizes
        )
        transformers.Gemma3ForCausalLM(config).save_pretrained(str(tmp_path))
    else:
        stock(tmp_path, name, **{**sizes, "num_hidden_layers": 1})
    network = loaded(tmp_path, kernel)
    # One layer: what lies beyond the window can only be seen directly.
    assert sees_the_end(network)
    save(network, tmp_path / "again")
    torch.testing.assert_close(logits_of(loaded(tmp_path / "again", kernel)), logits_of(network))


def test_the_windows_of_an_encoder_stay(tmp_path: Path) -> None:
    stock(tmp_path, "ModernBert", local_attention=4, num_hidden_layers=1, layer_types=["sliding_attention"], cls_token_id=1, sep_token_id=2)
    assert not sees_the_end(loaded(tmp_path))


@pytest.mark.parametrize(("name", "prefix"), [("Qwen3", "a2d-"), ("Qwen2", "a2d-"), ("Llama", "a2d-"), ("Qwen3", "editflow-")])
def test_what_other_code_made_of_a_causal_model_is_read_as_that_model(name: str, prefix: str, tmp_path: Path) -> None:
    folder, network = stock(tmp_path, name, head_dim=8)
    said = json.loads((folder / "config.json").read_text())
    said |= {"model_type": prefix + said["model_type"], "architectures": [f"A2D{name}LMHeadModel"], "auto_map": {"AutoModel": "code.Model"}}
    (folder / "config.json").write_text(json.dumps(said))
    found = loaded(folder)
    assert type(found) is type(network) and sees_the_end(found)
    network.config.is_causal = False
    torch.testing.assert_close(logits_of(found), logits_of(network))


def test_the_heads_of_an_edit_flow_lie_beside_its_language_model(dream: Path, tmp_path: Path) -> None:
    heads = {"sub_logits.weight": torch.ones(V, D), "ins_logits.weight": torch.ones(V, D), "rate_heads.0.bias": torch.ones(3)}
    heads["rate_heads.0.weight"] = torch.ones(3, D)
    with pytest.raises(Failure, match=r"not known: ins_logits.weight, rate_heads.0.bias, rate_heads.0.weight, sub_logits.weight"):
        loaded(edited(dream, lambda weights: weights.update(heads)))
    (dream / "config.json").write_text(json.dumps({**DREAM, "model_type": "editflow-dream"}))
    assert logits_of(loaded(dream)).shape == (len(TOKENS), V)
    network = loaded(dream)
    load_heads(network, dream)
    before = load_file(str(dream / "model.safetensors"))
    save(network, tmp_path / "again")
    after = load_file(str(tmp_path / "again" / "model.safetensors"))
    assert after.keys() == before.keys() and all(torch.equal(after[name], value) for name, value in before.items())
    assert json.loads((tmp_path / "again" / "config.json").read_text())["model_type"] == "editflow-dream"


@pytest.mark.parametrize("name", ["Bert", "Roberta", "Albert"])
def test_an_encoder_is_read_as_the_masked_model_it_is(name: str, tmp_path: Path) -> None:
    folder, network = stock(tmp_path, name, pad_token_id=1)
    found = loaded(folder)
    assert type(found) is type(network) and sees_the_end(found)


def test_heads_of_other_tasks_are_left_where_they_are_and_a_stranger_in_our_own_is_refused(tmp_path: Path) -> None:
    folder, _ = stock(tmp_path, "Bert", pad_token_id=1)
    file = folder / "model.safetensors"
    more = {"cls.species.weight": torch.ones(3, D), "cls.seq_relationship.bias": torch.ones(2)}
    save_file({**load_file(str(file)), **more}, str(file), metadata={"format": "pt"})
    loaded(folder)
    save_file({**load_file(str(file)), "cls.predictions.other.bias": torch.ones(2)}, str(file), metadata={"format": "pt"})
    with pytest.raises(Failure, match=r"not known: cls\.predictions\.other\.bias$"):
        loaded(folder)


def test_an_encoder_without_its_head_is_refused(tmp_path: Path) -> None:
    folder, network = stock(tmp_path, "Bert")
    network.bert.save_pretrained(str(folder))
    with pytest.raises(Failure, match=r"missing: cls\.predictions\.bias, .*cls\.predictions\.transform"):
        loaded(folder)


def test_a_model_in_no_table_is_read_as_its_config_says(tmp_path: Path) -> None:
    folder, network = stock(tmp_path, "Olmo2")
    network.config.is_causal = False
    torch.testing.assert_close(logits_of(loaded(folder)), logits_of(network))


def test_a_model_that_only_looks_back_is_refused(tmp_path: Path) -> None:
    network = transformers.MambaForCausalLM(transformers.MambaConfig(vocab_size=V, hidden_size=D, num_hidden_layers=1, state_size=4))
    network.save_pretrained(str(tmp_path))
    with pytest.raises(Failure, match=r"looks back|cannot be told"):
        loaded(tmp_path, "eager")


def test_a_kernel_that_an_architecture_does_not_have_is_told_with_its_cure(tmp_path: Path) -> None:
    folder, _ = stock(tmp_path, "Gemma2", head_dim=8, num_key_value_heads=2)
    with pytest.raises(Failure, match=r"-s compute\.attention_kernel=eager"):
        loaded(folder)


def test_dropout_is_the_specs_whatever_a_checkpoint_calls_it(tmp_path: Path) -> None:
    for name, sizes in (("GPT2", {"n_inner": MLP, "resid_pdrop": 0.5}), ("Bert", {"hidden_dropout_prob": 0.5})):
        folder, _ = stock(tmp_path / name, name, **sizes) if name == "Bert" else (tmp_path / name, None)
        if name == "GPT2":
            config = transformers.GPT2Config(
                vocab_size=V, n_embd=D, n_head=N, n_layer=1, n_positions=64, bos_token_id=None, eos_token_id=None
            )
            transformers.GPT2LMHeadModel(config).save_pretrained(str(folder))
        for rate in (0.0, 0.25):
            rates = {module.p for module in loaded(folder, dropout=rate).modules() if isinstance(module, torch.nn.Dropout)}
            assert rates == {rate}


def test_weights_in_pieces_and_in_pickles_are_read(tmp_path: Path) -> None:
    folder, network = stock(tmp_path / "whole", "Llama")
    network.save_pretrained(str(tmp_path / "pieces"), max_shard_size="20KB")
    assert len(list((tmp_path / "pieces").glob("*.safetensors"))) > 1
    (tmp_path / "pickle").mkdir()
    (tmp_path / "pickle" / "config.json").write_bytes((folder / "config.json").read_bytes())
    torch.save(network.state_dict(), tmp_path / "pickle" / "pytorch_model.bin")
    for name in ("pieces", "pickle"):
        assert torch.equal(logits_of(loaded(tmp_path / name)), logits_of(loaded(folder)))


class _Bomb:
    def __reduce__(self) -> Any:
        return (Path.touch, (Path("exploded"),))


def test_a_pickle_that_would_run_code_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    folder, _ = stock(tmp_path / "model", "Llama")
    (folder / "model.safetensors").unlink()
    torch.save({"lm_head.weight": _Bomb()}, folder / "pytorch_model.bin")
    with pytest.raises(Failure, match="cannot be read"):
        loaded(folder)
    assert not (tmp_path / "exploded").exists()


def test_the_row_of_the_padding_token_learns_since_it_may_end_texts_too(tmp_path: Path) -> None:
    folder, _ = stock(tmp_path, "Llama", pad_token_id=3)
    network = loaded(folder)
    both = torch.ones(1, 2, dtype=torch.bool)
    logits = Denoiser(network, mask_token=V - 1).logits(torch.tensor([[3, 4]]), everyone(both), both)
    logits[:, : V - 1].sum().backward()
    assert float(network.get_input_embeddings().weight.grad[3].abs().max()) > 0


def test_a_folder_of_checkpoints_is_refused_with_the_newest(tmp_path: Path) -> None:
    for step in (9, 100, 20):
        stock(tmp_path / f"checkpoint-{step}", "Llama")
    with pytest.raises(Failure, match=r"checkpoint-9, checkpoint-20, checkpoint-100; the newest is .*checkpoint-100$"):
        loaded(tmp_path)


def test_code_that_comes_with_weights_is_never_run(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "own", "auto_map": {"AutoConfig": "bomb.Config"}}))
    (tmp_path / "bomb.py").write_text("raise SystemExit('it ran')\n")
    with pytest.raises(Failure, match=r"model of type own, .*never run"):
        loaded(tmp_path)


@pytest.mark.parametrize(
    ("text", "told"),
    [
        pytest.param("{", "is not JSON", id="no JSON"),
        pytest.param("{}", "names no model_type", id="no type"),
        pytest.param('{"model_type": "llama", "hidden_size": "wide"}', "does not fit llama: .*hidden_size", id="no number"),
        pytest.param('{"model_type": "llada", "d_model": 8}', "lacks n_layers, n_heads", id="no sizes"),
        pytest.param('{"model_type": "t5"}', "is a t5", id="no language model"),
    ],
)
def test_a_config_that_says_nothing_is_refused(text: str, told: str, tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(text)
    with pytest.raises(Failure, match=told):
        loaded(tmp_path)


TRAINED = """\
version: 1
name: fresh
stages:
  train:
    kind: pretrain
    model: {{scratch: {{family: {family}, layers: 1, width: 32, positions: 64}}, tokenizer: bytes}}
    data: {{sources: [{{generate: sudoku}}], max_length: 32}}
    objective: mdlm
    batch: 4
    optimizer: {{learning_rate: 1e-3}}
    duration: 2 steps
    checkpoint: {{every: 1 steps, keep: 2}}
  look: {{kind: sample, model: "${{stages.train}}", prompts: [A], max_new_tokens: 8, sampler: {{type: llada, steps: 8, block_size: 8}}}}
compute: {{device: cpu, precision: fp32}}
"""


@pytest.mark.parametrize(("family", "kind", "mask"), [("llada", "llada", 257), ("dream", "Dream", 257)])
def test_what_is_trained_from_nothing_is_saved_as_its_family_publishes(family: str, kind: str, mask: int, tmp_path: Path) -> None:
    plan = compiled(tmp_path, TRAINED.format(family=family))
    for name in ("train.data", "train", "look"):
        run_stage(plan, name, tmp_path)
    train = context_of(plan, "train", tmp_path).entry
    for folder in (train.output("model"), train.checkpoints / "step-1", train.checkpoints / "step-2"):
        said = json.loads((folder / "config.json").read_text())
        assert (said["model_type"], said["mask_token_id"]) == (kind, mask) and "auto_map" in said
        names = set(load_file(str(folder / "model.safetensors")))
        assert (f"{BLOCK}0.attn_out.weight" in names) is (family == "llada")
    assert torch.equal(logits_of(loaded(train.output("model"))), logits_of(loaded(train.checkpoints / "step-2")))
    assert not torch.equal(logits_of(loaded(train.output("model"))), logits_of(loaded(train.checkpoints / "step-1")))
