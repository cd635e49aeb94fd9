"""Why a run was restarted, as far as the events of its Jobs still show it. Pure."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any

from launcher.request import exit_codes
from launcher.runs import events, objects, rejections

JSON = Mapping[str, Any]
SAME_RESTART_SECONDS = 30.0  # several slices end within it, and are restarted once
UNKNOWN = "not known any more"  # events expire, after an hour by default


def causes(warnings: Iterable[JSON], jobset: JSON, total: int) -> dict[str, int]:
    """Return cause -> number of restarts, the most frequent first; the numbers add up to `total`.

    Args:
      warnings: events about the run, oldest first, as `events.concerning` returns them.
    """
    table = exit_codes.annotated(objects.mapping(jobset, "metadata"))
    counts: Counter[str] = Counter()
    last: float | None = None
    ends = [event for event in warnings if _ended_early(event)]
    for event in sorted(ends, key=_at):
        at = _at(event)
        if last is not None and at - last < SAME_RESTART_SECONDS:
            continue
        last = at
        counts[_cause(event, table)] += max(objects.number(event, "count"), 1)
    known = dict(counts.most_common())
    surplus = sum(known.values()) - total
    if surplus > 0:  # the newest end may not have led to a restart yet
        for cause in [*reversed(known)]:
            taken = min(known[cause], surplus)
            known[cause] -= taken
            surplus -= taken
        known = {cause: count for cause, count in known.items() if count}
    elif surplus < 0:
        known[UNKNOWN] = -surplus
    return known


def _ended_early(event: JSON) -> bool:
    reasons = {*events.JOB_FAILED, rejections.RESTARTED}
    return objects.text(event, "involvedObject", "kind") == "Job" and objects.text(event, "reason") in reasons


def _at(event: JSON) -> float:
    return objects.time(events.time(event)) or 0.0


def _cause(event: JSON, table: exit_codes.Table | None) -> str:
    if objects.text(event, "reason") == rejections.RESTARTED:
        return "rejected by its node"
    _, moved = events.last_end([event], table)
    code = events.EXIT_CODE.search(objects.text(event, "message"))
    if moved:
        return "preempted"
    return f"exit code {code[1]}" if code else "of another cause"
