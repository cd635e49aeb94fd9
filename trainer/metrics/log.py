"""What a run writes of itself: ``metrics.jsonl`` and ``events.jsonl``."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from etils import epath

from trainer.config import TrainConfig
from trainer.metrics.display import Display
from trainer.metrics.lines import Evaluation, Progress
from trainer.rundir.events import End, Event, known
from trainer.rundir.goodput import account
from trainer.rundir.jsonlines import JsonLines
from trainer.rundir.record import Record

AnyEvent = TypeVar("AnyEvent", bound=Event)


class Mirror(Protocol):
    """Gets the rows of metrics too: wandb, TensorBoard."""

    def __call__(self, step: int, values: dict[str, Any], /) -> None: ...

    def resume_at(self, step: int) -> None:
        """The rows after a step no longer count; called before the first row."""


class Log:
    """Writes metrics and events and shows them; on hosts other than the first it does nothing.

    Args:
      root: run directory; None on the other hosts.
      display: shows progress, evaluations and events to people.
      mirrors: get every row too.
    """

    def __init__(
        self,
        root: epath.Path | None,
        display: Display | None = None,
        mirrors: Sequence[Mirror] = (),
    ):
        self._metrics = JsonLines(root / "metrics.jsonl") if root else None
        self._events = JsonLines(root / "events.jsonl") if root else None
        self._display = display
        self._mirrors = mirrors

    def before(self) -> dict[str, Any]:
        """What the attempt before logged last, for the event of a start: a killed one tells no end."""
        rows = self._metrics.rows if self._metrics else []
        logged = [row for row in rows if row["kind"] == "train"][-1:]
        kept = ("step", "at", "waited_seconds")
        return {f"before_{key}": row[key] for row in logged for key in kept if "at" in row}

    def record(self, config: TrainConfig) -> Record:
        """All of it, of all attempts; of the first host."""
        assert self._metrics
        assert self._events
        return Record(config=config, metrics=self._metrics.rows, events=self._events.rows)

    def resume_at(self, step: int) -> None:
        """Forgets the rows after a step that is being resumed; those steps are about to be done again."""
        if self._metrics:
            self._metrics.keep(lambda row: row["step"] <= step)
        for mirror in self._mirrors:
            mirror.resume_at(step)

    def event(self, event: Event) -> None:
        """Writes an event; one without a time happens now."""
        if self._events:
            row = _timed(event).row()
            self._events.append(row)
            if self._display:
                self._display.event(row)

    def end(self, event: End) -> None:
        """Writes the event of the end, with the run's goodput."""
        if self._events:
            event = _timed(event)
            if goodput := account([*self._events.rows, event.row()]):
                event = dataclasses.replace(event, goodput=round(goodput.share, 4))
            self.event(event)

    def progress(self, line: Progress, waited_seconds: float) -> None:
        """Writes and shows a training step.

        Args:
          waited_seconds: for data, since this process began.
        """
        self._row("train", line.trained(), {"at": round(time.time(), 3), "waited_seconds": waited_seconds})
        if self._metrics and self._display:
            self._display.progress(known(line))

    def evaluation(self, line: Evaluation) -> None:
        """Writes and shows an evaluation."""
        self._row("evaluate", known(line), {})
        if self._metrics and self._display:
            self._display.evaluation(known(line))

    def _row(self, kind: str, row: dict[str, Any], kept: dict[str, Any]) -> None:
        if self._metrics:
            self._metrics.append({"kind": kind, **row, **kept})
            for mirror in self._mirrors:
                mirror(row["step"], {f"{kind}/{k}": v for k, v in row.items() if k != "step"})

    def upload(self) -> None:
        """Begins to bring a bucket up to date; asked before a save, so that a resumed run has its rows."""
        for lines in (self._metrics, self._events):
            if lines:
                lines.upload()

    def close(self) -> None:
        for lines in (self._metrics, self._events):
            if lines:
                lines.close()


def _timed(event: AnyEvent) -> AnyEvent:
    return dataclasses.replace(event, at=round(event.at or time.time(), 3))
