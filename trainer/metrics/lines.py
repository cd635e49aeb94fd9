"""The log lines that a program may read, and the rows of ``metrics.jsonl``, declared once.

`make generate` copies the declarations to contract.json, from which ``resnet-launch status`` reads the lines.
"""

import dataclasses
import json
import math
import re
from collections.abc import Callable
from dataclasses import dataclass
from typing import Annotated, Any, ClassVar

from trainer.rundir.events import known

Step = Annotated[int, "optimizer updates done"]
Epoch = Annotated[float, "passes over the training data done"]


@dataclass(frozen=True, kw_only=True)
class Trained:
    """A training step, as a row of ``metrics.jsonl``."""

    step: Step
    epoch: Epoch
    accuracy: Annotated[float, "accuracy on the batch before the update, 0 to 1"]
    grad_norm: Annotated[float, "global norm of the gradient"]
    loss: Annotated[float, "mean loss over the batch, label smoothing included"]
    lr: Annotated[float, "learning rate"]
    images_per_second: Annotated[
        float | None, "throughput in images/s over all devices, since the previous line"
    ] = None
    data_wait: Annotated[float | None, "fraction of that time spent waiting for data, 0 to 1"] = None
    predicted: Annotated[
        float | None, "predicted throughput in images/s over all devices: log.predicted, or an estimate"
    ] = None
    slow: Annotated[
        str | None, "likely cause of a throughput below 80 % of the predicted one, of what was measured"
    ] = None
    mfu: Annotated[float | None, "MFU: FLOP/s as a fraction of the devices' bfloat16 peak, 0 to 1"] = None
    hbm: Annotated[float | None, "fraction of the devices' peak memory bandwidth, 0 to 1"] = None
    penalty: Annotated[float | None, "sum of the network's penalties, which the loss includes"] = None
    residual: Annotated[
        float | None, "distance of an equilibrium model from its fixed point, relative to its length"
    ] = None
    iterations: Annotated[
        float | None, "iterations after which an equilibrium model was closest, mean over the batch"
    ] = None
    nonzeros: Annotated[float | None, "parameters that sparse.method leaves, as a fraction, 0 to 1"] = None
    sparse_gflop: Annotated[
        float | None, "theoretical GFLOP of the forward pass per image without zeros; no device saves them"
    ] = None


@dataclass(frozen=True, kw_only=True)
class Progress(Trained):
    """A training step, with the length of the run and the time left."""

    KIND: ClassVar = "progress"

    steps: Annotated[int, "steps of the whole run"]
    epochs: Annotated[float, "epochs of the whole run"]
    eta_seconds: Annotated[float | None, "time left at the newest throughput, in seconds"] = None

    def trained(self) -> dict[str, Any]:
        """Return the fields of ``metrics.jsonl`` only."""
        names = {field.name for field in dataclasses.fields(Trained)}
        return {name: value for name, value in known(self).items() if name in names}


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """An evaluation on the test split; ``raw_`` fields are those of the weights without ``optim.ema``."""

    KIND: ClassVar = "evaluate"

    step: Step
    epoch: Epoch
    accuracy: Annotated[float, "top-1 accuracy, 0 to 1"]
    loss: Annotated[float, "mean loss over the test images"]
    examples: Annotated[int, "number of test images"]
    raw_accuracy: Annotated[float | None, "top-1 accuracy of the weights that are not averaged, 0 to 1"] = (
        None
    )
    raw_loss: Annotated[float | None, "mean loss of the weights that are not averaged"] = None


@dataclass(frozen=True, kw_only=True)
class EventLine:
    """An event of the run: the same names and values as its row of ``events.jsonl``."""

    KIND: ClassVar = "event"

    name: Annotated[str, "name of the event"]
    at: Annotated[float | None, "when it happened, in unix seconds"] = None


PLAIN = re.compile(r"[!#-<>-~]+")  # ASCII without spaces, quotes and equals signs
LINES = {line.KIND: line for line in (Progress, Evaluation, EventLine)}


def logfmt(kind: str, row: dict[str, Any]) -> str:
    """Return one line of logfmt, such as ``progress step=3 loss=0.5``.

    A text with spaces, quotes, equals signs or control characters is written as a JSON string, so that no
    value can be taken for another field or another line.
    """
    return " ".join([kind, *(f"{key}={_text(value)}" for key, value in row.items())])


def json_line(kind: str, row: dict[str, Any]) -> str:
    """Return one line of JSON, such as ``{"kind": "progress", "step": 3, "loss": 0.5}``.

    A number that is not finite is text, because JSON has none.
    """
    return json.dumps({"kind": kind} | {key: _finite(value) for key, value in row.items()})


def _finite(value: Any) -> Any:
    return str(value) if isinstance(value, float) and not math.isfinite(value) else value


FORMATS: dict[str, Callable[[str, dict[str, Any]], str]] = {"logfmt": logfmt, "json": json_line}


def format_of(setting: str) -> Callable[[str, dict[str, Any]], str]:
    """Return the function that writes a line by ``log.format``; ``auto`` is logfmt."""
    return FORMATS.get(setting, logfmt)


def _text(value: Any) -> str:
    if isinstance(value, float):
        return f"{value:.3f}" if value > 1e6 else f"{value:.6g}"  # unix seconds need more than six digits
    text = str(value)
    return text if PLAIN.fullmatch(text) else json.dumps(text)
