"""Readers of values: each takes text or a Python value and returns the checked value of a field.

A reader raises Wrong for a value that the field cannot hold. Its message completes "FIELD: …".
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Mapping
from typing import Any

from launcher.errors import closest

Reader = Callable[[Any], Any]

UNITS = {"s": 1, "m": 60, "h": 3600, "d": 86400}  # seconds
HIDDEN = object()  # stands for a value that an error must not show


class Wrong(ValueError):
    """A value that a field cannot hold; `hint` says what to type instead."""

    def __init__(self, must: str, got: Any, hint: str = "") -> None:
        shown = "something else" if got is HIDDEN else repr(got)
        super().__init__(f"{must}, got {shown if len(shown) <= 80 else shown[:77] + '...'}")
        self.hint = hint


def text(value: Any) -> str:
    """Read printable text of one line that is not empty."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)  # YAML reads 1.0 as a number where "1.0" is meant
    if not isinstance(value, str) or not value or not value.isprintable():
        raise Wrong("must be printable text of one line", value)
    return value


def any_text(value: Any) -> str:
    """Read any text, even empty; an environment cannot hold NUL, nor can YAML hold a lone surrogate."""
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        value = str(value)
    if not isinstance(value, str) or re.search(r"[\x00\ud800-\udfff]", value):
        raise Wrong("must be text", value)
    return value


def integer(low: int, high: int = 2**31 - 1) -> Reader:
    """Return a reader of whole numbers from low to high; high is the largest 32-bit integer by default."""
    bounds = f"of at least {low}" if high == 2**31 - 1 else f"from {low} to {high}"
    must = f"must be a whole number {bounds}"

    def read(value: Any) -> int:
        if isinstance(value, str) and re.fullmatch(r"\+?[0-9]{1,12}", value.strip()):
            value = int(value.strip())
        if not isinstance(value, int) or isinstance(value, bool) or not low <= value <= high:
            raise Wrong(must, value)
        return value

    return read


def positive(value: Any) -> int | float:
    """Read a number above zero; a whole number becomes an int."""
    number = value
    if isinstance(value, str) and re.fullmatch(r"[0-9]{1,12}(\.[0-9]{1,12})?", value.strip()):
        number = float(value.strip())
    if not isinstance(number, (int, float)) or isinstance(number, bool) or not 0 < number < 1e12:
        raise Wrong("must be a number above zero", value)
    return int(number) if number == int(number) else number


def seconds(value: Any) -> int:
    """Read a duration and return seconds: 90, 90s, 10m, 2h or 7d."""
    if isinstance(value, str) and (match := re.fullmatch(r"([0-9]{1,9})([smhd]?)", value.strip())):
        value = int(match[1]) * UNITS[match[2] or "s"]
    if not isinstance(value, int) or isinstance(value, bool) or not 0 <= value < 2**31:
        raise Wrong("must be a duration such as 90s, 10m, 2h or 7d", value)
    return value


def duration(value: Any) -> int:
    """Read a duration of at least a second and return seconds: 90, 90s, 10m, 2h or 7d."""
    if (length := seconds(value)) < 1:
        raise Wrong("must be a duration of at least 1s", value)
    return length


def duration_text(length: int) -> str:
    """Return seconds as they are typed, in the largest unit that divides them: `90s`, `2h`, `7d`."""
    unit = next((unit for unit in "dhm" if length and length % UNITS[unit] == 0), "s")
    return f"{length // UNITS[unit]}{unit}"


def one_of(*choices: str) -> Reader:
    """Return a reader of one of these choices."""

    def read(value: Any) -> str:
        if value not in choices:
            hint = closest(value, choices) if isinstance(value, str) else ""
            raise Wrong(f"must be {', '.join(choices[:-1])} or {choices[-1]}", value, hint)
        return value

    return read


def flag(value: Any) -> bool:
    """Read true or false; an environment variable may also hold 1 or 0."""
    spellings = {"true": True, "1": True, "false": False, "0": False}
    if isinstance(value, str) and value.lower() in spellings:
        return spellings[value.lower()]
    if not isinstance(value, bool):
        raise Wrong("must be true or false", value)
    return value


def many(item: Reader) -> Reader:
    """Return a reader of a tuple of items, from a list or from a single item."""

    def read(value: Any) -> tuple[Any, ...]:
        if isinstance(value, str):
            value = [value]
        if not isinstance(value, (list, tuple)):
            raise Wrong("must be a list", value)
        return tuple(item(entry) for entry in value)

    return read


def pairs(key: Reader, value: Reader, form: str) -> Reader:
    """Return a reader of a dict, from a mapping or from texts KEY=VALUE; the last value of a key wins."""

    def split(entry: Any) -> tuple[str, str]:
        name, equals, text = entry.partition("=") if isinstance(entry, str) else ("", "", "")
        if not equals:
            raise Wrong(f"must be {form}", entry)
        return name, text

    def read(pairs: Any) -> dict[str, Any]:
        if isinstance(pairs, str):
            pairs = [pairs]
        if not isinstance(pairs, (Mapping, list, tuple)):
            raise Wrong(f"must be {form} or a mapping", pairs)
        items: Iterable[tuple[Any, Any]] = pairs.items() if isinstance(pairs, Mapping) else map(split, pairs)
        return {key(name): value(item) for name, item in items}

    return read


def mappings(value: Any) -> tuple[dict[str, Any], ...]:
    """Read a list of mappings, or a single one."""
    return tuple(mapping(item) for item in (value if isinstance(value, (list, tuple)) else [value]))


def mapping(value: Any) -> dict[str, Any]:
    """Read a mapping whose keys are text, as parsed from YAML."""
    if not isinstance(value, Mapping) or not all(isinstance(key, str) for key in value):
        raise Wrong("must be a mapping", value)
    return dict(value)
