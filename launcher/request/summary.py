"""A request in a few lines for a person: its shape, and where it is kept."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob


def lines(job: TrainingJob) -> list[str]:
    """`v4-32 = 16 chips (2x2x4) on 4 hosts, 16 devices` and what else was asked for.

    Numbers are of all slices together; the batch is also given per device.
    """
    shape, count = job.shape, job.num_slices
    what = {"tpu": "chip", "gpu": "GPU", "cpu": "CPU device"}[shape.kind]
    topology = f" ({shape.topology})" if shape.topology else ""
    slices = shape.name if count == 1 else f"{count} x {shape.name}"
    found = [
        f"{slices} = {_count(count * shape.chips, what)}{topology} on {_count(job.hosts, 'host')}, "
        + _count(job.devices, "device")
    ]
    if job.batch:
        found.append(f"batch {job.batch} = {job.batch // job.devices} a device")
    found.append(f"run directory {job.run_dir}")
    return found


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}{'s' * (number != 1)}"
