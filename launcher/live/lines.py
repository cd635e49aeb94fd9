"""What `watch` prints where there is no terminal: a line when a run changes. Pure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

from launcher.live import figures
from launcher.live.view import View

PROGRESS_SECONDS = 60.0  # between two lines of a run about its progress


class Lines:
    """The lines of many runs: for each a change of phase or reason at once, its progress once a minute."""

    def __init__(self) -> None:
        self._states: dict[str, tuple[Any, ...]] = {}
        self._progress: dict[str, tuple[float, Any]] = {}
        self._evaluated: dict[str, Any] = {}
        self._notes: set[str] = set()

    def changed(self, views: Sequence[View], now: float) -> Iterator[View]:
        """Yield the runs about which there is something new.

        Args:
          now: seconds on any clock that does not go back.
        """
        for view in views:
            state = (view.phase, view.why, view.restarts.total, view.ready)
            step, evaluated = view.progress.get("step"), view.evaluation.get("step")
            at, shown = self._progress.get(view.name, (-PROGRESS_SECONDS, None))
            moved = step is not None and step != shown and (shown is None or now - at >= PROGRESS_SECONDS)
            is_new = state != self._states.get(view.name) or evaluated != self._evaluated.get(view.name)
            if is_new or moved:
                self._states[view.name], self._evaluated[view.name] = state, evaluated
                self._progress[view.name] = (now, step)
                yield view

    def new_notes(self, notes: Sequence[str]) -> list[str]:
        """Return those sentences that were not returned before."""
        new = [note for note in notes if note not in self._notes]
        self._notes = set(notes)
        return new


def line(view: View, now: float) -> str:
    """Return a run in one line.

    Args:
      now: unix seconds, up to which the cost is counted.
    """
    accuracy, wait, money = (
        figures.accuracy(view.evaluation),
        figures.data_wait(view),
        figures.cost(view, now),
    )
    loss, spent = figures.loss(view), figures.restarts(view)
    parts = [
        view.phase,
        figures.hosts(view) if view.ready is not None and view.ready < view.slices else "",
        figures.step(view),
        figures.time_left(view),
        f"loss {loss}" if loss else "",
        f"accuracy {accuracy}" if accuracy else "",
        figures.rate(view),
        f"{wait} waiting for data" if wait else "",
        figures.slow(view),
        f"restarts {spent}" if spent else "",
        f"cost so far {money}" if money else "",
    ]
    why = "".join(f"; {text}" for text in view.why)
    return f"{view.name}: {', '.join(filter(None, parts))}{why}"
