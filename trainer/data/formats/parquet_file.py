"""One Parquet file as a local file of images: their bytes one after another, then the index of its rows.

The unpacked file ends with the index, [rows] of ROWS, a JSON text, and the lengths of both. pyarrow reads
Parquet. It is an extra of this package, as it takes 165 MB.
"""

import json
import os
import struct
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

from trainer.data.formats.parquet_columns import choose
from trainer.data.formats.unpacked import Output
from trainer.data.names import printable
from trainer.errors import DataError

ROWS = np.dtype([("start", "<i8"), ("size", "<i8"), ("label", "<i4")])  # size -1: no image; label -1: none
END = struct.Struct("<QQ")  # bytes of the index and of the JSON text
BATCH_ROWS = 16  # in memory at a time
MAX_ROWS = 5_000_000  # of a file, which its end states
MAX_LABEL = 2**31 - 1


@dataclass(frozen=True, kw_only=True)
class Index:
    """The rows of a file.

    Args:
      rows: [rows] of ROWS.
      names: of the classes, where the file lists them.
      texts: the different labels, where they are texts; a row's label is the position of its text.
    """

    rows: np.ndarray
    names: list[str] | None
    texts: list[str]


def require() -> None:
    """Raise DataError unless pyarrow is installed."""
    try:
        import pyarrow.parquet  # noqa: F401
    except ImportError:
        raise DataError(
            "data: Parquet files need pyarrow, which is not installed",
            "pip install '.[parquet]' in a checkout of resnet-launch; a packed dataset does not need it",
        ) from None


def unpack(shard: Path, output: Output, address: str) -> None:
    """Write the images and the index of a Parquet file.

    Raises:
      DataError: the file is damaged, or has no column of images or labels.
    """
    import pyarrow as pa
    from pyarrow import parquet

    try:
        with parquet.ParquetFile(shard, pre_buffer=False) as file:
            columns = choose(file.schema_arrow, address)
            count = file.metadata.num_rows
            if not 0 <= count <= MAX_ROWS:
                raise DataError(f"data: {address} must hold at most {MAX_ROWS:,} rows, got {count:,}")
            parts, texts = [np.empty(0, ROWS)], {}
            names = [columns.image, columns.label]
            for batch in file.iter_batches(BATCH_ROWS, columns=names, use_threads=False):
                images, labels = (batch.column(name) for name in names)
                pairs = zip(images, labels, strict=True)
                rows = [_row(image.as_py(), label.as_py(), output, texts) for image, label in pairs]
                parts.append(np.array(rows, ROWS))
    except (pa.ArrowException, OSError, OverflowError, KeyError, TypeError, ValueError) as error:
        reason = printable(" ".join(str(error).split()))[:200]
        raise DataError(f"data: {address} is damaged: {reason}", "fetch it again") from None
    index = np.concatenate(parts)
    if len(index) != count:
        raise DataError(f"data: {address} must hold {count:,} rows, got {len(index):,}", "fetch it again")
    described = json.dumps({"names": columns.names, "texts": list(texts)}).encode()
    output.write(index.tobytes() + described + END.pack(index.nbytes, len(described)))


def _row(image: Any, label: Any, output: Output, texts: dict[str, int]) -> tuple[int, int, int]:
    """Write the image of a row, and return its start, size and label."""
    data = image.get("bytes") if isinstance(image, dict) else image
    start, size = output.size, -1
    if isinstance(data, bytes):
        size = len(data)
        output.write(data)
    if isinstance(label, str):
        return start, size, texts.setdefault(label.strip(), len(texts))
    known = isinstance(label, int) and 0 <= label <= MAX_LABEL
    return start, size, int(label) if known else -1


def index(path: Path) -> Index:
    """The rows of an unpacked file."""
    with path.open("rb") as file:
        size = file.seek(-END.size, os.SEEK_END)
        rows_bytes, text_bytes = END.unpack(file.read(END.size))
        file.seek(size - rows_bytes - text_bytes)
        rows = np.frombuffer(file.read(rows_bytes), ROWS)
        described = json.loads(file.read(text_bytes))
    return Index(rows=rows, names=described["names"], texts=described["texts"])


def content(path: Path, start: int, size: int) -> bytes:
    """The bytes of one image of an unpacked file."""
    with path.open("rb", buffering=0) as file:
        return os.pread(file.fileno(), size, start)
