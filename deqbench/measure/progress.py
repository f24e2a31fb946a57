"""Progress for people: a bar where stderr is a terminal, otherwise lines `name: done/total, ETA` for the log."""

import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager

from tqdm import tqdm


@contextmanager
def steps_bar(name: str, total: int) -> Iterator[Callable[..., None]]:
    """A callback `on_step(done, loss=None)` that draws a bar, or prints a line every 5 seconds into a log."""
    if sys.stderr.isatty():
        with tqdm(total=total, desc=name) as bar:

            def draw(done: int, loss: float | None = None) -> None:
                bar.update(done - bar.n)
                if loss is not None:
                    bar.set_postfix(loss=f"{loss:.4f}", refresh=False)

            yield draw
        return
    started = last = time.monotonic()
    first: int | None = None

    def log(done: int, loss: float | None = None) -> None:
        nonlocal last, first
        now = time.monotonic()
        first = done - 1 if first is None else first
        if now - last >= 5 or done == total:
            last = now
            left = (now - started) / max(done - first, 1) * (total - done)
            word = "" if loss is None else f", loss {loss:.4f}"
            print(f"{name}: {done}/{total}, ETA {left:.0f} s{word}", file=sys.stderr, flush=True)

    yield log


@contextmanager
def progress(name: str) -> Iterator[Callable[[int, int], None]]:
    """A callback `on_step(done, total)` that draws as `steps_bar` does from the first step on."""
    with ExitStack() as stack:
        bars: list[Callable[..., None]] = []

        def on_step(done: int, total: int) -> None:
            if not bars:
                bars.append(stack.enter_context(steps_bar(name, total)))
            bars[0](done)

        yield on_step
