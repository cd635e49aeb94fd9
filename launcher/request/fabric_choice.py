"""The network between the GPU hosts of a run, its resources, and the rules of `--fabric`."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from launcher.errors import Problem
from launcher.hardware import fabrics
from launcher.request.fabric_names import AUTO, NONE

if TYPE_CHECKING:
    from launcher.request.fields import Fields


def name(job: Fields) -> str | None:
    """Return the fabric between the job's hosts, or None for a single host or where there is none."""
    if job.hosts == 1 or job.shape.kind != "gpu":
        return None
    if job.fabric == AUTO:
        return job.shape.fabric if job.platform == "gke" else None
    return None if job.fabric == NONE else job.fabric


def resources(job: Fields) -> dict[str, Any]:
    """Return the resources of the job's fabric per host; None in place of a number that is not known.

    `fabric_resource` replaces the devices, whose name and number are the cluster's. Huge pages stay, unless
    it names them.
    """
    fabric = name(job)
    if fabric is None:
        return {}
    shape, own = job.shape, job.fabric_resource
    known = fabrics.resources(fabric, shape.generation if shape.fabric else "")  # of whole hosts
    replaced = any(not name.startswith(fabrics.HUGE_PAGES) for name in own)
    kept = {k: v for k, v in known.items() if not (replaced and not k.startswith(fabrics.HUGE_PAGES))}
    return {**kept, **own}


def problems(job: Fields) -> Iterator[Problem]:
    """Yield what is wrong with the choice for this slice and platform."""
    if job.fabric_resource and job.fabric not in fabrics.ELSEWHERE:
        choices = " or ".join([", ".join(fabrics.ELSEWHERE[:-1]), fabrics.ELSEWHERE[-1]])
        text = f"must be used with --fabric {choices}, got --fabric {job.fabric}"
        yield Problem("fabric-resource", text, "--fabric ib")
    if job.fabric in (AUTO, NONE):
        return
    if job.shape.kind != "gpu":
        yield Problem("fabric", f"must be auto or none for {job.slice}, got {job.fabric!r}: it has no GPUs")
    elif job.fabric == fabrics.CLAIMED:
        yield from _claimed(job)
    elif job.platform != "generic":
        text = f"must be auto, dranet or none on platform {job.platform}, got {job.fabric!r}"
        yield Problem("fabric", text, f"--platform generic --fabric {job.fabric}")
    else:
        yield from _numbers(job)


def _claimed(job: Fields) -> Iterator[Problem]:
    if job.platform != "gke":
        text = f"must be {', '.join(fabrics.ELSEWHERE)} or none on platform {job.platform}, got 'dranet'"
        yield Problem("fabric", text, "GKE hands out these cards: --platform gke")
    elif job.shape.fabric not in fabrics.BY_CLAIM:
        own = job.shape.fabric or "no fabric"
        text = f"must be auto or none for {job.slice}, got 'dranet': its hosts have {own}"
        yield Problem("fabric", text, "--fabric auto")


def _numbers(job: Fields) -> Iterator[Problem]:
    amounts: Mapping[str, Any] = resources(job)
    unknown = [name for name, amount in amounts.items() if amount is None]
    if job.hosts > 1 and (unknown or not amounts):
        resource = unknown[0] if unknown else "NAME"
        text = f"must be given with --fabric {job.fabric} for {job.slice}: the number depends on the machine"
        if not unknown:
            text = f"must be given with --fabric {job.fabric}: the cluster has a resource name of its own"
        hint = f"--fabric-resource {resource}=N, as under Allocatable of kubectl describe node"
        yield Problem("fabric-resource", text, hint)
