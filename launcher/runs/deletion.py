"""Waiting for a deleted run to be gone, and what keeps it where it is not."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager

from launcher.cluster.api import JSON, Cluster, Unreachable
from launcher.cluster.refusals import Refused
from launcher.errors import LauncherError, NotKnown
from launcher.runs import deaths, lookup, objects, obstacles, watch
from launcher.runs.watch import TimedOutError

SHOWN = 5
USUAL = {"foregroundDeletion"}  # the finalizer that waits for what the object owns


@contextmanager
def naming_sent(names: Sequence[str]) -> Iterator[None]:
    """Add to an error from the block that these runs, if any, are being deleted.

    Raises:
      NotKnown: in the place of any error but TimedOutError, which says itself that a run still exists.
    """
    try:
        yield
    except TimedOutError:
        raise
    except LauncherError as error:
        if not names:
            raise
        hint = f"resnet-launch status {names[0]} shows whether it is gone"
        text = f"the deletion of {', '.join(names)} was sent, and what became of it is not known: {error}"
        raise NotKnown(text, hint) from None


def until_gone(cluster: Cluster, jobset: JSON, seconds: float) -> None:
    """Wait until this JobSet and everything it owns are gone.

    Raises:
      TimedOutError: it is still there after `seconds`; the error names the pods and finalizers that keep it.
    """
    try:
        watch.until_gone(cluster, jobset, seconds)
    except TimedOutError as error:
        try:
            reasons = _reasons(cluster, jobset)
        except (Refused, Unreachable):
            reasons = []
        raise TimedOutError("; ".join([str(error), *reasons]), error.hint) from None


def _reasons(cluster: Cluster, jobset: JSON) -> list[str]:
    name = objects.name(jobset)
    current = cluster.get("JobSet", name) or {}
    pods = lookup.pods_of(cluster, name)
    reasons = []
    if keeping := _finalizers(current):
        reasons.append(f"its JobSet has the finalizers {', '.join(keeping)}")
    for pod in pods[:SHOWN]:
        where = deaths.subject(objects.name(pod), objects.text(pod, "spec", "nodeName"))
        keeping = _finalizers(pod)
        reasons.append(f"pod {where} is still there" + (f", with {', '.join(keeping)}" if keeping else ""))
    if len(pods) > SHOWN:
        reasons.append(f"and {len(pods) - SHOWN} more pods")
    return reasons + obstacles.ending_problems(pods, {}, time.time())[:1]


def _finalizers(obj: JSON) -> list[str]:
    names = objects.mapping(obj, "metadata").get("finalizers")
    return [str(name) for name in names if name not in USUAL] if isinstance(names, list) else []
