"""How fast a run is, and how much of its time it waits for data."""

import time
from collections.abc import Iterator


class Meter:
    """Images per second and the share of the time spent waiting for data, since the last report.

    ``waited``: seconds for data, since this process began.
    """

    def __init__(self, batch: int):
        self._batch = batch
        self._begun: float | None = None
        self._step = 0
        self._waited_before = 0.0
        self._all_waited = 0.0

    @property
    def waited(self) -> float:
        return round(self._all_waited, 3)

    def waiting_for(self, batches: Iterator) -> Iterator:
        while True:
            before = time.monotonic()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self._all_waited += time.monotonic() - before
            yield batch

    def restart(self, step: int) -> None:
        self._begun, self._step, self._waited_before = time.monotonic(), step, self._all_waited

    def read(self, step: int) -> tuple[float, float] | None:
        """(images per second, share waited for data) up to a step; None before there is anything to say."""
        if self._begun is None or step <= self._step:
            self.restart(step)
            return None
        seconds = max(time.monotonic() - self._begun, 1e-9)
        waited = self._all_waited - self._waited_before
        rate, share = (step - self._step) * self._batch / seconds, min(waited / seconds, 1.0)
        self.restart(step)
        return rate, share
