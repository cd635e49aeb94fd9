"""The rows of `resnet-launch list`: every run with its phase, its progress and a short reason."""

from __future__ import annotations

import time
from concurrent.futures import ThreadPoolExecutor
from typing import Any

from launcher import keys
from launcher.cluster.api import JSON, Cluster, Unreachable, selector
from launcher.cluster.refusals import Refused
from launcher.runs import (
    deaths,
    diagnosis,
    lookup,
    objects,
    obstacles,
    progress,
    queue,
    rejections,
    trainer_log,
)

DETAILED_ROWS = 30  # newest runs of a list for which pods and logs are read
TAIL_LINES = 20
THREADS = 8


def rows(cluster: Cluster, all_namespaces: bool = False) -> list[dict[str, Any]]:
    """Return what `resnet-launch list --json` prints: a row for each run, newest first.

    Progress and reasons are read for the newest runs only.
    """
    jobsets = lookup.list_runs(cluster, all_namespaces)
    suspended = any(objects.mapping(jobset, "spec").get("suspend") for jobset in jobsets)
    workloads = lookup.readable_workloads(cluster, all_namespaces) if suspended else []

    def detailed(jobset: JSON) -> dict[str, Any]:
        own = lookup.owned_by(jobset, workloads)
        pods: list[JSON] | None = lookup.readable(lambda: _pods(cluster, jobset))
        row = lookup.row(jobset, pods and rejections.split(pods)[0], own)
        return row | {
            "progress": _progress(cluster, jobset, pods or []),
            "reason": _reason(jobset, pods, own, row),
        }

    def plain(jobset: JSON) -> dict[str, Any]:
        own = lookup.owned_by(jobset, workloads)
        row = lookup.row(jobset, None, own)
        return row | {"progress": {}, "reason": _reason(jobset, None, own, row)}

    with ThreadPoolExecutor(THREADS) as pool:
        newest = list(pool.map(detailed, jobsets[:DETAILED_ROWS]))
    return newest + [plain(jobset) for jobset in jobsets[DETAILED_ROWS:]]


def _reason(jobset: JSON, pods: list[JSON] | None, workload: JSON | None, row: dict[str, Any]) -> str:
    """Return one short reason why a run does not train; empty where it does, or where none is known."""
    match row["phase"]:
        case "Failed":
            others, rejected = rejections.split(pods or [])
            failure = deaths.first_failure(others) or deaths.first_failure(rejected)
            return failure["meaning"] if failure else diagnosis.failure(jobset)
        case "Queued" if workload is not None:
            return queue.explain_wait(workload, [], row["name"])[0]
        case "Suspended":
            if by_kueue := queue.deactivation(workload or {}, row["name"]):
                return by_kueue
            by = lookup.suspension(jobset).get("by")
            return f"suspended by {by}" if by else "suspended"
        case "Pending" | "Restarting" | "Running":
            now = time.time()
            living, _ = rejections.split(pods or [])
            reasons = obstacles.ending_problems(living, {}, now) + obstacles.start_problems(living)
            if row["phase"] != "Running":
                reasons += rejections.sentences(rejections.summary(jobset, pods or []))
            return reasons[0] if reasons else ""
    return ""


def _pods(cluster: Cluster, jobset: JSON) -> list[JSON]:
    """Return the pods of a run; only the first host's of a completed one, for its last step."""
    namespace = objects.text(jobset, "metadata", "namespace") or None
    chosen = selector(objects.name(jobset))
    if diagnosis.condition(jobset, "Completed"):
        chosen += f",{keys.JOB_INDEX}=0,{keys.COMPLETION_INDEX}=0"
    return sorted(cluster.list("Pod", namespace, labelSelector=chosen)[0], key=lookup.slice_and_host)


def _progress(cluster: Cluster, jobset: JSON, pods: list[JSON]) -> dict[str, Any]:
    """Return the newest progress line of a run that trains, or what was noted when it was suspended."""
    first = progress.first_host(pods)
    if first is None or objects.text(jobset, "metadata", "namespace") not in ("", cluster.namespace):
        return lookup.noted(jobset, "progress")
    try:
        return dict(trainer_log.read(cluster.log(objects.name(first), tailLines=TAIL_LINES)).progress)
    except (Refused, Unreachable):
        return {}
