"""Files of one JSON object per line, local or on a bucket, that stay readable after a kill at any moment."""

import concurrent.futures
import json
import os
import time
from collections.abc import Callable
from typing import Any

from etils import epath

from trainer.rundir import files
from trainer.rundir.rows import Check
from trainer.runtime.messages import warn

UPLOAD_SECONDS = (
    30.0  # shortest interval between uploads by append: a bucket cannot append, so each writes the whole file
)


class JsonLines:
    """Rows that outlive the process: a local row is on disk at once, one on a bucket after an upload.

    Uploads run one after another in a thread of their own, so that no step waits for a slow bucket.

    Args:
      path: the file.
      check: function of a row, which returns the row as it is used, or None for one that is left out.

    Raises:
      RunDirectoryError: the file cannot be read or written, or is not a regular file.
      StorageError: the disk is full, or the bucket does not answer.
    """

    def __init__(self, path: epath.Path, check: Check = lambda row: row):
        self._path = path
        self._uploads = None
        if files.is_bucket(path):
            self._uploads = concurrent.futures.ThreadPoolExecutor(1, path.name)
        self._waiting: concurrent.futures.Future[None] | None = None
        self._asked = 0.0
        text = files.read(path) or ""
        self.rows = parse(path, text, check)
        if text and not text.endswith("\n") and not self._uploads:
            self._write(self.rows)  # the next row must not continue the one that a kill cut off

    def append(self, row: dict[str, Any]) -> None:
        """Add a row."""
        self.rows.append(row)
        if not self._uploads:
            files.append(self._path, _line(row))
        elif time.monotonic() - self._asked > UPLOAD_SECONDS:
            self.upload()

    def upload(self) -> None:
        """Begin to write all rows to the bucket.

        A failure is a warning; the next upload has the same rows.
        """
        if self._uploads:
            self._asked = time.monotonic()
            if self._waiting:
                self._waiting.cancel()  # if it has not begun: the new upload has its rows too
            self._waiting = self._uploads.submit(self._upload, list(self.rows))

    def keep(self, is_kept: Callable[[dict[str, Any]], bool]) -> None:
        """Drop every row for which ``is_kept(row)`` is false, such as those of steps to be repeated."""
        kept = [row for row in self.rows if is_kept(row)]
        if kept != self.rows:
            self.rows = kept
            self._write(self.rows)

    def close(self) -> None:
        """Write every row, and return once all are on disk or on the bucket."""
        if self._uploads:
            self._uploads.shutdown(wait=True)
            self._write(self.rows)

    def _upload(self, rows: list[dict[str, Any]]) -> None:
        try:
            self._write(rows)
        except Exception as error:  # each client has its own exceptions
            warn(f"{self._path} lacks the newest rows: {error}")

    def _write(self, rows: list[dict[str, Any]]) -> None:
        files.write(self._path, "".join(map(_line, rows)))


def read(path: epath.Path, check: Check = lambda row: row) -> list[dict[str, Any]]:
    """Return the rows of a file, none if it does not exist; a truncated last line is left out.

    Args:
      check: function of a row, which returns the row as it is used, or None for one that is left out.

    Raises:
      RunDirectoryError: it cannot be read, or is not a regular file.
      StorageError: the bucket does not answer.
    """
    return parse(path, files.read(path) or "", check)


def parse(path: os.PathLike[str] | str, text: str, check: Check = lambda row: row) -> list[dict[str, Any]]:
    """Return the checked objects of the lines of a text; a warning counts the lines that hold none.

    Args:
      path: of the file, for the warning.
      text: its content.
      check: function of a row, which returns the row as it is used, or None for one that is left out.
    """
    lines, rows, bad = text.split("\n"), [], []
    for number, line in enumerate(lines, 1):
        try:
            row = json.loads(line)
        except (ValueError, RecursionError):
            row = None
        if isinstance(row, dict) and (row := check(row)) is not None:
            rows.append(row)
        elif line.strip() and number < len(lines):  # the last one may have been cut off by a kill
            bad.append(number)
    if bad:
        expected = "must be a JSON object with the fields of its kind"
        warn(f"{path}: line {bad[0]} {expected}; lines left out: {len(bad)}")
    return rows


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, separators=(", ", ": ")) + "\n"
