"""The output of a run while it trains: lines for programs on stdout, and a progress bar on a terminal."""

import sys
from collections.abc import Callable
from typing import Any, Protocol, TextIO

from trainer.errors import printable
from trainer.metrics.lines import Evaluation, EventLine, Progress, format_of
from trainer.metrics.sentences import sentence
from trainer.runtime.counter import LINE_SECONDS, Counter, Pace

Row = dict[str, Any]


class Display(Protocol):
    """The methods of a display; every row is a dict of names and values."""

    def event(self, row: Row) -> None: ...

    def progress(self, row: Row) -> None: ...

    def evaluating(self, done: int, total: int) -> None:
        """Show how many of the test images have been evaluated; after the last one, nothing."""

    def evaluation(self, row: Row) -> None: ...

    def close(self) -> None: ...


def make_display(form: str = "auto") -> Display:
    """Return the display for ``log.format``.

    With ``auto``, stdout has lines of logfmt unless it is a terminal. A terminal has a progress bar, which is
    on stderr where that is one. ``logfmt`` and ``json`` are lines, also on a terminal.
    """
    out, err = sys.stdout.isatty(), sys.stderr.isatty()
    if form != "auto" and out:
        return Lines(form)
    bar = [Bar(sys.stderr if err else sys.stdout, out)] if out or err else []
    return Displays([*bar, *([] if out else [Lines(form, quiet=bool(bar))])])


class Displays:
    """Several displays at once."""

    def __init__(self, displays: list[Any]):
        self.displays = displays

    def event(self, row: Row) -> None:
        for display in self.displays:
            display.event(row)

    def progress(self, row: Row) -> None:
        for display in self.displays:
            display.progress(row)

    def evaluating(self, done: int, total: int) -> None:
        for display in self.displays:
            display.evaluating(done, total)

    def evaluation(self, row: Row) -> None:
        for display in self.displays:
            display.evaluation(row)

    def close(self) -> None:
        for display in self.displays:
            display.close()


class Lines:
    """One line per row on stdout; how far an evaluation is, on stderr every 10 s.

    Args:
      form: ``logfmt`` or ``json``.
      quiet: whether something else shows evaluations.
    """

    def __init__(self, form: str = "logfmt", quiet: bool = False):
        self._line: Callable[[str, Row], str] = format_of(form)
        self._quiet = quiet
        self._evaluation: tuple[Counter, Pace] | None = None

    def event(self, row: Row) -> None:
        print(self._line(EventLine.KIND, row), flush=True)

    def progress(self, row: Row) -> None:
        print(self._line(Progress.KIND, row), flush=True)

    def evaluating(self, done: int, total: int) -> None:
        if self._quiet:
            return
        counter, pace = self._evaluation or (Counter("evaluating", total), Pace(LINE_SECONDS))
        counter.count = done
        if pace.due():
            print(counter, file=sys.stderr, flush=True)
        self._evaluation = (counter, pace) if done < total else None

    def evaluation(self, row: Row) -> None:
        print(self._line(Evaluation.KIND, row), flush=True)

    def close(self) -> None:
        pass


class Bar:
    """A progress bar with loss, accuracy, images/s and time left; events and evaluations are lines above it.

    Args:
      stream: the terminal.
      out: whether stdout is a terminal too; if not, its lines are left alone.
    """

    def __init__(self, stream: TextIO, out: bool = True):
        from rich import console, progress
        from rich.table import Column

        self._bar = progress.Progress(
            progress.BarColumn(bar_width=10),
            progress.TextColumn("{task.description}", markup=False, table_column=Column(no_wrap=True)),
            console=console.Console(file=stream),
            redirect_stdout=out,
            redirect_stderr=stream is sys.stderr,
        )
        self._bar.start()
        self._training: Any = None
        self._evaluating: Any = None

    def event(self, row: Row) -> None:
        self._print(sentence(EventLine.KIND, row), "dim")

    def progress(self, row: Row) -> None:
        text = sentence(Progress.KIND, row)
        if self._training is None:
            self._training = self._bar.add_task(text, total=row["steps"])
        self._bar.update(self._training, completed=row["step"], description=text)

    def evaluating(self, done: int, total: int) -> None:
        if self._evaluating is None:
            self._evaluating, self._counter = (
                self._bar.add_task("", total=total),
                Counter("evaluating", total),
            )
        self._counter.count = done
        self._bar.update(self._evaluating, completed=done, description=str(self._counter))
        if done >= total:
            self._bar.remove_task(self._evaluating)
            self._evaluating = None

    def evaluation(self, row: Row) -> None:
        self._print(sentence(Evaluation.KIND, row))

    def close(self) -> None:
        self._bar.stop()

    def _print(self, text: str, style: str | None = None) -> None:
        self._bar.console.print(printable(text), style=style, markup=False, highlight=False, soft_wrap=True)
