"""How fast a run is, and how much of the devices it uses."""

import contextlib
import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from jax.stages import Compiled

from trainer.cost import traffic

CHIPS = Path(__file__).parents[1].joinpath("cost", "chips.json")  # generated from the launcher's catalogue


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


class Meter:
    """Images per second and the share of the time spent waiting for data, since the last report.

    ``waited``: seconds for data, since this process began.
    """

    def __init__(self, batch: int):
        self._batch = batch
        self._begun: float | None = None
        self._step = 0
        self._waited_before = 0.0
        self._all_waited = 0.0

    @property
    def waited(self) -> float:
        return round(self._all_waited, 3)

    def waiting_for(self, batches: Iterator) -> Iterator:
        while True:
            before = time.monotonic()
            try:
                batch = next(batches)
            except StopIteration:
                return
            self._all_waited += time.monotonic() - before
            yield batch

    def restart(self, step: int) -> None:
        self._begun, self._step, self._waited_before = time.monotonic(), step, self._all_waited

    def read(self, step: int) -> tuple[float, float] | None:
        """(images per second, share waited for data) up to a step; None before there is anything to say."""
        if self._begun is None or step <= self._step:
            self.restart(step)
            return None
        seconds = max(time.monotonic() - self._begun, 1e-9)
        waited = self._all_waited - self._waited_before
        rate, share = (step - self._step) * self._batch / seconds, min(waited / seconds, 1.0)
        self.restart(step)
        return rate, share
