"""What can be known of a run before a pod starts: does it fit, how fast will it be, what batch is best."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any

from launcher import aot, predict, slices
from launcher.errors import Problem, RequestError
from launcher.job import TrainingJob

GIB = 2**30
TRIES = 4  # compilations of a search
ROOM = 0.97  # of the memory: it does not grow in a straight line, and each miss costs a compilation
NEAR = 0.99  # of the best rate is as good: the prediction is not so sharp
FIRST = 128  # examples a device that a search begins with: fits every TPU with every network


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Of the compiler and of the prediction, for one job. `found` is what launcher.aot gives."""

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


def ask(job: TrainingJob, show: Show, steps: str = "train,eval", estimate: bool = False) -> Answer:
    """Compiles, or takes the kept answer, and predicts where it fits.

    Args:
      estimate: count operations instead of compiling; the only way where the slice is not of TPUs.

    Raises what launcher.aot raises.
    """
    found = aot.compile(job, show, steps=steps, estimate=estimate or job.shape.kind != "tpu")
    limit = memory(job)
    if found["estimated"] and limit:
        for step in set(found) & {"train", "eval"}:
            found[step] |= {"fits": found[step]["peak"] < limit, "limit": limit}
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


def largest(answer: Answer, show: Show) -> Answer | None:
    """The largest batch a device that compiles, found from one that does not fit, or does; None: not one."""
    train = answer.found["train"]
    fixed = sum(train["memory"][part] for part in ("parameters", "statistics", "optimizer"))
    limit, guesses = train.get("limit", memory(answer.job)), answer.found["estimated"]
    tried, below = {answer.per_device: train["peak"]}, answer.per_device if not answer.fits else None
    best = answer if answer.fits else None
    for _ in range(TRIES):
        guess = predict.largest(tried, fixed, int(ROOM * limit))
        guess = guess if below is None else min(guess, int(ROOM * below))
        if guess < 1 or (best and guess <= best.per_device):
            break
        show(f"trying {guess} a device")
        found = ask(with_batch(answer.job, guess), show, "train", guesses)
        if found.fits:
            return found
        tried, below = {guess: found.found["train"]["peak"]}, guess
    return best


def choose(job: TrainingJob, show: Show, estimate: bool = False) -> list[Answer]:
    """The answers for a few batches, first the smallest with nearly the best predicted rate."""
    first = ask(with_batch(job, FIRST), show, "train", estimate)
    most = largest(first, show)
    if most is None:
        raise refusal(first, None)
    found = {first.per_device: first} if first.fits else {}
    found[most.per_device] = most
    if (half := most.per_device // 2) not in found and half > FIRST:
        found[half] = ask(with_batch(job, half), show, "train", estimate)
    best = max(map(rate, found.values()))
    return sorted(found.values(), key=lambda a: (rate(a) < NEAR * best, a.per_device))


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


def compare(jobs: Iterable[TrainingJob], show: Show, estimate: bool = False) -> list[Answer]:
    """Answers for several slices, by predicted time."""
    found = []
    for job in jobs:
        show(f"{job.slice}:")
        found.append(ask(job, show, estimate=estimate))
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
