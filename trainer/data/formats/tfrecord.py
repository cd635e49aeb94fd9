"""TFRecord shards of tf.train.Example, as most copies of ImageNet are kept; read without TensorFlow.

A record is its length (uint64), the masked CRC-32C of that, the data, and the masked CRC-32C of those, all
little-endian (tensorflow/core/lib/io/record_writer.h).
"""

import os
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import google_crc32c
import numpy as np

from trainer.config import DataConfig
from trainer.data.encoded import BadImage, Encoded, check_label
from trainer.data.formats import class_names, tf_example
from trainer.data.staging import shards
from trainer.data.storage import Place
from trainer.errors import DataError

HEADER, FOOTER = struct.Struct("<QI"), struct.Struct("<I")
THREADS = 8  # shards that are indexed at once: mostly waiting for the disk


def load(place: Place, sizes: dict[str, int], config: DataConfig) -> Encoded:
    """One split; sizes: its shards, name -> bytes. Every shard is walked once, from header to header."""
    files, names = shards(place, sizes, config.stage, config.stage_gib), list(sizes)
    with ThreadPoolExecutor(THREADS) as pool:
        offsets = list(pool.map(lambda name: index(files.path(name), place.address(name)), names))
    shard = np.repeat(np.arange(len(names)), [len(found) for found in offsets])
    start = np.concatenate(offsets)
    row = np.concatenate([np.arange(len(found)) for found in offsets])

    def name(position: int) -> str:
        return f"{place.address(names[shard[position]])} record {row[position]}"

    def record(position: int) -> bytes:
        return read_record(files.path(names[shard[position]]), int(start[position]))

    classes = class_names.from_file(place) or class_names.by_reading(
        place, len(start), sum(sizes.values()), lambda position: tf_example.parse(record(position))[1]
    )

    def read(position: int) -> tuple[bytes, int]:
        image, label = tf_example.parse(record(position))
        return image, check_label(label, len(classes))

    return Encoded(format="tfrecord", class_names=classes, size=len(start), read=read, name=name)


def index(path: Path, address: str) -> np.ndarray:
    """Where each record begins, int64; raises DataError naming the first byte that is wrong."""
    starts, at = [], 0
    try:
        size = path.stat().st_size
        if not size:
            raise DataError(f"data: shard {address} is empty", "copy it again")
        with path.open("rb", buffering=0) as file:
            while at < size:
                header = os.pread(file.fileno(), HEADER.size, at)
                if len(header) < HEADER.size or masked(header[:8]) != HEADER.unpack(header)[1]:
                    raise DataError(f"data: shard {address} is damaged at byte {at}", "copy it again")
                starts.append(at)
                at += HEADER.size + HEADER.unpack(header)[0] + FOOTER.size
    except OSError as error:
        raise DataError(f"data: shard {address}: {error.strerror}") from None
    if at != size:
        raise DataError(f"data: shard {address} ends early: its last record needs {at - size} bytes more")
    return np.array(starts, np.int64)


def read_record(path: Path, start: int) -> bytes:
    """The data of the record at a byte; raises BadImage where they differ from their checksum."""
    with path.open("rb", buffering=0) as file:
        length, _ = HEADER.unpack(os.pread(file.fileno(), HEADER.size, start))
        found = os.pread(file.fileno(), length + FOOTER.size, start + HEADER.size)
    if len(found) != length + FOOTER.size or FOOTER.unpack(found[length:])[0] != masked(found[:length]):
        raise BadImage("the record differs from its checksum")
    return found[:length]


def masked(data: bytes) -> int:
    """The CRC-32C of some data, rotated by 15 bits and moved by a constant, as the format wants it."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
