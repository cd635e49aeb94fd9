"""What a run waits for, told while somebody waits for the run; a wait that cannot end is ended."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from launcher import keys
from launcher.cluster.api import JSON, Cluster, Unreachable
from launcher.cluster.refusals import Refused
from launcher.errors import ActionError
from launcher.runs import (
    diagnosis,
    events,
    hopeless,
    lookup,
    objects,
    queueing,
    rejections,
    status,
    watch,
)
from launcher.runs.sentences import duration

LOOKS = 2  # in a row that must see the same before a run is given up
PULL_SECONDS = 300.0  # longest time for which images may fail to be pulled: a registry's outage may pass


class Stuck(ActionError):
    """A run cannot start until somebody changes something."""


@dataclass(frozen=True)
class Look:
    """The phase of a run, why it is in it, what does not mend by itself, and which images do not come."""

    phase: str
    why: tuple[str, ...]
    hopeless: tuple[str, ...]
    images: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.phase.lower() + "".join(f"; {text}" for text in self.why)


class Waiting:
    """Tells what a run waits for, whenever that changes.

    Args:
      note: prints a sentence for a person.
      running: whether to say that the run is running; its lines say it too.
    """

    def __init__(
        self, cluster: Cluster, name: str, note: Callable[[str], None], running: bool = True
    ) -> None:
        self._cluster, self._name, self._note, self._running = cluster, name, note, running
        self._next, self._shown = 0.0, ""
        self._hopeless: tuple[str, ...] = ()
        self._looks = 0
        self._pulling_since: float | None = None  # the first look since which images could not be pulled

    def update(self, jobset: JSON) -> None:
        """Look at a run that is not over, at most every watch.LOOK_SECONDS.

        Raises:
          Stuck: it cannot start until somebody changes something, which was so at the last look too, or its
            images could not be pulled for PULL_SECONDS.
        """
        if time.monotonic() < self._next:
            return
        self._next = time.monotonic() + watch.LOOK_SECONDS
        try:
            seen = look(self._cluster, jobset)
        except (Refused, Unreachable):  # the watch waits for the server, and knows when to give up
            return
        if str(seen) != self._shown:
            self._shown = str(seen)
            if self._running or seen.phase != "Running":
                self._note(f"{self._name} is {seen}")
        self._looks = self._looks + 1 if seen.hopeless and seen.hopeless == self._hopeless else 1
        self._hopeless = seen.hopeless
        if seen.hopeless and self._looks >= LOOKS:
            raise self._stuck("; ".join(seen.hopeless))
        if not seen.images:
            self._pulling_since = None
            return
        self._pulling_since = self._pulling_since or time.monotonic()
        if time.monotonic() - self._pulling_since >= PULL_SECONDS:
            raise self._stuck(f"{'; '.join(seen.images)} (for {duration(PULL_SECONDS)})")

    def _stuck(self, reasons: str) -> Stuck:
        hint = f"mend it, or: resnet-launch delete {self._name}"
        return Stuck(f"run {self._name!r} cannot start: {reasons}", hint)


def look(cluster: Cluster, jobset: JSON) -> Look:
    """Return what a run waits for."""
    if diagnosis.phase(jobset) == "Running":  # by the JobSet's counts: the pods of a large run are not read
        return Look("Running", (), ())
    everything = lookup.pods_of(cluster, objects.name(jobset))
    pods, _ = rejections.split(everything)
    workload, others = status.workload_of(cluster, jobset)
    phase = lookup.row(jobset, pods, workload)["phase"]
    if phase == "Running":
        return Look(phase, (), ())
    warnings = events.warnings(cluster, jobset, pods) if phase in ("Pending", "Restarting") else []
    why = status.explain(cluster, jobset, everything, phase, warnings, (workload, others))
    lasting = [] if phase not in ("Pending", "Queued") else hopeless.reasons(pods, workload, warnings)
    if phase in ("Pending", "Restarting"):
        lasting += dict.fromkeys(rejections.lasting(rejections.summary(jobset, everything)))
    if phase == "Queued" and not lasting:
        lasting = _missing(cluster, jobset)
    images = hopeless.failing_images(pods, warnings)
    return Look(phase, tuple(why), tuple(lasting), tuple(images))


def _missing(cluster: Cluster, jobset: JSON) -> list[str]:
    """Return which queue or priority class of a queued run does not exist; what may not be read does."""
    labels = objects.labels_of(jobset)
    queue, priority = (str(labels.get(key) or "") for key in (keys.QUEUE, keys.PRIORITY))
    return [str(problem) for problem in queueing.problems(cluster, queue, priority)]
