"""What reaches the terminal: control characters in what others wrote are shown, never obeyed.

Annotations, events, logs, ConfigMaps and names of files come from other people. A terminal obeys escape
sequences in them, which may clear it, write to the clipboard or imitate lines that the launcher prints.
"""

from __future__ import annotations

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from launcher.errors import printable


class Shown:
    """A text stream that writes control characters as ``\\x1b``, except tabs and ends of lines.

    The launcher's own sequences go to `raw`.
    """

    def __init__(self, stream: Any) -> None:
        self.raw = stream

    def write(self, text: str) -> int:
        """Write a text; return its length."""
        self.raw.write("\n".join(printable(line, keep="\t") for line in text.split("\n")))
        return len(text)

    def writelines(self, lines: Any) -> None:
        """Write each text in turn."""
        for line in lines:
            self.write(line)

    def __getattr__(self, name: str) -> Any:
        if name == "buffer":  # bytes would pass unchanged
            raise AttributeError(name)
        return getattr(self.raw, name)


@contextlib.contextmanager
def guarded() -> Iterator[None]:
    """Show control characters in everything that is printed within."""
    out: Any = Shown(sys.stdout)
    err: Any = Shown(sys.stderr)
    with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
        yield


def raw(stream: Any) -> Any:
    """Return the stream that obeys control characters, for sequences of the launcher's own."""
    return stream.raw if isinstance(stream, Shown) else stream
