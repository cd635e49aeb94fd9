"""How pods ended: the cause that the API gives, and which pod was the first. Pure.

The API names a cause in four places. The first that has one counts: the pod's condition DisruptionTarget, the
pod's own reason and message, the container's reason, its exit code.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import asdict, dataclass, replace
from typing import Any

from launcher.request import exit_codes
from launcher.runs import objects

JSON = Mapping[str, Any]
TRAINER = "trainer"
UNPACKER = (
    "code"  # init container of a run with --code; its exit codes are the trainer's, whatever the program's
)
ABORTED = 134  # a consequence as a rule: JAX aborts a process whose peer or coordinator is lost
DISRUPTIONS = {  # reason of the condition DisruptionTarget -> cause
    "PreemptionByScheduler": "preempted by the scheduler for a pod of higher priority",
    "EvictionByEvictionAPI": "evicted through the API, as a drain of its node does",
    "DeletionByTaintManager": "evicted because its node has a taint, as a node that does not answer has",
    "DeletionByDeviceTaintManager": "evicted because a device has a taint",
    "DeletionByPodGC": "removed because its node is gone",
    "TerminationByKubelet": "ended by its node",
}
POD_REASONS = {  # reason of a pod -> cause
    "Evicted": "evicted by its node, which lacked a resource",
    "Preempting": "ended by its node for a critical pod",
    "Terminated": "ended because its node shut down",
    "Shutdown": "ended because its node shut down",
    "NodeShutdown": "rejected because its node was shutting down",
    "NodeLost": "lost: its node does not answer",
    "DeadlineExceeded": "ended because its time limit had passed",
    "UnexpectedAdmissionError": "rejected by its node",
    "NodeAffinity": "rejected by its node, whose labels do not match",
}
REJECTED = "OutOf"  # start of the reason of a pod that its node has no room for, such as OutOfcpu
CONTAINER_REASONS = {  # reason of a container -> cause; the exit code beside some of them is invented
    "ContainerStatusUnknown": "lost: its node could not say how it ended",
    "Unknown": "lost by its node, which restarted, or whose container runtime did",
    "StartError": "could not be started",
    "ContainerCannotRun": "could not be started",
    "DeadlineExceeded": "ended because its time limit had passed",
}
INVENTED = {"ContainerStatusUnknown"}
SIGNALS = {  # 128 + n: exit code of a process that signal n ended
    ABORTED: "aborted: a peer or the coordinator was lost",
    135: "crashed (bus error)",
    136: "crashed (arithmetic error)",
    139: "crashed (invalid memory access)",
    143: "ended by SIGTERM before it could save its state",
}
KILLED = 137


@dataclass(frozen=True, kw_only=True)
class Death:
    """How one pod ended; `exit_code` is None where no container ended with a code of its own."""

    pod: str
    node: str
    container: str  # empty where the pod ended as a whole
    exit_code: int | None
    meaning: str
    message: str  # the container's last words, or the pod's message
    at: str  # RFC 3339 time at which the end began; empty where the API has none
    saved: bool = False  # whether its state was saved, so that this is no failure

    def subject(self) -> str:
        """Return the pod, with the container where it is not the trainer's, and the node."""
        return subject(self.pod, self.node, self.container)


def subject(pod: str, node: str, container: str = "") -> str:
    """Return `container C of P on node N`, without the parts that are empty or the trainer's."""
    prefix = f"container {container} of " if container not in ("", TRAINER) else ""
    return f"{prefix}{pod}" + (f" on node {node}" if node else "")


def first_failure(pods: Iterable[JSON]) -> dict[str, Any] | None:
    """Return the pod that failed first, as a mapping of Death's fields; None where none failed.

    A pod that has saved its state is no failure. Of the same second, one that ended by itself comes before
    one that a controller ended, and both before one that aborted for want of a peer. A pod without a time is
    last.
    """
    failed = [death for death in deaths(pods) if not death.saved]
    if not failed:
        return None
    first = min(failed, key=_order)
    return {name: value for name, value in asdict(first).items() if name != "saved"}


def _order(death: Death) -> tuple[float, bool, bool, str]:
    at = objects.time(death.at) or math.inf
    return at, death.exit_code == ABORTED, death.exit_code is None, death.pod


def deaths(pods: Iterable[JSON]) -> Iterator[Death]:
    """Yield how each pod ended that did not end well; those that run or have finished are left out."""
    for pod in pods:
        if death := _death(pod):
            yield death


def cause(death: Death) -> str:
    """Return a death as a sentence without its last words: pod, exit code, meaning."""
    code = "" if death.exit_code is None else f"exit code {death.exit_code}, "
    return f"{death.subject()}: {code}{death.meaning}"


def _death(pod: JSON) -> Death | None:
    container, state = _ended_container(pod)
    phase, reason = objects.text(pod, "status", "phase"), objects.text(pod, "status", "reason")
    disruption = objects.condition(pod, "DisruptionTarget")
    if not state and phase not in ("Failed", "Unknown"):
        return None
    if phase == "Succeeded" and objects.text(state, "reason") != "OOMKilled":
        return None
    code, container_reason = objects.number(state, "exitCode", default=-1), objects.text(state, "reason")
    words = objects.text(state, "message").strip()
    finished = objects.text(state, "finishedAt")
    death = Death(
        pod=objects.name(pod),
        node=objects.text(pod, "spec", "nodeName"),
        container=container,
        exit_code=None if not state or code < 0 or container_reason in INVENTED else code,
        meaning=_container_cause(pod, container, state),
        message=words or objects.text(pod, "status", "message").strip(),
        at=finished,
        saved=container == TRAINER and code in exit_codes.codes(_table(pod), "restart, not counted"),
    )
    began = objects.text(disruption, "lastTransitionTime")
    if disruption and not _ended_before(pod, death, began):
        return replace(death, meaning=_disruption(pod, disruption, death), at=began or finished)
    if pod_cause := _pod_cause(reason):
        return replace(death, meaning=pod_cause + (f"; {_meanings(pod)[code]}" if death.saved else ""))
    return death


