"""The output of a run while it trains: plain lines in pods and pipes, a progress bar on a terminal."""

import sys
from typing import Any, Protocol

from trainer.metrics.lines import Evaluation, EventLine, Progress, logfmt


class Display(Protocol):
    """The methods of a display; every row is a dict of names and values."""

    def event(self, row: dict[str, Any]) -> None: ...

    def progress(self, row: dict[str, Any]) -> None: ...

    def evaluation(self, row: dict[str, Any]) -> None: ...

    def close(self) -> None: ...


def make_display() -> Display:
    """Return a progress bar on a terminal, otherwise plain lines."""
    return Bar() if sys.stdout.isatty() else Lines()


class Lines:
    """One line of logfmt per row."""

    def event(self, row: dict[str, Any]) -> None:
        print(logfmt(EventLine.KIND, row), flush=True)

    def progress(self, row: dict[str, Any]) -> None:
        print(logfmt(Progress.KIND, row), flush=True)

    def evaluation(self, row: dict[str, Any]) -> None:
        print(logfmt(Evaluation.KIND, row), flush=True)

    def close(self) -> None:
        pass


class Bar:
    """A progress bar with loss, images/s and time left; events and evaluations are lines above it."""

    def __init__(self):
        from rich import progress

        self._bar = progress.Progress(
            progress.TextColumn("step {task.completed}/{task.total}"),
            progress.BarColumn(),
            progress.TextColumn("{task.fields[text]}"),
            progress.TimeRemainingColumn(),
        )
        self._bar.start()
        self._task = None

    def event(self, row: dict[str, Any]) -> None:
        values = {key: value for key, value in row.items() if key not in ("name", "at")}
        self._bar.console.print(logfmt(row["name"], values), style="dim", highlight=False)

    def progress(self, row: dict[str, Any]) -> None:
        text = f"loss {row['loss']:.4f}"
        if "images_per_second" in row:  # the first step has no throughput yet
            text += f"  {row['images_per_second']:,.0f} images/s"
        if "mfu" in row:  # only for chips whose peaks are known
            text += f"  MFU {row['mfu']:.0%}, memory {row['hbm']:.0%}"
        if self._task is None:
            self._task = self._bar.add_task("", total=row["steps"], text=text)
        self._bar.update(self._task, completed=row["step"], text=text)

    def evaluation(self, row: dict[str, Any]) -> None:
        text = f"epoch {row['epoch']:.2f}: accuracy {row['accuracy']:.2%}, loss {row['loss']:.4f}"
        self._bar.console.print(f"{text}, {row['examples']} test images", highlight=False)

    def close(self) -> None:
        self._bar.stop()
