"""What is known of one run of a cluster, kept up to date by its feed."""

from __future__ import annotations

import threading
from collections.abc import Sequence
from typing import Any

from launcher import keys
from launcher.cluster.api import JSON
from launcher.errors import LauncherError
from launcher.hardware import slices
from launcher.live.training import Training, number
from launcher.live.view import Held, Restarts, View
from launcher.runs import (
    commands,
    deaths,
    diagnosis,
    events,
    lookup,
    objects,
    queue,
    rejections,
    restart_causes,
    startup,
    status,
)

STEADY = ("Running", "Completed", "Suspended", "Queued", "Deleted")  # phases that no pod has to explain


class ClusterRun:
    """One run: its JobSet, what its first host printed, and its pods while it does not run.

    Attributes:
      pods: uid -> pod; None while the pods are not watched.
      first: newest pod of the first host that has started.
      deleted: whether the JobSet is gone.
      slow: the pod that was last called slow, and its node; empty where that is not known.
      left: set once nobody watches the pods any more.
    """

    def __init__(self, jobset: JSON) -> None:
        self.jobset = jobset
        self.training = Training()
        self.pods: dict[str, JSON] | None = None
        self.first: JSON | None = None
        self.deleted = False
        self.slow: tuple[str, str] = ("", "")
        self.left: threading.Event | None = None
        self.shape = _shape(jobset)
        self._held_before = 0.0  # seconds of the attempts that ended while somebody watched
        self._restarts_at_first = objects.number(jobset, "status", "restarts")

    @property
    def name(self) -> str:
        return objects.name(self.jobset)

    @property
    def uid(self) -> str:
        return objects.uid(self.jobset)

    def phase(self, workload: JSON | None) -> str:
        """Return the phase, from the pods where they are watched, else from the JobSet's counts."""
        if self.deleted:
            return "Deleted"
        pods = None if self.pods is None else rejections.split(self._sorted())[0]
        return diagnosis.phase(self.jobset, pods, workload)

    def needs_pods(self, workload: JSON | None) -> bool:
        """Return whether the JobSet alone does not explain the phase."""
        by_counts = "Deleted" if self.deleted else diagnosis.phase(self.jobset, None, workload)
        return by_counts not in STEADY and not diagnosis.runs_elsewhere(self.jobset)

    def begin(self, first: JSON) -> bool:
        """Take over a pod of the first host. Return whether its log is to be read from now on."""
        if not startup.container_start(first):
            return False
        if self.first is not None and objects.uid(self.first) != objects.uid(first):
            if _started(first) < _started(self.first):
                return False
            self._held_before += max(_ended(self.first, _started(first)) - _started(self.first), 0.0)
        is_new = self.first is None or objects.uid(self.first) != objects.uid(first)
        self.first = first
        return is_new

    def slow_pod(self) -> str:
        """Return the pod that the newest line of progress calls slow; empty where it names none."""
        return status.slow_pod(self.training.progress)

    def view(
        self, workload: JSON | None, workloads: Sequence[JSON], warnings: Sequence[JSON], price: float | None
    ) -> View:
        """Return the run as it is now."""
        row = lookup.row(self.jobset, None, workload)
        phase = self.phase(workload)
        restarts = row["restarts"]
        causes: dict[str, int] = {}
        if restarts["total"]:
            own = events.concerning(warnings, self.jobset, self._sorted())
            causes = restart_causes.causes(own, self.jobset, restarts["total"])
        progress = dict(self.training.progress) or lookup.noted(self.jobset, "progress")
        progress = status.with_node(progress, *self.slow)
        groups = objects.entries(self.jobset, "status", "replicatedJobsStatus")
        ready = sum(objects.number(group, "ready") + objects.number(group, "succeeded") for group in groups)
        return View(
            name=self.name,
            phase=phase,
            why=tuple(self._why(phase, workload, workloads, warnings)),
            program=commands.program(row),
            slice=row["slice"],
            slices=row["slices"],
            hosts=row["hosts"],
            ready=None if phase in ("Queued", "Suspended", "Completed", "Failed", "Deleted") else ready,
            restarts=Restarts(
                total=restarts["total"], counted=restarts["counted"], limit=restarts["max"], causes=causes
            ),
            progress=progress,
            evaluation=dict(self.training.evaluation) or lookup.noted(self.jobset, "evaluation"),
            best=dict(self.training.best) or lookup.noted(self.jobset, "best"),
            loss=tuple(self.training.loss.values()),
            accuracy=tuple(self.training.accuracy.values()),
            held=self._held(phase, row["finished"]),
            price=price,
            seconds_left=number(progress, "eta_seconds") if phase == "Running" else None,
        )

    def _why(
        self, phase: str, workload: JSON | None, workloads: Sequence[JSON], warnings: Sequence[JSON]
    ) -> list[str]:
        if phase == "Deleted":
            return ["its JobSet is gone"]
        if phase == "Failed":
            others, rejected = rejections.split(self._sorted())
            first = deaths.first_failure(others) or deaths.first_failure(rejected)
            cause = f": {first['meaning']}" if first else ""
            return [diagnosis.failure(self.jobset) + cause]
        if phase == "Queued" and workload is None and not workloads:
            return ["it waits for Kueue"]
        if phase == "Queued":
            priority = objects.text(self.jobset, "metadata", "labels", keys.PRIORITY)
            return queue.explain_wait(workload, workloads, self.name, priority)
        own = events.concerning(warnings, self.jobset, self._sorted())
        if self.pods is None and phase in ("Pending", "Restarting"):
            return []
        return status.explain(None, self.jobset, self._sorted(), phase, own, (workload, list(workloads)))

    def _sorted(self) -> list[JSON]:
        pods = [*(self.pods or {}).values()] or ([self.first] if self.first else [])
        return sorted(pods, key=lookup.slice_and_host)

    def _held(self, phase: str, finished: str) -> Held | None:
        if self.shape is None:
            return None
        chips = self.shape.chips * diagnosis.slices(self.jobset)
        # A run that was queued or suspended, or had restarted, may have held chips before.
        conditions = objects.entries(self.jobset, "status", "conditions")
        was_held = any(entry.get("type") == "Suspended" for entry in conditions)
        whole = not (self._restarts_at_first or was_held)
        if self.first is None:
            return Held(chips=chips, whole=whole and phase not in ("Completed", "Failed", "Deleted"))
        start = _started(self.first)
        if phase in ("Running", "Pending", "Restarting"):
            return Held(seconds=self._held_before, since=start, chips=chips, whole=whole)
        end = objects.time(finished) or _ended(self.first, start)
        return Held(seconds=self._held_before + max(end - start, 0.0), chips=chips, whole=whole)


