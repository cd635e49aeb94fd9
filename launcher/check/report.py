"""The assessment of a run as text, as a row of a table and as JSON. Pure."""

from __future__ import annotations

import dataclasses
import time
from collections.abc import Iterator, Mapping
from typing import Any

from launcher.check import compiler
from launcher.check.assessment import GIB, Assessment, device_memory
from launcher.check.prediction import ASSUMPTIONS, Prediction, Range, waiting_seconds
from launcher.check.prices import Prices
from launcher.contract import PREDICTED, CheckResult, StepResult
from launcher.request import summary

WAITING_SHARE = 0.05  # share of a step spent waiting between slices that is worth reporting
COLUMNS = (
    "slice",
    "chips",
    "batch",
    "batch per device",
    "GiB per device",
    "images/s per chip",
    "time",
    "chip-hours",
    "cost",
    "method",
)


def lines(assessment: Assessment, prices: Prices) -> list[str]:
    """Return the report of one run, a line per list item.

    Args:
      prices: of one chip per hour; where the slice's is not known, the cost is left out.
    """
    result, train = assessment.result, assessment.result["train"]
    price = prices.of(assessment.job.shape)
    image = "x".join(map(str, result["image"][:2]))
    work = f"{train['flops'] / 1e12:.3g} TFLOP and {train['bytes'] / 1e9:.3g} GB per step and device"
    rows = [
        ("memory", _memory(assessment)),
        ("", _memory_parts(train["memory"])),
        ("work", f"{work}, {train['bytes'] * result['devices'] / result['batch'] / 1e6:.0f} MB per image"),
        *_network(train),
        *_waiting(assessment),
        *(_speed(assessment, assessment.prediction, price) if assessment.prediction else []),
    ]
    return [
        f"{assessment.job.arch} on {summary.lines(assessment.job)[0]}",
        f"batch {result['batch']} = {_share(result)}, images of {image}, "
        f"{result['parameters'] / 1e6:.3g} M parameters",
        _basis(result),
        *_assumed(result),
        "",
        *(f"{name:9} {text}" for name, text in rows),
        *(_caveats(result) if assessment.prediction else _unknown(assessment)),
    ]


def kept(assessment: Assessment, computed: float) -> str:
    """Return the line about a kept check that a submission uses.

    Args:
      computed: when its result was computed, in unix seconds.
    """
    result, when = assessment.result, time.strftime("%Y-%m-%d %H:%M", time.localtime(computed))
    check = f"`check` of {when}" + (", an estimate" if result["estimated"] else "")
    if assessment.prediction is None:
        return f"warning: this does not fit the memory of a device, says the {check}; --check has the details"
    rate = assessment.prediction.rate.expected
    if PREDICTED in assessment.job.requested:
        return f"predicted {rate:,.0f} images/s per chip ({check}); {PREDICTED} of the request counts instead"
    return f"predicted {rate:,.0f} images/s per chip, by the {check}"


def _share(result: CheckResult) -> str:
    """Return `64 per device`, or `64 per group of 2 devices` where devices share one network."""
    if (model := result["model"]) == 1:
        return f"{result['batch'] // result['devices']} per device"
    return f"{result['batch'] * model // result['devices']} per group of {model} devices"


def _unknown(assessment: Assessment) -> list[str]:
    """Return what is not predicted for a slice whose chip is not in the catalogue."""
    shape = assessment.job.shape
    if shape.kind == "cpu" or device_memory(assessment.job):
        return []
    return [
        "",
        f"Not predicted: the speed, and whether it fits. The chip of {shape.name} is not in the catalogue.",
    ]


def _assumed(result: CheckResult) -> list[str]:
    assumed = result["assumed"]
    return [f"{result['examples']:,} images are assumed, as in ImageNet-1k: {assumed}"] if assumed else []


def _caveats(result: CheckResult) -> list[str]:
    network = ["communication between devices is not counted"] if result["estimated"] else []
    return ["", "The speed is predicted, not measured:", *(f"  {line}" for line in [*ASSUMPTIONS, *network])]


def _basis(result: CheckResult) -> str:
    """Return how the numbers were obtained, and how long that took."""
    seconds = f"{sum(step['seconds'] for step in compiler.step_results(result)):.0f} s"
    cached = ", cached" if result["cached"] else ""
    if result["estimated"]:
        return f"estimated from the run's traced operations, nothing was compiled ({seconds}{cached})"
    libtpu = f"libtpu {result['versions']['libtpu']} for {result['device_kind']}"
    if result["code"]:
        return f"compiled by {libtpu} ({seconds}{cached})"
    return f"laid out by {libtpu} ({seconds}{cached}); --generate-code also generates the code"


def _method(result: CheckResult) -> str:
    if result["estimated"]:
        return "estimate"
    return "compiler" if result["code"] else "layout"


