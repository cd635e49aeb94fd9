"""The warning events about a run and about what it owns."""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from launcher.cluster.api import Cluster
from launcher.cluster.refusals import Refused
from launcher.request import exit_codes
from launcher.runs import deaths, objects

JSON = Mapping[str, Any]
JOB_FAILED = {"BackoffLimitExceeded", "PodFailurePolicy", "DeadlineExceeded"}
EXIT_CODE = re.compile(r"failed with exit code (\d+) ")


def warnings(cluster: Cluster, jobset: JSON, pods: Sequence[JSON]) -> list[JSON]:
    """Return the warning events of a run, oldest first; none where events may not be read."""
    try:
        events, _ = cluster.list("Event", fieldSelector="type=Warning")
    except Refused:
        return []
    return concerning(events, jobset, pods)


def concerning(events: Iterable[JSON], jobset: JSON, pods: Sequence[JSON]) -> list[JSON]:
    """Return the events about a JobSet, its Jobs and its pods, those of earlier attempts too, oldest first.

    An object is known by its UID, or by its exact name where the UID is that of an earlier attempt. Events
    from before the JobSet was created are about a deleted run of the same name.
    """
    created = objects.time(objects.text(jobset, "metadata", "creationTimestamp")) or 0.0
    chosen = [
        (objects.time(time(event)) or created, event)
        for event in events
        if isinstance(event, Mapping) and _is_about(objects.mapping(event, "involvedObject"), jobset, pods)
    ]
    return [event for at, event in sorted(chosen, key=lambda row: row[0]) if at >= created - 1]


def time(event: JSON) -> str:
    """Return the RFC 3339 time at which an event last happened; empty where it has none."""
    stamps = (
        objects.text(event, "series", "lastObservedTime"),
        objects.text(event, "lastTimestamp"),
        objects.text(event, "eventTime"),
        objects.text(event, "firstTimestamp"),
        objects.text(event, "metadata", "creationTimestamp"),
    )
    return next((stamp for stamp in stamps if stamp), "")


def last_end(
    events: Iterable[JSON], table: exit_codes.Table | None = None
) -> tuple[dict[str, str] | None, bool]:
    """Return (time and message of the last Job that ended early, whether that was a preemption).

    A pod that was preempted and has saved its state, or that its cluster moved, is no failure of the run.
    (None, False) where no Job ended early or its event has expired.

    Args:
      table: what the exit codes of the run's program mean; None for those of the trainer.
    """
    ended = [
        event
        for event in events
        if objects.text(event, "involvedObject", "kind") == "Job"
        and objects.text(event, "reason") in JOB_FAILED
    ]
    if not ended:
        return None, False
    last = max(ended, key=lambda event: objects.time(time(event)) or 0.0)
    message = objects.text(last, "message")
    code = EXIT_CODE.search(message)
    uncounted = exit_codes.codes(table, "restart, not counted")
    own = message.startswith(f"Container {deaths.TRAINER} ")
    moved = "condition DisruptionTarget" in message or bool(own and code and int(code[1]) in uncounted)
    return {"at": time(last), "message": _preemption(message) if moved else message}, moved


def _preemption(message: str) -> str:
    """Return a Job's message about a preempted pod without the words of failures that Kubernetes uses."""
    if match := re.search(r"pod \S*?([^/\s]+) failed with exit code", message, re.IGNORECASE):
        return f"{match[1]} had saved its state"
    if match := re.match(r"Pod \S*?([^/\s]+) has condition DisruptionTarget", message):
        return f"{match[1]} was moved by the cluster"
    return message


def _is_about(involved: JSON, jobset: JSON, pods: Sequence[JSON]) -> bool:
    kind, name = objects.text(involved, "kind"), objects.text(involved, "name")
    uid = objects.text(involved, "uid")
    if kind == "JobSet":
        return name == objects.name(jobset) and uid in ("", objects.uid(jobset))
    if kind == "Job":
        return _is_job(name, jobset) or uid in _uids_of_jobs(pods) - {""}
    if kind != "Pod":
        return False
    for pod in pods:
        if objects.name(pod) == name:
            return uid in ("", objects.uid(pod))
    earlier = re.fullmatch(r"(.+)-\d+-[a-z0-9]{5}", name)  # a pod of an earlier attempt: JOB-HOST-RANDOM
    return earlier is not None and _is_job(earlier[1], jobset)


def _is_job(name: str, jobset: JSON) -> bool:
    """Return whether a JobSet makes a Job of this name: RUN-GROUP-INDEX."""
    for group in objects.entries(jobset, "spec", "replicatedJobs"):
        prefix = f"{objects.name(jobset)}-{objects.text(group, 'name')}-"
        index = name.removeprefix(prefix)
        if name.startswith(prefix) and index.isdecimal():
            return int(index[:9]) < objects.number(group, "replicas", default=1)
    return False


def _uids_of_jobs(pods: Sequence[JSON]) -> set[str]:
    return {objects.text(owner, "uid") for pod in pods for owner in objects.owners(pod)}
