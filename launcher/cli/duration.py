"""Durations on the command line: 90s, 10m, 2h, 1d, or plain seconds."""

from __future__ import annotations

from typing import Any

import click

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}


class Duration(click.ParamType):
    """Seconds, as a float."""

    name = "DURATION"

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> float:
        if isinstance(value, float):
            return value
        text = str(value)
        number, unit = (text[:-1], text[-1]) if text[-1:] in UNITS else (text, "s")
        if not number.isdecimal():
            flag = param.opts[0] if param else "duration"
            raise click.UsageError(f"{flag}: must be a duration such as 90s, 10m or 2h, got {text!r}")
        return float(int(number) * UNITS[unit])
