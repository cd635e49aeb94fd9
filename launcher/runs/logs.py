"""The logs of all hosts of a run, across its restarts."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from launcher import keys
from launcher.cluster.api import JSON, Cluster, selector
from launcher.errors import ActionError, NotKnown
from launcher.runs import diagnosis, lookup, startup, watch
from launcher.runs.host_log import HostLog
from launcher.runs.waiting import Waiting

POLL_SECONDS = 0.2  # between checks whether all streams have ended
DRAIN_SECONDS = 10.0  # after the run is over, the longest silence of hosts whose container does not end
GRACE_SECONDS = 30  # terminationGracePeriodSeconds where a pod has none
RETRIES = (0.5, 1.0, 2.0)  # pauses before a log is read again that did not come through


@dataclass(frozen=True)
class Line:
    """One line of one host's output; `host` counts within its slice, `restart` counts attempts from 0."""

    slice: int
    host: int
    restart: int
    text: str

    @property
    def origin(self) -> str:
        """The pod as a prefix: slice-0-1, after two restarts slice-0-1.r2."""
        attempt = f".r{self.restart}" if self.restart else ""
        return f"slice-{self.slice}-{self.host}{attempt}"

    def __str__(self) -> str:
        return f"{self.origin} | {self.text}"


def snapshot(
    cluster: Cluster, name: str, host: tuple[int, int] | None, note: Callable[[str], None], **query: Any
) -> Iterator[Line]:
    """Yield the lines that the pods have printed so far, pod by pod. Same arguments as Follower.

    Raises ActionError after the last line where the log of a host could not be read; `note` says why.
    """
    pods, _ = cluster.list("Pod", labelSelector=_selector(name, host))
    started = [pod for pod in sorted(pods, key=lookup.slice_and_host) if startup.container_start(pod)]
    if not started:
        note(_none_started(name))
    unread = []
    for pod in started:
        origin = _origin(pod)
        prefix = Line(*origin, "").origin
        log = HostLog(cluster, pod["metadata"]["name"], _prefixed(note, prefix), query)
        for pause in (0.0, *RETRIES):  # a dead node does not hide the other hosts
            time.sleep(pause)
            yield from (Line(*origin, text) for text in log.read(follow=False))
            if not log.problem:
                break
        yield from (Line(*origin, text) for text in log.end())
        if log.problem:
            note(f"{prefix}: its log cannot be read: {log.problem}")
            unread.append(prefix)
    if unread:
        raise ActionError(f"the logs of {len(unread)} of {len(started)} hosts could not be read to their end")


