"""Notice of preemption (SIGTERM), which all hosts see at the same step."""

import os
import signal
import sys
import threading

from trainer.errors import ERROR, ExitCode

POLL_SECONDS = 0.2


class EarlyExit:
    """Ends the process with exit code 42 on SIGTERM until ``stop``, while there is nothing to save yet.

    A thread of its own takes the signal. The first process of a container ignores a signal without a handler,
    and a Python handler does not run while the main thread is inside the join.

    Args:
      line: log line to print when the signal arrives.
    """

    def __init__(self, line: str):
        self._line = line
        self._stopped = threading.Event()
        self._thread = threading.Thread(target=self._wait, name="early-exit", daemon=True)
        if hasattr(signal, "sigtimedwait"):  # not on macOS, where no container runs
            signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGTERM})  # later threads inherit the mask
            self._thread.start()

    def stop(self) -> None:
        """Give SIGTERM back to the handlers of the process."""
        self._stopped.set()
        if self._thread.is_alive():
            self._thread.join()
            signal.pthread_sigmask(signal.SIG_UNBLOCK, {signal.SIGTERM})

    def _wait(self) -> None:
        while not self._stopped.is_set():
            if signal.sigtimedwait({signal.SIGTERM}, POLL_SECONDS):
                print(self._line, flush=True)
                print(
                    f"{ERROR}terminated before training began; nothing is lost", file=sys.stderr, flush=True
                )
                os._exit(ExitCode.PREEMPTED)


class Preemption:
    """Poll ``reached`` once per training step and once per evaluation batch, on every host.

    With ``jax.distributed`` JAX's own SIGTERM handler passes the notice on, and every host sees True at the
    same poll; a handler of ours would replace it. A single process installs one for SIGTERM and SIGINT.
    """

    def __init__(self, distributed: bool):
        self._distributed = distributed
        self._polls = 0
        self._noticed = False
        if not distributed:
            signal.signal(signal.SIGTERM, self._notice)
            signal.signal(signal.SIGINT, self._notice)

    def reached(self) -> bool:
        """Return whether the machine is about to be taken away."""
        self._polls += 1  # never starts again: the hosts agree on the number of a poll
        if self._distributed:
            from jax.experimental import multihost_utils

            return multihost_utils.reached_preemption_sync_point(self._polls)
        return self._noticed

    def _notice(self, signum, frame) -> None:
        self._noticed = True
