"""What Kueue says about a run: sentences from its Workload, by pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from launcher.runs import diagnosis, objects
from launcher.runs.objects import condition

JSON = Mapping[str, Any]
# Starts of the reasons of the condition Evicted where Kueue itself deactivated; old releases say the second.
DEACTIVATED_BY_KUEUE = ("DeactivatedDueTo", "InactiveWorkload")


def explain_wait(workload: JSON | None, others: Iterable[JSON], name: str, priority: str = "") -> list[str]:
    """Return why Kueue has not admitted a run, and which runs are ahead of it.

    Args:
      workload: Kueue's Workload of the run; None where there is none yet.
      others: all Workloads of the namespace.
      name: name of the run.
      priority: the run's priority class; empty where it has none. Kueue makes no Workload where that class
        does not exist, and says so only in its own log.
    """
    if workload is None and priority:
        exists = f"does priority class {priority!r} exist (kubectl get workloadpriorityclasses)"
        return [f"Kueue has not seen the run yet: {exists}, and is its JobSet integration enabled?"]
    if workload is None:
        return ["Kueue has not seen the run yet: is its JobSet integration enabled?"]
    if not is_active(workload):
        return [deactivation(workload, name) or f"it was suspended: resnet-launch resume {name}"]
    sentences = [*_without_queue(workload), *_conditions(workload), *_checks(workload), *_requeue(workload)]
    if condition(workload, "QuotaReserved"):
        return sentences or ["Kueue has reserved its quota and admits it soon"]
    unfinished = [
        other
        for other in others
        if objects.uid(other) != objects.uid(workload)
        and _queue(other) == _queue(workload)
        and not condition(other, "Finished")
    ]
    if running := [other for other in unfinished if condition(other, "Admitted")]:
        sentences.append(f"quota is used by {_names(running)}")
    waiting = [other for other in unfinished if is_active(other) and not condition(other, "QuotaReserved")]
    if ahead := [other for other in waiting if _order(other) < _order(workload)]:
        sentences.append(f"behind {len(ahead)} in the queue: {_names(ahead)}")
    return sentences or ["Kueue has not looked at the run yet"]


def is_active(workload: JSON) -> bool:
    """Return whether a Workload takes part in its queue."""
    return objects.mapping(workload, "spec").get("active") is not False


def deactivation(workload: JSON, name: str) -> str:
    """Return why Kueue itself took a run out of its queue; empty where a person did."""
    target, evicted = condition(workload, "DeactivationTarget"), condition(workload, "Evicted")
    reason = objects.text(evicted, "reason")
    by_kueue = reason.startswith(DEACTIVATED_BY_KUEUE) or " due to " in objects.text(evicted, "message")
    if target or (by_kueue and reason.startswith(("Deactivated", "InactiveWorkload"))):
        why = objects.text(target, "message") or objects.text(evicted, "message") or reason
        refused = [line for line in _checks(workload) if "Rejected" in line or "Retry" in line]
        return "; ".join(
            [
                f"Kueue took it out of its queue: {why}",
                *refused,
                f"resnet-launch resume {name} queues it again",
            ]
        )
    return ""


def remote_cluster(workload: JSON | None) -> str:
    """Return the name of the cluster on which MultiKueue runs a run; empty where none is chosen yet."""
    return objects.text(workload, "status", "clusterName")


def explain_remote(jobset: JSON, workload: JSON | None) -> list[str]:
    """Return where a run of MultiKueue runs; empty for a run of this cluster."""
    if not diagnosis.runs_elsewhere(jobset):
        return []
    cluster = remote_cluster(workload)
    where = f"cluster {cluster}" if cluster else "another cluster"
    return [f"MultiKueue runs it on {where}: its pods, events and logs are there", *_checks(workload or {})]


def _without_queue(workload: JSON) -> Iterator[str]:
    if not _queue(workload):
        yield "Kueue holds it because it names no queue: submit it with --queue NAME"


def _conditions(workload: JSON) -> Iterator[str]:
    for entry in objects.entries(workload, "status", "conditions"):
        reason, status = objects.text(entry, "reason"), entry.get("status")
        message = objects.text(entry, "message") or reason
        match entry.get("type"), status:
            case "QuotaReserved", "False":
                yield f"queue {_queue(workload) or '(none)'}: {message}"
            case "Evicted", "True":
                yield f"evicted by Kueue ({reason}): {message}"
            case "Admitted", "False" if reason not in ("NoReservation", "NoChecks", "UnsatisfiedChecks"):
                yield f"not admitted yet: {message}"
            case "PodsReady", "False" if condition(workload, "Admitted"):
                yield f"its pods are not ready: {message}"


def _checks(workload: JSON) -> Iterator[str]:
    """Yield the admission checks that hold a run back, such as queued provisioning of nodes."""
    for check in objects.entries(workload, "status", "admissionChecks"):
        state, message = objects.text(check, "state"), objects.text(check, "message").strip()
        if state == "Ready":
            continue
        retries = objects.number(check, "retryCount")
        tries = f", tried {retries} times" if retries else ""
        delay = objects.number(check, "requeueAfterSeconds")
        later = f", again after {delay} s" if delay and state == "Retry" else ""
        name = objects.text(check, "name")
        yield f"admission check {name} ({state or 'unknown'}{tries}{later})" + (
            f": {message}" if message else ""
        )


def _requeue(workload: JSON) -> Iterator[str]:
    requeue = objects.mapping(workload, "status", "requeueState")
    count, at = objects.number(requeue, "count"), objects.text(requeue, "requeueAt")
    if count or at:
        yield f"put back into the queue {count} times" + (f"; Kueue tries again at {at}" if at else "")


def _queue(workload: JSON) -> str:
    return objects.text(workload, "spec", "queueName")


def _order(workload: JSON) -> tuple[int, str]:
    """Return the sort key of Kueue's queues: higher priority first, then older first."""
    priority = objects.number(workload, "spec", "priority")
    return -priority, objects.text(workload, "metadata", "creationTimestamp")


def _names(workloads: list[JSON]) -> str:
    names = [
        next((objects.text(owner, "name") for owner in objects.owners(entry)), "") or objects.name(entry)
        for entry in workloads
    ]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
