"""Programs of the trainer that a verb starts in its place, in the same terminal."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
from collections.abc import Sequence

from launcher import contract


def run(verb: str, module: str, arguments: Sequence[str]) -> int:
    """Run `python -m MODULE ARGUMENTS` and return its exit code.

    Args:
      verb: of `resnet-launch`, by which the program calls itself.
      module: of the trainer.
    """
    environment = {**os.environ, contract.variable("program"): f"resnet-launch {verb}"}
    # -P: no module of the current directory takes the place of an installed one.
    process = subprocess.Popen([sys.executable, "-P", "-m", module, *arguments], env=environment)
    # The terminal sends Ctrl-C to both processes; the trainer's decides how to end.
    previous_handler = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        return process.wait()
    finally:
        signal.signal(signal.SIGINT, previous_handler)
