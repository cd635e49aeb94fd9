"""What keeps a run's pods from being made, started and ended: sentences from API objects. Pure."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any

from launcher.cluster import refusals
from launcher.runs import deaths, diagnosis, events, objects, rejections

JSON = Mapping[str, Any]
IMAGE_REASONS = {"ErrImagePull", "ImagePullBackOff", "InvalidImageName", "ErrImageNeverPull"}
NORMAL_WAITS = {"ContainerCreating", "PodInitializing"}  # slow perhaps, but no problem
SLOW_SECONDS = 60.0  # what takes longer than this is worth a sentence
LATE_SECONDS = 30.0  # after its grace period a pod that still exists hangs
SHOWN = 6  # sentences about events
# Warnings about pods that the pod's own state says better, or that say nothing about a start.
OTHERWISE_KNOWN = {"FailedScheduling", "Failed", "BackOff", "InspectFailed", "Unhealthy", "Evicted"}
OTHERWISE_KNOWN |= {
    "Preempted",
    "TaintManagerEviction",
    "NodeNotReady",
    "DNSConfigForming",
    "FailedPreStopHook",
}
# What JobSet reports of its failure policy is the run's restarts and its end.
OF_FAILURE_POLICY = re.compile(
    "FailurePolicyAction$|^FailurePolicy_|^(DefaultFailurePolicy|FailedJobs|ReachedMaxRestarts|Restarting)$"
)
# JobSet's webhook holds the other pods of a slice back until its first, the leader, has a node. Where it
# holds them back for ever, rejections.held_back says so.
LEADER = re.compile("leader pod not yet scheduled|follower pod node selector|expected 1 leader pod")


def start_problems(pods: Iterable[JSON]) -> list[str]:
    """Return what keeps pods from starting, such as no node, no image or no secret; each problem once."""
    names: dict[str, list[str]] = {}
    for pod in pods:
        if objects.text(pod, "metadata", "deletionTimestamp"):
            continue
        where = deaths.subject(objects.name(pod), objects.text(pod, "spec", "nodeName"))
        for problem in _start_problems(pod):
            names.setdefault(problem, []).append(where)
    return [_with_pods(problem, where) for problem, where in names.items()]


def _start_problems(pod: JSON) -> Iterator[str]:
    if entry := objects.condition(pod, "PodScheduled", "False"):
        reason = objects.text(entry, "message") or objects.text(entry, "reason")
        yield "no node for the pod" + (f": {_without_preemption(reason)}" if reason else "")
    for status in statuses(pod):
        waiting = objects.mapping(status, "state", "waiting")
        reason, message = objects.text(waiting, "reason"), objects.text(waiting, "message")
        if not (reason or message) or reason in NORMAL_WAITS:
            continue
        if reason in IMAGE_REASONS:
            container = objects.text(status, "name")
            of_container = "" if container == deaths.TRAINER else f" of container {container}"
            subject = f"image {objects.text(status, 'image')}{of_container}"
        else:
            subject = f"container {objects.text(status, 'name')}"
        yield ": ".join(filter(None, (subject, reason, message))) + _last_words(status)


def _last_words(status: JSON) -> str:
    """Return how a container that is started again and again ended the last time."""
    last = objects.mapping(status, "lastState", "terminated")
    if not last:
        return ""
    words = objects.text(last, "message").strip() or objects.text(last, "reason")
    return f"; it last ended with exit code {last.get('exitCode')}" + (f": {words}" if words else "")


def slow_starts(jobset: JSON, pods: Sequence[JSON], now: float) -> list[str]:
    """Return what has not started for a minute without a problem that the API names, one sentence a kind."""
    sentences: Counter[str] = Counter()
    first: dict[str, str] = {}
    for pod in pods:
        created = objects.time(objects.text(pod, "metadata", "creationTimestamp"))
        waiting = objects.text(pod, "status", "phase") in ("Pending", "")
        if not waiting or (created is not None and now - created < SLOW_SECONDS):
            continue
        node = objects.text(pod, "spec", "nodeName")
        reasons = {objects.text(status, "state", "waiting", "reason") for status in statuses(pod)} - {""}
        if not node and not statuses(pod):
            text = "no scheduler has placed the pod, and none says why"
        else:
            waits = f": {', '.join(sorted(reasons))}" if reasons else ", and no reason is given"
            text = f"its containers have not started{waits}"
        first.setdefault(text, deaths.subject(objects.name(pod), node))
        sentences[text] += 1
    texts = [_with_pods(text, [first[text]] * count) for text, count in sentences.items()]
    return texts or _missing_pods(jobset, pods, now)


def _missing_pods(jobset: JSON, pods: Sequence[JSON], now: float) -> list[str]:
    since = objects.time(objects.text(jobset, "metadata", "creationTimestamp")) or now
    missing = diagnosis.hosts(jobset) - len(pods)
    if missing <= 0 or now - since < SLOW_SECONDS:
        return []
    if startup := objects.condition(jobset, "StartupPolicyInProgress"):
        return [f"JobSet starts its groups in order: {objects.text(startup, 'message')}"]
    if not pods and not objects.entries(jobset, "status", "replicatedJobsStatus"):
        return ["JobSet has made no Job yet, and no event says why: does its controller run?"]
    return [f"{missing} of {diagnosis.hosts(jobset)} pods do not exist yet, and no event says why"]


def ending_problems(pods: Iterable[JSON], nodes: Mapping[str, JSON | None], now: float) -> list[str]:
    """Return which pods hang: on a lost node, in their deletion, or by a container that outlives the trainer.

    Args:
      nodes: name -> Node, None for one that does not exist; nodes that were not read are missing.
    """
    names: dict[str, list[str]] = {}
    for pod in pods:
        if problem := _ending_problem(pod, nodes, now):
            where = deaths.subject(objects.name(pod), objects.text(pod, "spec", "nodeName"))
            names.setdefault(problem, []).append(where)
    return [_with_pods(problem, where) for problem, where in names.items()]


def suspicious_nodes(pods: Iterable[JSON], now: float) -> list[str]:
    """Return the names of nodes whose state may explain a pod that hangs."""
    names = [objects.text(pod, "spec", "nodeName") for pod in pods if _hangs(pod, now)]
    return sorted({name for name in names if name})


def _ending_problem(pod: JSON, nodes: Mapping[str, JSON | None], now: float) -> str:
    if _hangs(pod, now):
        return _hanging(pod, nodes)
    if objects.text(pod, "status", "phase") != "Running":
        return ""
    statuses = objects.entries(pod, "status", "containerStatuses")
    ended = {objects.text(s, "name"): objects.mapping(s, "state", "terminated") for s in statuses}
    trainer = ended.get(deaths.TRAINER)
    others = sorted(name for name, state in ended.items() if not state)
    if trainer and others:
        return (
            f"container {', '.join(others)} still runs although the trainer has ended with exit code "
            f"{trainer.get('exitCode')}, so the pod cannot end: a sidecar must be an init container with "
            "restartPolicy: Always"
        )
    return ""


def _hangs(pod: JSON, now: float) -> bool:
    """Return whether a pod's node is lost, or its deletion should be over."""
    due = objects.time(objects.text(pod, "metadata", "deletionTimestamp"))
    ready = objects.condition(pod, "Ready", "False") or {}
    lost = objects.text(pod, "status", "phase") == "Unknown" or (
        objects.text(pod, "status", "phase") == "Running" and ready.get("reason") == "NodeNotReady"
    )
    return lost or (due is not None and now - due > LATE_SECONDS)


