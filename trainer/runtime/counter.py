"""Progress of long work for people, on stderr: one rewritten line on a terminal, else a line every 10 s."""

import contextlib
import sys
import threading
import time
from collections.abc import Callable, Iterable, Iterator
from typing import TypeVar

LINE_SECONDS = 10.0
TERMINAL_SECONDS = 0.2
CLEAR = "\r\x1b[K"  # to the start of the line, and clear it
Item = TypeVar("Item")
Advance = Callable[[int], None]  # takes the number of images finished since the last call


class Counter:
    """The number of finished images; as text, how far the work is.

    Args:
      work: what is done, such as "evaluating".
      total: images of the whole work; 0: not known.
    """

    def __init__(self, work: str, total: int = 0):
        self._work, self._total = work, total
        self._start = time.monotonic()
        self.count = 0

    def __str__(self) -> str:
        passed = max(time.monotonic() - self._start, 1e-9)
        rate = self.count / passed
        text = f"{self._work}: {self.count:,}" + (f" of {self._total:,}" if self._total else "")
        text += f" images  {rate:,.0f} img/s"
        left = (self._total - self.count) / rate if self.count and self._total else 0.0
        return text + (f"  {_time(left)} left" if left >= 1 else "")


def _time(seconds: float) -> str:
    return f"{seconds:.0f} s" if seconds < 120 else f"{seconds / 60:.0f} min"


class Pace:
    """Whether it is time for another line."""

    def __init__(self, seconds: float):
        self._seconds, self._last = seconds, time.monotonic()

    def due(self) -> bool:
        now = time.monotonic()
        if now - self._last < self._seconds:
            return False
        self._last = now
        return True


@contextlib.contextmanager
def counting(work: str, total: int = 0, summary: bool = True) -> Iterator[Advance]:
    """Yield a function that counts finished images and reports them; any thread may call it.

    Args:
      work: what is done, such as "pack".
      total: images of the whole work; 0: not known.
      summary: whether the last line stays, also where the work took less than 10 s.
    """
    counter, terminal = Counter(work, total), sys.stderr.isatty()
    pace, lock = Pace(TERMINAL_SECONDS if terminal else LINE_SECONDS), threading.Lock()

    def advance(images: int) -> None:
        with lock:
            counter.count += images
            if pace.due():
                text = f"{CLEAR}{counter}" if terminal else f"{counter}\n"
                print(text, end="", file=sys.stderr, flush=True)

    try:
        yield advance
    finally:
        start = CLEAR if terminal else ""
        text = f"{start}{counter}\n" if summary else start
        print(text, end="", file=sys.stderr, flush=True)


def counted(work: str, batches: Iterable[Item], total: int, batch: int) -> Iterator[Item]:
    """Yield batches of images, and report how far the work with them is; nothing stays of a short one.

    Args:
      total: images of all batches, the last of which may be padded.
      batch: images per batch.
    """
    with counting(work, total, summary=False) as advance:
        for number, item in enumerate(batches):
            yield item
            advance(min(batch, total - number * batch))
