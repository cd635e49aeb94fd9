"""What can be known of a run before a pod starts: does it fit, how fast will it be, what batch is best."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from launcher.check import compiler
from launcher.check.prediction import Prediction, predict
from launcher.contract import CheckResult
from launcher.errors import Problem, RequestError
from launcher.hardware import facts
from launcher.request.job import TrainingJob

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Answer:
    """Of the compiler and of the prediction, for one job. `found` is what launcher.check.compiler gives."""

    job: TrainingJob
    found: CheckResult
    prediction: Prediction | None

    @property
    def fits(self) -> bool:
        return all(step["fits"] for step in compiler.measured(self.found))

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
    for step in compiler.measured(found):
        if limit and step["peak"] >= limit:  # of what the compiler refuses it says so itself
            step["fits"], step["limit"] = False, step.get("limit", limit)
    predicted = None
    if found["train"]["fits"] and limit:
        predicted = predict(found, job.shape, job.num_slices)
    return Answer(job=job, found=found, prediction=predicted)


def memory(job: TrainingJob) -> int:
    """Bytes of a device's memory, as its vendor counts them; 0 where the hardware is not of the catalogue."""
    chip = facts.generations().get(job.shape.generation, {}).get("chip")
    return chip["memory"] * GIB // job.shape.devices_per_chip if chip else 0


def with_batch(job: TrainingJob, per_device: int) -> TrainingJob:
    """The same job with so many examples a device, wherever its batch was given."""
    batch = f"train.batch={per_device * job.devices}"
    return dataclasses.replace(job, args=(*job.args, "--set", batch))  # the last --set of a field wins


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
