"""Decoding block by block against a body and a head on an in-place cache, after a short and a long prompt. Run alone.

    python tests/benchmarks/bd3lm_decoding.py [--quick] [--repeats 5] [--prompts 64 4096]

12 x 768, 32,768 tokens, float32, blocks of 32, one token a step.
"""

import argparse

import torch
from sampling import load, milliseconds, model, paired, ratio, requests, started, timed

from dllm_run.runtime.block_reader import Blocks
from dllm_run.runtime.kv import Store
from dllm_run.specs.vocabulary.samplers.bd3lm import Bd3lmSampler

BLOCK, GOAL = 32, 1.10


@torch.inference_mode()
def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few repeats and steps")
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--prompts", type=int, nargs="+", default=[64, 4096])
    options = parser.parse_args()
    repeats, steps = (2, 8) if options.quick else (options.repeats, 48)
    print(load())
    denoiser = model("M")
    layers = denoiser.layers
    assert layers is not None
    for prompt in options.prompts:
        asked = requests(denoiser, [prompt], 2 * BLOCK)
        store = Store(layers)
        store.enter(1, prompt + 2 * BLOCK)
        block = torch.tensor([asked[0].tokens[prompt : prompt + BLOCK]])
        column = torch.arange(prompt, prompt + BLOCK)[None]
        seen = torch.ones(1, 1, 1, prompt + BLOCK, dtype=torch.bool)
        store.at(start=prompt, visible=prompt + BLOCK)
        prefilled = started(denoiser, Bd3lmSampler(block_size=BLOCK), asked)
        reader = prefilled._guided.readers[0]
        assert isinstance(reader, Blocks)
        begun = prefilled.board

        def decoding(begun=begun, prefilled=prefilled, reader=reader, prompt=prompt) -> float:  # type: ignore[no-untyped-def]
            # The prompt is encoded once for all repeats: what is timed is what comes after it.
            prefilled.board = begun.taken(torch.tensor([0]))
            reader.at_B = torch.tensor([prompt // BLOCK * BLOCK])
            return timed(lambda: [prefilled.step() for _ in range(steps)])

        def least(block=block, column=column, seen=seen, store=store) -> float:  # type: ignore[no-untyped-def]
            def work() -> None:
                for step in range(steps):
                    hidden = denoiser.network.model(
                        input_ids=block,
                        position_ids=column,
                        attention_mask=seen,
                        past_key_values=store.cache,
                        use_cache=True,
                        is_causal=False,
                    ).last_hidden_state
                    denoiser.network.lm_head(hidden[0, : BLOCK - step % BLOCK])

            return timed(work)

        found = paired({"decoding": decoding, "least": least}, repeats)
        per_step = [seconds / steps for seconds in found["decoding"]]
        told = (
            f"prompt {prompt}: {milliseconds(per_step)} a step; over body and head {ratio(found['decoding'], found['least'])} (goal {GOAL})"
        )
        print(told, flush=True)
    print(load())


if __name__ == "__main__":
    main()
