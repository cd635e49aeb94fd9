"""How fast a compiled program will be, as a range with its assumptions. Pure.

A step takes at least the larger of its arithmetic and its memory traffic, each at the chip's peak: the fast
end of the range. Nothing overlaps in what is expected, and both run at nine tenths of their peaks: that
factor is the one that makes a TPU v4 as fast as MLPerf measured it. docs/explanations/prediction.md
compares the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from launcher.contract import CheckResult, StepResult
from launcher.hardware import facts
from launcher.hardware.slices import Slice

DCN_BYTES = 12.5e9  # bytes a second of a host's network card: 100 Gbit/s, the least of the TPU machine types
ICI_DELAY, DCN_DELAY = 10e-6, 200e-6  # seconds a collective takes to begin: assumed, not measured
REACHED, LEAST = 0.9, 0.8  # of the peaks: expected, and the slow end
ASSUMPTIONS = (
    "fast end: arithmetic, memory and network overlap wholly, at the chip's peaks; expected: they do not, at "
    f"{REACHED:.0%} of the peaks; slow end: at {LEAST:.0%}",
    f"a host's network card moves {DCN_BYTES * 8 / 1e9:.0f} Gbit/s; a collective begins in "
    f"{ICI_DELAY * 1e6:.0f} us inside a slice and {DCN_DELAY * 1e6:.0f} us between slices",
    "the input keeps up; start-up, compilation and saves are not counted",
)


@dataclass(frozen=True, kw_only=True)
class Range:
    """low <= expected <= high, in one unit."""

    low: float
    expected: float
    high: float

    def times(self, factor: float) -> Range:
        return Range(low=self.low * factor, expected=self.expected * factor, high=self.high * factor)

    def under(self, amount: float) -> Range:
        """amount / each: a rate becomes a time and the reverse."""
        return Range(low=amount / self.high, expected=amount / self.expected, high=amount / self.low)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """Of one run on its slices.

    step: seconds. rate: images a second and chip. total: seconds of all steps and evaluations.
    flops_share, memory_share: of the chip's peaks, at the expected speed.
    """

    step: Range
    rate: Range
    total: Range
    epochs_a_day: float
    chip_hours: Range
    flops_share: float
    memory_share: float
    bound: str


def predict(found: CheckResult, shape: Slice, count: int) -> Prediction:
    """From what the compiler said of both steps (launcher.check.compiler) and the chip's figures.

    Args:
      found: with the key `train`, and `eval` where evaluations are to be counted.
      count: slices.
    """
    train, chips = found["train"], count * shape.chips
    step = seconds(train, shape)
    total = step.times(found["steps"])
    if "eval" in found and found["eval"]["fits"]:
        evaluation = seconds(found["eval"], shape).times(found["evaluations"])
        total = Range(
            low=total.low + evaluation.low,
            expected=total.expected + evaluation.expected,
            high=total.high + evaluation.high,
        )
    arithmetic, memory, _ = parts(train, shape)
    return Prediction(
        step=step,
        rate=step.under(found["batch"] / chips),
        total=total,
        epochs_a_day=86400 / step.expected / found["steps_per_epoch"],
        chip_hours=total.times(chips / 3600),
        flops_share=arithmetic / step.expected,
        memory_share=memory / step.expected,
        bound="arithmetic" if arithmetic > memory else "memory",
    )


def seconds(step: StepResult, shape: Slice) -> Range:
    """One step, from its parts."""
    return between(*parts(step, shape))


def between(arithmetic: float, memory: float, network: float) -> Range:
    """The seconds of a step from those of its parts, each alone at the chip's peak."""
    busy = arithmetic + memory
    return Range(
        low=max(arithmetic, memory, network),
        expected=busy / REACHED + network,
        high=(busy + network) / LEAST,
    )


def parts(step: StepResult, shape: Slice) -> tuple[float, float, float]:
    """Seconds of arithmetic, of memory traffic, of communication: each alone at the chip's peak."""
    chip = facts.generations()[shape.generation]["chip"]
    share = 1 / shape.devices_per_chip
    network = 0.0
    for row in step["collectives"]:
        if row["network"] == "dcn":
            pace, delay = DCN_BYTES / shape.devices_per_host, DCN_DELAY
        else:
            pace, delay = chip["ici"] * 1e9 * share, ICI_DELAY
        waits = row.get("rounds", row["number"])  # those that are on the way together wait once
        # A ring sends each byte of an all-reduce twice: once to add up, once to hand out.
        network += waits * delay + (2 if row["kind"] == "all-reduce" else 1) * row["bytes"] / pace
    return (
        step["flops"] / (chip["bf16"] * 1e12 * share),
        step["bytes"] / (chip["bandwidth"] * 1e9 * share),
        network,
    )


def waiting(step: StepResult) -> float:
    """Seconds of a step in which nothing but the beginning of exchanges between slices is waited for."""
    return sum(row.get("rounds", 0) * DCN_DELAY for row in step["collectives"])


def largest(tried: Mapping[int, int], fixed: int, limit: int) -> int:
    """The batch a device that should fit, from compilations that did not, or did.

    Args:
      tried: batch a device -> bytes needed.
      fixed: bytes that do not grow with the batch (parameters, optimizer): where the line begins as long as
        there is one try alone.
      limit: bytes of a device.

    Memory grows about linearly with the batch: a line through the two largest tries.
    """
    (less, low), (batch, needed) = sorted([*({0: fixed} | dict(tried)).items()])[-2:]
    image = max((needed - low) / (batch - less), 1)
    fits = int(batch + (limit - needed) / image)
    return fits if fits < 8 else fits // 8 * 8
