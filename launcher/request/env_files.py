"""Files of environment variables: NAME=VALUE lines, as docker run and docker compose read them."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from launcher.errors import Problem, RequestError
from launcher.request import kubernetes_names, readers
from launcher.request.readers import Wrong

FIELD = "env-file"
PAIRS = readers.pairs(kubernetes_names.env, readers.any_text, "NAME=VALUE")


def read_all(value: Any) -> tuple[dict[str, str], ...]:
    """Read the variables of files, or of one: each a mapping, or the text of a file."""
    files = value if isinstance(value, (list, tuple)) else [value]
    return tuple(PAIRS(file) if isinstance(file, Mapping) else parse(file) for file in files)


def parse(text: Any, path: str = "") -> dict[str, str]:
    """Return the variables of a file's text; the last value of a name wins.

    A line is NAME=VALUE, or empty, or a comment that begins with #. Quotes around a whole value are removed;
    nothing else is changed, and no other variable is expanded.

    Args:
      path: stands before the number of a wrong line.

    Raises:
      RequestError: a line has another form. The error shows its name and never its value.
    """
    if not isinstance(text, str):
        raise Wrong("must be a file of NAME=VALUE lines", text)
    variables: dict[str, str] = {}
    # No splitlines: it also splits at characters that a value may hold.
    for number, line in enumerate(text.removeprefix("\ufeff").split("\n"), 1):
        entry = line.removesuffix("\r").strip(" \t")
        if not entry or entry.startswith("#"):
            continue
        name, equals, value = entry.removeprefix("export ").partition("=")
        name, value = name.strip(), value.strip(" \t")
        try:
            kubernetes_names.env(name)
            variables[name] = readers.any_text(_unquoted(value) if equals else None)
        except Wrong:
            # A line of another form may be a secret, so the message does not show it.
            reason = _reason(name, equals, value)
            raise RequestError(
                Problem(
                    FIELD,
                    f"must hold NAME=VALUE lines, got {reason}",
                    "",
                    f"{path}:{number}" if path else f"line {number}",
                )
            ) from None
    return variables


def _reason(name: str, equals: str, value: str) -> str:
    if not equals:
        return "a line without ="
    return (
        "a value that is no text"
        if re.fullmatch(r"[A-Za-z_][A-Za-z0-9_]*", name)
        else "a name that no variable has"
    )


def _unquoted(value: str) -> str:
    quoted = len(value) >= 2 and value[0] == value[-1] and value[0] in "'\""
    return value[1:-1] if quoted else value
