"""Files of one JSON object per line, local or on a bucket, that stay readable after a kill at any moment."""

import concurrent.futures
import json
import time
from collections.abc import Callable
from typing import Any

from etils import epath

from trainer.runtime.messages import warn

UPLOAD_SECONDS = (
    30.0  # shortest interval between uploads by append: a bucket cannot append, so each writes the whole file
)


class JsonLines:
    """Rows that outlive the process: a local row is on disk at once, one on a bucket after an upload.

    Uploads run one after another in a thread of their own, so that no step waits for a slow bucket.
    """

    def __init__(self, path: epath.Path):
        self._path = path
        self._uploads = None
        if "://" in str(path):
            self._uploads = concurrent.futures.ThreadPoolExecutor(1, path.name)
        self._waiting: concurrent.futures.Future[None] | None = None
        self._asked = 0.0
        self.rows = read(path)

    def append(self, row: dict[str, Any]) -> None:
        """Add a row."""
        self.rows.append(row)
        if not self._uploads:
            with open(self._path, "a") as file:
                file.write(_line(row))
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
        temporary = self._path if self._uploads else self._path.with_name(self._path.name + ".new")
        temporary.write_text("".join(map(_line, rows)))
        if not self._uploads:
            temporary.replace(self._path)  # atomic: never a half-written file


def read(path: epath.Path) -> list[dict[str, Any]]:
    """Return the rows of a file, none if it does not exist; a truncated last line is left out."""
    if not path.exists():
        return []
    rows = []
    for line in path.read_text().splitlines():
        try:
            rows.append(json.loads(line))
        except ValueError:  # a kill in the middle of the last line
            break
    return rows


def _line(row: dict[str, Any]) -> str:
    return json.dumps(row, separators=(", ", ": ")) + "\n"
