"""Progress of the lesson on stderr: a bar on a terminal, elsewhere a line per network."""

import sys
import time

from trainer.lesson.study import Trained
from trainer.runtime.counter import CLEAR, TERMINAL_SECONDS, Pace

WIDTH = 24  # characters of the bar


class Bar:
    """The share of the work that is done.

    Args:
      total: layers that all updates go through, ``Size.total``.
      networks: networks of the study.
    """

    def __init__(self, total: int, networks: int):
        self._total, self._networks = total, networks
        self._done, self._start = 0, time.monotonic()
        self._terminal, self._pace = sys.stderr.isatty(), Pace(TERMINAL_SECONDS)
        self.finished = 0

    def advance(self, layers: int, result: Trained) -> None:
        """Count the layers that a step went through, and show how far the study is."""
        self._done += layers
        ended = len(result.losses) == result.steps or not result.is_finite
        name = f"{result.kind.name}, {result.layers:,} layers"
        if self._terminal and (self._pace.due() or self._done >= self._total):
            filled = round(WIDTH * min(self._done / self._total, 1.0))
            text = (
                f"[{'#' * filled}{'.' * (WIDTH - filled)}] {name}  step {len(result.losses)}/{result.steps}"
            )
            self._print(f"{CLEAR}{text}  loss {result.losses[-1]:.3f}{self._left()}", "")
        if ended:
            self.finished += 1
            if not self._terminal:
                last = f"training loss {result.loss:.3f}" if result.is_finite else "not finite"
                self._print(f"{self.finished} of {self._networks}  {name}: {last}{self._left()}", "\n")

    def close(self) -> None:
        """Remove the bar."""
        if self._terminal:
            self._print(CLEAR, "")

    def _left(self) -> str:
        seconds = (time.monotonic() - self._start) * (self._total - self._done) / max(self._done, 1)
        return (
            f"  {seconds:.0f} s left"
            if 1 <= seconds < 120
            else f"  {seconds / 60:.0f} min left"
            if seconds >= 1
            else ""
        )

    @staticmethod
    def _print(text: str, end: str) -> None:
        print(text, end=end, file=sys.stderr, flush=True)
