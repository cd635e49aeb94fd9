"""A clock on which all hosts of a run agree."""

import time

import jax
import numpy as np
from jax.experimental import multihost_utils

from trainer.runtime.agreement import moving_host_values


class Clock:
    """Decides when a save is due by time, on all hosts at the same step; the first host's clock counts.

    Args:
      minutes: time between saves; 0: never.
      every: steps between checks; each check makes the hosts agree.
    """

    def __init__(self, minutes: float, every: int):
        self._seconds = minutes * 60
        self._every = every
        self.restart()

    def restart(self) -> None:
        """Count from now, the time of a save."""
        self._last = time.monotonic()

    def due(self, step: int) -> bool:
        """Return whether the time has passed; True or False on all hosts alike."""
        if not self._seconds or step % self._every:
            return False
        passed = time.monotonic() - self._last >= self._seconds
        if jax.process_count() > 1:
            with moving_host_values():
                passed = bool(multihost_utils.broadcast_one_to_all(np.int32(passed)))
        return passed
