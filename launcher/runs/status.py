"""What a run does and why it waits or failed, read in a handful of requests however many pods it has."""

from __future__ import annotations

from collections import Counter
from typing import Any

from launcher.cluster.api import JSON, Cluster, Unreachable
from launcher.cluster.refusals import Refused
from launcher.runs import diagnosis, lookup, queue, startup, trainer_log

TAIL_LINES = 400  # of the first host's log: the newest progress
HEAD_BYTES = 1 << 18  # of the same: what happened before the first step


def status(cluster: Cluster, name: str) -> dict[str, Any]:
    """Everything `status` shows, ready for JSON. Raises ActionError where there is no such run."""
    jobset = lookup.find(cluster, name)
    pods = lookup.pods_of(cluster, name)
    found = lookup.row(jobset, pods)
    said = _said(cluster, pods)
    troubled = found["restarts"]["total"] or found["phase"] in ("Pending", "Restarting", "Failed")
    events = _events(cluster, name) if troubled else []
    failure = diagnosis.last_failure(events)
    return found | {
        "pods": dict(Counter(pod["status"].get("phase", "Pending") for pod in pods)),
        "why": _why(cluster, jobset, pods, found["phase"], events),
        "last_failure": failure,
        "failed": diagnosis.first_failure(pods),
        "progress": said.progress,
        "evaluation": said.evaluate,
        "startup_seconds": startup.breakdown(jobset, pods, said.events, failure["at"] if failure else ""),
    }


def _why(cluster: Cluster, jobset: JSON, pods: list[JSON], phase: str, events: list[JSON]) -> list[str]:
    name = jobset["metadata"]["name"]
    if phase == "Failed":
        over = diagnosis.condition(jobset, "Failed") or {}
        return [over.get("message", "")]
    if phase == "Suspended":
        return [f"it was suspended: resnet-launch resume {name}"]
    if phase == "Queued":
        try:
            _, own, every = lookup.workload(cluster, jobset)
        except Refused:
            return ["queued by Kueue; its Workloads may not be read here"]
        return queue.why(own, every, name)
    if phase in ("Pending", "Restarting"):
        found = diagnosis.scheduling(pods)
        return found if found and len(pods) == diagnosis.hosts(jobset) else found + diagnosis.events(events)
    return []


def _events(cluster: Cluster, name: str) -> list[JSON]:
    """Warnings about the run's jobs and pods; their names begin with the run's."""
    try:
        found, _ = cluster.list("Event", fieldSelector="type=Warning")
    except Refused:
        return []
    return [e for e in found if e["involvedObject"].get("name", "").startswith(f"{name}-")]


def _said(cluster: Cluster, pods: list[JSON]) -> trainer_log.Progress:
    """What the first host's log says; nothing where it has none yet or cannot be read."""
    first = next((pod for pod in pods if lookup.place(pod) == (0, 0) and startup.container_start(pod)), None)
    if first is None:
        return trainer_log.Progress()
    pod = first["metadata"]["name"]
    try:
        found = trainer_log.read(cluster.log(pod, tailLines=TAIL_LINES))
        if found.progress and "first_step" not in found.events:  # a long run: its start is further back
            found.events = trainer_log.read(cluster.log(pod, limitBytes=HEAD_BYTES)).events | found.events
        return found
    except (Refused, Unreachable):  # the node is gone or does not answer: the rest is still worth saying
        return trainer_log.Progress()