def _table(pod: JSON) -> exit_codes.Table | None:
    """Return what the exit codes of a pod's program mean; None for those of the trainer."""
    return exit_codes.annotated(objects.mapping(pod, "metadata"))


def _meanings(pod: JSON) -> dict[int, str]:
    return exit_codes.meanings(_table(pod))


def _ended_container(pod: JSON) -> tuple[str, JSON]:
    """Return (name, terminated state) of the container that ended the pod; ("", {}) where none failed.

    An init container comes first, because nothing else has run. Then the trainer counts, then any other
    container. A sidecar that ends beside a living trainer, or after it, ends nothing.
    """
    for status in objects.entries(pod, "status", "initContainerStatuses"):
        state = objects.mapping(status, "state", "terminated")
        if _failed(state) and not is_sidecar(pod, objects.text(status, "name")):
            return objects.text(status, "name"), state
    statuses = objects.entries(pod, "status", "containerStatuses")
    ended = [
        (objects.text(status, "name"), objects.mapping(status, "state", "terminated")) for status in statuses
    ]
    failed = [(name, state) for name, state in ended if _failed(state)]
    failed.sort(key=lambda row: row[0] != TRAINER)
    return failed[0] if failed else ("", {})


def has_failed_container(pod: JSON) -> bool:
    """Return whether a container, other than a sidecar, ended with an exit code other than 0."""
    return bool(_ended_container(pod)[1])


def is_sidecar(pod: JSON, container: str) -> bool:
    """Return whether an init container is a sidecar, which runs beside the trainer."""
    return any(
        entry.get("name") == container and entry.get("restartPolicy") == "Always"
        for entry in objects.entries(pod, "spec", "initContainers")
    )


def _failed(state: JSON) -> bool:
    return bool(state) and (state.get("exitCode") != 0 or state.get("reason") == "OOMKilled")


def _ended_before(pod: JSON, death: Death, began: str) -> bool:
    """Return whether the trainer gave a cause of its own before a disruption of its pod began."""
    own = {code for code in _meanings(pod) if code}
    own -= set(exit_codes.codes(_table(pod), "restart, not counted"))
    finished, at = objects.time(death.at), objects.time(began)
    return death.exit_code in own and finished is not None and at is not None and finished < at


def _disruption(pod: JSON, disruption: JSON, death: Death) -> str:
    """Return the cause of a disruption, with what the node adds to it and whether the state was saved."""
    reason = objects.text(disruption, "reason")
    text = DISRUPTIONS.get(reason, f"disrupted ({reason})" if reason else "disrupted")
    if reason == "TerminationByKubelet":
        text = _pod_cause(objects.text(pod, "status", "reason")) or text
    message = objects.text(disruption, "message")
    if message and message not in death.message:
        text += f": {message}"
    if death.saved and death.exit_code is not None:
        text += f"; {_meanings(pod)[death.exit_code]}"
    return text


def _pod_cause(reason: str) -> str:
    if reason.startswith(REJECTED):
        return f"rejected by its node, which has no room ({reason})"
    return POD_REASONS.get(reason, reason)


def _container_cause(pod: JSON, container: str, state: JSON) -> str:
    """Return the cause that a container's state gives: its reason, else its exit code."""
    code, reason = objects.number(state, "exitCode", default=-1), objects.text(state, "reason")
    if not state:
        return "failed without a reason"
    if reason == "OOMKilled":
        limit = _memory_limit(pod, container)
        most = f"more than its limit of {limit}" if limit else "more than its limit or its node had"
        part = ", although the container itself ended with exit code 0" if code == 0 else ""
        return f"out of memory: a process used {most}{part}"
    if reason in CONTAINER_REASONS:
        return CONTAINER_REASONS[reason]
    if code == KILLED:
        return _killed(pod)
    if container == TRAINER and code in _meanings(pod):
        return _meanings(pod)[code]
    if container == UNPACKER and code in exit_codes.meanings(None):
        return f"the code of --code was not unpacked: {exit_codes.meanings(None)[code]}"
    if code in SIGNALS:
        return SIGNALS[code]
    if reason not in ("", "Error"):
        return reason
    return "failed before the trainer could start" if _is_init(pod, container) else "failed"


def _killed(pod: JSON) -> str:
    grace = objects.number(pod, "metadata", "deletionGracePeriodSeconds", default=-1)
    if objects.text(pod, "metadata", "deletionTimestamp"):
        period = f" of {grace} s" if grace >= 0 else ""
        return f"killed: its pod was deleted and it had not ended within the grace period{period}"
    return "killed by SIGKILL; the cluster reports neither a lack of memory nor an eviction"


def _memory_limit(pod: JSON, container: str) -> str:
    for entry in objects.entries(pod, "spec", "containers") + objects.entries(pod, "spec", "initContainers"):
        if entry.get("name") == container:
            return objects.text(entry, "resources", "limits", "memory")
    return ""


def _is_init(pod: JSON, container: str) -> bool:
    statuses = objects.entries(pod, "status", "initContainerStatuses")
    return any(entry.get("name") == container for entry in statuses)
