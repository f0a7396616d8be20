"""The same function over many chunks in several processes, results in order: what comes out does not depend on how many there are."""

import multiprocessing
import os
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ProcessPoolExecutor
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

from .failure import Failure

A = TypeVar("A")
B = TypeVar("B")
_AHEAD = 2
"""Chunks for each process that are under way: memory holds no more of them."""
_given: list[Any] = []


def in_order(function: Callable[[A], B], chunks: Iterable[A], processes: int) -> Iterator[B]:
    """`function` of every chunk. Raises what the function raises, and Failure where a process is killed."""
    if processes == 1:
        yield from map(function, chunks)
        return
    # Forked: words from files and tokenizers need not be sent. This process has computed nothing in threads of torch so far, and the
    # children use none.
    context = multiprocessing.get_context("fork")
    pool = ProcessPoolExecutor(processes, mp_context=context, initializer=_begin, initargs=(function, os.getpid()))
    waiting: deque[Future[Any]] = deque()
    try:
        for chunk in chunks:
            waiting.append(pool.submit(_work, chunk))
            if len(waiting) > _AHEAD * processes:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    except BrokenProcessPool:
        raise Failure("a process that prepares the data was killed, most likely for its memory: set a lower `workers`") from None
    finally:
        pool.shutdown(cancel_futures=True)


def _begin(function: Callable[[Any], Any], parent: int) -> None:
    """In a new process: end with the parent, whatever ends that."""
    os.environ["TOKENIZERS_PARALLELISM"] = "false"
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    _given[:] = [function]

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1)
        os._exit(1)

    threading.Thread(target=watch, daemon=True).start()


def _work(chunk: Any) -> Any:
    return _given[0](chunk)
