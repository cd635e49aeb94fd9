"""A thread that ends a process that makes no progress.

JAX detects a dead process but not a hung one, because a thread of its own sends the heartbeats.
"""

import faulthandler
import os
import threading
import time
from collections.abc import Callable

from trainer.errors import ExitCode
from trainer.runtime.messages import complain

CHECK_SECONDS = 1.0


class Watchdog:
    """Ends the process with exit code 45 if ``beat`` is not called in time.

    Args:
      first_seconds: limit for start-up and compilation, until the first beat; 0: no limit.
      seconds: limit between beats; 0: no limit.
      last: called with the message before the process ends.
    """

    def __init__(self, first_seconds: float, seconds: float, last: Callable[[str], None] = lambda _: None):
        self._seconds = seconds
        self._limit = first_seconds
        self._last = time.monotonic()
        self._before_end = last
        self._doing = "joining the other hosts"
        self._stopped = threading.Event()
        threading.Thread(target=self._watch, name="watchdog", daemon=True).start()

    def beat(self) -> None:
        """Report progress."""
        self._last = time.monotonic()
        self._limit = self._seconds

    def now(self, doing: str) -> None:
        """Set what the process is doing, for the message when it hangs; does not count as progress."""
        self._doing = doing

    def stop(self) -> None:
        self._stopped.set()

    def _watch(self) -> None:
        while not self._stopped.wait(CHECK_SECONDS):
            idle = time.monotonic() - self._last
            if self._limit and idle > self._limit:
                faulthandler.dump_traceback(all_threads=True)
                message = f"no progress for {idle:.0f} s while {self._doing}"
                complain(f"{message}; all stacks are above")
                self._before_end(message)
                os._exit(ExitCode.HUNG)
