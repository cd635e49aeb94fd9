"""Record: what a run has written of itself, and its figures."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from etils import epath

from trainer.config import TrainConfig
from trainer.rundir import directory
from trainer.rundir.goodput import Goodput, account
from trainer.rundir.jsonlines import read

Row = dict[str, Any]


@dataclasses.dataclass(frozen=True, kw_only=True)
class Record:
    """What a run has written of itself so far."""

    config: TrainConfig
    metrics: Sequence[Row]
    events: Sequence[Row]

    @property
    def goodput(self) -> Goodput | None:
        return account(self.events, next(iter(self.rows("train")[-1:]), None))

    def rows(self, kind: str) -> list[Row]:
        return [row for row in self.metrics if row["kind"] == kind]

    def event(self, name: str) -> Row:
        """The newest of a name; empty where there is none."""
        return next((row for row in reversed(self.events) if row["name"] == name), {})

    def result(self) -> Row:
        """The figures of the run, for a program: state, step, steps, accuracies, goodput."""
        trained, evaluated = self.rows("train"), self.rows("evaluate")
        found: Row = {"name": self.config.name, "state": self._state()}
        found["step"] = max((row["step"] for row in [*trained, *evaluated]), default=0)
        if evaluated:
            best = max(evaluated, key=lambda row: row["accuracy"])
            found |= {"accuracy": evaluated[-1]["accuracy"], "best_accuracy": best["accuracy"]}
            found |= {"best_step": best["step"]}
        if trained:
            found["loss"] = trained[-1]["loss"]
        if rates := [row["images_per_second"] for row in trained if "images_per_second" in row]:
            found["images_per_second"] = sorted(rates)[len(rates) // 2]
        if goodput := self.goodput:
            found["goodput"] = dataclasses.asdict(goodput) | {"share": round(goodput.share, 4)}
        return found

    def _state(self) -> str:
        last = self.events[-1]["name"] if self.events else "start"
        return {"end": "finished", "preempted": "preempted"}.get(last, "not finished")


def load(root: epath.Path) -> Record:
    """Reads a run's directory.

    Raises:
      ConfigError: there is no run.
    """
    config = directory.read(root)
    return Record(config=config, metrics=read(root / "metrics.jsonl"), events=read(root / "events.jsonl"))
