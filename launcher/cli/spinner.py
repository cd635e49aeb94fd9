"""Progress of long work on stderr: one line that counts seconds on a terminal, else one line per message."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any

from launcher.cli import terminal
from launcher.errors import printable


class Spinner:
    """A context manager that shows the latest message until it exits."""

    def __init__(self) -> None:
        self._display: Any = None

    def __enter__(self) -> Spinner:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = SpinnerColumn(), TextColumn("{task.description}", markup=False), TimeElapsedColumn()
            console = Console(file=terminal.raw(sys.stderr))
            self._display = Progress(*columns, console=console, transient=True)
            self._display.start()
            self._task = self._display.add_task("", total=None)
        return self

    def show(self, text: str) -> None:
        """Replace the message on a terminal; elsewhere print it as a line of its own."""
        if self._display:
            self._display.update(self._task, description=printable(text))
        else:
            print(f"{text} …", file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display:
            self._display.stop()
