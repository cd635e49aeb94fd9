"""Text files that list images: read line by line, with bounds on the file, its lines and its rows."""

import csv
import io
from collections.abc import Iterator
from dataclasses import dataclass

from trainer.data.names import printable
from trainer.data.storage import Place
from trainer.errors import DataError

MAX_BYTES = 2**28  # of a list; that of ImageNet's training images has 32 MB
MAX_ROWS = 10_000_000  # of a list; each takes about 200 bytes of memory
MAX_CELL = 10_000  # characters; a longer cell is no name and no label
SHOWN = 80  # characters of a line that a message shows


@dataclass(frozen=True, slots=True)
class Row:
    """One line of a list.

    Args:
      line: its number, from 1.
      cells: without spaces around them.
    """

    line: int
    cells: tuple[str, ...]

    @property
    def text(self) -> str:
        """The line as messages show it."""
        return repr(printable(",".join(self.cells)[:SHOWN]))


def read(place: Place, name: str, size: int) -> str:
    """The text of a list.

    Args:
      size: bytes of the file, as its folder states them.

    Raises:
      DataError: it is too large, or not UTF-8.
    """
    address = place.address(name)
    if size > MAX_BYTES:
        raise DataError(
            f"data: {address} must have at most {MAX_BYTES >> 20} MiB, got {size / 2**20:,.0f}",
            "split it, or pack the dataset",
        )
    content = place.read(name)
    try:
        return content.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = content.count(b"\n", 0, error.start) + 1
        got = content[error.start : error.start + 8]
        raise DataError(
            f"data: {address} line {line} must be UTF-8, got {got!r}", "save it as UTF-8"
        ) from None


def rows(place: Place, name: str, size: int) -> Iterator[Row]:
    """The rows of a CSV file that are not empty; its delimiter is a comma, tab or semicolon.

    Raises:
      DataError: as `read`; the message names the line of a row that cannot be read.
    """
    text, address = read(place, name, size), place.address(name)
    first = text[: MAX_CELL + 1].split("\n", 1)[0]
    delimiter = max(",\t;", key=first.count)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter, strict=True)
    try:
        for count, cells in enumerate(reader, 1):
            if count > MAX_ROWS:
                raise csv.Error(f"more than {MAX_ROWS:,} rows")
            if any(len(cell) > MAX_CELL for cell in cells):
                raise csv.Error(f"a cell of more than {MAX_CELL:,} characters")
            stripped = tuple(cell.strip() for cell in cells)
            if any(stripped):
                yield Row(reader.line_num, stripped)
    except csv.Error as error:
        reason = printable(str(error))
        raise DataError(
            f"data: {address} line {reader.line_num} must be a row of CSV, got {reason}"
        ) from None


def lines(place: Place, name: str, size: int) -> Iterator[Row]:
    """The lines of a text file that are not empty, each a row of one cell; raises DataError as `rows`."""
    text, address = read(place, name, size), place.address(name)
    for number, line in enumerate(io.StringIO(text), 1):
        if len(line) > MAX_CELL or number > MAX_ROWS:
            got = "more lines" if number > MAX_ROWS else f"{len(line):,} characters"
            limit = f"{MAX_ROWS:,} lines of at most {MAX_CELL:,} characters"
            raise DataError(f"data: {address} line {number}: a list must have {limit}, got {got}")
        if stripped := line.strip():
            yield Row(number, (stripped,))
