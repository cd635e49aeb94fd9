"""What a step uses of a device: its operations and bytes as shares of the device's peaks."""

import contextlib
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jax.stages import Compiled

from trainer.cost import traffic

CHIPS = Path(__file__).with_name("chips.json")  # generated from the launcher's catalogue


@dataclass(frozen=True, kw_only=True)
class Peak:
    """What a device can do at most: bfloat16 operations and bytes of its memory, a second."""

    flops: float
    bytes: float


@dataclass(frozen=True, kw_only=True)
class Cost:
    """What one step takes of one device, as its compiler counts it (recomputation included)."""

    flops: float
    bytes: float


def peak(device_kind: str) -> Peak | None:
    """By JAX's name of a device; None where its figures are not known, as of a CPU."""
    found = json.loads(CHIPS.read_text(encoding="utf-8")).get(device_kind)
    return Peak(flops=found["flops"], bytes=found["bytes"]) if found else None


def cost(program: Compiled, tpu: bool = False, parts: int = 1) -> Cost | None:
    """None where the compiler does not say.

    Args:
      tpu: read from the program, as ``check`` does it: the compiler's own count takes what lies on the chip
        for traffic with HBM, and a loop for one turn of it.
      parts: of a batch, which a loop goes over: elsewhere nearly all of a step, the compiler's count of which
        is multiplied.
    """
    found: Any = program.cost_analysis() or {}
    flops, moved = (parts * found.get(name, 0.0) for name in ("flops", "bytes accessed"))
    if tpu:
        with contextlib.suppress(Exception):  # of a compiler that prints another text: no run ends for this
            flops, moved = traffic.totals(program.as_text() or "")
    return Cost(flops=flops, bytes=moved) if flops > 0 and moved > 0 else None


def utilisation(of: Cost | None, limit: Peak | None, steps_per_second: float) -> dict[str, float]:
    """Shares of the device's peaks, 0 to 1; empty where either side is not known."""
    if not of or not limit:
        return {}
    flops, moved = of.flops * steps_per_second, of.bytes * steps_per_second
    return {"mfu": round(flops / limit.flops, 4), "hbm": round(moved / limit.bytes, 4)}
