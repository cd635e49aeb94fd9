"""How far a run is, as the log of its first host says."""

from __future__ import annotations

from launcher import keys
from launcher.cluster.api import JSON, Cluster, Unreachable
from launcher.cluster.refusals import Refused
from launcher.runs import lookup, objects, startup, trainer_log

TAIL_LINES = 400  # end of the first host's log, which has the newest progress
HEAD_BYTES = 1 << 20  # start of the same log, which has the events before the first step


def first_host(pods: list[JSON]) -> JSON | None:
    """Return the first host's newest pod that has started; None before that."""
    started = [pod for pod in pods if lookup.slice_and_host(pod) == (0, 0) and startup.container_start(pod)]
    return max(
        started,
        key=lambda pod: str(objects.labels_of(pod).get(keys.RESTART_ATTEMPT, "")).zfill(9),
        default=None,
    )


def read(cluster: Cluster, pods: list[JSON]) -> trainer_log.LogSummary:
    """Return the newest lines of the first host's log; an empty summary where there is no readable log."""
    first = first_host(pods)
    if first is None:
        return trainer_log.LogSummary()
    pod = objects.name(first)
    try:
        log = trainer_log.read(cluster.log(pod, tailLines=TAIL_LINES))
        if log.progress and "first_step" not in log.events:  # a long run: its start is no longer in the tail
            head = trainer_log.read(cluster.log(pod, limitBytes=HEAD_BYTES))
            log.events = head.events | log.events
            log.best = trainer_log.better(head.best, log.best)
            log.evaluate = log.evaluate or head.evaluate
        return log
    except (Refused, Unreachable):  # the node is gone or does not respond: show the status without a log
        return trainer_log.LogSummary()