def _shape(jobset: JSON) -> slices.Slice | None:
    """Return the slice that the JobSet names; None where the catalogue lacks it."""
    try:
        return slices.parse(objects.text(objects.annotations_of(jobset), keys.SLICE_NAME))
    except LauncherError:
        return None


def _started(pod: JSON) -> float:
    return objects.time(startup.container_start(pod)) or 0.0


def _ended(pod: JSON, otherwise: float) -> float:
    for container in objects.entries(pod, "status", "containerStatuses"):
        if container.get("name") == "trainer":
            at = objects.time(objects.text(container, "state", "terminated", "finishedAt"))
            return at if at is not None else otherwise
    return otherwise


def slim(pod: JSON) -> JSON:
    """Return a pod without what nobody reads here: it is 10 KB, and a run may have hundreds."""
    spec, metadata = objects.mapping(pod, "spec"), dict(objects.mapping(pod, "metadata"))
    metadata.pop("managedFields", None)
    kept: dict[str, Any] = {
        key: spec[key]
        for key in ("nodeName", "restartPolicy", "terminationGracePeriodSeconds")
        if key in spec
    }
    for key in ("containers", "initContainers"):
        kept[key] = [
            {name: entry[name] for name in ("name", "resources", "restartPolicy") if name in entry}
            for entry in objects.entries(pod, "spec", key)
        ]
    return {"metadata": metadata, "spec": kept, "status": pod.get("status", {})}
