"""Runs as the cluster has them: find one, list them, its pods, its restarts."""

from __future__ import annotations

from typing import Any

from launcher import keys
from launcher.cluster.api import JSON, Cluster, selector
from launcher.cluster.refusals import Refused
from launcher.errors import ActionError, closest
from launcher.runs import diagnosis


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


def workload(cluster: Cluster, jobset: JSON) -> tuple[str, JSON | None, list[JSON]]:
    """(kind, Kueue's Workload of a queued run or None, all Workloads of the namespace).

    Raises Refused where they may not be read.
    """
    for kind in ("Workload", "OldWorkload"):
        try:
            every, _ = cluster.list(kind)
        except Refused as error:
            if error.status == 404 and kind == "Workload":
                continue
            raise
        uid = jobset["metadata"]["uid"]
        owned = (w for w in every if any(o["uid"] == uid for o in w["metadata"].get("ownerReferences", [])))
        return kind, next(owned, None), every
    return "Workload", None, []


def switch(cluster: Cluster, jobset: JSON, suspended: bool) -> bool:
    """Suspends or resumes a run; False where it was so already.

    Kueue starts whatever it has admitted, so a run of a queue is taken out of it or put back instead.
    Raises ActionError where the run has a queue and Kueue has not seen it.
    """
    name = jobset["metadata"]["name"]
    if keys.QUEUE not in jobset["metadata"].get("labels", {}):
        if jobset["spec"].get("suspend", False) == suspended:
            return False
        cluster.patch("JobSet", name, {"spec": {"suspend": suspended}})
        return True
    kind, own, _ = workload(cluster, jobset)
    if own is None:
        raise ActionError(
            f"run {name!r} is in a queue and Kueue has not seen it yet", "try again in a moment"
        )
    if own["spec"].get("active", True) != suspended:
        return False
    cluster.patch(kind, own["metadata"]["name"], {"spec": {"active": not suspended}})
    return True


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
        "phase": diagnosis.phase(jobset, pods),
        "slice": notes.get(keys.SLICE_NAME, ""),
        "slices": sum(group.get("replicas", 1) for group in jobset["spec"]["replicatedJobs"]),
        "arch": notes.get(keys.ARCH_NAME, ""),
        "hosts": diagnosis.hosts(jobset),
        "restarts": restarts(jobset),
        "created": metadata["creationTimestamp"],
        "run_dir": notes.get(keys.RUN_DIR, ""),
    }
