"""A clock that every host of a run reads alike."""

import time

import jax
import numpy as np
from jax.experimental import multihost_utils


class Clock:
    """Says when so many minutes have passed since the last save, to every host at the same step.

    Args:
      minutes: 0 never.
      every: steps between looks, since the hosts agree on each: the first one's clock counts.
    """

    def __init__(self, minutes: float, every: int):
        self._seconds = minutes * 60
        self._every = every
        self.restart()

    def restart(self) -> None:
        self._last = time.monotonic()

    def due(self, step: int) -> bool:
        if not self._seconds or step % self._every:
            return False
        passed = time.monotonic() - self._last >= self._seconds
        if jax.process_count() > 1:
            passed = bool(multihost_utils.broadcast_one_to_all(np.int32(passed)))
        return passed
