"""Progress of a long command on stderr: one rewritten line on a terminal, a line every 10 s elsewhere."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterator

LINE_SECONDS = 10.0
TERMINAL_SECONDS = 0.2
Advance = Callable[[int], None]  # takes the number of images finished since the last call


@contextlib.contextmanager
def counting(verb: str) -> Iterator[Advance]:
    """Yield a function that counts finished images; any thread may call it."""
    start = last_print = time.monotonic()
    count, lock, terminal = 0, threading.Lock(), sys.stderr.isatty()

    def show(end: str) -> None:
        rate = count / max(time.monotonic() - start, 1e-9)
        print(f"{verb} images={count} images_per_second={rate:.0f}", end=end, file=sys.stderr, flush=True)

    def advance(images: int) -> None:
        nonlocal count, last_print
        with lock:
            count += images
            now = time.monotonic()
            if now - last_print >= (TERMINAL_SECONDS if terminal else LINE_SECONDS):
                last_print = now
                show("\r" if terminal else "\n")

    try:
        yield advance
    finally:
        show("\n")
