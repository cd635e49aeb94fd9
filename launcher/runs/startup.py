"""The time from `submit`, or from a failure, to the first step, split into milestones. Pure."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

from launcher import contract

JSON = Mapping[str, Any]


def breakdown(
    jobset: JSON, pods: Sequence[JSON], events: Mapping[str, float], failed: str
) -> dict[str, float]:
    """Return milestone -> seconds since the previous one, and `total`; empty before the first milestone.

    The milestones of the newest attempt, in order: created (all pods, counted from the submission or, after a
    restart, from the failure), scheduled (all pods), started (all containers), joined, restore (of a
    checkpoint), compiled, first_step.

    Args:
      events: name of an event in the first host's log -> unix seconds.
      failed: RFC 3339 time of the failure before the newest attempt; empty where it is unknown.
    """
    origin = failed if jobset.get("status", {}).get("restarts") else jobset["metadata"]["creationTimestamp"]
    marks = [
        ("origin", unix(origin) if origin else None),
        ("created", _last([pod["metadata"].get("creationTimestamp") for pod in pods])),
        ("scheduled", _last([_scheduled(pod) for pod in pods])),
        ("started", _last([container_start(pod) for pod in pods])),
        *((name, events.get(name)) for name in contract.milestones()),
    ]
    reached = [(name, at) for name, at in marks if at is not None]
    seconds = {name: _seconds(before, at) for (_, before), (name, at) in itertools.pairwise(reached)}
    return seconds | ({"total": _seconds(reached[0][1], reached[-1][1])} if seconds else {})


def container_start(pod: JSON) -> str | None:
    """Return the RFC 3339 time at which the trainer's container started; None before that."""
    for container in pod["status"].get("containerStatuses", []):
        state = container["state"].get("running") or container["state"].get("terminated")
        if container["name"] == "trainer" and state:
            return state.get("startedAt")
    return None


def unix(text: str) -> float:
    """Return an RFC 3339 time as unix seconds."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _scheduled(pod: JSON) -> str | None:
    for condition in pod["status"].get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "True":
            return condition.get("lastTransitionTime")
    return None


def _last(times: Sequence[str | None]) -> float | None:
    """Return the latest time as unix seconds; None where one is missing."""
    return max(unix(at) for at in times if at) if times and all(times) else None


def _seconds(before: float, at: float) -> float:
    # The API server rounds to whole seconds of its own clock, the trainer does not: a difference may be < 0.
    return round(max(at - before, 0.0), 1)
