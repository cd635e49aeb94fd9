"""Why a run is still in its queue: from Kueue's Workloads to sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from launcher.runs.diagnosis import condition

JSON = Mapping[str, Any]


def why(workload: JSON | None, others: Iterable[JSON], name: str) -> list[str]:
    """Why Kueue has not admitted a run, and what is before it in its queue."""
    if workload is None:
        return ["Kueue has not seen the run yet: is its JobSet integration on?"]
    if not workload["spec"].get("active", True):
        return [f"it was suspended: resnet-launch resume {name}"]
    found = []
    for c in workload.get("status", {}).get("conditions", []):
        if c["type"] == "QuotaReserved" and c["status"] == "False":
            found.append(f"queue {workload['spec'].get('queueName')}: {c.get('message') or c.get('reason')}")
        elif c["type"] == "Evicted" and c["status"] == "True":
            found.append(f"evicted by Kueue ({c.get('reason')}): {c.get('message')}")
        elif c["type"] == "Admitted" and c["status"] == "False" and c.get("reason") != "NoReservation":
            found.append(f"not admitted yet: {c.get('message') or c.get('reason')}")
    ahead = [
        w for w in others if w["metadata"]["uid"] != workload["metadata"]["uid"] and _same_queue(w, workload)
    ]
    running = [w for w in ahead if condition(w, "Admitted") and not condition(w, "Finished")]
    if running:
        found.append(f"quota is used by {_names(running)}")
    waiting = [w for w in ahead if not condition(w, "QuotaReserved") and not condition(w, "Finished")]
    waiting = [w for w in waiting if _order(w) < _order(workload)]
    if waiting:
        found.append(f"behind {len(waiting)} in the queue: {_names(waiting)}")
    return found


def _same_queue(one: JSON, other: JSON) -> bool:
    return one["spec"].get("queueName") == other["spec"].get("queueName")


def _order(workload: JSON) -> tuple[int, str]:
    return -workload["spec"].get("priority", 0), workload["metadata"]["creationTimestamp"]


def _names(workloads: list[JSON]) -> str:
    names = [
        w["metadata"].get("ownerReferences", [{}])[0].get("name") or w["metadata"]["name"] for w in workloads
    ]
    return ", ".join(names[:5]) + (f" and {len(names) - 5} more" if len(names) > 5 else "")
