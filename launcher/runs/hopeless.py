"""What keeps a run from starting and does not mend by itself: sentences from API objects. Pure."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any

from launcher.runs import objects, obstacles

JSON = Mapping[str, Any]
NEVER = {"InvalidImageName", "ErrImageNeverPull"}
# Words of registries and container runtimes for an image that is not there. Anything else, such as a timeout
# or a limit of the registry, may pass.
NO_IMAGE = re.compile(
    r"not found|manifest unknown|name unknown|does not exist|no match for platform|no matching manifest", re.I
)
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
    return [*dict.fromkeys((*_images(pods), *_queue(workload), *_priorities(warnings)))]


def _images(pods: Iterable[JSON]) -> Iterator[str]:
    for pod in pods:
        if objects.text(pod, "metadata", "deletionTimestamp"):
            continue
        for status in obstacles.statuses(pod):
            waiting = objects.mapping(status, "state", "waiting")
            reason, message = objects.text(waiting, "reason"), objects.text(waiting, "message")
            missing = reason in obstacles.IMAGE_REASONS and NO_IMAGE.search(message)
            if reason in NEVER or missing:
                yield f"image {objects.text(status, 'image')}: {message or reason}"


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
