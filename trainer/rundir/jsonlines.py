"""A file of one JSON object a line, local or on a bucket, that a kill at any moment leaves readable."""

import concurrent.futures
import json
import time
from typing import Any

from etils import epath

from trainer.runtime.messages import warn

UPLOAD_SECONDS = 30.0  # a bucket has no append; unasked, the whole file is written again at most this often


class JsonLines:
    """Rows that outlive the process: locally each is on disk at once, on a bucket after an upload.

    Uploads run in a thread of their own, one after the other, so that a slow bucket holds up no step.
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
        self.rows.append(row)
        if not self._uploads:
            with open(self._path, "a") as file:
                file.write(_line(row))
        elif time.monotonic() - self._asked > UPLOAD_SECONDS:
            self.upload()

    def upload(self) -> None:
        """Begins to write the rows so far to the bucket.

        One that fails is warned of; the next has its rows.
        """
        if self._uploads:
            self._asked = time.monotonic()
            if self._waiting:
                self._waiting.cancel()  # one that has not begun: this one has its rows too
            self._waiting = self._uploads.submit(self._upload, list(self.rows))

    def keep(self, wanted) -> None:
        """Drops every row for which ``wanted(row)`` is false: those of steps that are done again."""
        kept = [row for row in self.rows if wanted(row)]
        if kept != self.rows:
            self.rows = kept
            self._write(self.rows)

    def close(self) -> None:
        """Returns once every row is where it belongs."""
        if self._uploads:
            self._uploads.shutdown(wait=True)
            self._write(self.rows)

    def _upload(self, rows: list[dict[str, Any]]) -> None:
        try:
            self._write(rows)
        except Exception as error:  # each client has its own kinds
            warn(f"{self._path} is behind: {error}")

    def _write(self, rows: list[dict[str, Any]]) -> None:
        temporary = self._path if self._uploads else self._path.with_name(self._path.name + ".new")
        temporary.write_text("".join(map(_line, rows)))
        if not self._uploads:
            temporary.replace(self._path)  # never a half-written file


def read(path: epath.Path) -> list[dict[str, Any]]:
    """The rows of a file, which need not be there; a last line that was cut off is left out."""
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
