"""What keeps a run from starting and does not mend by itself: sentences from API objects. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from launcher.runs import objects, obstacles

JSON = Mapping[str, Any]
NEVER = {"InvalidImageName", "ErrImageNeverPull"}
# Words of registries and container runtimes for an image that is not there or may not be read, and for a
# registry without address or with another certificate. Anything else, such as a timeout or a limit, may pass.
NO_IMAGE = re.compile(
    r"not found|manifest unknown|name unknown|does not exist|no match for platform|no matching manifest"
    r"|access denied|permission denied|denied: |unauthorized|authentication required"
    r"|no basic auth credentials|insufficient_scope|no such host|x509: "
    r"|server gave HTTP response to HTTPS client",
    re.I,
)
PULL_FAILED = re.compile(r"Failed to pull image \"[^\"]*\": (.*)", re.DOTALL)
# An ImagePullBackOff of Kubernetes before 1.31 says only this; its cause is in the event of the last try.
BACK_OFF = re.compile(r"Back-off pulling image \"[^\"]*\"")
# Words of Kueue: a request that no admission can meet, and one that is met once others have ended.
NEVER_ADMITTED = re.compile(
    r"maximum capacity|unavailable in ClusterQueue|(Local|Cluster)Queue .*(doesn't exist|not found)"
)
LATER_ADMITTED = re.compile(r"insufficient unused quota")
NO_PRIORITY = re.compile(r"no PriorityClass with name (\S+) was found")


def reasons(pods: Iterable[JSON], workload: JSON | None, warnings: Iterable[JSON]) -> list[str]:
    """Return why a run cannot start until somebody changes something, each reason once; empty otherwise.

    Args:
      workload: Kueue's Workload of the run; None where it has none.
      warnings: warning events about the run's objects.
    """
    warnings = list(warnings)
    images = (
        _with_image(image, message or reason)
        for image, reason, message in _failed_pulls(pods, warnings)
        if reason in NEVER or NO_IMAGE.search(message)
    )
    return [*dict.fromkeys((*images, *_queue(workload), *_priorities(warnings)))]


def failing_images(pods: Iterable[JSON], warnings: Iterable[JSON]) -> list[str]:
    """Return which images cannot be pulled now, for whatever reason, each once."""
    pulls = _failed_pulls(pods, list(warnings))
    return [*dict.fromkeys(_with_image(image, message or reason) for image, reason, message in pulls)]


def _with_image(image: str, message: str) -> str:
    return f"image {image}: {message}"


def _failed_pulls(pods: Iterable[JSON], warnings: list[JSON]) -> Iterator[tuple[str, str, str]]:
    """Yield (image, reason of the wait, cause) of every container that waits for an image in vain."""
    for pod in pods:
        if objects.text(pod, "metadata", "deletionTimestamp"):
            continue
        for status in obstacles.statuses(pod):
            waiting = objects.mapping(status, "state", "waiting")
            reason, message = objects.text(waiting, "reason"), objects.text(waiting, "message")
            if reason not in obstacles.IMAGE_REASONS:
                continue
            image = objects.text(status, "image")
            if not message or BACK_OFF.fullmatch(message.strip()):
                message = _cause(objects.name(pod), image, warnings) or message
            yield image, reason, message


def _cause(pod: str, image: str, warnings: list[JSON]) -> str:
    """Return why the last pull of an image failed, by the events of its pod; empty where none says."""
    for event in reversed(warnings):
        if objects.text(event, "involvedObject", "name") != pod:
            continue
        message = objects.text(event, "message")
        if (match := PULL_FAILED.match(message)) and f'"{image}"' in message:
            return match[1]
    return ""


def _queue(workload: JSON | None) -> Iterator[str]:
    for entry in objects.entries(workload or {}, "status", "conditions"):
        message = objects.text(entry, "message")
        waits = entry.get("type") == "QuotaReserved" and entry.get("status") == "False"
        if waits and NEVER_ADMITTED.search(message) and not LATER_ADMITTED.search(message):
            yield f"queue {objects.text(workload, 'spec', 'queueName') or '(none)'}: {message}"


def _priorities(warnings: Iterable[JSON]) -> Iterator[str]:
    for event in warnings:
        if match := NO_PRIORITY.search(objects.text(event, "message")):
            yield f"priority: the cluster has no PriorityClass {match[1]}"
