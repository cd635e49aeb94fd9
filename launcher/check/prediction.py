"""The predicted speed of a compiled program, as a range with its assumptions. Pure.

Fast end: arithmetic, memory traffic and network overlap completely, each at the chip's peak. Expected:
nothing overlaps, and arithmetic and memory traffic run at 90 % of their peaks; that factor makes a TPU v4
as fast as MLPerf measured it. Slow end: nothing overlaps, at 80 %.
docs/explanations/prediction.md compares more chips.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from launcher.contract import CheckResult, StepResult
from launcher.hardware import facts
from launcher.hardware.slices import Slice

DCN_BYTES = 12.5e9  # bytes/s of a host's network card: 100 Gbit/s, the slowest of the TPU machine types
ICI_DELAY, DCN_DELAY = 10e-6, 200e-6  # seconds that a collective takes to start: assumed, not measured
EXPECTED_SHARE, SLOW_SHARE = 0.9, 0.8  # shares of the peaks that the expected and the slow end reach
ASSUMPTIONS = (
    "fast end: arithmetic, memory traffic and network overlap completely, at the chip's peaks",
    f"expected: nothing overlaps, at {EXPECTED_SHARE:.0%} of the peaks",
    f"slow end: nothing overlaps, at {SLOW_SHARE:.0%} of the peaks",
    f"a host's network card moves {DCN_BYTES * 8 / 1e9:.0f} Gbit/s; a collective takes "
    f"{ICI_DELAY * 1e6:.0f} us to start within a slice and {DCN_DELAY * 1e6:.0f} us between slices",
    "the input keeps up; start-up, compilation and checkpoint saves are not counted",
)


@dataclass(frozen=True, kw_only=True)
class Range:
    """Three values of the same unit, with low <= expected <= high."""

    low: float
    expected: float
    high: float

    def times(self, factor: float) -> Range:
        """Return each value multiplied by a factor."""
        return Range(low=self.low * factor, expected=self.expected * factor, high=self.high * factor)

    def dividing(self, amount: float) -> Range:
        """Return `amount` divided by each value, which turns the seconds of a step into a rate."""
        return Range(low=amount / self.high, expected=amount / self.expected, high=amount / self.low)


@dataclass(frozen=True, kw_only=True)
class Prediction:
    """The predicted speed of one run on its slices."""

    step: Range  # seconds per step
    rate: Range  # images/s per chip
    total: Range  # seconds of all steps and evaluations
    epochs_a_day: float
    chip_hours: Range
    flops_share: float  # share of the chip's peak FLOP/s that the expected speed uses
    memory_share: float  # share of its peak memory bandwidth
    bound: str  # `arithmetic` or `memory`, whichever takes longer


def predict(result: CheckResult, shape: Slice, count: int) -> Prediction:
    """Predict the speed of a run from its compiled steps and the chip's peaks.

    Args:
      result: the training step, and the evaluation step where evaluations are to be counted.
      shape: the slice.
      count: number of slices.
    """
    train, chips = result["train"], count * shape.chips
    step = seconds(train, shape)
    total = step.times(result["steps"])
    if "eval" in result and result["eval"]["fits"]:
        evaluation = seconds(result["eval"], shape).times(result["evaluations"])
        total = Range(
            low=total.low + evaluation.low,
            expected=total.expected + evaluation.expected,
            high=total.high + evaluation.high,
        )
    arithmetic, memory, _ = parts(train, shape)
    return Prediction(
        step=step,
        rate=step.dividing(result["batch"] / chips),
        total=total,
        epochs_a_day=86400 / step.expected / result["steps_per_epoch"],
        chip_hours=total.times(chips / 3600),
        flops_share=arithmetic / step.expected,
        memory_share=memory / step.expected,
        bound="arithmetic" if arithmetic > memory else "memory",
    )


def seconds(step: StepResult, shape: Slice) -> Range:
    """Return the predicted seconds of one step."""
    return combine(*parts(step, shape))


def combine(arithmetic: float, memory: float, network: float) -> Range:
    """Return the seconds of a step from those of its parts, each of them alone at the chip's peak."""
    busy = arithmetic + memory
    return Range(
        low=max(arithmetic, memory, network),
        expected=busy / EXPECTED_SHARE + network,
        high=(busy + network) / SLOW_SHARE,
    )


def parts(step: StepResult, shape: Slice) -> tuple[float, float, float]:
    """Return the seconds of arithmetic, memory traffic and communication, each alone at the chip's peak."""
    chip = facts.generations()[shape.generation]["chip"]
    share = 1 / shape.devices_per_chip
    network = 0.0
    for row in step["collectives"]:
        if row["network"] == "dcn":
            bandwidth, delay = DCN_BYTES / shape.devices_per_host, DCN_DELAY
        else:
            bandwidth, delay = chip["ici"] * 1e9 * share, ICI_DELAY
        waits = row.get("rounds", row["number"])  # exchanges that are under way together wait once
        # A ring sends each byte of an all-reduce twice: once to add up, once to distribute the sum.
        network += waits * delay + (2 if row["kind"] == "all-reduce" else 1) * row["bytes"] / bandwidth
    return (
        step["flops"] / (chip["bf16"] * 1e12 * share),
        step["bytes"] / (chip["bandwidth"] * 1e9 * share),
        network,
    )


def waiting_seconds(step: StepResult) -> float:
    """Return the seconds of a step spent only on starting exchanges between slices."""
    return sum(row.get("rounds", 0) * DCN_DELAY for row in step["collectives"])


def largest_batch(tried: Mapping[int, int], fixed: int, limit: int) -> int:
    """Guess the largest batch per device that fits, from batches that were compiled.

    Memory grows almost linearly with the batch, so the guess lies on a line through the two largest tries. It
    is a multiple of 8 where it is 8 or more.

    Args:
      tried: batch per device -> bytes needed, whether they fit or not.
      fixed: bytes that do not grow with the batch, such as parameters and optimizer state; the line starts
        there while only one batch was tried.
      limit: bytes of memory per device.
    """
    (smaller, smaller_bytes), (batch, needed) = sorted(({0: fixed} | dict(tried)).items())[-2:]
    bytes_per_image = max((needed - smaller_bytes) / (batch - smaller), 1)
    guess = int(batch + (limit - needed) / bytes_per_image)
    return guess if guess < 8 else guess // 8 * 8
