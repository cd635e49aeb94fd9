"""The assessment of a run before a pod starts: whether it fits, how fast it will be, how long it takes."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from launcher.check import compiler
from launcher.check.prediction import Prediction, predict
from launcher.contract import PREDICTED, CheckResult
from launcher.errors import Problem, RequestError
from launcher.hardware import facts
from launcher.request.job import TrainingJob

GIB = 2**30


@dataclass(frozen=True, kw_only=True)
class Assessment:
    """The result of the compiler (or of an estimate) for one job, and the speed predicted from it.

    `prediction` is None where the job does not fit, or where the hardware is not in the catalogue.
    """

    job: TrainingJob
    result: CheckResult
    prediction: Prediction | None

    @property
    def fits(self) -> bool:
        """Whether all steps that were compiled fit into the memory of a device."""
        return all(step["fits"] for step in compiler.step_results(self.result))

    @property
    def batch_per_device(self) -> int:
        return self.result["batch"] // self.result["devices"]


Show = Callable[[str], None]


def assess(
    job: TrainingJob,
    show: Show,
    steps: tuple[str, ...] = ("train", "eval"),
    estimate: bool = False,
    code: bool = False,
    seconds: float = compiler.SECONDS,
) -> Assessment:
    """Compile a job, or read the cached result, and predict its speed where it fits.

    Args:
      job: the job; for a slice without TPUs its operations are always counted.
      show: is called with a line of text at each stage.
      steps: the steps to compile, `train` and `eval`.
      estimate: count operations instead of compiling.
      code: compile to the end, including code generation.
      seconds: longest time that the compilation may take.

    Raises:
      RequestError, ActionError: as launcher.check.compiler.compile.
    """
    estimate = estimate or job.shape.kind != "tpu"
    result = compiler.compile(job, show, steps=steps, estimate=estimate, code=code, seconds=seconds)
    return _assessed(job, result)


def newest(job: TrainingJob) -> tuple[Assessment, float] | None:
    """Return the assessment of the newest kept check of this very request, and its time in unix seconds.

    Nothing is computed. None where there is none, or where no speed is predicted for the hardware.
    """
    if job.command or not device_memory(job):
        return None
    stored = compiler.newest(job)
    try:
        return (_assessed(job, stored.result), stored.computed) if stored else None
    except (KeyError, TypeError, ArithmeticError):  # somebody has changed the file
        return None


def _assessed(job: TrainingJob, result: CheckResult) -> Assessment:
    """Return the assessment that follows from the result of trainer.check."""
    limit = device_memory(job)
    for step in compiler.step_results(result):
        # The compiler refuses a step that is too large for its own limit; an estimate knows no limit.
        if limit and step["peak"] >= limit:
            step["fits"], step["limit"] = False, step.get("limit", limit)
    prediction = None
    if result["train"]["fits"] and limit:
        prediction = predict(result, job.shape, job.num_slices)
    return Assessment(job=job, result=result, prediction=prediction)


def device_memory(job: TrainingJob) -> int:
    """Return the bytes of memory of one device, or 0 where the hardware is not in the catalogue."""
    chip = facts.generations().get(job.shape.generation, {}).get("chip")
    return chip["memory"] * GIB // job.shape.devices_per_chip if chip else 0


def with_batch(job: TrainingJob, per_device: int) -> TrainingJob:
    """Return the same job with `per_device` examples per device."""
    batch = f"train.batch={per_device * job.devices}"
    return dataclasses.replace(job, args=(*job.args, "--set", batch))  # the last --set of a field wins


def with_prediction(job: TrainingJob, result: Assessment) -> TrainingJob:
    """Return the same job with the predicted images/s over all devices for its trainer to record.

    A job that states a prediction of its own, or whose speed is not known, stays as it is.
    """
    rate = rate_per_chip(result) * job.shape.chips * job.num_slices
    if not rate or PREDICTED in job.requested:
        return job
    return dataclasses.replace(job, args=(*job.args, "--set", f"{PREDICTED}={rate:.1f}"))


def does_not_fit(assessment: Assessment, largest: Assessment | None) -> RequestError:
    """Return the error for a batch that does not fit; its hint names the largest batch that does."""
    result, train = assessment.result, assessment.result["train"]
    limit = train.get("limit", device_memory(assessment.job)) / GIB
    hint = (
        f"--batch {largest.result['batch']} is the largest that fits, {largest.batch_per_device} per device"
        if largest
        else "none of the smaller batches that were tried fits: use chips with more memory"
    )
    batch = f"{result['batch']} ({assessment.batch_per_device} per device)"
    needed = f"{train['peak'] / GIB:.1f} GiB"
    text = f"must fit the {limit:.1f} GiB of each device, got {batch}, which needs {needed}"
    return RequestError(Problem("batch", text, hint))


def compare(
    jobs: Iterable[TrainingJob], show: Show, estimate: bool = False, code: bool = False
) -> list[Assessment]:
    """Return the assessments of jobs on several slices, the shortest predicted run first."""
    assessments = []
    for job in jobs:
        show(f"{job.slice}:")
        assessments.append(assess(job, show, estimate=estimate, code=code))
    return sorted(assessments, key=lambda a: a.prediction.total.expected if a.prediction else float("inf"))


def rate_per_chip(assessment: Assessment) -> float:
    """Return the expected images/s per chip, or 0 where the job does not fit."""
    return assessment.prediction.rate.expected if assessment.prediction else 0.0
