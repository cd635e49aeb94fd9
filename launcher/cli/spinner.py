"""What long work is doing, on stderr: one line that counts seconds on a terminal, else a line each."""

from __future__ import annotations

import sys
from types import TracebackType
from typing import Any


class Progress:
    """Shows the newest news until it is left."""

    def __init__(self) -> None:
        self._display: Any = None

    def __enter__(self) -> Progress:
        if sys.stderr.isatty():
            from rich.console import Console
            from rich.progress import Progress as Bar
            from rich.progress import SpinnerColumn, TextColumn, TimeElapsedColumn

            columns = SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn()
            self._display = Bar(*columns, console=Console(stderr=True), transient=True)
            self._display.start()
            self._task = self._display.add_task("", total=None)
        return self

    def show(self, text: str) -> None:
        if self._display:
            self._display.update(self._task, description=text)
        else:
            print(f"{text} …", file=sys.stderr, flush=True)

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._display:
            self._display.stop()
