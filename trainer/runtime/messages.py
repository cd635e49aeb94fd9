"""Messages to people and Kubernetes: warnings, and the error with which a process ends."""

import contextlib
import sys
from pathlib import Path

from trainer.errors import ERROR

TERMINATION_LOG = Path(
    "/dev/termination-log"
)  # Kubernetes shows its contents as the message of a terminated container


def warn(message: str) -> None:
    """Print a warning to stderr."""
    print(f"warning: {message}", file=sys.stderr, flush=True)


def note(message: str) -> None:
    """Print to stderr what is worth knowing and no cause for worry."""
    print(message, file=sys.stderr, flush=True)


def complain(message: str) -> None:
    """Print the error with which the process ends, and leave it for Kubernetes."""
    text = f"{ERROR}{message}"
    print(text, file=sys.stderr, flush=True)
    if TERMINATION_LOG.exists():
        with contextlib.suppress(OSError):  # not writable outside Kubernetes
            TERMINATION_LOG.write_text(text[:4000] + "\n")
