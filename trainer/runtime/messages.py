"""Messages to people and Kubernetes: warnings, and the error with which a process ends."""

import contextlib
import sys
from pathlib import Path

from trainer.errors import ERROR, HINT, printable

TERMINATION_LOG = Path(
    "/dev/termination-log"
)  # Kubernetes shows its contents as the message of a terminated container


def warn(message: str) -> None:
    """Print a warning to stderr, as one line."""
    print(f"warning: {printable(message)}", file=sys.stderr, flush=True)


def note(message: str) -> None:
    """Print to stderr, as one line, what is worth knowing and no cause for worry."""
    print(printable(message), file=sys.stderr, flush=True)


def complain(message: str) -> None:
    """Print the error with which the process ends, and leave it for Kubernetes.

    A line of it cannot be taken for a line of the run's log: those after the first are hints or indented.
    """
    first, *others = message.split("\n")
    lines = [f"{ERROR}{first}", *(line if line.startswith(HINT) else f"  {line}" for line in others)]
    text = "\n".join(map(printable, lines))
    print(text, file=sys.stderr, flush=True)
    if TERMINATION_LOG.exists():
        with contextlib.suppress(OSError):  # not writable outside Kubernetes
            TERMINATION_LOG.write_text(text[:4000] + "\n")
