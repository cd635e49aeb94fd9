"""Stages of long work on stderr: on a terminal one bar each, elsewhere one line each."""

from __future__ import annotations

import sys
import time
from types import TracebackType
from typing import Any

from launcher.cli import terminal
from launcher.errors import printable

LINE_SECONDS = 10.0  # between two lines about the same stage


class Stages:
    """A context manager that shows the present stage and how far it is; launcher.image.progress.Progress."""

    def __init__(self) -> None:
        self._display: Any = None
        self._task: Any = None
        self._total: int | None = None
        self._done, self._next_line = 0, 0.0

    def __enter__(self) -> Stages:
        if sys.stderr.isatty():
            from rich import progress
            from rich.console import Console
            from rich.table import Column

            one_line = Column(no_wrap=True)
            columns = (
                progress.SpinnerColumn(),
                progress.TextColumn("{task.description}", markup=False, table_column=one_line),
                progress.BarColumn(12),
                progress.TextColumn("{task.percentage:>3.0f} %", table_column=one_line),
                progress.TimeElapsedColumn(),
            )
            console = Console(file=terminal.raw(sys.stderr))
            self._display = progress.Progress(*columns, console=console, transient=True)
            self._display.start()
        return self

    def stage(self, text: str, total: int | None = None) -> None:
        """Begin a stage; `total` is the number of its bytes, None where it is not known."""
        self._total, self._done, self._next_line = total, 0, time.monotonic() + LINE_SECONDS
        if self._display:
            if self._task is not None:
                self._display.remove_task(self._task)
            self._task = self._display.add_task(printable(text), total=total)
        else:
            print(f"{text} …", file=sys.stderr, flush=True)

    def advance(self, amount: int) -> None:
        """Count bytes of the present stage."""
        self._done += amount
        if self._display:
            if self._task is not None:
                self._display.update(self._task, advance=amount)
        elif time.monotonic() >= self._next_line:
            self._next_line = time.monotonic() + LINE_SECONDS
            of = f" of {self._total / 1e6:.0f}" if self._total else ""
            print(f"  {self._done / 1e6:.0f}{of} MB", file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display:
            self._display.stop()
