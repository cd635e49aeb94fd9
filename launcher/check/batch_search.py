"""The batch to choose: the largest that fits the devices, and the smallest that is nearly as fast as any."""

from __future__ import annotations

import time
from collections.abc import Sequence

from launcher.check import prediction
from launcher.check.assessment import Answer, Show, ask, memory, rate, refusal, with_batch
from launcher.errors import ActionError
from launcher.request.job import TrainingJob

TRIES = 3  # compilations of a search, after the first two
SEARCH_SECONDS = 3600.0  # of a search in all: what it has by then is the answer
ROOM = 0.97  # of the memory: it does not grow in a straight line, and each miss costs a compilation
NEAR = 0.99  # of the best rate is as good: the prediction is not so sharp
FIRST = (64, 128)  # examples a device that a search begins with: fit every TPU with every network
MOST = 4096  # examples a device that are tried: no recipe learns from batches of more on even a few devices


def largest(answers: Sequence[Answer], show: Show, until: float, most: int) -> Answer | None:
    """The largest batch a device that compiles, found from some that do not fit, or do; None: not one.

    Args:
      until: time.monotonic() at which the search ends with what it has.
      most: examples a device, above which nothing is tried.
    """
    train, job = answers[0].found["train"], answers[0].job
    fixed = sum(train["memory"][part] for part in ("parameters", "statistics", "optimizer"))
    limit, counted = train.get("limit", memory(job)), answers[0].found["estimated"]
    tried = {answer.per_device: answer for answer in answers}
    for _ in range(TRIES):
        fitting = [n for n, answer in tried.items() if answer.fits]
        misses = [n for n, answer in tried.items() if not answer.fits]
        needed = {n: answer.found["train"]["peak"] for n, answer in tried.items()}
        guess = prediction.largest(needed, fixed, int(ROOM * limit))
        guess = min([guess, most, *(int(ROOM * n) for n in misses)])
        if guess < 1 or guess <= max(fitting, default=0):
            break
        show(f"trying {guess} a device")
        try:
            seconds = until - time.monotonic()
            tried[guess] = ask(with_batch(job, guess), show, ("train",), counted, seconds=seconds)
        except ActionError as error:
            if not fitting:
                raise
            show(f"{guess} a device: {error}; not tried further")
            break
        if tried[guess].fits:
            break
    return max((a for a in tried.values() if a.fits), key=lambda a: a.per_device, default=None)


def choose(job: TrainingJob, show: Show, estimate: bool = False) -> list[Answer]:
    """The answers for a few batches, first the smallest with nearly the best predicted rate.

    Two small compilations give the line that memory grows along, a third confirms the largest batch.
    """
    until = time.monotonic() + SEARCH_SECONDS
    found = []
    for size in FIRST:
        show(f"trying {size} a device")
        found.append(ask(with_batch(job, size), show, ("train",), estimate, seconds=until - time.monotonic()))
    biggest = largest(found, show, until, MOST)
    if biggest is None:
        raise refusal(found[0], None)
    fitting = {answer.per_device: answer for answer in [*found, biggest] if answer.fits}.values()
    best = max(map(rate, fitting))
    return sorted(fitting, key=lambda a: (rate(a) < NEAR * best, a.per_device))
