"""What a process tells people and Kubernetes outside its log: warnings, and why it ends."""

import contextlib
import sys
from pathlib import Path

from trainer.errors import ERROR

TERMINATION_LOG = Path("/dev/termination-log")  # what Kubernetes shows as the reason of a failed container


def warn(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr, flush=True)


def complain(message: str) -> None:
    """Says why the process ends, to people and to Kubernetes."""
    text = f"{ERROR}{message}"
    print(text, file=sys.stderr, flush=True)
    if TERMINATION_LOG.exists():
        with contextlib.suppress(OSError):  # read-only outside Kubernetes
            TERMINATION_LOG.write_text(text[:4000] + "\n")
