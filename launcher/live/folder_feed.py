"""The runs below folders of this machine. A look at a run that has not changed costs a few system calls."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

from launcher.check.prices import Prices
from launcher.errors import Problem, RequestError
from launcher.live.folder_run import FolderRun
from launcher.live.view import View

DEPTH = 4  # folders below the first one that are searched
LOOK_SECONDS = 1.0
SEARCH_LOOKS = 5  # looks between two searches for new runs
KNOWN_BY = ("config.json", "events.jsonl")


class FolderFeed:
    """Follows runs until it is closed.

    Args:
      folders: of a run, or with runs below them; those of a run are followed although it is over.
      changed: is called after each change, from any thread.

    Attributes:
      error: what ended the feed; None while it works.
    """

    def __init__(self, folders: Sequence[str], prices: Prices, changed: Callable[[], None]) -> None:
        self._folders, self._prices, self._changed = folders, prices, changed
        self._runs: dict[Path, FolderRun] = {}
        self._passed_over: dict[Path, int] = {}  # run that was over -> time of its last event, in ns
        self._views: dict[Path, View] = {}
        self._lock = threading.Lock()
        self._left = threading.Event()
        self.error: BaseException | None = None

    def open(self) -> None:
        """Begin to look. Raises RequestError where a folder does not exist."""
        missing = [folder for folder in self._folders if not os.path.isdir(folder)]
        if missing:
            raise RequestError(*(_no_folder(folder) for folder in missing))
        self._search()
        threading.Thread(target=self._look, daemon=True).start()

    def close(self) -> None:
        """Stop looking."""
        self._left.set()

    def views(self) -> list[View]:
        """Return the runs as they are now, in the order of their folders."""
        with self._lock:
            for path in self._runs.keys() - self._views.keys():
                self._views[path] = self._runs[path].view()
            return [self._views[path] for path in sorted(self._runs)]

    def notes(self) -> list[str]:
        """Return what a reader must know of the feed itself."""
        return []

    def _look(self) -> None:
        looks = 0
        try:
            while not self._left.wait(LOOK_SECONDS):
                looks += 1
                if looks % SEARCH_LOOKS == 0:
                    self._search()
                changed = False
                with self._lock:
                    for path, run in self._runs.items():
                        if run.update():
                            self._views.pop(path, None)
                            changed = True
                if changed:
                    self._changed()
        except BaseException as error:
            self.error = error
            self._changed()

    def _search(self) -> None:
        """Add the runs that are new, without those that were over before anybody watched."""
        for folder in self._folders:
            root = Path(folder)
            for path in _below(root, 0):
                stamp = _stamp(path)
                if path in self._runs or (path != root and self._passed_over.get(path, -1) == stamp):
                    continue
                name = path.name if path == root else str(path.relative_to(root))
                run = FolderRun(path, name, self._prices)
                run.update()
                if run.is_over and path != root:
                    self._passed_over[path] = stamp
                    continue
                with self._lock:
                    self._runs[path] = run
                self._changed()


def _stamp(path: Path) -> int:
    """Return when the events of a run were last written, in ns; 0 where there are none."""
    try:
        return (path / "events.jsonl").stat().st_mtime_ns
    except OSError:
        return 0


def _below(folder: Path, depth: int) -> Iterator[Path]:
    try:
        with os.scandir(folder) as entries:
            names = {entry.name: entry.is_dir(follow_symlinks=False) for entry in entries}
    except OSError:
        return
    if any(name in names for name in KNOWN_BY):
        yield folder
    elif depth < DEPTH:
        for name in sorted(name for name, is_folder in names.items() if is_folder):
            yield from _below(folder / name, depth + 1)


def _no_folder(folder: str) -> Problem:
    if folder.startswith("gs://"):
        text = f"must be a folder of this machine with --local, got {folder!r}"
        return Problem("name", text, f"resnet-launch board {folder} --serve 0")
    what = "a file" if os.path.exists(folder) else "which does not exist"
    text = f"must be a folder with --local, got {folder!r}, {what}"
    if folder == "runs":
        return Problem("name", text, "`resnet-launch local` makes it in the folder where it is typed")
    return Problem("name", text, "resnet-launch watch --local runs")