class Follower:
    """An iterator over the lines of all present and future pods of a run, which ends when the run is over.

    It keeps one watch on the JobSet, one on its pods, and one stream per pod, which is opened again until the
    pod's container has ended.

    Args:
      host: (slice, host) to follow; None for all hosts.
      note: prints a sentence for a person that is no line of a log.
      query: parameters of each pod's first log request: tailLines, sinceSeconds.
    """

    def __init__(
        self,
        cluster: Cluster,
        name: str,
        host: tuple[int, int] | None,
        note: Callable[[str], None],
        **query: Any,
    ) -> None:
        self._cluster, self._name, self._note = cluster, name, note
        self._query: dict[str, Any] = query
        self._selector = _selector(name, host)
        self._lines: queue.SimpleQueue[Line | BaseException] = queue.SimpleQueue()
        self._pods: dict[str, JSON | None] = {}  # uid -> a started pod; None once it is gone
        self._streams: dict[str, threading.Thread] = {}
        self._logs: dict[str, tuple[str, HostLog]] = {}  # uid -> (prefix, log)
        self._starting = threading.Lock()
        self._over = threading.Event()
        self._drain_seconds = DRAIN_SECONDS
        self._left = threading.Event()  # nobody reads the lines any more

    def __iter__(self) -> Iterator[Line]:
        """Yield lines as they arrive.

        Raises:
          NotKnown: the run is over and the log of a host could not be read to its end.
          ActionError: the cluster is unreachable or refuses.
        """
        for work in (self._watch_run, self._watch_pods):
            self._start(work)
        try:
            yield from self._arriving()
        finally:
            self._left.set()
        if unread := [f"{prefix}: {log.problem}" for prefix, log in self._logs.values() if log.problem]:
            more = f" and {len(unread) - 1} more" if len(unread) > 1 else ""
            raise NotKnown(f"the log could not be read to its end: {unread[0]}{more}")

    def _arriving(self) -> Iterator[Line]:
        last_line = time.monotonic()
        while True:
            try:
                line = self._lines.get(timeout=POLL_SECONDS)
            except queue.Empty:
                if not self._over.is_set():
                    continue
                open_uids = [uid for uid, stream in [*self._streams.items()] if stream.is_alive()]
                # A container that has ended is read to its end; one that never ends is not waited for.
                endless = all(self._state(uid) == "running" for uid in open_uids)
                if not open_uids or (endless and time.monotonic() - last_line > self._drain_seconds):
                    return
                continue
            if isinstance(line, BaseException):
                raise line
            last_line = time.monotonic()
            yield line

    def _forward_errors(self, work: Callable[..., None], *args: Any) -> None:
        try:
            work(*args)
        except BaseException as error:  # whatever it is ends the command, not only this thread
            self._lines.put(error)

    def _watch_run(self) -> None:
        jobset = None
        waiting = Waiting(self._cluster, self._name, self._note, running=False)
        for jobset in watch.states(self._cluster, self._name, math.inf, watch.LOOK_SECONDS, self._left):
            if self._left.is_set():
                return
            if watch.is_over(jobset):
                break
            if jobset and not self._streams:  # later on, the lines of the hosts say what the run does
                waiting.update(jobset)
        if self._left.is_set():
            return
        # Pods whose start has not come through the other watch yet.
        _, pods = next(watch.changes(self._cluster, "Pod", math.inf, labelSelector=self._selector))
        self._update(pods)
        if not (jobset and diagnosis.condition(jobset, "Completed")):  # its pods may save before they end
            graces = [pod["spec"].get("terminationGracePeriodSeconds", GRACE_SECONDS) for pod in pods]
            self._drain_seconds += max(graces, default=0)
        self._over.set()

    def _watch_pods(self) -> None:
        first = True
        watched = watch.changes(self._cluster, "Pod", math.inf, left=self._left, labelSelector=self._selector)
        for change, pods in watched:
            if self._left.is_set():
                return
            if change == "DELETED":
                self._pods.update({pod["metadata"]["uid"]: None for pod in pods})
                continue
            if change == "LISTED":
                uids = {pod["metadata"]["uid"] for pod in pods}
                self._pods.update({uid: None for uid in [*self._pods] if uid not in uids})
            self._update(pods)
            if first and not self._streams:
                self._note(_none_started(self._name))
            first = False

    def _update(self, pods: list[JSON]) -> None:
        """Store the state of started pods and open the logs of those that are new."""
        for pod in pods:
            uid = pod["metadata"]["uid"]
            with self._starting:
                if not startup.container_start(pod):
                    continue
                self._pods[uid] = pod
                if uid in self._streams:
                    continue
                prefix = Line(*_origin(pod), "").origin
                log = HostLog(
                    self._cluster, pod["metadata"]["name"], _prefixed(self._note, prefix), self._query
                )
                self._logs[uid] = (prefix, log)
                self._streams[uid] = self._start(self._copy, uid, log, _origin(pod))

    def _start(self, *work: Any) -> threading.Thread:
        thread = threading.Thread(target=self._forward_errors, args=work, name="logs", daemon=True)
        thread.start()
        return thread

    def _copy(self, uid: str, log: HostLog, origin: tuple[int, int, int]) -> None:
        for text in log.follow(lambda: self._state(uid), self._left.wait):
            self._lines.put(Line(*origin, text))

    def _state(self, uid: str) -> str:
        """Return "running", "ended" or "gone", as the newest known state of a pod says, or "left"."""
        if self._left.is_set():
            return "left"
        if (pod := self._pods.get(uid)) is None:
            return "gone"
        if pod["status"].get("phase") in ("Succeeded", "Failed"):
            return "ended"
        never_again = pod["spec"].get("restartPolicy", "Never") == "Never"
        statuses = pod["status"].get("containerStatuses", [])
        ended = any(entry["name"] == "trainer" and "terminated" in entry["state"] for entry in statuses)
        return "ended" if ended and never_again else "running"


def _origin(pod: JSON) -> tuple[int, int, int]:
    """Return (slice, host, restart) of a pod."""
    return *lookup.slice_and_host(pod), int(pod["metadata"]["labels"].get(keys.RESTART_ATTEMPT, 0))


def _prefixed(note: Callable[[str], None], prefix: str) -> Callable[[str], None]:
    return lambda text: note(f"{prefix}: {text}")


def _none_started(name: str) -> str:
    return f"no host of run {name!r} has started: resnet-launch status {name} shows why"


def _selector(name: str, host: tuple[int, int] | None) -> str:
    if host is None:
        return selector(name)
    return f"{selector(name)},{keys.JOB_INDEX}={host[0]},{keys.COMPLETION_INDEX}={host[1]}"
