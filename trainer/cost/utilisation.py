"""Utilisation of a device: FLOPs and memory traffic of a step as shares of the device's peaks."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jax.stages import Compiled

from trainer.cost import traffic
from trainer.cost.collectives import collectives

CHIPS = Path(__file__).with_name("chips.json")  # generated from the launcher's catalogue


@dataclass(frozen=True, kw_only=True)
class Peak:
    """Peak rates of a device.

    Attributes:
      flops: bfloat16 FLOP/s.
      bytes: bytes/s of its memory.
    """

    flops: float
    bytes: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """Cost of one step on one device, recomputation included.

    Attributes:
      flops: FLOPs.
      bytes: bytes of traffic with its memory.
      sent: bytes that it sends to other slices, and rounds: exchanges with them that do not overlap. None
        where that is not known.
    """

    flops: float
    bytes: float
    sent: float | None = None
    rounds: int = 0


def peak(device_kind: str) -> Peak | None:
    """Return the peaks of a device by JAX's name for its kind; None for one not known, as a CPU."""
    chip = json.loads(CHIPS.read_text(encoding="utf-8")).get(device_kind)
    return Peak(flops=chip["flops"], bytes=chip["bytes"]) if chip else None


def cost(program: Compiled, tpu: bool = False, loop_factor: float = 1.0) -> Cost | None:
    """Return the cost of a compiled step; None where the compiler gives no count.

    Args:
      program: the compiled step.
      tpu: count from the program's text, as ``check`` does. The compiler's own count takes arrays in VMEM for
        traffic with HBM, and a loop for one iteration.
      loop_factor: what the compiler's own count is multiplied by, as it takes a loop for one iteration: that
        of ``trainer.cost.estimate``.
    """
    counts: Any = program.cost_analysis() or {}
    sent, rounds = None, 0
    flops, moved = (loop_factor * counts.get(name, 0.0) for name in ("flops", "bytes accessed"))
    if tpu:
        with contextlib.suppress(Exception):  # a compiler with another text format must not end the run
            text = program.as_text() or ""
            flops, moved = traffic.totals(text)
            if between := [row for row in collectives(text) if row["network"] == "dcn"]:
                sent, rounds = sum(row["bytes"] for row in between), sum(row["rounds"] for row in between)
    return Cost(flops=flops, bytes=moved, sent=sent, rounds=rounds) if flops > 0 and moved > 0 else None


def utilisation(step: Cost | None, limit: Peak | None, steps_per_second: float) -> dict[str, float]:
    """Return ``mfu`` and ``hbm``, shares of the device's peaks from 0 to 1.

    ``mfu`` is as in PaLM, appendix B (arXiv:2204.02311), but with the FLOPs of recomputation.
    The result is empty where the cost or the peaks are unknown.
    """
    if not step or not limit:
        return {}
    flops, moved = step.flops * steps_per_second, step.bytes * steps_per_second
    return {"mfu": round(flops / limit.flops, 4), "hbm": round(moved / limit.bytes, 4)}
