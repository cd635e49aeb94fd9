"""A program of the user's own in the place of the trainer: its command and working directory."""

from __future__ import annotations

import shlex
from typing import Any

from launcher.request import readers
from launcher.request.readers import Wrong

EXAMPLE = '--command "python train.py --lr 0.1"'
NAMED = '--command "python train.py" --name my-run'
# Fields that configure this project's trainer; no other program reads them.
OF_THE_TRAINER = ("recipe", "data", "batch", "epochs", "steps", "seed", "set", "args", "notify")
OF_A_PROGRAM = ("workdir", "exit_codes")


def command(value: Any) -> tuple[str, ...]:
    """Read a command: text that is split as a shell splits it, without expansions, or a list of arguments."""
    if isinstance(value, str):
        try:
            value = shlex.split(value)
        except ValueError as error:  # no closing quotation, no escaped character
            problem = f"must be a command whose quotes are closed ({str(error).lower()})"
            raise Wrong(problem, value, EXAMPLE) from None
    if not isinstance(value, (list, tuple)):
        raise Wrong("must be a command, as text or as a list of arguments", value, EXAMPLE)
    arguments = tuple(map(readers.any_text, value))
    if not arguments or not arguments[0].strip():
        raise Wrong("must begin with a program", " ".join(arguments), EXAMPLE)
    return arguments


def workdir(value: Any) -> str:
    """Read the absolute path of a directory in the pod."""
    path = readers.text(value)
    if not path.startswith("/") or ".." in path.split("/"):
        raise Wrong("must be an absolute path in the pod", value, "--workdir /app")
    return path.rstrip("/") or "/"
