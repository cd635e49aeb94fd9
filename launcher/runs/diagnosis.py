"""The phase of a run and why it waits or failed: sentences from API objects, by pure functions."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from launcher import contract, keys

JSON = Mapping[str, Any]
IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
NORMAL_WAITS = {"ContainerCreating", "PodInitializing"}  # slow perhaps, but no problem
NOT_CREATED = {"FailedMount", "FailedAttachVolume", "FailedCreate", "FailedCreatePodSandBox"}
JOB_FAILED = {"BackoffLimitExceeded", "PodFailurePolicy", "DeadlineExceeded"}
SIGNAL_MEANINGS = {  # 128 + n: exit code of a process that signal n ended
    134: "aborted: a peer or the coordinator was lost",
    137: "killed: out of memory, or not ended within the grace period",
    139: "crashed",
}


def condition(obj: JSON, kind: str) -> JSON | None:
    """Return the object's condition of this type where its status is True, else None."""
    for entry in obj.get("status", {}).get("conditions", []):
        if entry["type"] == kind and entry["status"] == "True":
            return entry
    return None


def phase(jobset: JSON, pods: Sequence[JSON] | None = None) -> str:
    """Return Completed, Failed, Deleting, Queued, Suspended, Running, Restarting or Pending.

    Without pods the phase comes from the counts in the JobSet's status, which lag by about a second.
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
    """Return whether every host runs or has finished."""
    if pods is not None:
        return hosts(jobset) == sum(pod["status"].get("phase") in ("Running", "Succeeded") for pod in pods)
    groups = jobset.get("status", {}).get("replicatedJobsStatus", [])
    jobs = sum(group.get("ready", 0) + group.get("succeeded", 0) for group in groups)
    return jobs >= sum(group.get("replicas", 1) for group in jobset["spec"]["replicatedJobs"])


def hosts(jobset: JSON) -> int:
    """Return the number of pods of a complete run, over all slices."""
    return sum(
        group.get("replicas", 1) * group["template"]["spec"]["parallelism"]
        for group in jobset["spec"]["replicatedJobs"]
    )


def start_problems(pods: Iterable[JSON]) -> list[str]:
    """Return what keeps pods from starting, such as no node, no image or no secret; each problem once."""
    counts: Counter[str] = Counter()
    for pod in pods:
        for entry in pod["status"].get("conditions", []):
            if entry["type"] == "PodScheduled" and entry["status"] == "False":
                message = entry.get("message") or entry["reason"]
                counts[f"no node for the pod: {_without_preemption(message)}"] += 1
        states = pod["status"].get("containerStatuses", []) + pod["status"].get("initContainerStatuses", [])
        for container in states:
            waiting = container["state"].get("waiting")
            if waiting and waiting.get("reason") not in NORMAL_WAITS:
                subject = "image" if waiting.get("reason") in IMAGE_REASONS else "container"
                message = f": {waiting['message']}" if waiting.get("message") else ""
                counts[f"{subject} {container['image']}: {waiting['reason']}{message}"] += 1
    return [f"{text} ({count} pods)" if count > 1 else text for text, count in counts.items()]


def creation_problems(events: Iterable[JSON]) -> list[str]:
    """Return warnings about pods that were not created and volumes that were not mounted, each once."""
    texts = [
        f"{event['reason']}: {_without_pod_name(event.get('message', ''))}"
        for event in events
        if event.get("reason") in NOT_CREATED
    ]
    return list(dict.fromkeys(texts))


def _without_preemption(message: str) -> str:
    """Return the scheduler's message without its second half, which is about preempting other pods."""
    return re.sub(r"\.?( no new claims to deallocate,)? preemption: .*", "", message, flags=re.DOTALL)


def _without_pod_name(message: str) -> str:
    """Return a message without the pod's generated name, so that it is the same for each pod."""
    return re.sub(r'^Error creating: pods "[^"]+" is forbidden: ', "no pod can be created: ", message)


def last_failure(events: Iterable[JSON]) -> dict[str, str] | None:
    """Return time and message of the run's last failed Job; None where none failed or its event expired."""
    failed = [
        event
        for event in events
        if event["involvedObject"].get("kind") == "Job" and event.get("reason") in JOB_FAILED
    ]
    if not failed:
        return None
    last = max(failed, key=_time)
    return {"at": _time(last), "message": last.get("message", "")}


def _time(event: JSON) -> str:
    return event.get("lastTimestamp") or event.get("eventTime") or ""


def first_failure(pods: Iterable[JSON]) -> dict[str, Any] | None:
    """Return the pod that failed first: pod, exit_code (None if no container ended), meaning, message."""
    failed = []
    for pod in pods:
        state = _final_state(pod)
        if state and state.get("exitCode") != 0:
            failed.append((state.get("finishedAt") or "", pod["metadata"]["name"], state))
    if not failed:
        return None
    _, name, state = min(failed, key=lambda row: row[:2])
    return {
        "pod": name,
        "exit_code": state.get("exitCode"),
        "meaning": _meaning(state),
        "message": (state.get("message") or "").strip(),
    }


def _final_state(pod: JSON) -> JSON | None:
    """Return the terminated state of the trainer's container, else the status of a failed (evicted) pod."""
    for container in pod["status"].get("containerStatuses", []):
        if container["name"] == "trainer" and "terminated" in container["state"]:
            return container["state"]["terminated"]
    return pod["status"] if pod["status"].get("phase") == "Failed" else None


def _meaning(state: JSON) -> str:
    """Return the meaning of the exit code; for an unknown code, the kubelet's reason."""
    meanings = SIGNAL_MEANINGS | contract.meanings()
    return meanings.get(state.get("exitCode", -1)) or state.get("reason", "")
