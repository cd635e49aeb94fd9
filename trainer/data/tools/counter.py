"""Shows how far a long command is: a bar on a terminal, a line now and then elsewhere; both on stderr."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

LINE_SECONDS = 10.0


@contextlib.contextmanager
def counting(verb: str) -> Iterator[Callable[[int], None]]:
    """Yields a function that is told how many more images are done; it may be called from any thread."""
    begun = told = time.monotonic()
    count, lock, terminal = 0, threading.Lock(), sys.stderr.isatty()

    def tell(end: str) -> None:
        rate = count / max(time.monotonic() - begun, 1e-9)
        print(f"{verb} images={count} images_per_second={rate:.0f}", end=end, file=sys.stderr, flush=True)

    def done(more: int) -> None:
        nonlocal count, told
        with lock:
            count += more
            now = time.monotonic()
            if now - told >= (0.2 if terminal else LINE_SECONDS):
                told = now
                tell("\r" if terminal else "\n")

    try:
        yield done
    finally:
        tell("\n")
