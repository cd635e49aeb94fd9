"""Runs as the cluster has them: find one, list them, its pods, its restarts."""

from __future__ import annotations

from typing import Any

from launcher import keys, reasons
from launcher.cluster import JSON, Cluster, selector
from launcher.errors import ActionError, closest


def find(cluster: Cluster, name: str) -> JSON:
    """The JobSet of a run.

    Raises:
      ActionError: there is none in the namespace; names the closest that is.
    """
    if found := cluster.get("JobSet", name):
        return found
    known = [thing["metadata"]["name"] for thing in runs(cluster)]
    hint = closest(name, known) or "resnet-launch list shows the runs of a namespace"
    raise ActionError(f"no run {name!r} in namespace {cluster.namespace}", hint)


def runs(cluster: Cluster, everywhere: bool = False) -> list[JSON]:
    """The JobSets that the launcher made, newest first."""
    found, _ = cluster.list("JobSet", "" if everywhere else None, labelSelector=f"{keys.NAME}={keys.APP}")
    return sorted(found, key=lambda thing: thing["metadata"]["creationTimestamp"], reverse=True)


def pods_of(cluster: Cluster, name: str) -> list[JSON]:
    """The pods of a run, slice by slice and host by host."""
    found, _ = cluster.list("Pod", labelSelector=selector(name))
    return sorted(found, key=place)


def place(pod: JSON) -> tuple[int, int]:
    """(slice, host) of a pod."""
    labels = pod["metadata"]["labels"]
    return int(labels.get(keys.JOB_INDEX, 0)), int(labels.get(keys.COMPLETION_INDEX, 0))


def delete_companions(cluster: Cluster, name: str) -> None:
    """Deletes what was applied beside the JobSet: the ComputeDomain of a run on GB200."""
    if cluster.knows("ComputeDomain"):
        for thing in cluster.list("ComputeDomain", labelSelector=f"{keys.INSTANCE}={name}")[0]:
            cluster.delete("ComputeDomain", thing["metadata"]["name"])


def restarts(jobset: JSON) -> dict[str, int]:
    """How often the run was restarted, how often that counted, and how often it may count."""
    status = jobset.get("status", {})
    return {
        "total": status.get("restarts", 0),
        "counted": status.get("restartsCountTowardsMax", 0),
        "max": jobset["spec"].get("failurePolicy", {}).get("maxRestarts", 0),
    }


def row(jobset: JSON, pods: list[JSON] | None = None) -> dict[str, Any]:
    """One line of `list`, ready for JSON."""
    metadata = jobset["metadata"]
    notes = metadata.get("annotations", {})
    return {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "phase": reasons.phase(jobset, pods),
        "slice": notes.get(keys.SLICE_NAME, ""),
        "slices": sum(group.get("replicas", 1) for group in jobset["spec"]["replicatedJobs"]),
        "arch": notes.get(keys.ARCH_NAME, ""),
        "hosts": reasons.hosts(jobset),
        "restarts": restarts(jobset),
        "created": metadata["creationTimestamp"],
        "run_dir": notes.get(keys.RUN_DIR, ""),
    }
