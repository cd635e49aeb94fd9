"""TFRecord shards of tf.train.Example, the format of most copies of ImageNet; read without TensorFlow.

A record holds its length (uint64), the masked CRC-32C of the length, the data, and the masked CRC-32C of the
data, all little-endian (tensorflow/core/lib/io/record_writer.h).
"""

import os
import re
import struct
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import google_crc32c
import numpy as np

from trainer.config import DataConfig
from trainer.data.encoded import MAX_IMAGE_BYTES, BadImage, Encoded, check_label
from trainer.data.formats import class_names, tf_example
from trainer.data.formats.dataset import Dataset, Top
from trainer.data.formats.shards import dataset_of, split_folders
from trainer.data.staging import open_shards
from trainer.errors import DataError

HEADER, FOOTER = struct.Struct("<QI"), struct.Struct("<I")
THREADS = 8  # shards that are indexed at a time, mostly waiting for the disk


# train-00000-of-00010, NAME-train.tfrecord-00000-of-00010, train-00000-of-00010.tfrecord; train.tfrecord,
# train_007.tfrecords, train07-2071.tfrec (whose last number counts its records).
SUFFIXES = (".tfrecord", ".tfrecords", ".tfrec")
SUFFIX = r"\.tfrec(?:ords?)?"
SHARD = re.compile(
    rf"(?:.*?[-_.])??(?P<split>(?!tfrec)[A-Za-z]+)(?:{SUFFIX})?"
    rf"(?:-(?P<number>\d{{5}})-of-(?P<of>\d{{5}})(?:{SUFFIX})?|[-_.]?(?P<plain>\d{{1,7}})?(?:-\d+)?{SUFFIX})"
)


def matches(top: Top) -> Dataset | None:
    """The dataset of TFRecord shards."""
    return dataset_of(top, "tfrecord", SHARD, split_folders(top, SUFFIXES))


def open_split(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    """One split of TFRecord shards; the headers of every shard are read once.

    Raises:
      DataError: a shard is damaged, or the classes are unknown.
    """
    place, sizes = dataset.place, dataset.shards[split]
    files, names = open_shards(place, sizes, config.stage, config.stage_gib), list(sizes)
    with ThreadPoolExecutor(THREADS) as pool:
        offsets = list(pool.map(lambda name: index(files.path(name), place.address(name)), names))
    shard = np.repeat(np.arange(len(names)), [len(starts) for starts in offsets])
    start = np.concatenate(offsets)
    row = np.concatenate([np.arange(len(starts)) for starts in offsets])

    def name(position: int) -> str:
        return f"{place.address(names[shard[position]])} record {row[position]}"

    def record(position: int) -> bytes:
        return read_record(files.path(names[shard[position]]), int(start[position]))

    classes = class_names.from_file(place) or class_names.from_records(
        place, len(start), sum(sizes.values()), lambda position: tf_example.parse(record(position))[1]
    )

    def read(position: int) -> tuple[bytes, int]:
        image, label = tf_example.parse(record(position))
        return image, check_label(label, len(classes))

    return Encoded(format="tfrecord", class_names=classes, size=len(start), read=read, name=name)


def index(path: Path, address: str) -> np.ndarray:
    """The byte at which each record begins, [n] int64.

    Args:
      path: the local file.
      address: the shard's full address, for messages.

    Raises:
      DataError: the shard is empty, cut or damaged; the message names the byte of the damaged header.
    """
    starts, offset = [], 0
    try:
        size = path.stat().st_size
        if not size:
            raise DataError(f"data: shard {address} is empty", "copy it again")
        with path.open("rb", buffering=0) as file:
            while offset < size:
                header = os.pread(file.fileno(), HEADER.size, offset)
                if len(header) < HEADER.size or masked(header[:8]) != HEADER.unpack(header)[1]:
                    raise DataError(f"data: shard {address} is damaged at byte {offset}", "copy it again")
                starts.append(offset)
                offset += HEADER.size + HEADER.unpack(header)[0] + FOOTER.size
    except OSError as error:
        raise DataError(f"data: shard {address}: {error.strerror}") from None
    if offset != size:
        raise DataError(f"data: shard {address} ends early: its last record lacks {offset - size} bytes")
    return np.array(starts, np.int64)


def read_record(path: Path, start: int) -> bytes:
    """The data of the record that begins at byte ``start``; raises BadImage where the checksum differs."""
    with path.open("rb", buffering=0) as file:
        length, _ = HEADER.unpack(os.pread(file.fileno(), HEADER.size, start))
        if length > MAX_IMAGE_BYTES:
            raise BadImage(f"the record must have at most 1 GiB, got {length / 2**30:.1f}")
        data = os.pread(file.fileno(), length + FOOTER.size, start + HEADER.size)
    if len(data) != length + FOOTER.size or FOOTER.unpack(data[length:])[0] != masked(data[:length]):
        raise BadImage("the record differs from its checksum")
    return data[:length]


def masked(data: bytes) -> int:
    """The masked CRC-32C of the format: rotated right by 15 bits, plus a constant."""
    crc = google_crc32c.value(data)
    return ((crc >> 15 | crc << 17) + 0xA282EAD8) & 0xFFFFFFFF
