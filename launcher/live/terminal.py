"""A terminal that is drawn in place: keys without Enter, resizes, and the old screen back at the end."""

from __future__ import annotations

import contextlib
import os
import select
import signal
import sys
from collections.abc import Callable, Iterator
from types import FrameType
from typing import TYPE_CHECKING, Any, TextIO

if TYPE_CHECKING:
    from rich.console import Console

KEYS = {
    b"q": "end",
    b"Q": "end",
    b"\x03": "end",
    b"\x04": "end",
    b"k": "up",
    b"j": "down",
    b"\x1b[A": "up",
    b"\x1bOA": "up",
    b"\x1b[B": "down",
    b"\x1bOB": "down",
    b"\x1b[5~": "page up",
    b"\x1b[6~": "page down",
    b"\x1b[H": "first",
    b"\x1b[1~": "first",
    b"g": "first",
    b"\x1b[F": "last",
    b"\x1b[4~": "last",
    b"G": "last",
}
ESCAPE_SECONDS = 0.05  # within which the rest of a key's sequence arrives


class Wakeups:
    """A pipe that ends a wait: written to by threads and by signals.

    Attributes:
      ended: whether a signal has asked to end.
      resized: whether the terminal has another size, or this process was in the background.
      stopped: whether Ctrl-Z asks this process to leave the terminal; noted within `on_stop`.
    """

    def __init__(self) -> None:
        self._read, self._write = os.pipe()
        os.set_blocking(self._read, False)
        os.set_blocking(self._write, False)
        self.ended = self.resized = self.stopped = False

    def wake(self) -> None:
        """End the wait; from any thread."""
        with contextlib.suppress(OSError):  # full: the wait ends anyhow; closed: nobody waits
            os.write(self._write, b".")

    def wait(self, seconds: float, keyboard: int | None = None) -> bool:
        """Wait until somebody wakes, a key is there, or the time is over. Return whether a key is there."""
        watched = [self._read] + ([keyboard] if keyboard is not None else [])
        ready, _, _ = select.select(watched, [], [], seconds)
        if self._read in ready:
            with contextlib.suppress(OSError):
                while os.read(self._read, 4096):
                    pass
        return keyboard in ready

    @contextlib.contextmanager
    def on_signals(self) -> Iterator[None]:
        """Note SIGINT, SIGTERM and SIGHUP, and changes of the terminal, instead of ending at once."""

        def end(number: int, frame: FrameType | None) -> None:
            self.ended = True
            self.wake()

        def redraw(number: int, frame: FrameType | None) -> None:
            self.resized = True
            self.wake()

        handlers: dict[int, Any] = {signal.SIGINT: end, signal.SIGTERM: end}
        for name, handler in (("SIGHUP", end), ("SIGWINCH", redraw), ("SIGCONT", redraw)):
            if hasattr(signal, name):
                handlers[getattr(signal, name)] = handler
        before = {number: signal.signal(number, handler) for number, handler in handlers.items()}
        try:
            yield
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)
            os.close(self._read)
            os.close(self._write)

    @contextlib.contextmanager
    def on_stop(self) -> Iterator[None]:
        """Note Ctrl-Z (SIGTSTP) instead of stopping at once: the terminal is given back first."""

        def stop(number: int, frame: FrameType | None) -> None:
            self.stopped = True
            self.wake()

        if not hasattr(signal, "SIGTSTP"):
            yield
            return
        before = signal.signal(signal.SIGTSTP, stop)
        try:
            yield
        finally:
            signal.signal(signal.SIGTSTP, before)


class Keyboard:
    """The keys of a terminal, without Enter and without an echo.

    Attributes:
      descriptor: to wait for; None where there is no terminal to read from.
    """

    def __init__(self, stream: TextIO | None = None) -> None:
        stream = stream or sys.stdin
        self.descriptor: int | None = None
        self._before: Any = None
        with contextlib.suppress(OSError, ValueError, AttributeError):
            if stream is not None and stream.isatty():
                self.descriptor = stream.fileno()

    def __enter__(self) -> Keyboard:
        self.take()
        return self

    def take(self) -> None:
        """Have the terminal send keys at once; again after this process was in the background."""
        if self.descriptor is None:
            return
        import termios
        import tty

        with contextlib.suppress(termios.error):
            self._before = self._before or termios.tcgetattr(self.descriptor)
            tty.setcbreak(self.descriptor, termios.TCSANOW)

    def __exit__(self, *_: object) -> None:
        self.give_back()

    def give_back(self) -> None:
        """Have the terminal send lines again, as before."""
        if self.descriptor is None or self._before is None:
            return
        import termios

        with contextlib.suppress(termios.error):
            termios.tcsetattr(self.descriptor, termios.TCSANOW, self._before)

    def read(self) -> str:
        """Return the name of the key that is there; empty for one without a meaning, `end` at its end."""
        assert self.descriptor is not None
        try:
            data = os.read(self.descriptor, 1)
            while data and data[:1] == b"\x1b" and len(data) < 8 and data not in KEYS:
                if not select.select([self.descriptor], [], [], ESCAPE_SECONDS)[0]:
                    break
                data += os.read(self.descriptor, 1)
                if data[1:2] not in (b"[", b"O"):  # Escape, and then a key of its own
                    return KEYS.get(data[1:], "")
                if len(data) > 2 and (data[-1:].isalpha() or data[-1:] == b"~"):
                    break
        except OSError:  # the terminal is gone
            return "end"
        return KEYS.get(data, "") if data else "end"


@contextlib.contextmanager
def screen(console: Console) -> Iterator[Callable[[Any], None]]:
    """Yield a function that draws over the whole terminal; the old screen is back afterwards."""
    _enter(console)
    try:
        yield console.update_screen
    finally:
        _leave(console)


def stop(console: Console, keyboard: Keyboard) -> None:
    """Give the terminal back and stop this process, as Ctrl-Z does; draw again once it goes on (`fg`)."""
    _leave(console)
    keyboard.give_back()
    handler = signal.signal(signal.SIGTSTP, signal.SIG_DFL)
    os.kill(os.getpid(), signal.SIGTSTP)  # returns after SIGCONT
    signal.signal(signal.SIGTSTP, handler)
    keyboard.take()
    _enter(console)


def _enter(console: Console) -> None:
    console.set_alt_screen(True)
    console.show_cursor(False)


def _leave(console: Console) -> None:
    console.show_cursor(True)
    console.set_alt_screen(False)
