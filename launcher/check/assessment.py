"""What can be known of a run before a pod starts: does it fit, how fast will it be, what batch is best."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from launcher.check import compiler
from launcher.check import prediction as predict
from launcher.errors import ActionError, Problem, RequestError
from launcher.hardware import slices
from launcher.request.job import TrainingJob

GIB = 2**30
TRIES = 3  # compilations of a search, after the first two
SEARCH_SECONDS = 3600.0  # of a search in all: what it has by then is the answer
ROOM = 0.97  # of the memory: it does not grow in a straight line, and each miss costs a compilation
NEAR = 0.99  # of the best rate is as good: the prediction is not so sharp
FIRST = (64, 128)  # examples a device that a search begins with: fit every TPU with every network
MOST = 4096  # examples a device that are tried: no recipe learns from batches of more on even a few devices


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Of the compiler and of the prediction, for one job. `found` is what launcher.check.compiler gives."""

    job: TrainingJob
    found: dict[str, Any]
    prediction: predict.Prediction | None

    @property
    def fits(self) -> bool:
        return all(self.found[step]["fits"] for step in ("train", "eval") if step in self.found)

    @property
    def per_device(self) -> int:
        return self.found["batch"] // self.found["devices"]


Show = Callable[[str], None]


def ask(
    job: TrainingJob,
    show: Show,
    steps: tuple[str, ...] = ("train", "eval"),
    estimate: bool = False,
    code: bool = False,
    seconds: float = compiler.SECONDS,
) -> Answer:
    """Compiles, or takes the kept answer, and predicts where it fits.

    Args:
      estimate: count operations instead of compiling; the only way where the slice is not of TPUs.
      code: compile to the end, code and all.
      seconds: longest wait.

    Raises what launcher.check.compiler raises.
    """
    counted = estimate or job.shape.kind != "tpu"
    found = compiler.compile(job, show, steps=steps, estimate=counted, code=code, seconds=seconds)
    limit = memory(job)
    for step in set(found) & {"train", "eval"}:
        if limit and found[step]["peak"] >= limit:  # of what the compiler refuses it says so itself
            found[step] |= {"fits": False, "limit": found[step].get("limit", limit)}
    told = None
    if found["train"]["fits"] and limit:
        told = predict.predict(found, job.shape, job.num_slices)
    return Answer(job=job, found=found, prediction=told)


def memory(job: TrainingJob) -> int:
    """Bytes of a device's memory, as its vendor counts them; 0 where the hardware is not of the catalogue."""
    chip = slices.facts().get(job.shape.generation, {}).get("chip")
    return chip["memory"] * GIB // job.shape.devices_per_chip if chip else 0


def with_batch(job: TrainingJob, per_device: int) -> TrainingJob:
    """The same job with so many examples a device, wherever its batch was given."""
    settings = tuple(word for word in job.set if not word.startswith("train.batch="))
    args = _without_batch(job.args)
    return dataclasses.replace(job, batch=per_device * job.devices, set=settings, args=args)


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
        guess = predict.largest(needed, fixed, int(ROOM * limit))
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


def refusal(answer: Answer, most: Answer | None) -> RequestError:
    """The error for a batch that does not fit, with the largest that does."""
    train = answer.found["train"]
    hint = (
        f"--batch {most.found['batch']} is the largest that fits, {most.per_device} a device"
        if most
        else "no smaller batch that was tried fits either: take another generation"
    )
    text = (
        f"must fit the devices' memory, got {answer.found['batch']} = {answer.per_device} a device, which "
        f"needs {train['peak'] / GIB:.1f} GiB of {train.get('limit', memory(answer.job)) / GIB:.1f}"
    )
    return RequestError(Problem("batch", text, hint))


def compare(
    jobs: Iterable[TrainingJob], show: Show, estimate: bool = False, code: bool = False
) -> list[Answer]:
    """Answers for several slices, by predicted time."""
    found = []
    for job in jobs:
        show(f"{job.slice}:")
        found.append(ask(job, show, estimate=estimate, code=code))
    return sorted(found, key=lambda a: a.prediction.total.expected if a.prediction else float("inf"))


def rate(answer: Answer) -> float:
    """Images a second and chip; 0 where it does not fit."""
    return answer.prediction.rate.expected if answer.prediction else 0.0


def _without_batch(args: tuple[str, ...]) -> tuple[str, ...]:
    """The trainer's own flags come in pairs, flag and value."""
    pairs = zip(args[::2], args[1::2], strict=True)
    return tuple(
        word
        for flag, value in pairs
        if flag != "--batch" and not (flag == "--set" and value.startswith("train.batch="))
        for word in (flag, value)
    )
