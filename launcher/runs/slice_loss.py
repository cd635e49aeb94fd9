"""Which slices of a run are there, and for how long one has been missing since the run trained. Pure."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

from launcher.cluster.api import JSON
from launcher.runs import lookup, objects

STEADY_LOOKS = 3  # in a row that must count the same slices before the run gets another shape


def present(jobset: JSON, pods: Iterable[JSON]) -> int:
    """Return how many slices have a pod on a node for each of their hosts."""
    hosts: dict[int, set[int]] = defaultdict(set)
    for pod in pods:
        if _is_present(pod):
            index, host = lookup.slice_and_host(pod)
            hosts[index].add(host)
    groups = objects.entries(jobset, "spec", "replicatedJobs")
    needed = max((objects.number(g, "template", "spec", "parallelism", default=1) for g in groups), default=1)
    return sum(len(own) >= needed for own in hosts.values())


def _is_present(pod: JSON) -> bool:
    """Return whether a pod has a node that answers, whether or not its container has started."""
    if objects.text(pod, "metadata", "deletionTimestamp") or not objects.text(pod, "spec", "nodeName"):
        return False
    match objects.text(pod, "status", "phase"):
        case "Pending" | "Succeeded":
            return True
        case "Running":  # Kubernetes calls it unready once its node does not answer
            return not any(objects.condition(pod, "Ready", status) for status in ("False", "Unknown"))
    return False


class Absence:
    """The time for which a run that has trained has lacked a slice.

    Only time between two looks counts, and only where both saw a slice missing. So a queue and a suspension
    add nothing, and an outage of the API server or a laptop that sleeps adds `longest` at most.

    Args:
      longest: seconds between two looks that count at most.

    Attributes:
      seconds: for how long a slice has been missing since all were there.
      trained: whether a step of this run has been seen.
    """

    def __init__(self, longest: float) -> None:
        self.seconds, self.trained = 0.0, False
        self._longest = longest
        self._last: float | None = None  # time of the last look, where a slice was missing then
        self._counts: list[int] = []

    def complete(self) -> None:
        """Note that all slices are there."""
        self.seconds = 0.0
        self.interrupt()

    def interrupt(self) -> None:
        """Note that nothing is known of the slices, or that the run is not meant to have any."""
        self._last, self._counts = None, []

    def missing(self, count: int, now: float) -> None:
        """Note that only `count` slices are there.

        Args:
          now: seconds on any clock that does not go back.
        """
        if self._last is not None:
            self.seconds += min(max(now - self._last, 0.0), self._longest)
        self._last = now
        self._counts = [*self._counts, count][-STEADY_LOOKS:]

    def steady(self) -> int | None:
        """Return how many slices are there; None while that changes from look to look."""
        same = len(self._counts) == STEADY_LOOKS and len(set(self._counts)) == 1
        return self._counts[-1] if same else None
