"""Writing of the packed format's shards: several at a time, skipping those that are finished.

A shard is finished once ``SHARD.part.json`` exists. It holds the shard's index, names and left-out images.
"""

import json
import math
import tempfile
import threading
from collections.abc import Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c

from trainer.data.encoded import BadImage, Encoded
from trainer.data.names import printable
from trainer.data.storage import Place, storage_errors
from trainer.data.tools.pack_image import Packing, pack_image
from trainer.errors import DataError
from trainer.runtime.counter import Advance

LISTS = ("rows", "names", "left_out")  # of a part
WRITER_OPTIONS = "group_size:1,uncompressed"  # images are read one by one, and do not compress further


def shard_names(split: str, size: int, shard_images: int) -> list[str]:
    """Names of a split's shards, without a suffix; at least one."""
    count = max(1, math.ceil(size / shard_images))
    return [f"{split}-{number:05d}-of-{count:05d}" for number in range(count)]


def put_bytes(place: Place, name: str, data: bytes) -> None:
    """Write a small file, whole or not at all."""
    with tempfile.TemporaryDirectory(prefix="resnet-pack-") as work:
        file = Path(work, "file")
        file.write_bytes(data)
        place.put(name, file)


def read_part(place: Place, shard: str) -> dict[str, Any]:
    """The ``.part.json`` of a finished shard: bytes, rows of the index, names, left-out images."""
    name = f"{shard}.part.json"
    part = read_json(place, name)
    if type(part.get("bytes")) is int and all(type(part.get(key)) is list for key in LISTS):
        return part
    raise _damaged(place, name, "an entry is missing or of another type")


def read_json(place: Place, name: str) -> dict[str, Any]:
    """The content of a file of the target.

    Raises:
      DataError: it holds no JSON object.
    """
    try:
        content = json.loads(place.read(name))
    except (ValueError, RecursionError) as error:
        raise _damaged(place, name, printable(str(error))[:200]) from None
    if isinstance(content, dict):
        return content
    raise _damaged(place, name, "it holds no JSON object")


def _damaged(place: Place, name: str, reason: str) -> DataError:
    return DataError(f"data pack: {place.address(name)} is damaged: {reason}", "pack into an empty folder")


@dataclass(frozen=True, kw_only=True)
class ShardWriter:
    """The writer of all shards of one pack.

    Args:
      source: path of the source dataset, a prefix that is removed from the names of images.
      max_pixels: most pixels per image; a larger one counts as damaged.
      threads: shards that are written at a time.
      advance: called with the number of images that were finished.
    """

    place: Place
    source: str
    packing: Packing
    max_pixels: int
    threads: int
    advance: Advance
    stop: threading.Event = field(default_factory=threading.Event)
    left_out: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def write(self, splits: Mapping[str, Encoded], existing: Iterable[str]) -> None:
        """Write every shard that is not finished among the ``existing`` files; the first failure ends it.

        Raises:
          DataError: more than ``packing.max_bad`` images are damaged, or the source or target fails.
        """
        tasks: list[Future[None]] = []
        step = self.packing.shard_images
        with (
            tempfile.TemporaryDirectory(prefix="resnet-pack-") as work,
            ThreadPoolExecutor(self.threads, "pack") as pool,
        ):
            try:
                for split, data in splits.items():
                    for number, name in enumerate(shard_names(split, data.size, step)):
                        part = range(number * step, min(data.size, (number + 1) * step))
                        if f"{name}.part.json" in existing:
                            self._leave_out(read_part(self.place, name)["left_out"])
                            self.advance(len(part))
                        else:
                            tasks.append(pool.submit(self._write, data, Path(work, name), part))
                for task in wait(tasks, return_when=FIRST_EXCEPTION).done:
                    task.result()
            except BaseException:
                self.stop.set()  # running threads end before their next image
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _write(self, data: Encoded, file: Path, part: range) -> None:
        """Write one shard, the examples of ``part``, and its ``.part.json``."""
        from array_record.python.array_record_module import ArrayRecordWriter

        rows, names, left_out = [], [], []
        with storage_errors(str(file)):
            writer = ArrayRecordWriter(str(file), WRITER_OPTIONS)
            for position, read in zip(part, data.read_ahead(part), strict=True):
                if self.stop.is_set():
                    return
                name = data.name(position).removeprefix(self.source).lstrip("/")
                try:
                    image, label = read()
                    record, height, width = pack_image(image, self.packing, self.max_pixels)
                except BadImage as error:
                    left_out.append(f"{name}: {error}")
                    self._leave_out(left_out[-1:])
                else:
                    writer.write(record)
                    rows.append([label, google_crc32c.value(record), len(record), height, width])
                    names.append(name)
                self.advance(1)
            writer.close()
        shard = {"bytes": file.stat().st_size, "rows": rows, "names": names, "left_out": left_out}
        self.place.put(f"{file.name}.array_record", file)
        put_bytes(self.place, f"{file.name}.part.json", json.dumps(shard).encode())

    def _leave_out(self, lines: list[str]) -> None:
        """Count damaged images, one line each; raise DataError beyond ``packing.max_bad``."""
        with self.lock:
            self.left_out.extend(lines)
            if len(self.left_out) > self.packing.max_bad:
                counts = f"damaged: {len(self.left_out)}, --max-bad {self.packing.max_bad}"
                hint = "--max-bad 100 with the same command leaves up to 100 out; `data verify` names all"
                raise DataError(f"data pack: {self.left_out[-1]} ({counts})", hint)
