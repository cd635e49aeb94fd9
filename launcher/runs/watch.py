"""Waiting for a run: watches that resume, never a poll of each pod."""

from __future__ import annotations

import time
from collections.abc import Iterator

from launcher.cluster.api import JSON, Cluster, Unreachable
from launcher.cluster.refusals import Refused
from launcher.errors import ActionError
from launcher.runs import diagnosis

WATCH_SECONDS = 300.0  # one watch; the server ends longer ones itself
RETRY_SECONDS = 1.0  # after a watch that broke
PATIENCE_SECONDS = 300.0  # without an answer: an upgrade of a control plane takes minutes
PASSING = (410, 429, 500, 502, 503, 504)  # a version too old to watch from; a server that is busy or starts


class TimedOutError(ActionError):
    """The run did not get there in time."""

    exit_code = 3


def changes(cluster: Cluster, kind: str, deadline: float, **query: str) -> Iterator[tuple[str, list[JSON]]]:
    """("LISTED", all that match), then (ADDED | MODIFIED | DELETED, [object]), until the deadline.

    The deadline is one of time.monotonic. Lists again after a watch that ended, broke or was too old to go
    on, so nothing is missed while an API server restarts, and once more at the deadline.

    Raises Unreachable where it stays away for PATIENCE_SECONDS, and Refused for what waiting cannot mend.
    """
    lost: float | None = None  # when the first of the failures in a row happened
    while True:
        try:
            found, version = cluster.list(kind, **query)
            lost = None
            yield "LISTED", found
            seconds = min(WATCH_SECONDS, deadline - time.monotonic())
            if seconds <= 0:
                return
            for what, thing in cluster.watch(kind, version, seconds, **query):
                yield what, [thing]
        except (Refused, Unreachable) as error:
            if isinstance(error, Refused) and error.status not in PASSING:
                raise
            lost = lost or time.monotonic()
            if time.monotonic() > min(deadline, lost + PATIENCE_SECONDS):
                raise
            time.sleep(RETRY_SECONDS)


def states(cluster: Cluster, name: str, deadline: float) -> Iterator[JSON | None]:
    """The JobSet of a run at every change, None where there is none, until the deadline."""
    for what, things in changes(cluster, "JobSet", deadline, fieldSelector=f"metadata.name={name}"):
        yield things[0] if things and what != "DELETED" else None


def is_over(jobset: JSON | None) -> bool:
    """Completed, failed or deleted."""
    return jobset is None or any(diagnosis.condition(jobset, kind) for kind in ("Completed", "Failed"))


def until_over(cluster: Cluster, name: str, seconds: float) -> JSON:
    """The JobSet once it is completed or failed.

    Raises:
      TimedOutError: it is still going after so many seconds.
      ActionError: it was deleted.
    """
    for thing in states(cluster, name, time.monotonic() + seconds):
        if thing is None:
            raise ActionError(f"run {name!r} is gone", "it was deleted, or its --ttl has passed")
        if is_over(thing):
            return thing
    hint = f"resnet-launch status {name} says why"
    raise TimedOutError(f"run {name!r} is not over after {seconds:.0f} s", hint)


def until_gone(cluster: Cluster, jobset: JSON, seconds: float) -> None:
    """Returns once this JobSet and all that it owns are gone; raises TimedOutError otherwise."""
    name, uid = jobset["metadata"]["name"], jobset["metadata"]["uid"]
    for thing in states(cluster, name, time.monotonic() + seconds):
        if thing is None or thing["metadata"]["uid"] != uid:
            return
    hint = f"kubectl get pods -n {cluster.namespace} -l jobset.sigs.k8s.io/jobset-name={name}"
    raise TimedOutError(f"run {name!r} is still there after {seconds:.0f} s", hint)
