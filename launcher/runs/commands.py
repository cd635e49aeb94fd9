"""The command of a run's pods, as whoever submitted it typed it. Pure."""

from __future__ import annotations

import shlex
from collections.abc import Mapping
from typing import Any

from launcher.rendering import container
from launcher.runs import objects

SHELLS = ("sh", "bash")
HANDS_OVER = 'exec "$@"'  # end of a script that only prepares the command after it


def of(jobset: Mapping[str, Any]) -> list[str]:
    """Return the arguments of the command, without what the launcher puts before it; [] where none is set."""
    for group in objects.entries(jobset, "spec", "replicatedJobs"):
        for entry in objects.entries(group, "template", "spec", "template", "spec", "containers"):
            command = entry.get("command")
            if entry.get("name") == container.NAME and isinstance(command, list):
                return _typed([str(argument) for argument in command])
    return []


def program(run: Mapping[str, Any]) -> str:
    """Return the network of a run, or else its command, in words for a table.

    Args:
      run: a row of `resnet-launch list --json`.
    """
    return run["arch"] or shlex.join(run["command"])


def _typed(command: list[str]) -> list[str]:
    while command[:1] and command[0] in SHELLS and command[1:2] == ["-c"] and command[3:4] == ["--"]:
        if not command[2].endswith(HANDS_OVER):
            break
        command = command[4:]
    return command
