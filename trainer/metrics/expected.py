"""Measured throughput against the predicted one, and the likely cause where it falls short. Pure.

Only what was measured is named as a cause: a wrong cause costs more than none.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from trainer.cost.utilisation import Cost, Peak
from trainer.metrics.hosts import HostTime, straggler

LOW = 0.8  # share of the predicted throughput below which a cause is looked for
# Of a host's network card, and of an exchange between slices, as launcher/check/prediction.py assumes them.
DCN_BYTES, DCN_DELAY = 12.5e9, 200e-6  # bytes/s, s
EXPECTED_SHARE = 0.9  # of a chip's peaks, as `check` expects; launcher/check/prediction.py has its source
MOST = 0.5  # share of the lost time that a cause must explain
NOT_MEASURED = "cause not measured"


@dataclass(frozen=True, kw_only=True)
class Window:
    """Where the time between two logged steps went, as fractions of it, 0 to 1.

    Attributes:
      data: waiting for data on this host.
      compiling: waiting for a program that was still being compiled.
      hosts: newest times of all hosts; of a run of several hosts without them, only this host is known.
      count: hosts of the run.
    """

    data: float
    compiling: float = 0.0
    hosts: Sequence[HostTime] = ()
    count: int = 1


def estimated(
    cost: Cost | None, limit: Peak | None, batch: int, slices: int = 1, host_devices: int = 1
) -> float | None:
    """Return images/s over all devices that a step should reach; None where its cost or peaks are not known.

    Arithmetic and memory traffic do not overlap and run at EXPECTED_SHARE of the peaks. Exchanges between
    slices follow them. Those between the devices of a slice are not counted.

    Args:
      cost: of one step on one device; limit: the device's peaks.
      batch: images per step, over all devices.
      slices: of the run; over several, what the step sends to other slices has to be known.
      host_devices: devices that share a host's network card.
    """
    if cost is None or limit is None or (slices > 1 and cost.sent is None):
        return None
    seconds = (cost.flops / limit.flops + cost.bytes / limit.bytes) / EXPECTED_SHARE
    if slices > 1 and cost.sent is not None:
        seconds += cost.rounds * DCN_DELAY + cost.sent * host_devices / DCN_BYTES
    return batch / seconds if seconds > 0 else None


def cause(measured: float, predicted: float, window: Window) -> str:
    """Return the likely cause of a throughput below LOW of the predicted one; empty for a higher one.

    A cause is named if it explains more than MOST of the time that is lost.

    Args:
      measured, predicted: throughput in the same unit.
    """
    if measured >= LOW * predicted:
        return ""
    lost = 1 - measured / predicted
    slowest = straggler([*window.hosts])
    if slowest and slowest[2] > MOST * lost:
        host, name, share = slowest
        return f"slow host {host.pod}: {name}, {share:.0%} of the time more than on the others"
    shares = {"waiting for data": window.data, "compilation": window.compiling}
    name, share = max(shares.items(), key=lambda entry: entry[1])
    if share > MOST * lost:
        where = "" if window.count == 1 else " on all hosts" if window.hosts else " on the first host"
        return f"{name}{where}, {share:.0%} of the time"
    return NOT_MEASURED