def _hanging(pod: JSON, nodes: Mapping[str, JSON | None]) -> str:
    name = objects.text(pod, "spec", "nodeName")
    deleted = bool(objects.text(pod, "metadata", "deletionTimestamp"))
    text = "the pod should have been gone by now and hangs in Terminating" if deleted else "the pod is lost"
    reasons = (objects.text(pod, "status", "reason"), objects.text(pod, "status", "message"))
    text += "".join(f": {reason}" for reason in reasons if reason)
    fact = _node_fact(name, nodes)
    kept = objects.mapping(pod, "metadata").get("finalizers")
    finalizers = [str(entry) for entry in kept] if isinstance(kept, list) else []
    if fact:
        text += f"; {fact}"
    elif finalizers and objects.text(pod, "status", "phase") in ("Succeeded", "Failed"):
        text += f"; its finalizers are {', '.join(finalizers)}"
    elif deleted and name:
        text += "; its node may not answer"
    if deleted and name:
        text += ". If the node is lost for good, kubectl delete pod --force --grace-period=0 removes the pod"
    return text


def _node_fact(name: str, nodes: Mapping[str, JSON | None]) -> str:
    if name not in nodes:
        return ""
    node = nodes[name]
    if node is None:
        return "its node does not exist any more"
    for entry in objects.entries(node, "status", "conditions"):
        if entry.get("type") == "Ready" and entry.get("status") != "True":
            since = objects.text(entry, "lastTransitionTime")
            return f"its node is not ready since {since}: {objects.text(entry, 'message')}"
    return ""


def creation_problems(warnings: Iterable[JSON], pods: Sequence[JSON], missing: bool) -> list[str]:
    """Return warnings about objects that were not created and volumes that were not mounted, each once.

    Args:
      missing: whether the run lacks pods; otherwise the events about making them are of the past.
    """
    waiting = {objects.name(pod) for pod in pods if objects.text(pod, "status", "phase") in ("Pending", "")}
    names: dict[str, list[str]] = {}
    for event in warnings:
        reason, message = objects.text(event, "reason"), objects.text(event, "message").strip()
        kind = objects.text(event, "involvedObject", "kind")
        name = objects.text(event, "involvedObject", "name")
        if not _is_news(kind, reason, message) or (name not in waiting if kind == "Pod" else not missing):
            continue
        text = f"{reason}: {_without_pod_name(message)}"
        if "failed quota: " in message and "must specify " in message:
            text += f" (set them, as in {refusals.quota_flags(message)})"
        names.setdefault(text, []).extend([name] * (kind == "Pod"))
    return [_with_pods(text, [*dict.fromkeys(where)]) for text, where in names.items()][-SHOWN:]


def _is_news(kind: str, reason: str, message: str) -> bool:
    if LEADER.search(message) or reason in {*events.JOB_FAILED, rejections.RESTARTED}:
        return False
    if kind == "JobSet":
        return not OF_FAILURE_POLICY.search(reason)
    return reason not in OTHERWISE_KNOWN


def statuses(pod: JSON) -> list[JSON]:
    """Return the statuses of a pod's containers, those of its init containers last."""
    return objects.entries(pod, "status", "containerStatuses") + objects.entries(
        pod, "status", "initContainerStatuses"
    )


def _with_pods(problem: str, where: Sequence[str]) -> str:
    if len(where) > 1:
        return f"{problem} ({len(where)} pods, such as {where[0]})"
    return f"{problem} ({where[0]})" if where else problem


def _without_preemption(message: str) -> str:
    """Return the scheduler's message without its second half, which is about preempting other pods."""
    return re.sub(r"\.?( no new claims to deallocate,)? preemption: .*", "", message, flags=re.DOTALL)


def _without_pod_name(message: str) -> str:
    """Return a message without the pod's generated name, so that it is the same for each pod."""
    return re.sub(r'^Error creating: pods "[^"]+" is forbidden: ', "no pod can be created: ", message)
