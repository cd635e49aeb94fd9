"""The phase of a run, from its JobSet, pods and Workload. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

from launcher import keys
from launcher.runs import objects
from launcher.runs.objects import condition

__all__ = ["condition", "failure", "hosts", "is_over", "phase"]

JSON = Mapping[str, Any]
ENDED = ("Completed", "Failed")
MULTIKUEUE = "kueue.x-k8s.io/multikueue"  # value of spec.managedBy: another cluster runs the pods


def phase(jobset: JSON, pods: Sequence[JSON] | None = None, workload: JSON | None = None) -> str:
    """Return Completed, Failed, Deleting, Queued, Suspended, Running, Restarting or Pending.

    Args:
      pods: the run's pods; without them the phase comes from the counts in the JobSet's status, which lag by
        about a second.
      workload: Kueue's Workload of the run. Without it, a run of a queue is taken for queued unless
        `resnet-launch suspend` has noted that it suspended the run.
    """
    if objects.text(jobset, "metadata", "deletionTimestamp"):
        return "Deleting"
    for kind in ENDED:
        if condition(jobset, kind):
            return kind
    if objects.mapping(jobset, "spec").get("suspend"):
        return "Suspended" if _is_suspended_by_someone(jobset, workload) else "Queued"
    if runs_elsewhere(jobset):
        pods = None
    if _is_running(jobset, pods):
        return "Running"
    lost = any(_is_lost(pod) for pod in pods or ())
    return "Restarting" if lost or objects.number(jobset, "status", "restarts") else "Pending"


def is_over(jobset: JSON) -> bool:
    """Return whether a run is completed or failed."""
    return any(condition(jobset, kind) for kind in ENDED)


def runs_elsewhere(jobset: JSON) -> bool:
    """Return whether another cluster runs the pods, which MultiKueue chose."""
    return objects.text(jobset, "spec", "managedBy") == MULTIKUEUE


def hosts(jobset: JSON) -> int:
    """Return the number of pods of a complete run, over all slices."""
    return sum(
        objects.number(group, "replicas", default=1)
        * objects.number(group, "template", "spec", "parallelism", default=1)
        for group in objects.entries(jobset, "spec", "replicatedJobs")
    )


def slices(jobset: JSON) -> int:
    """Return the number of slices of a run."""
    groups = objects.entries(jobset, "spec", "replicatedJobs")
    return sum(objects.number(group, "replicas", default=1) for group in groups)


def failure(jobset: JSON) -> str:
    """Return why a run has failed, by the condition of its JobSet; empty if it has not."""
    entry = condition(jobset, "Failed")
    if entry is None:
        return ""
    message = objects.text(entry, "message")
    _, _, first = message.partition("(first failed job: ")
    job = f" (first failed job: {first.removesuffix(')')})" if first else ""
    match objects.text(entry, "reason"):
        case "ReachedMaxRestarts":
            limit = objects.number(jobset, "spec", "failurePolicy", "maxRestarts")
            return f"it failed again after {limit} of {limit} counted restarts{job}"
        case "FailJobSetFailurePolicyAction":
            return f"it ended in a way that no restart can mend{job}"
        case "FailedJobs":
            restartable = objects.mapping(jobset, "spec", "failurePolicy")
            return f"a Job of it failed{'' if restartable else ', and its JobSet allows no restart'}{job}"
        case reason:
            return message or reason or "its JobSet failed without a reason"


def _is_suspended_by_someone(jobset: JSON, workload: JSON | None) -> bool:
    """Return whether a suspended run waits for `resume`, not for Kueue."""
    if workload is not None:
        return objects.mapping(workload, "spec").get("active") is False
    return keys.QUEUE not in objects.labels_of(jobset) or keys.SUSPENDED in objects.annotations_of(jobset)


def _is_running(jobset: JSON, pods: Sequence[JSON] | None) -> bool:
    """Return whether every host runs or has finished."""
    if pods is not None:
        alive = [pod for pod in pods if not objects.text(pod, "metadata", "deletionTimestamp")]
        running = sum(objects.text(pod, "status", "phase") in ("Running", "Succeeded") for pod in alive)
        return running >= hosts(jobset) > 0
    groups = objects.entries(jobset, "status", "replicatedJobsStatus")
    jobs = sum(objects.number(group, "ready") + objects.number(group, "succeeded") for group in groups)
    return jobs >= slices(jobset) > 0


def _is_lost(pod: JSON) -> bool:
    leaving = bool(objects.text(pod, "metadata", "deletionTimestamp"))
    return leaving or objects.text(pod, "status", "phase") in ("Failed", "Unknown")
