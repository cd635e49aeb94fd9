"""One run directory of this machine, read again only where it has grown."""

from __future__ import annotations

import functools
import json
import os
import stat
from collections import Counter
from pathlib import Path
from typing import Any

from launcher import files
from launcher.check.prices import Prices
from launcher.hardware import facts
from launcher.live.training import Training, number
from launcher.live.view import Held, Restarts, View

LARGEST = 64 << 20  # bytes of a file that are read; of a longer one, its end
KINDS = {"train": "progress", "evaluate": "evaluate"}  # of rows of metrics.jsonl -> of lines of a log


class Tail:
    """The lines of a file that grows; one that was written anew begins again."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self._identity: tuple[int, int] = (0, 0)
        self._offset = 0
        self._unfinished = b""

    def read(self) -> tuple[bool, list[bytes]]:
        """Return (whether the file begins again, its new whole lines)."""
        try:
            descriptor = os.open(self._path, os.O_RDONLY | os.O_NONBLOCK)
        except OSError:
            return False, []
        with os.fdopen(descriptor, "rb") as file:
            status = os.fstat(file.fileno())
            if not stat.S_ISREG(status.st_mode):
                return False, []
            identity = status.st_dev, status.st_ino
            again = identity != self._identity or status.st_size < self._offset
            if again:
                self._identity, self._unfinished = identity, b""
                self._offset = max(status.st_size - LARGEST, 0)
            if status.st_size == self._offset:
                return again, []
            file.seek(self._offset)
            data = file.read(LARGEST)
        self._offset += len(data)
        *lines, self._unfinished = (self._unfinished + data).split(b"\n")
        return again, lines


class FolderRun:
    """A run directory.

    Args:
      path: of the directory.
      name: by which it is shown.
    """

    def __init__(self, path: Path, name: str, prices: Prices) -> None:
        self.path, self.name, self._prices = path, name, prices
        self._metrics, self._events = Tail(path / "metrics.jsonl"), Tail(path / "events.jsonl")
        self.training = Training()
        self._history: list[dict[str, Any]] = []
        self._newest: dict[str, Any] = {}  # row of training
        self._earlier: dict[str, Any] = {}  # the one before it
        self._config: dict[str, Any] | None = None
        self._is_locked = False

    def update(self) -> bool:
        """Read what is new. Return whether anything is."""
        again, lines = self._metrics.read()
        if again:
            self.training, self._newest, self._earlier = Training(), {}, {}
        changed = again
        for row in map(_row, lines):
            kind = KINDS.get(str(row.get("kind")), "")
            if kind and self.training.row(kind, {**row, **self._planned()}):
                changed = True
            if kind == "progress":
                self._earlier, self._newest = self._newest, row
        again, lines = self._events.read()
        if again:
            self._history = []
        rows = [row for row in map(_row, lines) if isinstance(row.get("name"), str)]
        self._history += [row for row in rows if number(row, "at") is not None]
        if self._config is None:
            self._config = _config(self.path)
            changed = changed or self._config is not None
        locked = not self.is_finished and files.is_locked(self.path / ".lock")
        changed = changed or again or bool(rows) or locked != self._is_locked
        self._is_locked = locked
        return changed

    @property
    def is_finished(self) -> bool:
        return bool(self._history) and self._history[-1]["name"] == "end"

    @property
    def is_over(self) -> bool:
        """Whether no process works on it."""
        return self.is_finished or not self._is_locked

    def view(self) -> View:
        """Return the run as it is now."""
        starts = [row for row in self._history if row["name"] == "start"]
        start = starts[-1] if starts else {}
        hosts, devices = (int(number(start, key) or 1) for key in ("hosts", "devices"))
        kind = str(start.get("device_kind", ""))
        generation, per_chip = _of_kind(kind)
        price = self._prices.by_generation.get(generation, self._prices.every)
        phase = self._phase()
        progress = {**self.training.progress, **self._planned()}
        return View(
            name=self.name,
            phase=phase,
            why=self._why(phase),
            program=str((self._config or {}).get("model", {}).get("arch", "")),
            slice=f"cpu-{hosts}x{devices // hosts}" if kind == "cpu" else kind,
            hosts=hosts,
            restarts=Restarts(total=max(len(starts) - 1, 0), causes=self._causes()),
            progress=progress,
            evaluation=dict(self.training.evaluation),
            best=dict(self.training.best),
            loss=tuple(self.training.loss.values()),
            accuracy=tuple(self.training.accuracy.values()),
            held=self._held(devices // per_chip) if starts else None,
            price=price,
            seconds_left=self._seconds_left(progress) if phase == "Running" else None,
        )

    def _planned(self) -> dict[str, Any]:
        """Return the steps of the whole run, which the event of the first step states."""
        for row in reversed(self._history):
            if type(row.get("steps")) is int:
                return {"steps": row["steps"]}
        return {}

    def _phase(self) -> str:
        if self.is_finished:
            return "Completed"
        if self._is_locked:
            return "Running" if any(row["name"] == "first_step" for row in self._attempt()) else "Starting"
        last = self._history[-1]["name"] if self._history else ""
        return "Preempted" if last == "preempted" else "Stopped"

    def _why(self, phase: str) -> tuple[str, ...]:
        if phase == "Stopped":
            return ("no process works on it, and it has not finished: the same command continues it",)
        if phase == "Preempted":
            return ("it has saved its state: the same command continues it",)
        if phase == "Starting" and self._history:
            return (f"its last event is {self._history[-1]['name']}",)
        return ()

    def _attempt(self) -> list[dict[str, Any]]:
        starts = [index for index, row in enumerate(self._history) if row["name"] == "start"]
        return self._history[starts[-1] :] if starts else []

    def _causes(self) -> dict[str, int]:
        counts: Counter[str] = Counter()
        for before, row in zip(self._history, self._history[1:], strict=False):
            if row["name"] == "start":
                known = {"preempted": "preempted", "end": "started again after its end"}
                counts[known.get(before["name"], "ended without a word")] += 1
        return dict(counts.most_common())

    def _held(self, chips: int) -> Held:
        """Return the time of all attempts, as the board counts it; the time between them is free."""
        seconds, begun, sign = 0.0, None, 0.0
        for row in self._history:
            if row["name"] == "start":
                if begun is not None:
                    seconds += max(sign, number(row, "before_at") or 0.0) - begun
                begun = row["at"]
            sign = row["at"]
        if begun is None:
            return Held(chips=chips)
        if self._is_locked:
            return Held(seconds=seconds, since=begun, chips=chips)
        return Held(seconds=seconds + max(sign, number(self._newest, "at") or 0.0) - begun, chips=chips)

    def _seconds_left(self, progress: dict[str, Any]) -> float | None:
        ats = [number(row, "at") for row in (self._earlier, self._newest)]
        steps = [number(row, "step") for row in (self._earlier, self._newest)]
        total = number(progress, "steps")
        if None in ats or None in steps or total is None:
            return None
        passed, done = ats[1] - ats[0], steps[1] - steps[0]  # type: ignore[operator]
        return (total - steps[1]) * passed / done if done > 0 and passed > 0 else None  # type: ignore[operator]


def _row(line: bytes) -> dict[str, Any]:
    try:
        row = json.loads(line)
    except (ValueError, RecursionError):
        return {}
    return row if isinstance(row, dict) else {}


def _config(path: Path) -> dict[str, Any] | None:
    try:
        config = json.loads((path / "config.json").read_text(encoding="utf-8", errors="replace"))
    except (OSError, ValueError, RecursionError):
        return None
    return config if isinstance(config, dict) and isinstance(config.get("model"), dict) else {}


@functools.cache
def _of_kind(kind: str) -> tuple[str, int]:
    """Return (generation, devices per chip) of JAX's kind of a device; ("", 1) where it is not known."""
    for generation, row in facts.generations().items():
        if kind in row.get("kinds", ()):
            return generation, row.get("devices_per_chip", 1)
    return "", 1
