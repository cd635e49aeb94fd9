"""The log of a run: ``metrics.jsonl``, ``events.jsonl``, the display and the trackers."""

import dataclasses
import time
from collections.abc import Sequence
from typing import Any, Protocol, TypeVar

from etils import epath

from trainer.config import TrainConfig
from trainer.metrics.display import Display
from trainer.metrics.lines import Evaluation, Progress
from trainer.rundir import rows
from trainer.rundir.events import End, Event, known
from trainer.rundir.goodput import account
from trainer.rundir.jsonlines import JsonLines
from trainer.rundir.record import Record

AnyEvent = TypeVar("AnyEvent", bound=Event)


class Mirror(Protocol):
    """A tracker that receives every row of metrics: wandb, TensorBoard."""

    def __call__(self, step: int, values: dict[str, Any], /) -> None: ...

    def resume_at(self, step: int) -> None:
        """Discard the rows after ``step``; called before the first row and after a rollback."""


class Log:
    """Writes and displays metrics and events on the first host; does nothing on the others.

    Args:
      root: run directory; None on the other hosts.
      display: where progress, evaluations and events are shown.
      mirrors: trackers that receive every row of metrics.
    """

    def __init__(
        self,
        root: epath.Path | None,
        display: Display | None = None,
        mirrors: Sequence[Mirror] = (),
    ):
        self._metrics = JsonLines(root / "metrics.jsonl", rows.metric) if root else None
        self._events = JsonLines(root / "events.jsonl", rows.event) if root else None
        self._display = display
        self._mirrors = mirrors

    def before(self) -> dict[str, Any]:
        """Return the last step that the previous attempt logged, as fields of the start event.

        An attempt that was killed has written no event of its end.
        """
        written = self._metrics.rows if self._metrics else []
        logged = [row for row in written if row["kind"] == "train"][-1:]
        keys = ("step", "at", "waited_seconds")
        return {f"before_{key}": row[key] for row in logged for key in keys if "at" in row and key in row}

    def record(self, config: TrainConfig) -> Record:
        """Return the record of the run over all attempts; on the first host only."""
        assert self._metrics
        assert self._events
        return Record(config=config, metrics=self._metrics.rows, events=self._events.rows)

    def resume_at(self, step: int) -> None:
        """Drop the rows after ``step``, from which the run resumes: those steps are repeated."""
        if self._metrics:
            self._metrics.keep(lambda row: row["step"] <= step)
        for mirror in self._mirrors:
            mirror.resume_at(step)

    def event(self, event: Event) -> None:
        """Write and display an event; one without a time gets the current time."""
        if self._events:
            row = _timed(event).row()
            self._events.append(row)
            if self._display:
                self._display.event(row)

    def end(self, event: End) -> None:
        """Write and display the end event, with the goodput of the run."""
        if self._events:
            event = _timed(event)
            if goodput := account([*self._events.rows, event.row()]):
                event = dataclasses.replace(event, goodput=round(goodput.share, 4))
            self.event(event)

    def progress(self, line: Progress, waited_seconds: float) -> None:
        """Write and display a training step.

        Args:
          line: metrics of the step.
          waited_seconds: time that this process has spent waiting for data so far.
        """
        self._row("train", line.trained(), {"at": round(time.time(), 3), "waited_seconds": waited_seconds})
        if self._metrics and self._display:
            self._display.progress(known(line))

    def evaluating(self, done: int, total: int) -> None:
        """Display how many of the test images have been evaluated."""
        if self._metrics and self._display:
            self._display.evaluating(done, total)

    def evaluation(self, line: Evaluation) -> None:
        """Write and display an evaluation."""
        self._row("evaluate", known(line), {})
        if self._metrics and self._display:
            self._display.evaluation(known(line))

    def _row(self, kind: str, row: dict[str, Any], unmirrored: dict[str, Any]) -> None:
        if self._metrics:
            self._metrics.append({"kind": kind, **row, **unmirrored})
            for mirror in self._mirrors:
                numbers = {k: v for k, v in row.items() if k != "step" and not isinstance(v, str)}
                mirror(row["step"], {f"{kind}/{k}": v for k, v in numbers.items()})

    def upload(self) -> None:
        """Begin to upload to a bucket; called before a save, so that a run resumed from it has the rows."""
        for lines in (self._metrics, self._events):
            if lines:
                lines.upload()

    def close(self) -> None:
        """Write every row, and return once all are on disk or on the bucket."""
        for lines in (self._metrics, self._events):
            if lines:
                lines.close()


def _timed(event: AnyEvent) -> AnyEvent:
    return dataclasses.replace(event, at=round(event.at or time.time(), 3))
