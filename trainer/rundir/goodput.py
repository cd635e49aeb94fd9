"""How a run spent its time over all attempts, computed from ``events.jsonl``. Pure.

An attempt is divided at its checkpoints. All time after the checkpoint from which the next attempt resumes
counts as ``again``, because that work is repeated. An attempt that was killed ends with its last sign of
life; from there to the next start the run is ``stopped``.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

Row = dict[str, Any]

# kind of time -> its description, in the order of the report
KINDS = {
    "training": "training steps that count",
    "again": "work repeated after a restart or a rollback",
    "data": "waiting for data",
    "evaluating": "evaluating",
    "saving": "waiting for saves",
    "start": "starting: imports, joining, opening data and run directory",
    "compiling": "tracing and compiling",
    "restoring": "restoring a checkpoint",
    "stopped": "stopped between attempts",
}
# event before the training loop -> kind of the time before it
BEFORE = {
    "start": "stopped",
    "joined": "start",
    "opened": "start",
    "restore": "restoring",
    "compiled": "compiling",
}
# event of the training loop -> kind of its ``seconds``, in which no step runs
WITHIN = {"save": "saving", "evaluate": "evaluating", "end": "saving"}


@dataclass(frozen=True, kw_only=True)
class Goodput:
    """The time of a run by kind.

    Attributes:
      seconds: kind of time -> seconds, in the order of KINDS; they add up to ``total``.
      total: seconds from the first start to the last sign of life.
      attempts: starts of the run that trained.
    """

    seconds: dict[str, float]
    total: float
    attempts: int

    @property
    def share(self) -> float:
        """The fraction of the time since the first start spent on steps that count, 0 to 1."""
        return self.seconds["training"] / self.total if self.total else 0.0


def account(events: Sequence[Row], last: Row | None = None) -> Goodput | None:
    """Return the time from the first start to the last sign of life; None before the first start.

    Args:
      events: rows of ``events.jsonl`` of all attempts, oldest first.
      last: newest training row of ``metrics.jsonl``, which may be later than the newest event.
    """
    attempts = _worked(_attempts(events))
    if not attempts:
        return None
    ledger = _Ledger()
    for attempt, following in zip(attempts, [*attempts[1:], None], strict=True):
        ledger.add(attempt, _last_sign(attempt, following, last))
        if following:
            ledger.spend("stopped", following[0]["at"])
    return ledger.close(len(attempts))


def _attempts(events: Sequence[Row]) -> list[list[Row]]:
    attempts: list[list[Row]] = []
    for event in events:
        if event["name"] == "start":
            attempts.append([])
        if attempts:
            attempts[-1].append(event)
    return attempts


def _worked(attempts: list[list[Row]]) -> list[list[Row]]:
    """Return the attempts without those at the end that did nothing because the run was finished."""
    ended = [a[-1]["name"] == "end" for a in attempts]
    while len(attempts) > 1 and ended[len(attempts) - 2] and not _stepped(attempts[-1]):
        attempts = attempts[:-1]
    return attempts


def _stepped(attempt: list[Row]) -> bool:
    return any(event["name"] == "first_step" for event in attempt)


def _last_sign(attempt: list[Row], following: list[Row] | None, last: Row | None) -> Row:
    """Return the last event of an attempt, or a later logged step, which the next start event records."""
    if following:
        logged = {k[len("before_") :]: v for k, v in following[0].items() if k.startswith("before_")}
    else:
        logged = last or {}
    return logged if logged.get("at", 0) > attempt[-1]["at"] else attempt[-1]


@dataclass
class _Part:
    """The part of a training loop between two checkpoints; ``step`` is the last step in it."""

    step: int = 0
    begun: float = 0.0
    ended: float = 0.0
    within: dict[str, float] = field(default_factory=lambda: dict.fromkeys(["data", *WITHIN.values()], 0.0))


class _Ledger:
    """The time spent per kind, added up from event to event."""

    def __init__(self):
        self._seconds = dict.fromkeys(KINDS, 0.0)
        self._begun: float | None = None
        self._now = 0.0
        self._parts: list[_Part] = []  # closed; a later rollback or restart may repeat them

    def add(self, events: list[Row], last_sign: Row) -> None:
        """Add the time of one attempt."""
        self._begun = events[0]["at"] if self._begun is None else self._begun
        self._now = max(self._now, events[0]["at"])
        part, restored, waited = None, 0, 0.0
        for event in events:
            name, seconds = event["name"], event.get("seconds", 0.0)
            if name in BEFORE:
                if name == "restore":
                    restored = event["step"]
                    self.spend("compiling", event["at"] - seconds)  # meanwhile a thread compiles
                self.spend(BEFORE[name], event["at"])
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
            part.within["data"] += max(last_sign.get("waited_seconds", waited) - waited, 0.0)
            self._close(part, last_sign)
        else:
            self.spend("start", last_sign["at"])

    def spend(self, kind: str, at: float) -> None:
        """Count the time up to ``at`` (unix seconds) as ``kind``."""
        self._seconds[kind] += max(at - self._now, 0.0)
        self._now = max(at, self._now)

    def close(self, attempts: int) -> Goodput:
        """Count the remaining parts as training, and return the sums."""
        for part in self._parts:
            self._count(part)
        seconds = {kind: round(spent, 3) for kind, spent in self._seconds.items()}
        return Goodput(seconds=seconds, total=round(self._now - (self._begun or 0.0), 3), attempts=attempts)

    def _close(self, part: _Part, event: Row) -> _Part:
        self._now = max(self._now, event["at"])
        part.step, part.ended = event.get("step", part.step), self._now
        self._parts.append(part)
        return _Part(step=part.step, begun=self._now)

    def _go_back(self, step: int) -> None:
        """Count every part that ends after ``step`` as repeated work."""
        for part in [p for p in self._parts if p.step > step]:
            self._seconds["again"] += part.ended - part.begun
            self._parts.remove(part)

    def _count(self, part: _Part) -> None:
        length = part.ended - part.begun
        for kind, seconds in part.within.items():
            self._seconds[kind] += min(seconds, length)
        self._seconds["training"] += max(length - sum(part.within.values()), 0.0)
