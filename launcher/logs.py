"""Logs of all hosts of a run, each line prefixed by its pod, across restarts."""

from __future__ import annotations

import math
import queue
import threading
import time
from collections.abc import Iterator
from typing import Any

from launcher import keys, reasons, run, watching
from launcher.cluster import JSON, Cluster, selector
from launcher.errors import ActionError

IDLE_SECONDS = 0.2  # between looks whether all streams have ended


def snapshot(cluster: Cluster, pods: list[JSON], **query: Any) -> Iterator[str]:
    """What the pods have printed so far, pod by pod."""
    for pod in pods:
        if run.container_start(pod):
            for line in cluster.log(pod["metadata"]["name"], **query):
                yield f"{label(pod)} | {line}"


def label(pod: JSON) -> str:
    """`slice-0-1`: slice 0, host 1; after a restart `slice-0-1.r2`."""
    attempt = pod["metadata"]["labels"].get(keys.RESTART_ATTEMPT, "0")
    index, host = run.place(pod)
    return f"slice-{index}-{host}" + (f".r{attempt}" if attempt != "0" else "")


def pod_selector(name: str, host: tuple[int, int] | None) -> str:
    """What selects all pods of a run, or the one of (slice, host)."""
    if host is None:
        return selector(name)
    return f"{selector(name)},{keys.JOB_INDEX}={host[0]},{keys.COMPLETION_INDEX}={host[1]}"


class Follower:
    """Lines as they come, from every pod that a run has or gets, until the run is over.

    One watch for the JobSet, one for its pods, and one stream for each running pod.

    Args:
      host: (slice, host) of the one to follow; all where it is None.
      query: of the first log request of each pod: tailLines, sinceSeconds.
    """

    def __init__(self, cluster: Cluster, name: str, host: tuple[int, int] | None = None, **query: Any):
        self._cluster, self._name, self._query = cluster, name, query
        self._selector = pod_selector(name, host)
        self._lines: queue.SimpleQueue[str] = queue.SimpleQueue()
        self._streams: dict[str, threading.Thread] = {}
        self._over = threading.Event()

    def __iter__(self) -> Iterator[str]:
        for work in (self._watch_run, self._watch_pods):
            threading.Thread(target=work, daemon=True).start()
        while True:
            try:
                yield self._lines.get(timeout=IDLE_SECONDS)
            except queue.Empty:
                if self._over.is_set() and not any(s.is_alive() for s in [*self._streams.values()]):
                    return

    def _watch_run(self) -> None:
        try:
            for thing in watching.states(self._cluster, self._name, math.inf):
                if thing is None or any(reasons.condition(thing, c) for c in ("Completed", "Failed")):
                    break
        except ActionError as error:
            self._lines.put(f"error: {error}")
        time.sleep(IDLE_SECONDS)  # the last pod's start may still be on its way through the other watch
        self._over.set()

    def _watch_pods(self) -> None:
        query = {"labelSelector": self._selector}
        while not self._over.is_set():
            try:
                pods, version = self._cluster.list("Pod", **query)
                for pod in pods:
                    self._start(pod)
                for _, pod in self._cluster.watch("Pod", version, watching.WATCH_SECONDS, **query):
                    self._start(pod)
            except ActionError:
                time.sleep(watching.RETRY_SECONDS)

    def _start(self, pod: JSON) -> None:
        uid = pod["metadata"]["uid"]
        if uid in self._streams or not run.container_start(pod):
            return
        thread = threading.Thread(target=self._copy, args=(pod["metadata"]["name"], label(pod)), daemon=True)
        self._streams[uid] = thread
        thread.start()

    def _copy(self, pod: str, prefix: str) -> None:
        try:
            for line in self._cluster.log(pod, follow=True, **self._query):
                self._lines.put(f"{prefix} | {line}")
        except ActionError:
            pass  # the pod was deleted before it said anything; its successor gets a stream of its own
        except Exception as error:  # the connection broke in the middle of a line
            self._lines.put(f"{prefix} | (log interrupted: {error})")
