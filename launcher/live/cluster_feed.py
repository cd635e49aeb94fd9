"""The runs of a namespace, kept up to date by watches: no request is repeated while nothing changes.

One watch each on JobSets, first hosts, Workloads and warning events, one stream for the log of each run, and
the pods of a run only while it does not run. So 30 runs of 512 hosts cost no more than 30 of one host.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Callable, Sequence
from typing import Any

from launcher import keys
from launcher.check.prices import Prices
from launcher.cluster import kueue
from launcher.cluster.api import JSON, Cluster, Unreachable, selector
from launcher.cluster.refusals import Refused
from launcher.live.cluster_run import ClusterRun, slim
from launcher.live.view import View
from launcher.runs import diagnosis, lookup, objects, watch
from launcher.runs.host_log import HostLog

OURS = f"{keys.NAME}={keys.APP}"
FIRST_HOSTS = f"{OURS},{keys.JOB_INDEX}=0,{keys.COMPLETION_INDEX}=0"
TAIL_LINES = 2000  # of a log: what it said before is in the run's report
MOST_EVENTS = 5000  # kept: the newest
RETRY_SECONDS = 30.0  # before a cluster is asked again that did not answer for minutes


class ClusterFeed:
    """Follows runs until it is closed.

    Args:
      names: runs to follow; empty for all that are not over, and those that come.
      prices: of a chip per hour.
      changed: is called after each change, from any thread.

    Attributes:
      error: what ended the feed; None while it works.
    """

    def __init__(
        self, cluster: Cluster, names: Sequence[str], prices: Prices, changed: Callable[[], None]
    ) -> None:
        self._cluster, self._names, self._prices, self._changed = cluster, names, prices, changed
        self._lock = threading.RLock()
        self._left = threading.Event()
        self._runs: dict[str, ClusterRun] = {}
        self._workloads: dict[str, JSON] = {}
        self._events: dict[str, JSON] = {}
        self._firsts: dict[str, JSON] = {}  # uid -> pod of a first host
        self._views: dict[str, View] = {}
        self._notes: dict[str, str] = {}
        self._listed = threading.Event()
        self.error: BaseException | None = None

    def open(self) -> None:
        """Begin to watch, and return once the runs are known.

        Raises:
          ActionError: a run does not exist, or the cluster does not answer or refuses.
        """
        for name in self._names:
            lookup.find(self._cluster, name)
        self._thread(self._watch_runs)
        self._listed.wait()
        if self.error:
            raise self.error
        for work in (self._watch_firsts, self._watch_workloads, self._watch_events):
            self._thread(work)

    def close(self) -> None:
        """Stop watching."""
        self._left.set()
        with self._lock:
            for run in self._runs.values():
                if run.left:
                    run.left.set()

    def views(self) -> list[View]:
        """Return the runs as they are now, newest first; what has not changed is not computed again."""
        with self._lock:
            for name, run in self._runs.items():
                if name not in self._views:
                    workload = self._workload(run)
                    price = self._prices.of(run.shape) if run.shape else self._prices.every
                    self._views[name] = run.view(
                        workload, [*self._workloads.values()], [*self._events.values()], price
                    )
            order = sorted(self._runs.values(), key=_created, reverse=True)
            return [self._views[run.name] for run in order]

    def notes(self) -> list[str]:
        """Return what a reader must know of the feed itself, such as that the cluster does not answer."""
        with self._lock:
            return [*dict.fromkeys(filter(None, self._notes.values()))]

    def _thread(self, work: Callable[..., None], *arguments: Any) -> None:
        threading.Thread(target=self._guarded, args=(work, *arguments), daemon=True).start()

    def _guarded(self, work: Callable[..., None], *arguments: Any) -> None:
        try:
            work(*arguments)
        except BaseException as error:
            if not self._left.is_set():
                self.error = error
                self._listed.set()
                self._changed()

    def _changes(self, kind: str, left: threading.Event | None = None, **query: str) -> Any:
        """Yield changes as watch.changes does, also after an outage of any length."""

        def note(problem: str) -> None:
            with self._lock:
                changed = self._notes.get("cluster", "") != problem
                self._notes["cluster"] = problem
            if changed:
                self._changed()

        left = left or self._left
        while not left.is_set():
            try:
                yield from watch.changes(
                    self._cluster, kind, math.inf, watch.WATCH_SECONDS, left, note, **query
                )
            except Unreachable:
                if not self._listed.is_set():
                    raise
                left.wait(RETRY_SECONDS)

    def _watch_runs(self) -> None:
        for change, jobsets in self._changes("JobSet", labelSelector=OURS):
            if self._left.is_set():
                return
            with self._lock:
                present = {objects.name(jobset): jobset for jobset in jobsets}
                if change == "LISTED":
                    gone = [run for name, run in self._runs.items() if name not in present]
                else:
                    gone = [
                        self._runs[name] for name in present if change == "DELETED" and name in self._runs
                    ]
                for jobset in jobsets if change != "DELETED" else ():
                    self._update_run(jobset, first_listing=not self._listed.is_set())
                for run in gone:
                    run.deleted = True
                    self._touch(run)
            self._listed.set()
            self._changed()

    def _update_run(self, jobset: JSON, first_listing: bool) -> None:
        name = objects.name(jobset)
        run = self._runs.get(name)
        if run is not None and run.uid == objects.uid(jobset):
            run.jobset = jobset
        elif name not in self._names if self._names else first_listing and diagnosis.is_over(jobset):
            return
        else:
            if run is not None and run.left:
                run.left.set()
            run = self._runs[name] = ClusterRun(jobset)
            for pod in self._firsts.values():
                self._begin(pod)
        self._touch(run)

    def _touch(self, run: ClusterRun) -> None:
        """Have the view of a run computed again, and watch its pods while the JobSet does not explain it."""
        self._views.pop(run.name, None)
        needed = run.needs_pods(self._workload(run))
        if needed and run.left is None:
            run.left = threading.Event()
            self._thread(self._watch_pods, run, run.left)
        elif not needed and run.left is not None:
            run.left.set()
            run.left, run.pods = None, None

    def _workload(self, run: ClusterRun) -> JSON | None:
        return lookup.owned_by(run.jobset, self._workloads.values())

    def _watch_pods(self, run: ClusterRun, left: threading.Event) -> None:
        """Keep the pods of one run, until `left` is set."""
        try:
            for change, pods in self._changes("Pod", left, labelSelector=selector(run.name)):
                with self._lock:
                    if left.is_set():
                        return
                    if change == "LISTED":
                        run.pods = {objects.uid(pod): slim(pod) for pod in pods}
                    elif run.pods is not None:
                        for pod in pods:
                            run.pods.pop(objects.uid(pod), None)
                            if change != "DELETED":
                                run.pods[objects.uid(pod)] = slim(pod)
                    self._views.pop(run.name, None)
                self._changed()
        except Refused as error:
            self._note("pods", f"why a run waits is not known: {error}")

    def _watch_firsts(self) -> None:
        try:
            for change, pods in self._changes("Pod", labelSelector=FIRST_HOSTS):
                with self._lock:
                    if change == "LISTED":
                        self._firsts = {objects.uid(pod): pod for pod in pods}
                    for pod in pods:
                        self._firsts.pop(objects.uid(pod), None)
                        if change != "DELETED":
                            self._firsts[objects.uid(pod)] = pod
                            self._begin(pod)
                self._changed()
        except Refused as error:
            self._note("pods", f"pods cannot be read, so there is no progress: {error}")

    def _begin(self, pod: JSON) -> None:
        """Follow the log of a first host that has started."""
        run = self._runs.get(objects.text(objects.labels_of(pod), keys.JOBSET_NAME))
        if run is None or not _is_of(pod, run) or lookup.slice_and_host(pod) != (0, 0):
            return
        if run.first is not None and objects.uid(run.first) == objects.uid(pod):
            run.first = slim(pod)
        elif run.begin(slim(pod)):
            self._thread(self._follow, run, objects.name(pod), objects.uid(pod))
        self._views.pop(run.name, None)

    def _follow(self, run: ClusterRun, pod: str, uid: str) -> None:
        log = HostLog(self._cluster, pod, lambda text: None, {"tailLines": TAIL_LINES})
        try:
            for text in log.follow(lambda: self._state(run, uid), self._left.wait):
                with self._lock:
                    if not run.training.line(text):
                        continue
                    self._views.pop(run.name, None)
                    slow = run.slow_pod()
                if slow and slow != run.slow[0]:
                    self._find_node(run, slow)
                self._changed()
        except Refused as error:
            self._note("logs", f"logs cannot be read, so there is no progress: {error}")

    def _find_node(self, run: ClusterRun, pod: str) -> None:
        """Read on which node the slow host of a run is; once per pod, and not where pods cannot be read."""
        try:
            node = objects.text(self._cluster.get("Pod", pod) or {}, "spec", "nodeName")
        except (Refused, Unreachable):
            node = ""
        with self._lock:
            run.slow = (pod, node)

    def _state(self, run: ClusterRun, uid: str) -> str:
        """Return what HostLog.follow asks of a container."""
        with self._lock:
            if self._left.is_set() or self._runs.get(run.name) is not run:
                return "left"
            if run.first is None or objects.uid(run.first) != uid or uid not in self._firsts:
                return "gone"
            if objects.text(run.first, "status", "phase") in ("Succeeded", "Failed"):
                return "ended"
            for container in objects.entries(run.first, "status", "containerStatuses"):
                if container.get("name") == "trainer" and objects.mapping(container, "state", "terminated"):
                    return "ended"
            return "running"

    def _watch_workloads(self) -> None:
        try:
            kind, _ = kueue.objects(self._cluster, "Workload")
            for change, workloads in self._changes(kind):
                with self._lock:
                    _keep(self._workloads, change, workloads)
                    for run in self._runs.values():
                        if objects.mapping(run.jobset, "spec").get("suspend") or diagnosis.runs_elsewhere(
                            run.jobset
                        ):
                            self._touch(run)
                self._changed()
        except (Refused, Unreachable):  # no Kueue, or none of it may be read: `why` says so
            return

    def _watch_events(self) -> None:
        try:
            for change, events in self._changes("Event", fieldSelector="type=Warning"):
                with self._lock:
                    names = tuple(self._runs)
                    own = [e for e in events if objects.text(e, "involvedObject", "name").startswith(names)]
                    _keep(self._events, change, own)
                    for uid in [*self._events][:-MOST_EVENTS]:
                        del self._events[uid]
                    if not own:
                        continue
                    self._views.clear()
                self._changed()
        except Refused as error:
            self._note("events", f"events cannot be read, so some causes are not known: {error}")

    def _note(self, about: str, text: str) -> None:
        with self._lock:
            self._notes[about] = text
        self._changed()


def _keep(store: dict[str, JSON], change: str, entries: Sequence[JSON]) -> None:
    """Change a table of uid -> object as a watch says."""
    if change == "LISTED":
        store.clear()
    for entry in entries:
        store.pop(objects.uid(entry), None)
        if change != "DELETED":
            store[objects.uid(entry)] = entry


def _is_of(pod: JSON, run: ClusterRun) -> bool:
    """Return whether a pod belongs to this JobSet, and not to a deleted one of the same name."""
    owner = objects.text(objects.labels_of(pod), keys.JOBSET_UID)
    return not owner or owner == run.uid


def _created(run: ClusterRun) -> tuple[str, str]:
    return objects.text(run.jobset, "metadata", "creationTimestamp"), run.name
