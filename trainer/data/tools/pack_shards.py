"""Writes the shards of the packed format, several at once; one that is there already is left alone.

A shard counts as written once ``SHARD.part.json`` is there too: its index, names, and what was left out.
"""

import json
import math
import tempfile
import threading
from collections.abc import Callable, Iterable, Mapping
from concurrent.futures import FIRST_EXCEPTION, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import google_crc32c

from trainer.data.encoded import BadImage, Encoded
from trainer.data.storage import Place, reaching
from trainer.data.tools.pack_image import Packing, keep
from trainer.errors import DataError

WRITER = "group_size:1,uncompressed"  # each image by itself: they do not compress, and are read in any order
Done = Callable[[int], None]  # called with how many more images are packed


def shard_names(split: str, size: int, shard_images: int) -> list[str]:
    count = max(1, math.ceil(size / shard_images))
    return [f"{split}-{number:05d}-of-{count:05d}" for number in range(count)]


def put_bytes(place: Place, name: str, data: bytes) -> None:
    """Writes a small file, whole or not at all."""
    with tempfile.TemporaryDirectory(prefix="resnet-pack-") as work:
        file = Path(work, "file")
        file.write_bytes(data)
        place.put(name, file)


def read_part(place: Place, shard: str) -> dict[str, Any]:
    return json.loads(place.read(f"{shard}.part.json"))


@dataclass(frozen=True, kw_only=True)
class Writing:
    """One pack under way.

    Args:
      source: the path of the source, which is left out of the names of images.
      max_pixels: of an image.
      threads: shards at a time.
      done: told of each finished image.
    """

    place: Place
    source: str
    packing: Packing
    max_pixels: int
    threads: int
    done: Done
    stop: threading.Event = field(default_factory=threading.Event)
    left_out: list[str] = field(default_factory=list)
    lock: threading.Lock = field(default_factory=threading.Lock)

    def shards(self, splits: Mapping[str, Encoded], found: Iterable[str]) -> None:
        """Writes what is not among the files found; the first failure ends all of it."""
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
                        if f"{name}.part.json" in found:
                            self._leave_out(read_part(self.place, name)["left_out"])
                            self.done(len(part))
                        else:
                            tasks.append(pool.submit(self._write, data, Path(work, name), part))
                for task in wait(tasks, return_when=FIRST_EXCEPTION).done:
                    task.result()
            except BaseException:
                self.stop.set()  # those under way end at their next image
                pool.shutdown(wait=False, cancel_futures=True)
                raise

    def _write(self, data: Encoded, file: Path, part: range) -> None:
        from array_record.python.array_record_module import ArrayRecordWriter

        rows, names, left_out = [], [], []
        with reaching(str(file)):
            writer = ArrayRecordWriter(str(file), WRITER)
            for position, read in zip(part, data.reading(part), strict=True):
                if self.stop.is_set():
                    return
                name = data.name(position).removeprefix(self.source).lstrip("/")
                try:
                    image, label = read()
                    record, height, width = keep(image, self.packing, self.max_pixels)
                except BadImage as why:
                    left_out.append(f"{name}: {why}")
                    self._leave_out(left_out[-1:])
                else:
                    writer.write(record)
                    rows.append([label, google_crc32c.value(record), len(record), height, width])
                    names.append(name)
                self.done(1)
            writer.close()
        shard = {"bytes": file.stat().st_size, "rows": rows, "names": names, "left_out": left_out}
        self.place.put(f"{file.name}.array_record", file)
        put_bytes(self.place, f"{file.name}.part.json", json.dumps(shard).encode())

    def _leave_out(self, lines: list[str]) -> None:
        with self.lock:
            self.left_out.extend(lines)
            if len(self.left_out) > self.packing.max_bad:
                found = (
                    f"{self.left_out[-1]} (damaged: {len(self.left_out)}, --max-bad {self.packing.max_bad})"
                )
                hint = "mend it, or --max-bad N leaves out up to N; data verify names them all"
                raise DataError(f"data pack: {found}", hint)
