"""Why a run is still in its queue: sentences from Kueue's Workloads, by pure functions."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from launcher.runs.diagnosis import condition

JSON = Mapping[str, Any]


def explain_wait(workload: JSON | None, others: Iterable[JSON], name: str) -> list[str]:
    """Return why Kueue has not admitted a run, and which runs are ahead of it.

    Args:
      workload: Kueue's Workload of the run; None where there is none yet.
      others: all Workloads of the namespace.
      name: name of the run.
    """
    if workload is None:
        return ["Kueue has not seen the run yet: is its JobSet integration enabled?"]
    if not workload["spec"].get("active", True):
        return [f"it was suspended: resnet-launch resume {name}"]
    sentences = list(_conditions(workload))
    unfinished = [
        other
        for other in others
        if other["metadata"]["uid"] != workload["metadata"]["uid"]
        and other["spec"].get("queueName") == workload["spec"].get("queueName")
        and not condition(other, "Finished")
    ]
    if running := [other for other in unfinished if condition(other, "Admitted")]:
        sentences.append(f"quota is used by {_names(running)}")
    waiting = [other for other in unfinished if not condition(other, "QuotaReserved")]
    if ahead := [other for other in waiting if _order(other) < _order(workload)]:
        sentences.append(f"behind {len(ahead)} in the queue: {_names(ahead)}")
    return sentences


def _conditions(workload: JSON) -> Iterator[str]:
    for entry in workload.get("status", {}).get("conditions", []):
        message = entry.get("message") or entry.get("reason")
        match entry["type"], entry["status"]:
            case "QuotaReserved", "False":
                yield f"queue {workload['spec'].get('queueName')}: {message}"
            case "Evicted", "True":
                yield f"evicted by Kueue ({entry.get('reason')}): {entry.get('message')}"
            case "Admitted", "False" if entry.get("reason") != "NoReservation":
                yield f"not admitted yet: {message}"


def _order(workload: JSON) -> tuple[int, str]:
    """Return the sort key of Kueue's queues: higher priority first, then older first."""
    return -workload["spec"].get("priority", 0), workload["metadata"]["creationTimestamp"]


def _names(workloads: list[JSON]) -> str:
    names = [
        entry["metadata"].get("ownerReferences", [{}])[0].get("name") or entry["metadata"]["name"]
        for entry in workloads
    ]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
