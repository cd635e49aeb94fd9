"""A thread that ends the process when it makes no progress.

JAX detects a dead process but not one that lives and hangs: its heartbeats come from a thread of their own.
"""

import faulthandler
import os
import threading
import time

from trainer.errors import ExitCode
from trainer.runtime.messages import complain

CHECK_SECONDS = 1.0


class Watchdog:
    """Ends the process with exit code 45 where ``beat`` is not called in time; 0 seconds: never.

    Args:
      first_seconds: limit for start-up and compilation, until the first beat.
      seconds: limit between beats.
    """

    def __init__(self, first_seconds: float, seconds: float):
        self._seconds = seconds
        self._limit = first_seconds
        self._last = time.monotonic()
        self._doing = "joining the other hosts"
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def beat(self) -> None:
        self._last = time.monotonic()
        self._limit = self._seconds

    def now(self, doing: str) -> None:
        """Says what follows, for the message of an end; it is no progress."""
        self._doing = doing

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(CHECK_SECONDS):
            idle = time.monotonic() - self._last
            if self._limit and idle > self._limit:
                faulthandler.dump_traceback(all_threads=True)
                complain(f"no progress for {idle:.0f} s while {self._doing}; all stacks are above")
                os._exit(ExitCode.HUNG)
