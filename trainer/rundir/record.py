"""The settings, metrics and events of a run, and the figures computed from them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from etils import epath

from trainer.config import TrainConfig
from trainer.rundir import directory, rows
from trainer.rundir.goodput import Goodput, account
from trainer.rundir.jsonlines import read

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """The settings, metrics and events that a run has written so far."""

    config: TrainConfig
    metrics: Sequence[Row]
    events: Sequence[Row]

    @property
    def goodput(self) -> Goodput | None:
        """The time of the run by kind; None before its first start."""
        return account(self.events, next(iter(self.rows("train")[-1:]), None))

    def rows(self, kind: str) -> list[Row]:
        """Return the rows of metrics of one kind: train or evaluate."""
        return [row for row in self.metrics if row["kind"] == kind]

    def event(self, name: str) -> Row:
        """Return the newest event with a name; empty if there is none."""
        return next((row for row in reversed(self.events) if row["name"] == name), {})

    def result(self) -> Row:
        """Return the figures of the run as JSON: state, step, accuracies, loss, median images/s, goodput."""
        trained, evaluated = self.rows("train"), self.rows("evaluate")
        result: Row = {"name": self.config.name, "state": self._state()}
        result["step"] = max((row["step"] for row in [*trained, *evaluated]), default=0)
        if evaluated:
            best = max(evaluated, key=lambda row: row["accuracy"])
            result |= {"accuracy": evaluated[-1]["accuracy"], "best_accuracy": best["accuracy"]}
            result |= {"best_step": best["step"]}
        if trained:
            result["loss"] = trained[-1]["loss"]
        if rates := [row["images_per_second"] for row in trained if "images_per_second" in row]:
            result["images_per_second"] = sorted(rates)[len(rates) // 2]
        if goodput := self.goodput:
            result["goodput"] = dataclasses.asdict(goodput) | {"share": round(goodput.share, 4)}
        return result

    def _state(self) -> str:
        last = self.events[-1]["name"] if self.events else "start"
        return {"end": "finished", "preempted": "preempted"}.get(last, "not finished")


def load(root: epath.Path) -> Record:
    """Read the record of a run from its directory.

    Raises:
      ConfigError: the directory holds no run.
    """
    config = directory.read(root)
    metrics, events = read(root / "metrics.jsonl", rows.metric), read(root / "events.jsonl", rows.event)
    return Record(config=config, metrics=metrics, events=events)
