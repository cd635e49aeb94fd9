"""The time from `submit`, `resume` or a failure to the first step, split into milestones. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from launcher import contract
from launcher.runs import objects

JSON = Mapping[str, Any]
RESUME_SECONDS = 30.0  # JobSet makes the pods of a resumed run within seconds
SKEW_SECONDS = 2.0  # between the times of the API server, which are whole seconds


def breakdown(
    jobset: JSON, pods: Sequence[JSON], events: Mapping[str, float], ended: str
) -> dict[str, float]:
    """Return milestone -> seconds since the previous one, and `total`, their sum; empty before the first.

    The milestones of the newest attempt, in order: created (all pods, counted from what made them necessary:
    the submission, the resumption, or the end of the attempt before), scheduled (all pods), started (all
    containers), joined, restore (of a checkpoint), compiled, first_step.

    Args:
      events: name of an event in the first host's log -> unix seconds.
      ended: RFC 3339 time at which the attempt before the newest one ended; empty where it is unknown.
    """
    created = [objects.text(pod, "metadata", "creationTimestamp") for pod in pods]
    marks = [
        ("created", _last(created)),
        ("scheduled", _last([_scheduled(pod) for pod in pods])),
        ("started", _last([container_start(pod) for pod in pods])),
        *((name, events.get(name)) for name in contract.milestones()),
    ]
    reached = [(name, at) for name, at in marks if at is not None]
    origin = _origin(jobset, marks[0][1], ended)
    if origin is None and reached:
        origin = reached.pop(0)[1]
    seconds: dict[str, float] = {}
    before = 0.0
    for name, at in reached:
        # The API server rounds to whole seconds of its own clock, the trainer does not: a time may be earlier
        # than the one before it. Sums are rounded, not differences, so that the parts add up to the total.
        since = max(round(at - (origin or 0.0), 1), before)
        seconds[name] = round(since - before, 1)
        before = since
    return seconds | ({"total": before} if seconds else {})


def container_start(pod: JSON) -> str | None:
    """Return the RFC 3339 time at which the trainer's container started; None before that."""
    for container in objects.entries(pod, "status", "containerStatuses"):
        state = objects.mapping(container, "state", "running") or objects.mapping(
            container, "state", "terminated"
        )
        if container.get("name") == "trainer" and state:
            return objects.text(state, "startedAt") or None
    return None


def _origin(jobset: JSON, created: float | None, ended: str) -> float | None:
    """Return when the newest pods became necessary: the newest known cause before the last was created.

    None where a restart made them whose time is not known any more.
    """
    resumed = objects.condition(jobset, "Suspended", "False")
    times = [objects.time(objects.text(resumed, "lastTransitionTime"))]
    if not objects.number(jobset, "status", "restarts"):
        times.append(objects.time(objects.text(jobset, "metadata", "creationTimestamp")))
    elif ended:
        times.append(objects.time(ended))
    elif times[0] is not None and created is not None and created - times[0] > RESUME_SECONDS:
        return None  # a restart after the resumption made the pods
    earlier = [at for at in times if at is not None and (created is None or at <= created + SKEW_SECONDS)]
    return max(earlier, default=None)


def _scheduled(pod: JSON) -> str:
    return objects.text(objects.condition(pod, "PodScheduled"), "lastTransitionTime")


def _last(times: Sequence[str | None]) -> float | None:
    """Return the latest time as unix seconds; None where one is missing."""
    seconds = [objects.time(at) for at in times]
    known = [at for at in seconds if at is not None]
    return max(known) if known and len(known) == len(seconds) else None
