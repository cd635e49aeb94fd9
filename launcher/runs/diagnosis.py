"""Why a run waits or failed: pure functions from objects of the API to sentences."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from launcher import keys

JSON = Mapping[str, Any]
IMAGE = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
SLOW = {"ContainerCreating", "PodInitializing"}  # no fault in itself
UNMADE = {"FailedMount", "FailedAttachVolume", "FailedCreate", "FailedCreatePodSandBox"}
JOB_FAILED = {"BackoffLimitExceeded", "PodFailurePolicy", "DeadlineExceeded"}


def condition(thing: JSON, kind: str) -> JSON | None:
    """A condition that is true, or None."""
    for found in thing.get("status", {}).get("conditions", []):
        if found["type"] == kind and found["status"] == "True":
            return found
    return None


def phase(jobset: JSON, pods: Sequence[JSON] | None = None) -> str:
    """Completed, Failed, Deleting, Queued, Suspended, Running, Restarting or Pending.

    Without its pods a run is judged by what JobSet has counted, a second or so later.
    """
    if jobset["metadata"].get("deletionTimestamp"):
        return "Deleting"
    for kind in ("Completed", "Failed"):
        if condition(jobset, kind):
            return kind
    if jobset["spec"].get("suspend"):
        return "Queued" if keys.QUEUE in jobset["metadata"].get("labels", {}) else "Suspended"
    if _is_running(jobset, pods):
        return "Running"
    failed = any(pod["status"].get("phase") == "Failed" for pod in pods or ())
    return "Restarting" if failed or jobset.get("status", {}).get("restarts") else "Pending"


def _is_running(jobset: JSON, pods: Sequence[JSON] | None) -> bool:
    """Whether every host is at work, or has done its part."""
    if pods is not None:
        return hosts(jobset) == sum(pod["status"].get("phase") in ("Running", "Succeeded") for pod in pods)
    counted = jobset.get("status", {}).get("replicatedJobsStatus", [])
    jobs = sum(group.get("ready", 0) + group.get("succeeded", 0) for group in counted)
    return jobs >= sum(group.get("replicas", 1) for group in jobset["spec"]["replicatedJobs"])


def hosts(jobset: JSON) -> int:
    """Pods that the run must have, over all slices."""
    return sum(
        j.get("replicas", 1) * j["template"]["spec"]["parallelism"] for j in jobset["spec"]["replicatedJobs"]
    )


def scheduling(pods: Iterable[JSON]) -> list[str]:
    """What keeps pods from starting: no node, no image, no secret; the same reason is said once."""
    found: Counter[str] = Counter()
    for pod in pods:
        for c in pod["status"].get("conditions", []):
            if c["type"] == "PodScheduled" and c["status"] == "False":
                found[f"no node for the pod: {_without_preemption(c.get('message') or c['reason'])}"] += 1
        states = pod["status"].get("containerStatuses", []) + pod["status"].get("initContainerStatuses", [])
        for container in states:
            waiting = container["state"].get("waiting")
            if waiting and waiting.get("reason") not in SLOW:
                what = "image" if waiting.get("reason") in IMAGE else "container"
                said = waiting.get("message") or ""
                found[f"{what} {container['image']}: {waiting['reason']}{': ' if said else ''}{said}"] += 1
    return [f"{text} ({count} pods)" if count > 1 else text for text, count in found.items()]


def events(found: Iterable[JSON]) -> list[str]:
    """Warnings about volumes and pods that could not be made, newest last, each once."""
    texts = [f"{e['reason']}: {_refusal(e.get('message', ''))}" for e in found if e.get("reason") in UNMADE]
    return list(dict.fromkeys(texts))


def _without_preemption(said: str) -> str:
    """The scheduler's message without its second half, which says that nobody else can be driven out."""
    return re.sub(r"\.?( no new claims to deallocate,)? preemption: .*", "", said, flags=re.DOTALL)


def _refusal(said: str) -> str:
    """A message without the generated name of the pod: what is said of each pod is then the same."""
    return re.sub(r'^Error creating: pods "[^"]+" is forbidden: ', "no pod may be made: ", said)


def last_failure(found: Iterable[JSON]) -> dict[str, str] | None:
    """When and why one of a run's Jobs failed last; None where none did or its event is forgotten."""
    failed = [e for e in found if e["involvedObject"].get("kind") == "Job" and e.get("reason") in JOB_FAILED]
    if not failed:
        return None
    last = max(failed, key=_when)
    return {"at": _when(last), "message": last.get("message", "")}


def _when(event: JSON) -> str:
    return event.get("lastTimestamp") or event.get("eventTime") or ""


def first_failure(pods: Iterable[JSON]) -> dict[str, Any] | None:
    """The pod that failed first: its name, exit code (None if no container ended), reason, last words."""
    ended = []
    for pod in pods:
        state = _ended(pod)
        if state and state.get("exitCode") != 0:
            ended.append((state.get("finishedAt") or "", pod["metadata"]["name"], state))
    if not ended:
        return None
    _, name, state = min(ended, key=lambda row: row[:2])
    return {
        "pod": name,
        "exit_code": state.get("exitCode"),
        "meaning": MEANINGS.get(state.get("exitCode", 0), state.get("reason", "")),
        "message": (state.get("message") or "").strip(),
    }


def _ended(pod: JSON) -> JSON | None:
    """How the trainer's container ended, or else the pod itself, as after an eviction."""
    for container in pod["status"].get("containerStatuses", []):
        if container["name"] == "trainer" and "terminated" in container["state"]:
            return container["state"]["terminated"]
    return pod["status"] if pod["status"].get("phase") == "Failed" else None


# The trainer's table, and what the kernel and the kubelet add to it.
MEANINGS = {
    42: "preempted, state saved",
    43: "failed, may be retried",
    44: "cannot succeed",
    45: "hung",
    134: "aborted: a peer or the coordinator was lost",
    137: "killed: out of memory, or not gone within its grace",
    139: "crashed",
}
