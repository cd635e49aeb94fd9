"""The throughput of a run, and the fraction of its time spent waiting for data."""

import contextlib
import time
from collections.abc import Iterator


class Meter:
    """Measures images/s and the fraction of the time spent waiting for data, from one report to the next.

    Args:
      batch: images per step, over all hosts.
    """

    def __init__(self, batch: int):
        self._batch = batch
        self._begun: float | None = None
        self._step = 0
        self._waited_before = 0.0
        self._all_waited = 0.0
        self._worked, self._read = 0.0, (time.monotonic(), 0.0, 0.0)
        self._compiled = 0.0
        self.compiling = 0.0  # fraction of the time between the last two reports, 0 to 1

    @property
    def waited(self) -> float:
        """Seconds that this process has spent waiting for data so far."""
        return round(self._all_waited, 3)

    def waiting_for(self, batches: Iterator) -> Iterator:
        """Yield the batches, and count the time until each is there."""
        while True:
            before = time.monotonic()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self._all_waited += time.monotonic() - before
            yield batch

    @contextlib.contextmanager
    def waiting_for_program(self) -> Iterator[None]:
        """Count the time within as waiting for a program that is being compiled."""
        before = time.monotonic()
        yield
        self._compiled += time.monotonic() - before

    @contextlib.contextmanager
    def working(self) -> Iterator[None]:
        """Count the time within as work of the host: placing a batch and dispatching a step."""
        before = time.monotonic()
        yield
        self._worked += time.monotonic() - before

    def shares(self) -> tuple[float, float] | None:
        """Return fractions of the time since the last call: (waiting for data, work of the host)."""
        now, waited, worked = time.monotonic(), self._all_waited, self._worked
        (before, waited_before, worked_before), self._read = self._read, (now, waited, worked)
        seconds = now - before
        if seconds <= 0:
            return None
        return min((waited - waited_before) / seconds, 1.0), min((worked - worked_before) / seconds, 1.0)

    def restart(self, step: int) -> None:
        """Begin a new report at ``step``."""
        self._begun, self._step, self._waited_before = time.monotonic(), step, self._all_waited
        self._compiled = 0.0

    def read(self, step: int) -> tuple[float, float] | None:
        """Return (images/s, fraction spent waiting for data) since the last report; None at the first."""
        if self._begun is None or step <= self._step:
            self.restart(step)
            return None
        seconds = max(time.monotonic() - self._begun, 1e-9)
        waited = self._all_waited - self._waited_before
        self.compiling = min(self._compiled / seconds, 1.0)
        rate, waiting = (step - self._step) * self._batch / seconds, min(waited / seconds, 1.0)
        self.restart(step)
        return rate, waiting
