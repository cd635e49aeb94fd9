"""The state of a run, read from the cluster in a few requests, however many pods it has."""

from __future__ import annotations

import datetime
import itertools
from collections import Counter
from typing import Any

from launcher import keys, progress, reasons
from launcher.cluster import JSON, Cluster, selector
from launcher.errors import ActionError, closest
from launcher.refusals import Refused

TAIL_LINES = 400  # of the first pod's log: enough for start-up events and the newest progress


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


def delete_companions(cluster: Cluster, name: str) -> None:
    """Deletes what was applied beside the JobSet: the ComputeDomain of a run on GB300, where there is one."""
    if cluster.knows("ComputeDomain"):
        for thing in cluster.list("ComputeDomain", labelSelector=f"{keys.INSTANCE}={name}")[0]:
            cluster.delete("ComputeDomain", thing["metadata"]["name"])


def pods_of(cluster: Cluster, name: str) -> list[JSON]:
    """The pods of a run, slice by slice and host by host."""
    found, _ = cluster.list("Pod", labelSelector=selector(name))
    return sorted(found, key=place)


def place(pod: JSON) -> tuple[int, int]:
    """(slice, host) of a pod."""
    labels = pod["metadata"]["labels"]
    return int(labels.get(keys.JOB_INDEX, 0)), int(labels.get(keys.COMPLETION_INDEX, 0))


def restarts(jobset: JSON) -> dict[str, int]:
    """How often the run was restarted, how often that counted, and how often it may count."""
    status = jobset.get("status", {})
    return {
        "total": status.get("restarts", 0),
        "counted": status.get("restartsCountTowardsMax", 0),
        "max": jobset["spec"].get("failurePolicy", {}).get("maxRestarts", 0),
    }


def row(jobset: JSON, pods: list[JSON] | None = None) -> dict[str, Any]:
    """One line of `list`; without pods a run that is not over or queued is just "Active"."""
    metadata = jobset["metadata"]
    notes = metadata.get("annotations", {})
    state = reasons.phase(jobset, pods or [])
    if pods is None and state in ("Pending", "Restarting", "Running"):
        state = "Active"
    return {
        "name": metadata["name"],
        "namespace": metadata["namespace"],
        "phase": state,
        "slice": notes.get(keys.SLICE_NAME, ""),
        "arch": notes.get(keys.ARCH_NAME, ""),
        "hosts": reasons.hosts(jobset),
        "restarts": restarts(jobset),
        "created": metadata["creationTimestamp"],
        "run_dir": notes.get(keys.RUN_DIR, ""),
    }


def status(cluster: Cluster, name: str) -> dict[str, Any]:
    """Everything `status` shows, ready for JSON."""
    jobset = find(cluster, name)
    pods = pods_of(cluster, name)
    found = row(jobset, pods)
    said = _progress(cluster, pods)
    return found | {
        "pods": dict(Counter(pod["status"].get("phase", "Pending") for pod in pods)),
        "why": _why(cluster, jobset, pods, found["phase"]),
        "failed": reasons.first_failure(pods),
        "progress": said.progress,
        "evaluation": said.evaluate,
        "startup_seconds": startup(jobset, pods, said),
    }


def startup(jobset: JSON, pods: list[JSON], said: progress.Progress) -> dict[str, float]:
    """Seconds from each milestone of the newest attempt to the next: where the start-up time goes."""
    times: dict[str, float] = {}
    if pods and not jobset.get("status", {}).get("restarts"):
        times["submitted"] = _unix(jobset["metadata"]["creationTimestamp"])
    if pods:
        times["pods created"] = max(_unix(pod["metadata"]["creationTimestamp"]) for pod in pods)
        starts = [_unix(t) for pod in pods if (t := container_start(pod))]
        if len(starts) == len(pods):
            times["containers started"] = max(starts)
    for event, shown in (("joined", "joined"), ("compiled", "compiled"), ("first_step", "first step")):
        if event in said.events:
            times[shown] = said.events[event]
    names = list(times)
    return {b: round(max(times[b] - times[a], 0.0), 1) for a, b in itertools.pairwise(names)}


def _why(cluster: Cluster, jobset: JSON, pods: list[JSON], state: str) -> list[str]:
    if over := reasons.condition(jobset, "Failed"):
        return [over.get("message", "")]
    if state == "Queued":
        workloads = _workloads(cluster)
        if workloads is None:
            return ["queued by Kueue; its Workloads may not be read here"]
        uid = jobset["metadata"]["uid"]
        own = [w for w in workloads if any(o["uid"] == uid for o in w["metadata"].get("ownerReferences", []))]
        return reasons.queueing(own[0] if own else None, workloads)
    if state in ("Pending", "Restarting"):
        found = reasons.scheduling(pods)
        return found or reasons.events(_events(cluster, jobset["metadata"]["name"]))
    return []


def _workloads(cluster: Cluster) -> list[JSON] | None:
    try:
        return cluster.list("Workload")[0]
    except Refused:
        return None


def _events(cluster: Cluster, name: str) -> list[JSON]:
    """Warnings about the run's jobs and pods; their names begin with the run's."""
    try:
        found, _ = cluster.list("Event", fieldSelector="type=Warning")
    except Refused:
        return []
    return [e for e in found if e["involvedObject"].get("name", "").startswith(f"{name}-")]


def _progress(cluster: Cluster, pods: list[JSON]) -> progress.Progress:
    """From the log of the first host; nothing where it has none yet."""
    first = next((pod for pod in pods if place(pod) == (0, 0) and container_start(pod)), None)
    if first is None:
        return progress.Progress()
    try:
        return progress.read(cluster.log(first["metadata"]["name"], tailLines=TAIL_LINES))
    except Refused:
        return progress.Progress()


def container_start(pod: JSON) -> str | None:
    for container in pod["status"].get("containerStatuses", []):
        state = container["state"].get("running") or container["state"].get("terminated")
        if container["name"] == "trainer" and state:
            return state.get("startedAt")
    return None


def _unix(text: str) -> float:
    return datetime.datetime.fromisoformat(text.replace("Z", "+00:00")).timestamp()
