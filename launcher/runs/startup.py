"""Where the time from `submit`, or from a failure, to the first step goes. Pure."""

from __future__ import annotations

import datetime
import itertools
from collections.abc import Mapping, Sequence
from typing import Any

JSON = Mapping[str, Any]
EVENTS = ("joined", "restore", "compiled", "first_step")  # of the trainer, in their order


def breakdown(
    jobset: JSON, pods: Sequence[JSON], events: Mapping[str, float], failed: str
) -> dict[str, float]:
    """Seconds each milestone of the newest attempt took, and `total`; empty before the first milestone.

    The milestones: created (all pods; from the submission, or of a restarted run from the failure),
    scheduled (all), started (all containers), joined, restore (of a checkpoint), compiled, first_step.

    Args:
      events: of the first host's log, name -> unix seconds.
      failed: RFC 3339 time of the failure that the newest attempt follows; empty where it is unknown.
    """
    begun = failed if jobset.get("status", {}).get("restarts") else jobset["metadata"]["creationTimestamp"]
    marks = [
        ("begun", unix(begun) if begun else None),
        ("created", _last([pod["metadata"].get("creationTimestamp") for pod in pods])),
        ("scheduled", _last([_scheduled(pod) for pod in pods])),
        ("started", _last([container_start(pod) for pod in pods])),
        *((name, events.get(name)) for name in EVENTS),
    ]
    reached = [(name, at) for name, at in marks if at is not None]
    spent = {name: _spent(before, at) for (_, before), (name, at) in itertools.pairwise(reached)}
    return spent | ({"total": _spent(reached[0][1], reached[-1][1])} if spent else {})


def container_start(pod: JSON) -> str | None:
    """When the trainer's container started, or None before that."""
    for container in pod["status"].get("containerStatuses", []):
        state = container["state"].get("running") or container["state"].get("terminated")
        if container["name"] == "trainer" and state:
            return state.get("startedAt")
    return None


def unix(text: str) -> float:
    """Unix seconds of an RFC 3339 time."""
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()


def _scheduled(pod: JSON) -> str | None:
    for condition in pod["status"].get("conditions", []):
        if condition["type"] == "PodScheduled" and condition["status"] == "True":
            return condition.get("lastTransitionTime")
    return None


def _last(times: Sequence[str | None]) -> float | None:
    """When the last of all pods got there, or None where one has not."""
    return max(unix(at) for at in times if at) if times and all(times) else None


def _spent(before: float, at: float) -> float:
    # The API server's times are whole seconds of its own clock, the trainer's are not.
    return round(max(at - before, 0.0), 1)
