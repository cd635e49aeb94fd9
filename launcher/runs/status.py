"""The status of a run and why it waits or failed, from a handful of requests whatever its number of pods."""

from __future__ import annotations

import re
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import Any

from launcher import keys
from launcher.cluster.api import JSON, Cluster
from launcher.cluster.refusals import Refused
from launcher.request import exit_codes
from launcher.runs import (
    deaths,
    diagnosis,
    events,
    lookup,
    objects,
    obstacles,
    progress,
    queue,
    rejections,
    startup,
    trainer_log,
)

SLOW_HOST = re.compile(r"slow host ([a-z0-9.-]{1,253}): ")  # in `slow` of a line of progress
NODES_READ = 3  # nodes whose state is read to explain pods that hang
HELD = ("Suspended", "Queued")  # phases in which a run has no pods on purpose


def status(cluster: Cluster, name: str) -> dict[str, Any]:
    """Return what `resnet-launch status --json` prints. Raises ActionError where there is no such run."""
    jobset = lookup.find(cluster, name)
    everything = lookup.pods_of(cluster, name)
    pods, rejected = rejections.split(everything)
    workload, others = workload_of(cluster, jobset)
    row = lookup.row(jobset, pods, workload)
    phase, is_over = row["phase"], diagnosis.is_over(jobset)
    log = progress.read(cluster, pods)
    has_problems = row["restarts"]["total"] or phase in ("Pending", "Restarting", "Failed", "Deleting")
    warnings = events.warnings(cluster, jobset, pods) if has_problems else []
    ended, moved = events.last_end(warnings, exit_codes.annotated(objects.mapping(jobset, "metadata")))
    line = _with_nodes(dict(log.progress), pods) or lookup.noted(jobset, "progress")
    restarts = row["restarts"]
    if is_over:
        line.pop("eta_seconds", None)
    return row | {
        "pods": dict(Counter(objects.text(pod, "status", "phase") or "Pending" for pod in pods)),
        "why": explain(cluster, jobset, everything, phase, warnings, (workload, others)),
        "rejected": {
            "hosts": [] if is_over else rejections.summary(jobset, everything),
            "restarts": rejections.restarts(warnings, restarts["total"] - restarts["counted"]),
        },
        "last_failure": None if moved or phase in HELD else ended,
        "last_preemption": ended if moved else None,
        "failed": None if phase in (*HELD, "Completed") else _first_failure(phase, pods, rejected),
        "progress": line,
        "evaluation": dict(log.evaluate) or lookup.noted(jobset, "evaluation"),
        "best": dict(trainer_log.better(log.best, lookup.noted(jobset, "best"))),  # type: ignore[arg-type]
        "suspended": lookup.suspension(jobset) if phase == "Suspended" else {},
        "startup_seconds": startup.breakdown(jobset, pods, log.events, ended["at"] if ended else ""),
    }


def slow_pod(line: Mapping[str, Any]) -> str:
    """Return the pod that a line of progress calls slow; empty where it names none."""
    match = SLOW_HOST.match(str(line.get("slow", "")))
    return match[1] if match else ""


def with_node(line: dict[str, Any], pod: str, node: str) -> dict[str, Any]:
    """Return a line of progress with the node of this pod, where the line calls it slow."""
    if not node or slow_pod(line) != pod:
        return line
    return line | {"slow": str(line["slow"]).replace(pod, f"{pod} on node {node}", 1)}


def _with_nodes(line: dict[str, Any], pods: list[JSON]) -> dict[str, Any]:
    """Return a line of progress with the node of the pod that it calls slow."""
    slow = slow_pod(line)
    nodes = [objects.text(pod, "spec", "nodeName") for pod in pods if objects.name(pod) == slow]
    return with_node(line, slow, next(iter(nodes), ""))


def _first_failure(phase: str, pods: list[JSON], rejected: list[JSON]) -> dict[str, Any] | None:
    """Return the pod that failed first; a rejected one only where a run failed and no other pod did."""
    return deaths.first_failure(pods) or (deaths.first_failure(rejected) if phase == "Failed" else None)


def explain(
    cluster: Cluster | None,
    jobset: JSON,
    pods: list[JSON],
    phase: str,
    warnings: Sequence[Mapping[str, Any]],
    workloads: tuple[JSON | None, list[JSON] | None],
) -> list[str]:
    """Return the sentences that explain a phase in which a run does not train, or does not end.

    Args:
      cluster: where the nodes of pods that hang are read; None to read none.
      pods: all pods of the run, rejected ones too.
    """
    rejected = rejections.sentences(rejections.summary(jobset, pods))
    held_back = rejections.held_back(jobset, pods)
    pods, _ = rejections.split(pods)
    name, now = objects.name(jobset), time.time()
    workload, others = workloads
    if phase == "Failed":
        return [diagnosis.failure(jobset)]
    if phase == "Suspended":
        by_kueue = queue.deactivation(workload, name) if workload else ""
        return [by_kueue or _suspended(jobset)]
    if phase == "Queued":
        if others is None:
            return ["queued by Kueue; you may not read the Workloads that say why"]
        priority = objects.text(jobset, "metadata", "labels", keys.PRIORITY)
        return queue.explain_wait(workload, others, name, priority)
    if diagnosis.runs_elsewhere(jobset):
        return queue.explain_remote(jobset, workload)
    nodes = _nodes(cluster, obstacles.suspicious_nodes(pods, now)) if cluster else {}
    ending = obstacles.ending_problems(pods, nodes, now)
    if phase == "Completed":
        return [deaths.cause(death) for death in deaths.deaths(pods)]
    if phase == "Deleting":
        return ending + _finalizers(jobset)
    if phase == "Running":
        return ending
    living = [pod for pod in pods if not objects.text(pod, "metadata", "deletionTimestamp")]
    problems = ending + rejected + held_back + obstacles.start_problems(pods)
    problems += obstacles.creation_problems(warnings, pods, len(living) < diagnosis.hosts(jobset))
    return problems or obstacles.slow_starts(jobset, pods, now)


def _finalizers(jobset: JSON) -> list[str]:
    """Return which finalizers keep a deleted JobSet, besides the one that waits for its pods."""
    kept = objects.mapping(jobset, "metadata").get("finalizers")
    names = [str(entry) for entry in kept if entry != "foregroundDeletion"] if isinstance(kept, list) else []
    return [f"finalizers keep its JobSet: {', '.join(names)}"] if names else []


def _suspended(jobset: JSON) -> str:
    note = lookup.suspension(jobset)
    by = f" by {note['by']}" if note.get("by") else ""
    return f"it was suspended{by}: resnet-launch resume {objects.name(jobset)}"


def workload_of(cluster: Cluster, jobset: JSON) -> tuple[JSON | None, list[JSON] | None]:
    """Return (Kueue's Workload of a run that Kueue may hold, all Workloads); None where none may be read."""
    held = objects.mapping(jobset, "spec").get("suspend") or diagnosis.runs_elsewhere(jobset)
    if not held or diagnosis.is_over(jobset):
        return None, []
    try:
        _, own, others = lookup.workload(cluster, jobset)
    except Refused:
        return None, None
    return own, others


def _nodes(cluster: Cluster, names: list[str]) -> dict[str, JSON | None]:
    """Return these nodes, None for one that does not exist; without those that may not be read."""
    nodes: dict[str, JSON | None] = {}
    for name in names[:NODES_READ]:
        matching = lookup.readable(
            lambda name=name: cluster.list("Node", "", fieldSelector=f"metadata.name={name}")[0]
        )
        if matching is not None:
            nodes[name] = next((node for node in matching if objects.name(node) == name), None)
    return nodes
