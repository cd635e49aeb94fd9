"""Where each host's time went in the last minute, gathered on the first host by a thread beside the steps.

All hosts of a step end it together, so the length of a step says nothing about which host is slow. What tells
is the time that a host spends before it hands a step to its devices: the others wait for it in the exchange.
"""

import json
import statistics
import threading
from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

SECONDS = 60.0  # between two readings
KEY = "resnet/host-times"
EVEN = 0.05  # share of the time by which every host may differ from the others


@dataclass(frozen=True, kw_only=True)
class HostTime:
    """Fractions of one host's time, 0 to 1.

    Attributes:
      pod: name of the pod; of a process that was started by hand, `process N`.
      data: waiting for data.
      work: work of the host itself: placing a batch and dispatching a step.
    """

    pod: str
    data: float
    work: float


class HostTimes:
    """Publishes this host's times once a minute, and reads those of all hosts on the first one.

    No step waits for it: it runs in a thread, and talks to the coordination service, not to the devices.

    Args:
      client: of the coordination service; None for a run of one host.
      index: of this process.
      hosts: of the run.
      measure: returns this host's times since its last call; None where nothing was measured.
    """

    def __init__(
        self,
        client: Any,
        index: int,
        hosts: int,
        measure: Callable[[], HostTime | None],
        seconds: float = SECONDS,
    ):
        self._client, self._index, self.count, self._measure = client, index, hosts, measure
        self._seconds, self._closed = seconds, threading.Event()
        self.newest: list[HostTime] = []  # of all hosts, on the first host; empty where some are missing
        self._thread = None
        if client is not None and hosts > 1:
            self._thread = threading.Thread(target=self._run, name="host-times", daemon=True)
            self._thread.start()

    def close(self) -> None:
        self._closed.set()
        if self._thread:
            self._thread.join(timeout=5.0)

    def exchange(self) -> None:
        """Publish this host's times, and on the first host read those of all."""
        if measured := self._measure():
            text = json.dumps(asdict(measured))
            self._client.key_value_set(f"{KEY}/{self._index:06d}", text, allow_overwrite=True)
        if self._index == 0:
            entries = dict(self._client.key_value_dir_get(KEY))
            whole = len(entries) == self.count
            self.newest = [HostTime(**json.loads(entries[key])) for key in sorted(entries)] if whole else []

    def _run(self) -> None:
        while not self._closed.wait(self._seconds):
            try:
                self.exchange()
            except Exception:  # the service is gone: the run is about to end, which others report
                self.newest = []
                return


def straggler(times: list[HostTime]) -> tuple[HostTime, str, float] | None:
    """Return (host, `waiting for data` or `work of the host`, its share beyond the others' median).

    None where the hosts do not differ, or there are fewer than two.
    """
    if len(times) < 2:
        return None
    # Data first: where one host waits for data, the others may wait for it while they dispatch a step.
    for cause, key in (("waiting for data", "data"), ("work of the host", "work")):
        values = [getattr(entry, key) for entry in times]
        slowest = max(range(len(times)), key=values.__getitem__)
        others = [value for at, value in enumerate(values) if at != slowest]
        excess = values[slowest] - statistics.median(others)
        if excess > EVEN:
            return times[slowest], cause, excess
    return None
