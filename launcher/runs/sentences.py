"""The trainer's log lines as people read them, such as ``step 40/269  loss 2.21  150 img/s``. Pure.

trainer/metrics/sentences.py has the same code for a terminal; a test compares the two.
"""

from collections.abc import Mapping
from typing import Any

Row = Mapping[str, Any]
LARGEST = 1e15  # a number beyond it is no measurement, and an integer beyond 1e308 cannot be formatted


def sentence(kind: str, row: Row) -> str:
    """Return a log line for people; empty for one that lacks the values of its kind.

    Args:
      kind: ``progress``, ``evaluate`` or ``event``.
      row: name -> value of the line. A number that is not finite may be text.
    """
    match kind:
        case "progress" if "step" in row:
            return _progress(row)
        case "evaluate" if "accuracy" in row:
            return _evaluation(row)
        case "event" if "name" in row:
            return EVENTS.get(str(row["name"]), _other)(row)
    return ""


def duration(seconds: float) -> str:
    """Return a duration in its two largest units: 12 s, 1 min 44 s, 2 h 5 min, 3 d 4 h."""
    whole = max(round(seconds), 0)
    parts = [(whole // 86400, "d"), (whole // 3600 % 24, "h"), (whole // 60 % 60, "min"), (whole % 60, "s")]
    first = next((at for at, (count, _) in enumerate(parts) if count), 3)
    return " ".join(f"{count} {unit}" for count, unit in parts[first : first + 2] if count or first == 3)


def percent(share: Any, digits: int = 0) -> str:
    """Return a share of 0 to 1 as ``17 %``."""
    return _number(share, lambda value: f"{100 * value:.{digits}f} %")


def _progress(row: Row) -> str:
    total = f"/{row['steps']}" if "steps" in row else ""
    parts = [
        ("step {}", f"{row['step']}{total}"),
        ("loss {}", _of(row, "loss", _loss)),
        ("acc {}", percent(row["accuracy"]) if "accuracy" in row else ""),
        ("{} img/s", _of(row, "images_per_second", lambda rate: f"{rate:,.{0 if rate >= 10 else 1}f}")),
        ("MFU {}", percent(row["mfu"]) if "mfu" in row else ""),
        ("{} left", _of(row, "eta_seconds", duration)),
    ]
    return "  ".join(form.format(text) for form, text in parts if text)


def _evaluation(row: Row) -> str:
    where = f" at step {row['step']}" if "step" in row else ""
    raw = f" (not averaged: {percent(row['raw_accuracy'], 2)})" if "raw_accuracy" in row else ""
    parts = [
        f"evaluated{where}: accuracy {percent(row['accuracy'], 2)}{raw}",
        f"loss {_of(row, 'loss', _loss)}" if "loss" in row else "",
        f"{_of(row, 'examples', '{:,}'.format)} images" if "examples" in row else "",
    ]
    return ", ".join(filter(None, parts))


def _start(row: Row) -> str:
    hosts, devices = row.get("hosts", "?"), row.get("devices", "?")
    restart = f", restart {row['restart']}" if row.get("restart") else ""
    where = f"{hosts} host{'' if hosts == 1 else 's'}, {devices} device{'' if devices == 1 else 's'}"
    kind = f" ({row['device_kind']})" if "device_kind" in row else ""
    return f"started: {where}{kind}{restart}"


def _end(row: Row) -> str:
    parts = [
        f"finished at step {row.get('step', '?')}",
        f"accuracy {percent(row['accuracy'], 2)}" if "accuracy" in row else "",
        f"goodput {percent(row['goodput'])}" if "goodput" in row else "",
    ]
    return ", ".join(filter(None, parts))


def _other(row: Row) -> str:
    values = "".join(f", {key} {value}" for key, value in row.items() if key not in ("name", "at"))
    return f"{row['name']}{values}"


EVENTS = {
    "start": _start,
    "joined": lambda row: "all hosts have joined",
    "opened": lambda row: "data and run directory are open",
    "restore": lambda row: f"restored the checkpoint of step {row.get('step', '?')}{_took(row)}",
    "compiled": lambda row: f"compiled{_took(row)}",
    "first_step": lambda row: f"first step done: step {row.get('step', '?')}",
    "evaluate": lambda row: f"evaluation at step {row.get('step', '?')} took{_took(row, '')}",
    "save": lambda row: f"saving a checkpoint at step {row.get('step', '?')}",
    "rollback": lambda row: f"step {row.get('step', '?')} was not finite: back to step {row.get('to', '?')}",
    "preempted": lambda row: f"preempted at step {row.get('step', '?')}",
    "end": _end,
}


def _took(row: Row, preposition: str = " in") -> str:
    return f"{preposition} {_of(row, 'seconds', duration)}" if "seconds" in row else ""


def _of(row: Row, key: str, form: Any) -> str:
    return _number(row[key], form) if key in row else ""


def _loss(value: float) -> str:
    return f"{value:.3g}" if abs(value) < 1000 else f"{value:.0f}"


def _number(value: Any, form: Any) -> str:
    """Return a formatted number; what is none, such as a loss of nan, stays as it is."""
    return form(value) if isinstance(value, (int, float)) and abs(value) < LARGEST else str(value)
