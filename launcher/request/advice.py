"""What is allowed but seldom meant: one warning each, with the flag that changes it."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from launcher.request.job import TrainingJob


def warnings(job: TrainingJob) -> Iterator[str]:
    """What a person should know before the run starts."""
    words = (*job.set, *job.args)
    if job.data is None and "--data" not in words and not any(w.startswith("data.name=") for w in words):
        yield "no data is configured: the run trains on synthetic images (--data DATA)"
    if not job.kept:
        also = " and makes no checkpoints" if job.hosts > 1 else ""
        yield f"no bucket is configured: the run keeps nothing{also} (--bucket BUCKET)"
    if job.platform != "local" and "/" not in job.image:
        yield f"image {job.image} names no registry: only nodes that have it can run it (--image IMAGE)"
