"""One run as `watch` shows it."""

from __future__ import annotations

import dataclasses
import time
from dataclasses import dataclass, field
from typing import Any

from launcher.live.training import number

OVER = ("Completed", "Failed", "Deleted")  # phases after which nothing changes


@dataclass(frozen=True, kw_only=True)
class Restarts:
    """The restarts of a run.

    Attributes:
      total: all of them; counted: those that use up the limit; limit: None where there is none.
      causes: cause -> restarts, as far as they are known.
    """

    total: int = 0
    counted: int = 0
    limit: int | None = None
    causes: dict[str, int] = field(default_factory=dict[str, int])


@dataclass(frozen=True, kw_only=True)
class Held:
    """The time for which a run has held its chips: `seconds` until `since`, and all time from then on.

    Attributes:
      since: unix seconds; None where it holds none now.
      chips: of all slices.
      whole: whether all attempts are counted; otherwise at least this much was used.
    """

    seconds: float = 0.0
    since: float | None = None
    chips: int = 0
    whole: bool = True

    def chip_hours(self, now: float) -> float:
        """Return the hours of chips until a time in unix seconds."""
        running = max(now - self.since, 0.0) if self.since is not None else 0.0
        return (self.seconds + running) * self.chips / 3600


@dataclass(frozen=True, kw_only=True)
class View:
    """A run at one moment.

    Attributes:
      phase: as `status` calls it; of a folder on this machine: Running, Stopped, Completed, Preempted.
      why: sentences that explain the phase.
      program: network, or the command of a run without one.
      slice: name of the slice; empty where it is not known.
      hosts: of all slices; ready: how many slices are ready, None where that is not known.
      progress, evaluation, best: values of the run's lines.
      loss, accuracy: curves, oldest value first.
      held: chips and for how long; None where the number of chips is not known.
      price: of one chip per hour; None where none is configured.
      seconds_left: None where it is not known.
    """

    name: str
    phase: str
    why: tuple[str, ...] = ()
    program: str = ""
    slice: str = ""
    slices: int = 1
    hosts: int = 1
    ready: int | None = None
    restarts: Restarts = Restarts()
    progress: dict[str, Any] = field(default_factory=dict[str, Any])
    evaluation: dict[str, Any] = field(default_factory=dict[str, Any])
    best: dict[str, Any] = field(default_factory=dict[str, Any])
    loss: tuple[float, ...] = ()
    accuracy: tuple[float, ...] = ()
    held: Held | None = None
    price: float | None = None
    seconds_left: float | None = None

    @property
    def is_over(self) -> bool:
        return self.phase in OVER

    @property
    def images_per_second(self) -> float | None:
        """Throughput in images/s per chip; None where rate or chips are not known."""
        rate = number(self.progress, "images_per_second")
        return rate / self.held.chips if rate is not None and self.held and self.held.chips else None

    @property
    def share_done(self) -> float | None:
        """The share of the steps that are done, 0 to 1."""
        step, steps = number(self.progress, "step"), number(self.progress, "steps")
        return min(max(step / steps, 0.0), 1.0) if step is not None and steps and steps > 0 else None

    def cost(self, now: float) -> float | None:
        """Return the price of the chips until now; None where price or chips are not known."""
        return None if self.price is None or self.held is None else self.held.chip_hours(now) * self.price

    def document(self) -> dict[str, Any]:
        """Return the view as JSON, without the curves."""
        now = time.time()
        row = dataclasses.asdict(self)
        for key in ("loss", "accuracy", "held"):
            del row[key]
        held = self.held
        return row | {
            "images_per_second_per_chip": self.images_per_second,
            "chip_hours": None if held is None else round(held.chip_hours(now), 4),
            "cost": None if (cost := self.cost(now)) is None else round(cost, 4),
            "all_attempts_counted": held.whole if held else None,
        }
