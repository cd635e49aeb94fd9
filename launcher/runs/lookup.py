"""Runs on a cluster: find one or list all, read pods and restarts, suspend and resume."""

from __future__ import annotations

from typing import Any

from launcher import keys
from launcher.cluster.api import JSON, Cluster, selector
from launcher.cluster.refusals import Refused
from launcher.errors import ActionError, closest
from launcher.runs import diagnosis


def find(cluster: Cluster, name: str) -> JSON:
    """Return the JobSet of a run.

    Raises:
      ActionError: the namespace has no such run; the hint names the closest one.
    """
    if jobset := cluster.get("JobSet", name):
        return jobset
    known = [run["metadata"]["name"] for run in list_runs(cluster)]
    hint = closest(name, known) or "resnet-launch list shows the runs of the namespace"
    raise ActionError(f"no run {name!r} in namespace {cluster.namespace}", hint)


def list_runs(cluster: Cluster, all_namespaces: bool = False) -> list[JSON]:
    """Return the JobSets that the launcher created, newest first."""
    jobsets, _ = cluster.list(
        "JobSet", "" if all_namespaces else None, labelSelector=f"{keys.NAME}={keys.APP}"
    )
    return sorted(jobsets, key=lambda jobset: jobset["metadata"]["creationTimestamp"], reverse=True)


def pods_of(cluster: Cluster, name: str) -> list[JSON]:
    """Return the pods of a run, slice by slice and host by host."""
    pods, _ = cluster.list("Pod", labelSelector=selector(name))
    return sorted(pods, key=slice_and_host)


def slice_and_host(pod: JSON) -> tuple[int, int]:
    """Return (slice, host) of a pod, both from 0."""
    labels = pod["metadata"]["labels"]
    return int(labels.get(keys.JOB_INDEX, 0)), int(labels.get(keys.COMPLETION_INDEX, 0))


def workload(cluster: Cluster, jobset: JSON) -> tuple[str, JSON | None, list[JSON]]:
    """Return (kind, Kueue's Workload of the run or None, all Workloads of the namespace).

    `kind` is the key in api.GROUPS for the API version that this Kueue serves.
    Raises Refused where Workloads may not be read.
    """
    for kind in ("Workload", "OldWorkload"):
        try:
            workloads, _ = cluster.list(kind)
        except Refused as error:
            if error.status == 404 and kind == "Workload":
                continue
            raise
        uid = jobset["metadata"]["uid"]
        owned = (entry for entry in workloads if uid in _owner_uids(entry))
        return kind, next(owned, None), workloads
    return "Workload", None, []


def _owner_uids(obj: JSON) -> list[str]:
    return [owner["uid"] for owner in obj["metadata"].get("ownerReferences", [])]


def set_suspended(cluster: Cluster, jobset: JSON, suspended: bool) -> bool:
    """Suspend or resume a run. Return False where it already was in that state.

    Kueue unsuspends every JobSet it has admitted. A run with a queue is therefore switched by its Workload's
    `active` field, which takes it out of the queue or puts it back.
    Raises ActionError where Kueue has not created the Workload yet.
    """
    name = jobset["metadata"]["name"]
    if keys.QUEUE not in jobset["metadata"].get("labels", {}):
        if jobset["spec"].get("suspend", False) == suspended:
            return False
        cluster.patch("JobSet", name, {"spec": {"suspend": suspended}})
        return True
    kind, queued, _ = workload(cluster, jobset)
    if queued is None:
        raise ActionError(
            f"run {name!r} is in a queue and Kueue has not seen it yet", "try again in a moment"
        )
    if queued["spec"].get("active", True) != suspended:
        return False
    cluster.patch(kind, queued["metadata"]["name"], {"spec": {"active": not suspended}})
    return True


def delete_companions(cluster: Cluster, name: str) -> None:
    """Delete the objects that were applied with the JobSet: the ComputeDomain of a run on GB200."""
    if cluster.serves("ComputeDomain"):
        for domain in cluster.list("ComputeDomain", labelSelector=f"{keys.INSTANCE}={name}")[0]:
            cluster.delete("ComputeDomain", domain["metadata"]["name"])


def restarts(jobset: JSON) -> dict[str, int]:
    """Return the numbers of restarts: in total, counted against the limit, and the limit."""
    status = jobset.get("status", {})
    return {
        "total": status.get("restarts", 0),
        "counted": status.get("restartsCountTowardsMax", 0),
        "max": jobset["spec"].get("failurePolicy", {}).get("maxRestarts", 0),
    }


def row(jobset: JSON, pods: list[JSON] | None = None) -> dict[str, Any]:
    """Return one row of `resnet-launch list`, ready for JSON."""
    metadata = jobset["metadata"]
    annotations = metadata.get("annotations", {})
    return {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "phase": diagnosis.phase(jobset, pods),
        "slice": annotations.get(keys.SLICE_NAME, ""),
        "slices": sum(group.get("replicas", 1) for group in jobset["spec"]["replicatedJobs"]),
        "arch": annotations.get(keys.ARCH_NAME, ""),
        "hosts": diagnosis.hosts(jobset),
        "restarts": restarts(jobset),
        "created": metadata["creationTimestamp"],
        "run_dir": annotations.get(keys.RUN_DIR, ""),
    }