def _speed(assessment: Assessment, prediction: Prediction, price: float | None) -> Iterator[tuple[str, str]]:
    result = assessment.result
    epochs = result["steps"] / result["steps_per_epoch"]
    length = f"{epochs:.3g} epochs" if epochs >= 1 else f"{result['steps']} steps"
    step = _range(prediction.step.times(1e3))
    yield "speed", f"{_range(prediction.rate)} images/s per chip, {step} ms per step"
    flops, bandwidth = f"{prediction.flops_share:.0%}", f"{prediction.memory_share:.0%}"
    yield (
        "",
        f"bound by {prediction.bound}: {flops} of the peak FLOP/s and {bandwidth} of the peak bandwidth used",
    )
    total = prediction.total
    expected, low, high = (duration(seconds) for seconds in (total.expected, total.low, total.high))
    # Without a dataset, or with an assumed size, an epoch means nothing.
    a_day = (
        ""
        if result["assumed"] or summary.without_data(assessment.job)
        else f", {prediction.epochs_a_day:,.0f} epochs per day"
    )
    yield "run", f"{length} in {expected} ({low} to {high}){a_day}"
    cost = f", {_range(prediction.chip_hours.times(price))} at {price:g} per chip-hour" if price else ""
    yield "", f"{_range(prediction.chip_hours)} chip-hours{cost}"


def row(assessment: Assessment, prices: Prices) -> dict[str, Any]:
    """Return one row of a comparison, keyed by COLUMNS."""
    prediction, job = assessment.prediction, assessment.job
    price = prices.of(job.shape)
    cells = {
        "slice": job.slice if job.num_slices == 1 else f"{job.num_slices} x {job.slice}",
        "chips": job.num_slices * job.shape.chips,
        "batch": assessment.result["batch"],
        "batch per device": assessment.batch_per_device,
        "GiB per device": f"{assessment.result['train']['peak'] / GIB:.1f} of {device_memory(job) / GIB:.0f}",
        "method": _method(assessment.result),
    }
    if prediction is None:
        return dict.fromkeys(COLUMNS, "") | cells | {"images/s per chip": "does not fit"}
    return cells | {
        "images/s per chip": f"{prediction.rate.expected:,.0f}",
        "time": duration(prediction.total.expected),
        "chip-hours": f"{prediction.chip_hours.expected:,.3g}",
        "cost": _cost(prediction.chip_hours.times(price).expected) if price else "",
    }


def document(assessment: Assessment, prices: Prices) -> dict[str, Any]:
    """Return the whole assessment for `--json`, in bytes, FLOPs and seconds."""
    job, prediction = assessment.job, assessment.prediction
    price = prices.of(job.shape)
    predicted = dataclasses.asdict(prediction) if prediction else None
    if predicted and price and prediction:
        predicted["cost"] = dataclasses.asdict(prediction.chip_hours.times(price))
    request = {"slice": job.slice, "num_slices": job.num_slices, "arch": job.arch}
    return request | {"fits": assessment.fits, "compiled": assessment.result, "predicted": predicted}


def _cost(amount: float) -> str:
    return f"{amount:,.2f}" if amount >= 1 else f"{amount:.2g}"


def duration(seconds: float) -> str:
    """Return `42 s`, `13 min`, `5.1 h` or `2.3 d`."""
    for unit, size, most in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 100)):
        if seconds < most * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86400:.3g} d"


def _memory(assessment: Assessment) -> str:
    result, limit = assessment.result, device_memory(assessment.job)
    peak = result["train"]["peak"]
    share = f" of {limit / GIB:.0f} GiB per device ({peak / limit:.0%})" if limit else " per device"
    evaluation = f"; evaluation: {_size(result['eval']['peak'])}" if "eval" in result else ""
    return f"{_size(peak)}{share}{evaluation}"


def _memory_parts(memory: Mapping[str, int]) -> str:
    sizes = sorted(memory.items(), key=lambda part: -part[1])
    return ", ".join(f"{name} {_size(size)}" for name, size in sizes)


def _size(size: int) -> str:
    return f"{size / GIB:.2f} GiB" if size >= GIB / 10 else f"{size / 2**20:.3g} MiB"


def _megabytes(size: int) -> str:
    return f"{size / 1e6:,.0f}" if size >= 1e8 else f"{size / 1e6:.3g}"


def _network(step: StepResult) -> list[tuple[str, str]]:
    """Return the collectives of a step: `353 x all-reduce over ICI (138 MB in total)`."""
    collectives = [
        f"{row['number']} x {row['kind']} over {row['network'].upper()} "
        f"({_megabytes(row['bytes'])} MB in total)"
        + (f", {row['rounds']} of them one after another" if "rounds" in row and row["rounds"] > 1 else "")
        for row in step["collectives"]
    ]
    return [("" if n else "network", line) for n, line in enumerate(collectives)]


def _waiting(assessment: Assessment) -> Iterator[tuple[str, str]]:
    """Advise BatchNorm per slice where waiting for the other slices takes a large share of a step."""
    result, prediction = assessment.result, assessment.prediction
    seconds = waiting_seconds(result["train"])
    if prediction and not result["bn_group"] and seconds > WAITING_SHARE * prediction.step.expected:
        group = result["batch"] // result["accumulate"] // assessment.job.num_slices
        yield "", f"{seconds * 1e3:.3g} ms per step go into starting BatchNorm's exchanges between slices;"
        yield "", f"--set model.bn_group={group} normalises within each slice (a different training result)"


def _range(value: Range) -> str:
    numbers = value.expected, value.low, value.high
    expected, low, high = (f"{n:.3g}" if n < 1000 else f"{n:,.0f}" for n in numbers)
    return f"{expected} ({low} to {high})"
