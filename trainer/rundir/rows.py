"""Checks of the rows of ``metrics.jsonl`` and ``events.jsonl``, which others may have written.

A value of the wrong type is left out. A row without the values that its readers need is left out as a whole.
Fields that this version does not know stay as they are.
"""

import math
from collections.abc import Callable
from typing import Any, get_type_hints

from trainer.rundir.events import EVENTS

Row = dict[str, Any]
Check = Callable[[Row], Row | None]

LARGEST = 1e15  # of a step or a time, far above any run and exact in a float
LARGEST_METRIC = 1e30  # so that sums and products of a chart stay finite
WHOLE = ("step", "examples", "best_step")
# Numbers of a training step or an evaluation beside steps and times; a loss may be infinite or no number.
METRICS = (
    *("accuracy", "grad_norm", "loss", "lr", "images_per_second", "data_wait", "mfu", "hbm"),
    "predicted",
    *("raw_accuracy", "raw_loss", "nonzeros", "sparse_gflop", "penalty", "residual", "iterations"),
)
TIMES = ("at", "epoch", "waited_seconds")
TEXTS = ("slow",)  # likely causes, in one line
LONGEST = 500
NEEDED = {"train": ("step", "epoch", "loss"), "evaluate": ("step", "accuracy")}
NEEDED_OF_EVENTS = {"restore": ("at", "step"), "rollback": ("at", "to")}


def metric(row: Row) -> Row | None:
    """Return a row of ``metrics.jsonl`` without unusable values; None if it is no row of any kind."""
    kind = row.get("kind")
    if not isinstance(kind, str):
        return None
    checks: dict[str, Callable[[Any], bool]] = {
        **dict.fromkeys(WHOLE, _is_whole),
        **dict.fromkeys(METRICS, _is_metric),
        **dict.fromkeys(TIMES, _is_time),
        **dict.fromkeys(TEXTS, _is_line),
    }
    row = {name: value for name, value in row.items() if name not in checks or checks[name](value)}
    return row if all(name in row for name in NEEDED.get(kind, ("step",))) else None


def event(row: Row) -> Row | None:
    """Return a row of ``events.jsonl`` without unusable values; None if it is no event."""
    name = row.get("name")
    if not isinstance(name, str):
        return None
    declared = get_type_hints(EVENTS[name]) if name in EVENTS else {"at": float}
    row = {key: value for key, value in row.items() if key not in declared or _fits(value, declared[key])}
    return row if all(key in row for key in NEEDED_OF_EVENTS.get(name, ("at",))) else None


def _fits(value: Any, declared: Any) -> bool:
    if declared is str:
        return isinstance(value, str)
    return _is_whole(value) if declared is int else _is_time(value)


def _is_whole(value: Any) -> bool:
    return type(value) is int and 0 <= value <= LARGEST


def _is_time(value: Any) -> bool:
    return type(value) in (int, float) and 0 <= value <= LARGEST


def _is_line(value: Any) -> bool:
    return isinstance(value, str) and len(value) <= LONGEST and value.isprintable()


def _is_metric(value: Any) -> bool:
    return (type(value) is int and abs(value) <= LARGEST) or (
        type(value) is float and (not math.isfinite(value) or abs(value) <= LARGEST_METRIC)
    )
