"""Whether a ClusterQueue of Kueue has room for a run. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Literal

from launcher.runs.diagnosis import condition

JSON = Mapping[str, Any]
Level = Literal["ok", "warning", "error"]


def room(
    queue: JSON,
    flavors: Mapping[str, Mapping[str, str]],
    selector: Mapping[str, str],
    requests: Mapping[str, int],
) -> tuple[Level, str, str]:
    """Return (level, sentence, hint): whether a ClusterQueue admits a run now, later or never.

    Args:
      queue: the ClusterQueue.
      flavors: name of each ResourceFlavor -> labels of its nodes.
      selector: labels that the run's nodes must have.
      requests: resource -> number over all pods of the run.
    """
    status, name = queue.get("status", {}), queue["metadata"]["name"]
    if not condition(queue, "Active"):
        reason = next((c.get("message") for c in status.get("conditions", []) if c["type"] == "Active"), "")
        return "error", f"ClusterQueue {name} is not active: {reason}", "ask the cluster's team"
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
                free = total - used.get((flavor["name"], key), 0)
                best[key] = max(best.get(key, (0, 0)), (total, free))
    if not fitting:
        return "error", f"no flavor of ClusterQueue {name} has nodes for this slice", "choose another --queue"
    for resource, number in requests.items():
        total, free = best.get(resource, (0, 0))
        if total < number:
            text = f"the run requests {number} {resource}, and the whole quota is {total:g}"
            return "error", text, "choose another --queue or a smaller slice"
        if free < number:
            return "warning", f"the run requests {number} {resource}, and {free:g} are free: it will wait", ""
    return "ok", f"ClusterQueue {name} has room ({', '.join(fitting)})", ""


SUFFIXES = {"m": 1e-3, "k": 1e3, "M": 1e6, "G": 1e9, "T": 1e12}
SUFFIXES |= {"Ki": 2**10, "Mi": 2**20, "Gi": 2**30, "Ti": 2**40}


def quantity(text: Any) -> float:
    """Return a Kubernetes quantity as a number: `500m` -> 0.5, `2Gi` -> 2147483648."""
    text = str(text)
    suffix = next((s for s in sorted(SUFFIXES, key=len, reverse=True) if text.endswith(s)), "")
    return float(text.removesuffix(suffix)) * SUFFIXES.get(suffix, 1)
