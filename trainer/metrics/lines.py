"""The lines of a run's log that a program may read, and the rows of ``metrics.jsonl``, declared once.

``resnet-launch status`` reads the lines; it knows them from contract.json, which `make generate` writes.
"""

import dataclasses
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from trainer.rundir.events import known

Step = Annotated[int, "optimizer updates done"]
Epoch = Annotated[float, "passes over the training data done"]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A training step, as it stands in ``metrics.jsonl``."""

    step: Step
    epoch: Epoch
    accuracy: Annotated[float, "of the batch before the update, 0 to 1"]
    grad_norm: Annotated[float, "norm of the gradient"]
    loss: Annotated[float, "mean over the batch, label smoothing included"]
    lr: Annotated[float, "learning rate"]
    images_per_second: Annotated[float | None, "of the whole job, since the previous line"] = None
    data_wait: Annotated[float | None, "share of that time spent waiting for data, 0 to 1"] = None
    mfu: Annotated[float | None, "share of the devices' peak of bfloat16 operations, 0 to 1"] = None
    hbm: Annotated[float | None, "share of the devices' peak of memory bandwidth, 0 to 1"] = None


@dataclass(frozen=True, kw_only=True)
class Progress(Trained):
    """A training step, and how far the run is."""

    KIND: ClassVar = "progress"

    steps: Annotated[int, "steps of the whole run"]
    epochs: Annotated[float, "epochs of the whole run"]
    eta_seconds: Annotated[float | None, "time left at the newest rate, in seconds"] = None

    def trained(self) -> dict[str, Any]:
        """Without what concerns the whole run."""
        names = {field.name for field in dataclasses.fields(Trained)}
        return {name: value for name, value in known(self).items() if name in names}


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """An evaluation on the test split; ``raw_`` without the averages of ``optim.ema``."""

    KIND: ClassVar = "evaluate"

    step: Step
    epoch: Epoch
    accuracy: Annotated[float, "top-1, 0 to 1"]
    loss: Annotated[float, "mean over the test images"]
    examples: Annotated[int, "test images"]
    raw_accuracy: Annotated[float | None, "top-1 of the parameters themselves, 0 to 1"] = None
    raw_loss: Annotated[float | None, "mean loss of the parameters themselves"] = None


@dataclass(frozen=True, kw_only=True)
class EventLine:
    """An event of the run: the same names and values as its row of ``events.jsonl``."""

    KIND: ClassVar = "event"

    name: Annotated[str, "name of the event"]
    at: Annotated[float | None, "when it happened, in unix seconds"] = None


LINES = {line.KIND: line for line in (Progress, Evaluation, EventLine)}


def logfmt(kind: str, row: dict[str, Any]) -> str:
    """``progress step=3 loss=0.5``: one line with stable keys."""
    return " ".join([kind, *(f"{key}={_text(value)}" for key, value in row.items())])


def _text(value: Any) -> str:
    # Times in seconds since 1970 need more than six digits.
    return (f"{value:.3f}" if value > 1e6 else f"{value:.6g}") if isinstance(value, float) else str(value)
