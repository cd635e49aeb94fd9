"""Submitting the runs of a sweep: all at once into a queue, a few at a time where there is none."""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any

from launcher.cluster.api import JSON, MANAGER, Cluster
from launcher.errors import Problem, RequestError
from launcher.rendering.jobset import render
from launcher.runs import diagnosis, diff, listing, lookup, objects, submission

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob

LABEL = "sweep"  # label of the runs of a sweep, beside the launcher's own; its value is the sweep's name
POLL_SECONDS = 15.0


def existing(jobs: Sequence[TrainingJob], cluster: Cluster) -> dict[str, JSON]:
    """Return the JobSets of those runs of a sweep that the cluster has, by name.

    Raises:
      RequestError: one of them was submitted with other settings; all such are named.
    """
    stored = {objects.name(jobset): jobset for jobset in lookup.list_runs(cluster)}
    problems = []
    for job in jobs:
        live = stored.get(job.name)
        if live is not None and diff.unified(live, render(job)[-1], MANAGER):
            problem = f"must be new or as it was submitted, got {job.name!r} with other settings"
            problems.append(Problem("name", problem, f"resnet-launch delete {job.name}, or another --name"))
    if problems:
        raise RequestError(*problems)
    return {job.name: stored[job.name] for job in jobs if job.name in stored}


def rows(sweep: str, cluster: Cluster) -> list[dict[str, Any]]:
    """Return the rows of `list` for the runs of a sweep, by name, each with the `folder` of the sweep."""
    names = {
        objects.name(jobset)
        for jobset in lookup.list_runs(cluster)
        if objects.labels_of(jobset).get(LABEL) == sweep
    }
    listed = [row for row in listing.rows(cluster) if row["name"] in names]
    result = []
    for row in sorted(listed, key=lambda row: row["name"]):
        progress, restarts = row["progress"], row["restarts"]["total"]
        steps = f"/{progress['steps']}" if "steps" in progress else ""
        step = f"{progress['step']}{steps}" if "step" in progress else ""
        folder = row["run_dir"].removesuffix(f"/{row['name']}")
        result.append({**row, "step": step, "restarts": restarts, "folder": folder})
    return result


def dry_run(jobs: Sequence[TrainingJob], cluster: Cluster) -> None:
    """Let the server check every run; nothing is stored. Raises ActionError at the first that it refuses."""
    for job in jobs:
        submission.dry_run(job, cluster)


def submit(
    jobs: Sequence[TrainingJob],
    cluster: Cluster,
    parallel: int | None,
    show: Callable[[str], None],
    sleep: Callable[[float], None] = time.sleep,
) -> int:
    """Submit the runs that the cluster does not have yet and return how many those were.

    Args:
      jobs: all runs of the sweep, in their order.
      parallel: runs that may be there and not over at a time; None: all.
      show: is called with a line for each run that is submitted.
      sleep: waits between two looks at the runs.

    Raises:
      RequestError, ActionError, NotKnown: as `submission.submit`; the runs submitted before it go on.
    """
    present = existing(jobs, cluster)
    waiting = [job for job in jobs if job.name not in present]
    dry_run(waiting, cluster)
    names, submitted = {job.name for job in jobs}, 0
    while waiting:
        active = [
            jobset
            for jobset in lookup.list_runs(cluster)
            if objects.name(jobset) in names and not diagnosis.is_over(jobset)
        ]
        free = len(waiting) if parallel is None else max(parallel - len(active), 0)
        for job in waiting[:free]:
            submission.submit(job, cluster)
            submitted += 1
            show(f"{job.name} submitted")
        waiting = waiting[free:]
        if waiting:
            sleep(POLL_SECONDS)
    return submitted
