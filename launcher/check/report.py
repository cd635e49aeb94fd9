"""What a check found, for people and as JSON. Pure."""

from __future__ import annotations

import dataclasses
from collections.abc import Iterator, Mapping
from typing import Any

from launcher.check import compiler
from launcher.check.assessment import GIB, Answer, memory
from launcher.check.prediction import ASSUMPTIONS, Prediction, Range, waiting
from launcher.contract import CheckResult, StepResult
from launcher.request import summary

WORTH = 0.05  # of a step that is worth a word
COLUMNS = (
    "slice",
    "chips",
    "batch",
    "a device",
    "GiB a device",
    "images/s a chip",
    "time",
    "chip-hours",
    "cost",
    "by",
)


def lines(answer: Answer, price: float | None) -> list[str]:
    """A paragraph a question: does it fit, what does it do, how fast, how long."""
    found, train = answer.found, answer.found["train"]
    side = "x".join(map(str, found["image"][:2]))
    work = f"{train['flops'] / 1e12:.3g} TFLOP and {train['bytes'] / 1e9:.3g} GB a step and device"
    rows = [
        ("memory", _memory(answer)),
        ("", _made_of(train["memory"])),
        ("work", f"{work}, {train['bytes'] / answer.per_device / 1e6:.0f} MB an image"),
        *_network(train),
        *_apart(answer),
        *(_speed(answer, answer.prediction, price) if answer.prediction else []),
    ]
    return [
        f"{answer.job.arch} on {summary.lines(answer.job)[0]}",
        f"batch {found['batch']} = {answer.per_device} a device, images of {side}, "
        f"{found['parameters'] / 1e6:.3g} M parameters",
        _basis(found),
        *_assumed(found),
        "",
        *(f"{name:9} {text}" for name, text in rows),
        *(_caveats(found) if answer.prediction else []),
    ]


def _assumed(found: CheckResult) -> list[str]:
    if assumed := found.get("assumed"):
        return [f"{found['examples']:,} images as in ImageNet-1k are assumed: {assumed}"]
    return []


def _caveats(found: CheckResult) -> list[str]:
    lines = [*ASSUMPTIONS, *(["communication between devices is not counted"] if found["estimated"] else [])]
    return ["", "The speed is predicted, not measured:", *(f"  {line}" for line in lines)]


def _basis(found: CheckResult) -> str:
    took = sum(step["seconds"] for step in compiler.measured(found))
    kept = ", an earlier answer" if found["cached"] else ""
    if found["estimated"]:
        return f"an estimate from the run's traced operations, nothing was compiled ({took:.0f} s{kept})"
    done, rest = ("compiled", "") if found["code"] else ("laid out", "; its code was not generated (--code)")
    version = found["versions"]["libtpu"]
    return f"{done} by libtpu {version} for {found['device_kind']} in {took:.0f} s{kept}{rest}"


def _by(found: CheckResult) -> str:
    if found["estimated"]:
        return "estimate"
    return "compiler" if found["code"] else "layout"


def _speed(answer: Answer, told: Prediction, price: float | None) -> Iterator[tuple[str, str]]:
    found = answer.found
    epochs = found["steps"] / found["steps_per_epoch"]
    plan = f"{epochs:.3g} epochs" if epochs >= 1 else f"{found['steps']} steps"
    yield "speed", f"{_range(told.rate)} images/s a chip, a step in {_range(told.step.times(1e3))} ms"
    shares = f"{told.flops_share:.0%} of the chip's FLOP/s and {told.memory_share:.0%} of its bandwidth"
    yield "", f"bound by {told.bound}: {shares} in use"
    low, expected, high = (duration(s) for s in (told.total.low, told.total.expected, told.total.high))
    yield "run", f"{plan} in {expected} ({low} to {high}), {told.epochs_a_day:,.0f} epochs a day"
    cost = f", {_range(told.chip_hours.times(price))} at {price:g} an hour" if price else ""
    yield "", f"{_range(told.chip_hours)} chip-hours{cost}"


