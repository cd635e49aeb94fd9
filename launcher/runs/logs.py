"""The logs of all hosts of a run, across its restarts."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from launcher import keys
from launcher.cluster.api import JSON, Cluster, Unreachable, selector
from launcher.cluster.refusals import Refused
from launcher.errors import ActionError
from launcher.runs import lookup, startup, watch

POLL_SECONDS = 0.2  # between checks whether all streams have ended
DRAIN_SECONDS = 10.0  # after the run is over, the longest wait for another line of an open stream


@dataclass(frozen=True)
class Line:
    """One line of one host's output; `host` counts within its slice, `restart` counts attempts from 0."""

    slice: int
    host: int
    restart: int
    text: str

    def __str__(self) -> str:
        attempt = f".r{self.restart}" if self.restart else ""
        return f"slice-{self.slice}-{self.host}{attempt} | {self.text}"


def snapshot(cluster: Cluster, name: str, host: tuple[int, int] | None, **query: Any) -> Iterator[Line]:
    """Yield the lines that the pods have printed so far, pod by pod. Same arguments as Follower."""
    pods, _ = cluster.list("Pod", labelSelector=_selector(name, host))
    for pod in sorted(pods, key=lookup.slice_and_host):
        if not startup.container_start(pod):
            continue
        try:
            for text in cluster.log(pod["metadata"]["name"], **query):
                yield Line(*_origin(pod), text)
        except Refused as error:
            if error.status == 403:
                raise
            yield Line(*_origin(pod), f"(no log: {error})")  # a dead node does not hide the other hosts


class Follower:
    """An iterator over the lines of all present and future pods of a run, which ends when the run is over.

    It keeps one watch on the JobSet, one on its pods, and one stream per running pod. A broken stream resumes
    after its last line.

    Args:
      host: (slice, host) to follow; None for all hosts.
      query: parameters of each pod's first log request: tailLines, sinceSeconds.
    """

    def __init__(self, cluster: Cluster, name: str, host: tuple[int, int] | None = None, **query: Any):
        self._cluster, self._name = cluster, name
        self._query: dict[str, Any] = query
        self._selector = _selector(name, host)
        self._lines: queue.SimpleQueue[Line | ActionError] = queue.SimpleQueue()
        self._streams: dict[str, threading.Thread] = {}
        self._starting = threading.Lock()
        self._over = threading.Event()

    def __iter__(self) -> Iterator[Line]:
        """Yield lines as they arrive. Raises ActionError where the cluster is unreachable or refuses."""
        for work in (self._watch_run, self._watch_pods):
            threading.Thread(target=self._forward_errors, args=(work,), daemon=True).start()
        last_line = time.monotonic()
        while True:
            try:
                line = self._lines.get(timeout=POLL_SECONDS)
            except queue.Empty:
                ended = not any(stream.is_alive() for stream in [*self._streams.values()])
                if self._over.is_set() and (ended or time.monotonic() - last_line > DRAIN_SECONDS):
                    return
                continue
            if isinstance(line, ActionError):
                raise line
            last_line = time.monotonic()
            yield line

    def _forward_errors(self, work: Any, *args: Any) -> None:
        try:
            work(*args)
        except ActionError as error:
            self._lines.put(error)

    def _watch_run(self) -> None:
        for jobset in watch.states(self._cluster, self._name, math.inf):
            if watch.is_over(jobset):
                break
        for pod in self._cluster.list("Pod", labelSelector=self._selector)[0]:
            self._start(pod)  # pods whose start has not come through the other watch yet
        self._over.set()

    def _watch_pods(self) -> None:
        for change, pods in watch.changes(self._cluster, "Pod", math.inf, labelSelector=self._selector):
            for pod in pods:
                if change != "DELETED":
                    self._start(pod)

    def _start(self, pod: JSON) -> None:
        uid = pod["metadata"]["uid"]
        with self._starting:
            if uid in self._streams or not startup.container_start(pod):
                return
            work = (self._copy, pod["metadata"]["name"], _origin(pod))
            self._streams[uid] = threading.Thread(target=self._forward_errors, args=work, daemon=True)
            self._streams[uid].start()

    def _copy(self, pod: str, origin: tuple[int, int, int]) -> None:
        last = printed = ""  # times of the last line read, and of the last one before the stream broke
        query: dict[str, Any] = self._query
        while True:
            try:
                for line in self._cluster.log(pod, follow=True, timestamps="true", **query):
                    last, text = _timed(line, last)
                    if last > printed:  # a resumed stream begins at a whole second, so it repeats lines
                        self._lines.put(Line(*origin, text))
                return
            except Unreachable:
                time.sleep(watch.RETRY_SECONDS)
            except Refused as error:
                if error.status in (400, 404):
                    return  # deleted before its first line: its successor gets its own stream
                if error.status not in watch.RETRIED_STATUSES:
                    raise
                time.sleep(watch.RETRY_SECONDS)
            if last:
                printed, query = last, {"sinceTime": last[:19] + last[29:]}


def _origin(pod: JSON) -> tuple[int, int, int]:
    """Return (slice, host, restart) of a pod."""
    return *lookup.slice_and_host(pod), int(pod["metadata"]["labels"].get(keys.RESTART_ATTEMPT, 0))


def _timed(line: str, last: str) -> tuple[str, str]:
    """Return (time, text) of `2026-01-31T12:00:00.123456789Z text`; `last` for a line without a time.

    The kubelet's own error messages have none.
    """
    if line[10:11] != "T" or not line[:4].isdecimal():
        return last, line
    stamp, _, text = line.partition(" ")
    return stamp, text


def _selector(name: str, host: tuple[int, int] | None) -> str:
    if host is None:
        return selector(name)
    return f"{selector(name)},{keys.JOB_INDEX}={host[0]},{keys.COMPLETION_INDEX}={host[1]}"
