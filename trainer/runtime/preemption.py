"""Notices that the machine is being taken away, on all hosts at the same step."""

import os
import signal
import sys
import threading

from trainer.errors import ERROR, ExitCode

LOOK_SECONDS = 0.2


class EarlyExit:
    """Ends the process with 42 on SIGTERM, from now until ``stop``: while there is nothing to save yet.

    The first process of a container ignores a signal that it has no handler for, and a Python handler waits
    for as long as the main thread is inside the join; so a thread of its own takes the signal.

    Args:
      line: of the log, printed at the end.
    """

    def __init__(self, line: str):
        self._line = line
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._wait, name="early-exit", daemon=True)
        if hasattr(signal, "sigtimedwait"):  # not on macOS, where nothing runs as first process
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # threads to come inherit it
            self._thread.start()

    def stop(self) -> None:
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def _wait(self) -> None:
        while not self._stopped.is_set():
            if signal.sigtimedwait({signal.SIGTERM}, LOOK_SECONDS):
                print(self._line, flush=True)
                print(
                    f"{ERROR}terminated before training began; nothing is lost", file=sys.stderr, flush=True
                )
                os._exit(ExitCode.PREEMPTED)


class Preemption:
    """Poll ``reached`` once a training step and once an evaluation batch, on every host alike.

    With ``jax.distributed`` its own SIGTERM handler spreads the notice, and every host sees True at the same
    poll; a handler of ours would silence it. A process on its own installs one for SIGTERM and SIGINT.
    """

    def __init__(self, distributed: bool):
        self._distributed = distributed
        self._polls = 0
        self._noticed = False
        if not distributed:
            signal.signal(signal.SIGTERM, self._notice)
            signal.signal(signal.SIGINT, self._notice)

    def reached(self) -> bool:
        self._polls += 1  # one counter that only grows: the hosts agree on a number of it
        if self._distributed:
            from jax.experimental import multihost_utils

            return multihost_utils.reached_preemption_sync_point(self._polls)
        return self._noticed

    def _notice(self, signum, frame) -> None:
        self._noticed = True
