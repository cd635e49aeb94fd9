"""A command on a pseudo-terminal: what it draws, the keys it gets, and the sizes of its window."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path

# Takes the terminal as that of its session, then becomes the command. A fork with a hook (`preexec_fn`) would
# not do: JAX warns of it in a process that has JAX's threads.
FOREGROUND = """\
import fcntl, os, sys, termios
fcntl.ioctl(0, termios.TIOCSCTTY, 0)
os.execv(sys.argv[1], sys.argv[1:])
"""
SEQUENCE = re.compile(r"\x1b\[([?0-9;]*)([A-Za-z])")


class Terminal:
    """A terminal of some size with a command in it; the command's own session is the foreground.

    Attributes:
      lines: of the screen, as a person sees it; `alternate`: whether it is the second screen.
      cells: (row, column) -> character.
      raw: everything that was written so far.
    """

    def __init__(
        self, arguments: Sequence[str], folder: Path, columns: int, rows: int, environ: Mapping[str, str]
    ) -> None:
        self.columns, self.rows = columns, rows
        self.raw, self._rest, self.alternate = "", "", False
        self.cells: dict[tuple[int, int], str] = {}
        self._at = (0, 0)
        self._main, other = pty.openpty()
        self.before = termios.tcgetattr(self._main)
        self._set_size(columns, rows)
        self.process = subprocess.Popen(
            [sys.executable, "-c", FOREGROUND, *arguments],
            cwd=folder,
            stdin=other,
            stdout=other,
            stderr=other,
            env=dict(environ),
            start_new_session=True,
        )
        os.close(other)

    def __enter__(self) -> Terminal:
        return self

    def __exit__(self, *_: object) -> None:
        if self.process.poll() is None:
            self.process.kill()
        self.process.wait(10)
        os.close(self._main)

    @property
    def lines(self) -> list[str]:
        return [
            "".join(self.cells.get((row, column), " ") for column in range(self.columns)).rstrip()
            for row in range(self.rows)
        ]

    @property
    def text(self) -> str:
        return "\n".join(self.lines)

    def press(self, keys: str) -> None:
        os.write(self._main, keys.encode())

    def resize(self, columns: int, rows: int) -> None:
        """Change the size as a window does: the command gets SIGWINCH."""
        self.columns, self.rows, self.cells = columns, rows, {}
        self._set_size(columns, rows)

    def forget(self) -> None:
        """Read all that has been written, and empty the screen."""
        while self._read(0.3):
            pass
        self.cells = {}

    def modes(self) -> tuple[bool, bool]:
        """Return (whether a key needs Enter, whether it is echoed)."""
        local = termios.tcgetattr(self._main)[3]
        return bool(local & termios.ICANON), bool(local & termios.ECHO)

    def until(self, holds: Callable[[Terminal], bool], seconds: float = 20.0) -> Terminal:
        """Read until a condition holds; an AssertionError shows the screen where it does not."""
        deadline = time.monotonic() + seconds
        while not holds(self):
            assert time.monotonic() < deadline, f"{self.text}\n{self.raw[-2000:]!r}"
            self._read(0.05)
        return self

    def ends(self, seconds: float = 20.0) -> int:
        """Read to the end of the command and return its exit code."""
        deadline = time.monotonic() + seconds
        while self.process.poll() is None:
            assert time.monotonic() < deadline, self.text
            self._read(0.05)
        while self._read(0.05):
            pass
        return self.process.returncode

    def signal(self, number: signal.Signals) -> None:
        self.process.send_signal(number)

    def _set_size(self, columns: int, rows: int) -> None:
        fcntl.ioctl(self._main, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))

    def _read(self, seconds: float) -> bool:
        if not select.select([self._main], [], [], seconds)[0]:
            return False
        data = b""
        with contextlib.suppress(OSError):  # the other end is closed
            data = os.read(self._main, 1 << 16)
        self.raw += data.decode(errors="replace")
        self._obey(data.decode(errors="replace"))
        return bool(data)

    def _obey(self, text: str) -> None:
        text, self._rest = self._rest + text, ""
        while text:
            if match := SEQUENCE.match(text):
                self._sequence(match[1], match[2])
                text = text[match.end() :]
            elif text[0] == "\x1b" and len(text) < 16:
                self._rest = text
                return
            else:
                self._put(text[0])
                text = text[1:]

    def _sequence(self, numbers: str, end: str) -> None:
        row, column = self._at
        match end:
            case "H":
                places = [int(number or 1) - 1 for number in numbers.split(";")] if numbers else [0, 0]
                self._at = (places[0], places[1])
            case "h" | "l" if numbers == "?1049":
                self.alternate, self.cells, self._at = end == "h", {}, (0, 0)
            case "K":
                self.cells = {at: c for at, c in self.cells.items() if at[0] != row or at[1] < column}
            case "J" if numbers == "2":
                self.cells = {}
            case _:
                pass

    def _put(self, character: str) -> None:
        row, column = self._at
        if character == "\n":
            self._at = (row + 1, 0)
        elif character == "\r":
            self._at = (row, 0)
        else:
            self.cells[row, column] = character
            self._at = (row, column + 1)