def row(answer: Answer, price: float | None) -> dict[str, Any]:
    """One line of a comparison, by COLUMNS."""
    told, job = answer.prediction, answer.job
    shown = {
        "slice": job.slice if job.num_slices == 1 else f"{job.num_slices} x {job.slice}",
        "chips": job.num_slices * job.shape.chips,
        "batch": answer.found["batch"],
        "a device": answer.per_device,
        "GiB a device": f"{answer.found['train']['peak'] / GIB:.1f} of {memory(job) / GIB:.0f}",
        "by": _by(answer.found),
    }
    if told is None:
        return dict.fromkeys(COLUMNS, "") | shown | {"images/s a chip": "does not fit"}
    return shown | {
        "images/s a chip": f"{told.rate.expected:,.0f}",
        "time": duration(told.total.expected),
        "chip-hours": f"{told.chip_hours.expected:,.3g}",
        "cost": f"{told.chip_hours.times(price).expected:,.2f}" if price else "",
    }


def document(answer: Answer, price: float | None) -> dict[str, Any]:
    """Everything that was found, for `--json`; bytes, FLOPs and seconds."""
    told = dataclasses.asdict(answer.prediction) if answer.prediction else None
    if told and price and answer.prediction:
        told["cost"] = dataclasses.asdict(answer.prediction.chip_hours.times(price))
    request = {"slice": answer.job.slice, "num_slices": answer.job.num_slices, "arch": answer.job.arch}
    return request | {"fits": answer.fits, "compiled": answer.found, "predicted": told}


def duration(seconds: float) -> str:
    """`42 s`, `13 min`, `5.1 h`, `2.3 d`."""
    for unit, size, most in (("s", 1, 100), ("min", 60, 100), ("h", 3600, 100)):
        if seconds < most * size:
            return f"{seconds / size:.3g} {unit}"
    return f"{seconds / 86400:.3g} d"


def _memory(answer: Answer) -> str:
    peak, limit = answer.found["train"]["peak"], memory(answer.job)
    share = f" of {limit / GIB:.0f} GiB a device ({peak / limit:.0%})" if limit else " a device"
    evaluation = f"; evaluation: {_size(answer.found['eval']['peak'])}" if "eval" in answer.found else ""
    return f"{_size(peak)}{share}{evaluation}"


def _made_of(memory: Mapping[str, int]) -> str:
    sizes = sorted(memory.items(), key=lambda part: -part[1])
    return ", ".join(f"{name} {_size(size)}" for name, size in sizes)


def _size(size: int) -> str:
    return f"{size / GIB:.2f} GiB" if size >= GIB / 10 else f"{size / 2**20:.3g} MiB"


def _network(step: StepResult) -> list[tuple[str, str]]:
    found = [
        f"{row['number']} {row['kind']} of {row['bytes'] / 1e6:.3g} MB together over {row['network'].upper()}"
        + (f", {row['rounds']} of them one after another" if "rounds" in row and row["rounds"] > 1 else "")
        for row in step["collectives"]
    ]
    return [("" if n else "network", line) for n, line in enumerate(found)]


def _apart(answer: Answer) -> Iterator[tuple[str, str]]:
    """What makes slices wait less for each other, where that is worth it."""
    found, told = answer.found, answer.prediction
    lost = waiting(found["train"])
    if told and not found["bn_group"] and lost > WORTH * told.step.expected:
        own = found["batch"] // found["accumulate"] // answer.job.num_slices
        yield "", f"waiting for their beginnings takes {lost * 1e3:.3g} ms: BatchNorm's, layer by layer;"
        yield "", f"--set model.bn_group={own} has each slice normalise by itself (not the same training)"


def _range(value: Range) -> str:
    numbers = value.expected, value.low, value.high
    expected, low, high = (f"{n:.3g}" if n < 1000 else f"{n:,.0f}" for n in numbers)
    return f"{expected} ({low} to {high})"
