"""Placement by topology: the release of Kueue that a run needs, and placements that Kueue cannot express.

Kueue places the pods of all slices as one group. Only from 0.13 on can it be told that the group consists of
slices (Kueue's KEP 2724, two-level topology-aware scheduling).
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from launcher.errors import Problem

if TYPE_CHECKING:
    from launcher.request.fields import Fields

Version = tuple[int, int]
ANY: Version = (0, 0)
TOPOLOGY: Version = (0, 9)  # first release that places by topology
OF_SLICES: Version = (0, 13)  # first release that places each slice by itself


def needed(job: Fields) -> Version:
    """Return the oldest release of Kueue, as (major, minor), that places the run as it asks."""
    if job.topology_required and job.num_slices > 1:
        return OF_SLICES
    return TOPOLOGY if job.topology_required or job.topology_preferred else ANY


def too_old(job: Fields, version: Version, got: str) -> Iterator[Problem]:
    """Yield the problem of a Kueue that is too old for the run's placement.

    Args:
      version: of Kueue, as (major, minor).
      got: the same in the words of its source.
    """
    oldest = needed(job)
    if version >= oldest:
        return
    if oldest == OF_SLICES:
        yield Problem(
            "topology-required",
            f"must be used with Kueue 0.13 or newer for {job.num_slices} slices, got {got}",
            "--num-slices 1, or leave out --topology-required: older ones look for one place for all slices",
        )
    else:
        field = "topology-required" if job.topology_required else "topology-preferred"
        yield Problem(field, f"must be used with Kueue 0.9 or newer, got {got}", f"leave out --{field}")


def problems(job: Fields) -> Iterator[Problem]:
    """Yield what Kueue, or the release that the request names, cannot express."""
    if job.topology_required and job.topology_preferred:
        yield Problem("topology-preferred", "must be left out with --topology-required")
    elif job.topology_preferred and job.num_slices > 1:
        yield Problem(
            "topology-preferred",
            f"must be left out for {job.num_slices} slices, got {job.topology_preferred!r}: "
            "Kueue has no preferred placement of each slice",
            f"--topology-required {job.topology_preferred}",
        )
    elif job.kueue_version:
        yield from too_old(job, job.kueue_version, ".".join(map(str, job.kueue_version)))
