"""Words of a command line that a field's reader checks, with its error in the one form of all errors."""

from __future__ import annotations

from typing import Any

import click

from launcher.errors import Problem, RequestError
from launcher.request.readers import Reader, Wrong


class Checked(click.ParamType):
    """What a reader makes of a word."""

    name = "text"

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def convert(self, value: Any, param: click.Parameter | None, ctx: click.Context | None) -> Any:
        return check(param.name if param and param.name else "value", self.reader, value)


def check(field: str, reader: Reader, value: Any) -> Any:
    """What a reader makes of a value; raises RequestError with the field's name."""
    try:
        return reader(value)
    except Wrong as wrong:
        raise RequestError(Problem(field, str(wrong), wrong.hint)) from None
