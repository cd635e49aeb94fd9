"""Waiting for a run: watches that resume, never a poll of each pod."""

from __future__ import annotations

import time
from collections.abc import Iterator

from launcher import reasons
from launcher.cluster import JSON, Cluster
from launcher.errors import ActionError
from launcher.refusals import Refused

WATCH_SECONDS = 300.0  # one watch; the server ends longer ones itself
RETRY_SECONDS = 1.0  # after a watch that broke: an API server that restarts


class TimedOutError(ActionError):
    """The run did not get there in time."""

    exit_code = 3


def states(cluster: Cluster, name: str, deadline: float) -> Iterator[JSON | None]:
    """The JobSet at every change, None once it is gone, until the deadline (of time.monotonic).

    Survives watches that end, versions too old to watch from, and an API server that restarts.
    """
    query = {"fieldSelector": f"metadata.name={name}"}
    while time.monotonic() < deadline:
        try:
            found, version = cluster.list("JobSet", **query)
            yield found[0] if found else None
            for kind, thing in cluster.watch("JobSet", version, _left(deadline), **query):
                yield None if kind == "DELETED" else thing
        except Refused as error:
            if error.status not in (410, 429, 500, 502, 503, 504):
                raise
            time.sleep(RETRY_SECONDS)
        except ActionError:  # no connection: it may come back before the deadline
            if time.monotonic() + RETRY_SECONDS > deadline:
                raise
            time.sleep(RETRY_SECONDS)


def until_over(cluster: Cluster, name: str, seconds: float) -> JSON:
    """The JobSet once it is completed or failed.

    Raises:
      TimedOutError: it is still going after so many seconds.
      ActionError: it was deleted.
    """
    for thing in states(cluster, name, time.monotonic() + seconds):
        if thing is None:
            raise ActionError(f"run {name!r} is gone", "it was deleted, or its --ttl has passed")
        if reasons.condition(thing, "Completed") or reasons.condition(thing, "Failed"):
            return thing
    hint = f"resnet-launch status {name} says why"
    raise TimedOutError(f"run {name!r} is not over after {seconds:.0f} s", hint)


def until_gone(cluster: Cluster, name: str, seconds: float) -> None:
    """Returns once the JobSet and all that it owns are gone; raises TimedOutError otherwise."""
    for thing in states(cluster, name, time.monotonic() + seconds):
        if thing is None:
            return
    hint = f"kubectl get pods -n {cluster.namespace} -l jobset.sigs.k8s.io/jobset-name={name}"
    raise TimedOutError(f"run {name!r} is still there after {seconds:.0f} s", hint)


def _left(deadline: float) -> float:
    return min(WATCH_SECONDS, max(deadline - time.monotonic(), 1.0))
