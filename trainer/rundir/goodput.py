"""Where the time of a run went, over all its attempts, from ``events.jsonl``. Pure.

An attempt is cut at its checkpoints. What came after the one that the next attempt went back to was done
again, whatever it was spent on, and counts as ``again``. An attempt that was killed ends with its last sign
of life; from there to the next start the run was ``stopped``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]

# kind of time -> what it is, in the order in which it is shown
KINDS = {
    "training": "steps that count",
    "again": "what was done again after a restart or a rollback",
    "data": "waiting for data",
    "evaluating": "evaluating",
    "saving": "waiting for saves",
    "start": "starting: imports, joining, opening data and run directory",
    "compiling": "tracing and compiling",
    "restoring": "restoring a checkpoint",
    "stopped": "stopped between attempts",
}
# event before the loop -> what led to it
BEFORE = {
    "start": "stopped",
    "joined": "start",
    "opened": "start",
    "restore": "restoring",
    "compiled": "compiling",
}
# event of the loop -> what its ``seconds`` were spent on, the steps standing still
WITHIN = {"save": "saving", "evaluate": "evaluating", "end": "saving"}


@dataclass(frozen=True, kw_only=True)
class Goodput:
    """seconds: kind of time -> seconds, in the order of KINDS; together they are ``total``."""

    seconds: dict[str, float]
    total: float
    attempts: int

    @property
    def share(self) -> float:
        """Of the time since the first start, what went into steps that count: 0 to 1."""
        return self.seconds["training"] / self.total if self.total else 0.0


def account(events: Sequence[Row], last: Row | None = None) -> Goodput | None:
    """The time from the first start to the newest sign of life; None before there is an attempt.

    Args:
      events: of all attempts, oldest first.
      last: the newest row of ``metrics.jsonl``, a later sign of life than the newest event.
    """
    attempts = _worked(_attempts(events))
    if not attempts:
        return None
    ledger = _Ledger()
    for attempt, following in zip(attempts, [*attempts[1:], None], strict=True):
        ledger.attempt(attempt, _sign(attempt, following, last))
        if following:
            ledger.pass_to("stopped", following[0]["at"])
    return ledger.close(len(attempts))


def _attempts(events: Sequence[Row]) -> list[list[Row]]:
    found: list[list[Row]] = []
    for event in events:
        if event["name"] == "start":
            found.append([])
        if found:
            found[-1].append(event)
    return found


def _worked(attempts: list[list[Row]]) -> list[list[Row]]:
    """Without those at the end that found a finished run and did nothing."""
    ended = [a[-1]["name"] == "end" for a in attempts]
    while len(attempts) > 1 and ended[len(attempts) - 2] and not _stepped(attempts[-1]):
        attempts = attempts[:-1]
    return attempts


def _stepped(attempt: list[Row]) -> bool:
    return any(event["name"] == "first_step" for event in attempt)


def _sign(attempt: list[Row], following: list[Row] | None, last: Row | None) -> Row:
    """The last sign of life: the last event, or a later logged step, of which the next start tells."""
    if following:
        logged = {k[len("before_") :]: v for k, v in following[0].items() if k.startswith("before_")}
    else:
        logged = last or {}
    return logged if logged.get("at", 0) > attempt[-1]["at"] else attempt[-1]


@dataclass
class _Part:
    """Of a loop, from one checkpoint or beginning to the next; ``step`` is where it ends."""

    step: int = 0
    begun: float = 0.0
    ended: float = 0.0
    within: dict[str, float] = field(default_factory=lambda: dict.fromkeys(["data", *WITHIN.values()], 0.0))


class _Ledger:
    """Adds up the time as it passes from event to event."""

    def __init__(self):
        self._seconds = dict.fromkeys(KINDS, 0.0)
        self._begun: float | None = None
        self._now = 0.0
        self._parts: list[_Part] = []  # closed ones, not yet known to count

    def attempt(self, events: list[Row], sign: Row) -> None:
        self._begun = events[0]["at"] if self._begun is None else self._begun
        self._now = max(self._now, events[0]["at"])
        part, restored, waited = None, 0, 0.0
        for event in events:
            name, seconds = event["name"], event.get("seconds", 0.0)
            if name in BEFORE:
                if name == "restore":
                    restored = event["step"]
                    self.pass_to("compiling", event["at"] - seconds)  # beside it, a thread compiles
                self.pass_to(BEFORE[name], event["at"])
                if name == "compiled":
                    self._go_back(restored)
                    part = _Part(begun=self._now)
                continue
            if part is None:
                continue
            part.within["data"] += max(event.get("waited_seconds", waited) - waited, 0.0)
            waited = event.get("waited_seconds", waited)
            if name in WITHIN:
                part.within[WITHIN[name]] += seconds
            if name in ("save", "rollback"):
                part = self._close(part, event)
            if name == "rollback":
                self._go_back(event["to"])
        if part:
            part.within["data"] += max(sign.get("waited_seconds", waited) - waited, 0.0)
            self._close(part, sign)
        else:
            self.pass_to("start", sign["at"])

    def pass_to(self, kind: str, at: float) -> None:
        self._seconds[kind] += max(at - self._now, 0.0)
        self._now = max(at, self._now)

    def close(self, attempts: int) -> Goodput:
        for part in self._parts:
            self._count(part)
        found = {kind: round(seconds, 3) for kind, seconds in self._seconds.items()}
        return Goodput(seconds=found, total=round(self._now - (self._begun or 0.0), 3), attempts=attempts)

    def _close(self, part: _Part, event: Row) -> _Part:
        self._now = max(self._now, event["at"])
        part.step, part.ended = event.get("step", part.step), self._now
        self._parts.append(part)
        return _Part(step=part.step, begun=self._now)

    def _go_back(self, step: int) -> None:
        """From here on the run is at ``step``: what led further was for nothing."""
        for part in [p for p in self._parts if p.step > step]:
            self._seconds["again"] += part.ended - part.begun
            self._parts.remove(part)

    def _count(self, part: _Part) -> None:
        length = part.ended - part.begun
        for kind, seconds in part.within.items():
            self._seconds[kind] += min(seconds, length)
        self._seconds["training"] += max(length - sum(part.within.values()), 0.0)
