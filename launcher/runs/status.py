"""The status of a run and why it waits or failed, from a handful of requests whatever its number of pods."""

from __future__ import annotations

from collections import Counter
from typing import Any

from launcher.cluster.api import JSON, Cluster, Unreachable
from launcher.cluster.refusals import Refused
from launcher.runs import diagnosis, lookup, queue, startup, trainer_log

TAIL_LINES = 400  # end of the first host's log, which has the newest progress
HEAD_BYTES = 1 << 18  # start of the same log, which has the events before the first step


def status(cluster: Cluster, name: str) -> dict[str, Any]:
    """Return what `resnet-launch status --json` prints. Raises ActionError where there is no such run."""
    jobset = lookup.find(cluster, name)
    pods = lookup.pods_of(cluster, name)
    row = lookup.row(jobset, pods)
    log = _read_log(cluster, pods)
    has_problems = row["restarts"]["total"] or row["phase"] in ("Pending", "Restarting", "Failed")
    events = _warnings(cluster, name) if has_problems else []
    failure = diagnosis.last_failure(events)
    return row | {
        "pods": dict(Counter(pod["status"].get("phase", "Pending") for pod in pods)),
        "why": _why(cluster, jobset, pods, row["phase"], events),
        "last_failure": failure,
        "failed": diagnosis.first_failure(pods),
        "progress": log.progress,
        "evaluation": log.evaluate,
        "startup_seconds": startup.breakdown(jobset, pods, log.events, failure["at"] if failure else ""),
    }


def _why(cluster: Cluster, jobset: JSON, pods: list[JSON], phase: str, events: list[JSON]) -> list[str]:
    """Return the sentences that explain a phase in which the run does not train."""
    name = jobset["metadata"]["name"]
    if phase == "Failed":
        failed = diagnosis.condition(jobset, "Failed") or {}
        return [failed.get("message", "")]
    if phase == "Suspended":
        return [f"it was suspended: resnet-launch resume {name}"]
    if phase == "Queued":
        try:
            _, workload, workloads = lookup.workload(cluster, jobset)
        except Refused:
            return ["queued by Kueue; you may not read the Workloads that say why"]
        return queue.explain_wait(workload, workloads, name)
    if phase in ("Pending", "Restarting"):
        problems = diagnosis.start_problems(pods)
        if problems and len(pods) == diagnosis.hosts(jobset):
            return problems
        return problems + diagnosis.creation_problems(events)
    return []


def _warnings(cluster: Cluster, name: str) -> list[JSON]:
    """Return warning events about the run's jobs and pods, whose names begin with the run's name."""
    try:
        events, _ = cluster.list("Event", fieldSelector="type=Warning")
    except Refused:
        return []
    return [event for event in events if event["involvedObject"].get("name", "").startswith(f"{name}-")]


def _read_log(cluster: Cluster, pods: list[JSON]) -> trainer_log.LogSummary:
    """Return the newest lines of the first host's log; an empty summary where there is no readable log."""
    first = next(
        (pod for pod in pods if lookup.slice_and_host(pod) == (0, 0) and startup.container_start(pod)), None
    )
    if first is None:
        return trainer_log.LogSummary()
    pod = first["metadata"]["name"]
    try:
        log = trainer_log.read(cluster.log(pod, tailLines=TAIL_LINES))
        if log.progress and "first_step" not in log.events:  # a long run: its start is no longer in the tail
            log.events = trainer_log.read(cluster.log(pod, limitBytes=HEAD_BYTES)).events | log.events
        return log
    except (Refused, Unreachable):  # the node is gone or does not respond: show the status without a log
        return trainer_log.LogSummary()
