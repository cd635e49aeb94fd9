"""What a run's own lines say of its training: the newest values, the best evaluation, two curves."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from launcher import contract
from launcher.live.curve import LARGEST, Curve
from launcher.runs import trainer_log


class Training:
    """The training of one run, line by line.

    Attributes:
      progress, evaluation, best: values of the newest line of progress, of the newest evaluation and of the
        best one.
      loss, accuracy: curves of the training loss and of the accuracy on test images, 0 to 1.
    """

    def __init__(self) -> None:
        self.progress = contract.ProgressLine()
        self.evaluation = contract.EvaluateLine()
        self.best = contract.EvaluateLine()
        self.loss, self.accuracy = Curve(), Curve()

    def line(self, text: str) -> bool:
        """Read a line of a pod's log. Return whether it was one for programs."""
        kind, values = trainer_log.parse(text)
        return bool(kind) and self.row(kind, values)

    def row(self, kind: str, values: Any) -> bool:
        """Read the values of a line of this kind. Return whether they changed anything."""
        step = values.get("step")
        if kind == "progress" and type(step) is int:
            self.progress = values
            self.loss.add(step, values.get("loss"))
            return True
        if kind == "evaluate":
            self.evaluation = values
            self.best = trainer_log.better(self.best, values)
            self.accuracy.add(step, values.get("accuracy"))
            return True
        return False


def number(values: Mapping[str, Any], key: str) -> float | None:
    """Return a finite number of a line; None where it is missing or something else."""
    value = values.get(key)
    if not isinstance(value, (int, float)) or isinstance(value, bool):
        return None
    return value if abs(value) < LARGEST else None
