"""The search for a batch: the largest that fits, and the smallest that is nearly as fast as the fastest."""

from __future__ import annotations

import time
from collections.abc import Sequence

from launcher.check import prediction
from launcher.check.assessment import (
    Assessment,
    Show,
    assess,
    device_memory,
    does_not_fit,
    rate_per_chip,
    with_batch,
)
from launcher.errors import ActionError
from launcher.request.job import TrainingJob

TRIES = 3  # compilations of a search, after those of FIRST
SEARCH_SECONDS = 3600.0  # longest search; at its end the best result so far counts
# Share of the memory to aim for: memory grows along no straight line, and each miss costs a compilation.
MEMORY_SHARE = 0.97
RATE_SHARE = 0.99  # share of the best rate that counts as equally fast: the prediction is less exact than 1 %
FIRST = (64, 128)  # examples per device to begin with; both fit every TPU with every network
MOST = 4096  # examples per device; no recipe learns from larger batches, even on a few devices


def largest(assessments: Sequence[Assessment], show: Show, until: float, most: int) -> Assessment | None:
    """Return the assessment of the largest batch that fits, or None where no batch does.

    Args:
      assessments: at least one batch of the same job, whether it fits or not.
      show: is called with a line of text at each stage.
      until: time.monotonic() at which the search ends with what it has.
      most: largest batch to try, in examples per device.

    Raises:
      ActionError: the first compilation failed, and no batch was found that fits.
    """
    result, job = assessments[0].result, assessments[0].job
    train, estimate = result["train"], result["estimated"]
    fixed = sum(train["memory"][part] for part in ("parameters", "statistics", "optimizer"))
    limit = train.get("limit", device_memory(job))
    tried = {assessment.batch_per_device: assessment for assessment in assessments}
    for _ in range(TRIES):
        fitting = [batch for batch, assessment in tried.items() if assessment.fits]
        too_large = [batch for batch, assessment in tried.items() if not assessment.fits]
        needed = {batch: assessment.result["train"]["peak"] for batch, assessment in tried.items()}
        guess = prediction.largest_batch(needed, fixed, int(MEMORY_SHARE * limit))
        guess = min([guess, most, *(int(MEMORY_SHARE * batch) for batch in too_large)])
        if guess < 1 or guess <= max(fitting, default=0):
            break
        show(f"trying {guess} per device")
        try:
            seconds = until - time.monotonic()
            tried[guess] = assess(with_batch(job, guess), show, ("train",), estimate, seconds=seconds)
        except ActionError as error:
            if not fitting:
                raise
            show(f"{guess} per device: {error}; the search ends here")
            break
        if tried[guess].fits:
            break
    return max((a for a in tried.values() if a.fits), key=lambda a: a.batch_per_device, default=None)


def choose(job: TrainingJob, show: Show, estimate: bool = False) -> list[Assessment]:
    """Return the assessments of a few batches; the first is the smallest with nearly the best rate.

    Two small compilations give the line along which memory grows. A third one confirms the largest batch.

    Raises:
      RequestError: none of the batches fits.
    """
    until = time.monotonic() + SEARCH_SECONDS
    assessments = []
    for batch in FIRST:
        show(f"trying {batch} per device")
        seconds = until - time.monotonic()
        assessments.append(assess(with_batch(job, batch), show, ("train",), estimate, seconds=seconds))
    biggest = largest(assessments, show, until, MOST)
    if biggest is None:
        raise does_not_fit(assessments[0], None)
    fitting = {a.batch_per_device: a for a in [*assessments, biggest] if a.fits}.values()
    best = max(map(rate_per_chip, fitting))
    return sorted(fitting, key=lambda a: (rate_per_chip(a) < RATE_SHARE * best, a.batch_per_device))
