"""Notices that the machine is being taken away, on all hosts at the same step."""

import signal

from jax.experimental import multihost_utils


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
            return multihost_utils.reached_preemption_sync_point(self._polls)
        return self._noticed

    def _notice(self, signum, frame) -> None:
        self._noticed = True
