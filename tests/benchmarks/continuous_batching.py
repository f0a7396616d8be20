"""Places of a batch that are busy where answers have very different lengths, against batches that wait for their longest row.

python tests/benchmarks/continuous_batching.py [--quick] [--requests 64] [--slots 8]
"""

import argparse
import random

import torch
from sampling import CPU, load, model, paired, ratio, requests, timed

from dllm_run.runtime.build import build
from dllm_run.runtime.canvas import Request, lay_out
from dllm_run.runtime.decode import Engine
from dllm_run.runtime.ledger import Ledger
from dllm_run.runtime.marked import Marked
from dllm_run.runtime.noise import Stream
from dllm_run.specs.vocabulary.samplers.bd3lm import Bd3lmSampler
from dllm_run.specs.vocabulary.samplers.llada import Llada

GOAL = 0.90


@torch.inference_mode()
def main() -> None:
    """Print the figures."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--quick", action="store_true", help="few requests")
    parser.add_argument("--requests", type=int, default=192)
    parser.add_argument("--slots", type=int, default=8)
    options = parser.parse_args()
    count, repeats = (96, 1) if options.quick else (options.requests, 3)
    print(load())
    denoiser, drawn = model("S"), random.Random(0)
    lengths = [min(96, int(4 * drawn.paretovariate(1.2))) for _ in range(count)]
    asked = [requests(denoiser, [drawn.randrange(4, 48)], new)[0] for new in lengths]

    for word in (Llada(block_size=8), Bd3lmSampler(block_size=8)):

        def run(waits: bool, ledger: Ledger, word=word) -> None:  # type: ignore[no-untyped-def]
            engine = Engine(
                denoiser, build(word), Stream(0, "s"), marked=Marked.nothing(torch.device("cpu")), ledger=ledger, slots=options.slots
            )
            order = list(range(count)) if waits else sorted(range(count), key=lambda index: -len(asked[index].tokens))
            while order or len(engine):
                if order and (not len(engine) if waits else len(engine) < options.slots):
                    entering = [order.pop(0) for _ in range(min(options.slots - len(engine), len(order)))]
                    rows: list[Request] = [asked[index] for index in entering]
                    engine.enter(lay_out(rows, mask_token=denoiser.mask_token, pad=0, device=CPU), entering)
                engine.step()

        ledgers = {True: Ledger(), False: Ledger()}
        for waits, ledger in ledgers.items():
            run(waits, ledger)
        found = paired({str(waits): (lambda waits=waits: timed(lambda: run(waits, Ledger()))) for waits in ledgers}, repeats)
        busy = {waits: ledger.turns / ledger.slots for waits, ledger in ledgers.items()}
        print(
            f"{word.word}: {busy[False]:.1%} of {options.slots} places busy (goal {GOAL:.0%}), {busy[True]:.1%} where batches wait; "
            f"passes {ledgers[False].passes} and {ledgers[True].passes}; time of waiting over it {ratio(found['True'], found['False'])}"
        )
    print(load())


if __name__ == "__main__":
    main()
