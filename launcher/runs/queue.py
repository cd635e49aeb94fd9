"""Why a run is still in its queue: from Kueue's Workloads to sentences. Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any, Literal

from launcher.runs.diagnosis import condition

JSON = Mapping[str, Any]
Level = Literal["ok", "warning", "error"]


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


def room(
    queue: JSON,
    flavors: Mapping[str, Mapping[str, str]],
    selector: Mapping[str, str],
    wanted: Mapping[str, int],
) -> tuple[Level, str, str]:
    """(level, sentence, hint): whether a ClusterQueue can ever admit, and admits now, what a run wants.

    Args:
      flavors: of the cluster, name -> labels of its nodes.
      selector: labels that the run's nodes must have.
      wanted: resource -> number over all pods.
    """
    status, name = queue.get("status", {}), queue["metadata"]["name"]
    if not condition(queue, "Active"):
        why = next((c.get("message") for c in status.get("conditions", []) if c["type"] == "Active"), "")
        return "error", f"ClusterQueue {name} is not active: {why}", "the cluster's team can look"
    used = {
        (flavor["name"], resource["name"]): quantity(resource["total"])
        for flavor in status.get("flavorsUsage", [])
        for resource in flavor["resources"]
    }
    fitting, best = [], {}
    for group in queue["spec"].get("resourceGroups", []):
        for flavor in group["flavors"]:
            labels = flavors.get(flavor["name"], {})
            if any(selector.get(key, value) != value for key, value in labels.items()):
                continue
            fitting.append(flavor["name"])
            for resource in flavor["resources"]:
                key, total = resource["name"], quantity(resource["nominalQuota"])
                left = total - used.get((flavor["name"], key), 0)
                best[key] = max(best.get(key, (0, 0)), (total, left))
    if not fitting:
        return "error", f"no flavor of ClusterQueue {name} has nodes for this slice", "another --queue"
    for resource, number in wanted.items():
        total, left = best.get(resource, (0, 0))
        if total < number:
            text = f"wants {number} {resource} and the whole quota is {total:g}"
            return "error", text, "another --queue, or a smaller slice"
        if left < number:
            return "warning", f"wants {number} {resource}, of which {left:g} are free: it will wait", ""
    return "ok", f"ClusterQueue {name} has room ({', '.join(fitting)})", ""


SUFFIXES = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
SUFFIXES |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(text: Any) -> float:
    """A Kubernetes quantity as a number: `500m` -> 0.5, `2Gi` -> 2147483648."""
    text = str(text)
    suffix = next((s for s in sorted(SUFFIXES, key=len, reverse=True) if text.endswith(s)), "")
    return float(text.removesuffix(suffix)) * SUFFIXES.get(suffix, 1)
