"""Pods that their nodes rejected before a container started, which use up no restart. Pure.

A kubelet rejects a pod, for example, while the devices of its host are not back from a repair. Job makes a
new one after a pause that doubles each time. launcher/rendering/failure_policy.py sets how often.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from launcher import keys
from launcher.cluster.api import JSON
from launcher.runs import deaths, diagnosis, lookup, objects

FIRST_PAUSE_SECONDS, LONGEST_PAUSE_SECONDS = 10.0, 600.0  # Job's own, fixed in Kubernetes
BEFORE = "batch.kubernetes.io/job-index-failure-count"  # annotation: pods of this host that failed before
RESTARTED = "MaxFailedIndexesExceeded"  # reason of a Job that a host ended by being rejected too often
# Reasons for which a node rejects a pod until its settings, or the node's, are changed.
LASTING = {"AppArmor", "PodOSNotSupported", "SysctlForbidden"}


def split(pods: Iterable[JSON]) -> tuple[list[JSON], list[JSON]]:
    """Return (the other pods, the rejected ones), each in the order of `pods`."""
    others: list[JSON] = []
    rejected: list[JSON] = []
    for pod in pods:
        (rejected if is_rejected(pod) else others).append(pod)
    return others, rejected


def is_rejected(pod: JSON) -> bool:
    """Return whether a node failed a pod without an exit code and without a disruption.

    Those are the pods that Job replaces. Pods that are being deleted ended with their attempt.
    """
    ended = objects.text(pod, "status", "phase") == "Failed" and objects.text(pod, "spec", "nodeName")
    if not ended or _is_leaving(pod):
        return False
    return not deaths.has_failed_container(pod) and objects.condition(pod, "DisruptionTarget") is None


def summary(jobset: JSON, pods: Sequence[JSON]) -> list[dict[str, Any]]:
    """Return a mapping for each host whose pods were rejected in this attempt, slice by slice.

    Its keys are `slice`, `host`, `pods` (how many), `node`, `reason` and `message` (those of the last),
    `since` and `next` (RFC 3339; `next` is empty where the new pod exists or none will come), `replaced`
    (whether the new pod exists) and `left`: how often Job still replaces the pod before all hosts start anew,
    None where it replaces none.
    """
    others, rejected = split(pods)
    living = {lookup.slice_and_host(pod) for pod in others if not _is_leaving(pod)}
    hosts: dict[tuple[int, int], list[JSON]] = {}
    for pod in sorted(rejected, key=_created):
        hosts.setdefault(lookup.slice_and_host(pod), []).append(pod)
    limit, held = _limit(jobset), _failed_leaders(jobset, pods)
    return [_row(at, hosts[at], at in living, at[0] in held, limit) for at in sorted(hosts)]


def _row(
    place: tuple[int, int], pods: Sequence[JSON], replaced: bool, held: bool, limit: int | None
) -> dict[str, Any]:
    last = pods[-1]
    left = None if limit is None else max(limit - _before(last), 0)
    reason, message = (objects.text(last, "status", key) for key in ("reason", "message"))
    message = message.strip().removeprefix("Pod was rejected: ")
    return {
        "slice": place[0],
        "host": place[1],
        "pods": len(pods),
        "node": objects.text(last, "spec", "nodeName"),
        "reason": reason,
        "message": message or deaths.POD_REASONS.get(reason, ""),
        "since": objects.text(pods[0], "metadata", "creationTimestamp"),
        "next": "" if replaced or held or not left else _next(last),
        "left": left,
        "replaced": replaced,
    }


def sentences(rows: Iterable[Mapping[str, Any]]) -> list[str]:
    """Return a sentence for each host of a summary, without times that change at each look."""
    return [_sentence(row) for row in rows]


def _sentence(row: Mapping[str, Any]) -> str:
    times = "once" if row["pods"] == 1 else f"{row['pods']} times"
    since = f" since {row['since']}" if row["since"] else ""
    text = f"node {row['node']} rejected the pod of slice {row['slice']} host {row['host']}, {times}{since}"
    cause = ": ".join(filter(None, (row["reason"], row["message"])))
    text += f" ({cause})" if cause else ""
    if row["left"] is None:
        return text
    if row["next"]:
        text += f"; the next try is at {row['next']}"
    elif row["replaced"]:
        text += "; a new pod is in its place"
    elif not row["left"]:
        text += "; all hosts start anew"
    return f"{text}. No restart is used up for it"


def lasting(rows: Iterable[Mapping[str, Any]]) -> Iterator[str]:
    """Yield why hosts are rejected until somebody changes a setting."""
    for row in rows:
        if row["reason"] in LASTING:
            yield f"its nodes reject the pods ({row['reason']}: {row['message']})"


def held_back(jobset: JSON, pods: Iterable[JSON]) -> list[str]:
    """Return which failed first pods keep JobSet from making the other pods of their slices."""
    failed = [name for names in _failed_leaders(jobset, pods).values() for name in names]
    if not failed:
        return []
    namespace = objects.text(jobset, "metadata", "namespace") or "default"
    command = f"kubectl delete pod --namespace {namespace} {' '.join(failed)}"
    return [
        f"JobSet up to 0.12 makes no other pod of a slice whose first pod failed and has a new one: {command}"
    ]


def _failed_leaders(jobset: JSON, pods: Iterable[JSON]) -> dict[int, list[str]]:
    """Return slice -> names of its failed first pods, for slices that lack a pod and get none.

    Exclusive placement looks for the one first pod of a slice. JobSet up to 0.12 also counts a failed one, so
    that it refuses the others once Job has replaced the first
    (https://github.com/kubernetes-sigs/jobset/pull/1276).
    """
    if keys.EXCLUSIVE not in objects.annotations_of(jobset):
        return {}
    living: set[tuple[int, int]] = set()
    failed: dict[int, list[str]] = {}
    for pod in pods:
        place = lookup.slice_and_host(pod)
        if _is_leaving(pod):
            continue
        if objects.text(pod, "status", "phase") != "Failed":
            living.add(place)
        elif place[1] == 0:
            failed.setdefault(place[0], []).append(objects.name(pod))
    hosts = diagnosis.hosts(jobset) // max(diagnosis.slices(jobset), 1)
    counts = Counter(number for number, _ in living)
    return {
        number: names
        for number, names in sorted(failed.items())
        if (number, 0) in living and counts[number] < hosts
    }


def restarts(warnings: Iterable[Mapping[str, Any]], uncounted: int) -> int:
    """Return how many restarts came of rejected pods, as far as events still show it.

    Args:
      uncounted: restarts that did not count, of whatever cause. Several slices may end at the same restart.
    """
    events = [event for event in warnings if objects.text(event, "reason") == RESTARTED]
    return min(sum(max(objects.number(event, "count"), 1) for event in events), uncounted)


def _is_leaving(pod: JSON) -> bool:
    return bool(objects.text(pod, "metadata", "deletionTimestamp"))


def _before(pod: JSON) -> int:
    count = objects.text(objects.annotations_of(pod), BEFORE)
    return int(count[:9]) if count.isdecimal() else 0


def _created(pod: JSON) -> float:
    return objects.time(objects.text(pod, "metadata", "creationTimestamp")) or 0.0


def _next(pod: JSON) -> str:
    """Return when Job replaces a rejected pod, counted from what Job takes for its end.

    That is its creation where neither a container nor the condition Ready has a time.
    """
    ready = objects.condition(pod, "Ready", "False")
    ended = objects.text(ready, "lastTransitionTime") or objects.text(pod, "metadata", "creationTimestamp")
    at = objects.time(ended)
    if at is None:
        return ""
    pause = min(FIRST_PAUSE_SECONDS * 2 ** min(_before(pod), 10), LONGEST_PAUSE_SECONDS)
    moment = datetime.datetime.fromtimestamp(at + pause, datetime.UTC)
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def _limit(jobset: JSON) -> int | None:
    for group in objects.entries(jobset, "spec", "replicatedJobs"):
        job = objects.mapping(group, "template", "spec")
        if isinstance(job.get("backoffLimitPerIndex"), int):
            return objects.number(job, "backoffLimitPerIndex")
    return None
