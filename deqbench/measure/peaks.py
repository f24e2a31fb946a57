"""Bytes of what one call makes, apart from what earlier ones have left."""

import gc
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager

from torch import Tensor

from deqbench.measure.memory import LiveBytes
from deqbench.measure.saved import SavedBytes


def peak_bytes(run: Callable[[], object], known: Sequence[Tensor] = ()) -> dict[str, int]:
    """Bytes that tensors made by `run` hold at once: `peak` of all, `saved` of those kept for the backward pass.

    known: those whose saving does not count, as the network's parameters.
    """
    gc.collect()  # what earlier runs have left may not be let go in the middle of this one
    with LiveBytes() as live, SavedBytes(known) as saved:
        run()
    return {"peak": live.peak, "saved": saved.peak}


@contextmanager
def frozen() -> Iterator[None]:
    """Keeps the collector off what exists already, which every `peak_bytes` would else look through again."""
    gc.collect()
    gc.freeze()
    try:
        yield
    finally:
        gc.unfreeze()
