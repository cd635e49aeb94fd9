"""Tar shards in the layout of WebDataset: ``KEY.jpg`` beside ``KEY.cls``, or ``KEY.json`` with a label."""

import json
import os
import tarfile
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.config import DataConfig
from trainer.data.encoded import BadImage, Encoded, check_label
from trainer.data.formats import class_names
from trainer.data.staging import open_shards
from trainer.data.storage import Place
from trainer.errors import DataError

IMAGES, LABELS = ("jpg", "jpeg", "png"), ("cls", "json")
END_BYTES = 1024  # zeros after the last member (POSIX ustar: two blocks of 512)
THREADS = 8  # shards that are indexed at a time, mostly waiting for the disk


@dataclass(frozen=True, slots=True)
class Member:
    """Position of one image in its shard, in bytes, and its label."""

    shard: str
    key: str
    start: int
    size: int
    label: int


def load(place: Place, sizes: dict[str, int], config: DataConfig) -> Encoded:
    """One split of tar shards; the headers of every shard are read once.

    Args:
      sizes: the shards of the split, name -> bytes.

    Raises:
      DataError: a shard or label cannot be read.
    """
    files = open_shards(place, sizes, config.stage, config.stage_gib)
    with ThreadPoolExecutor(THREADS) as pool:
        parts = pool.map(lambda name: index(files.path(name), name, place.address(name)), sizes)
        members = [member for part in parts for member in part]
    classes = class_names.from_file(place)
    if classes is None:
        largest = max((member.label for member in members), default=-1)
        classes = [str(number) for number in range(largest + 1)]
    labels = np.array([member.label for member in members], np.int32)

    def read(position: int) -> tuple[bytes, int]:
        member = members[position]
        with files.path(member.shard).open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), member.size, member.start)
        if len(data) != member.size:
            raise BadImage("the shard ends within the image")
        return data, check_label(member.label, len(classes))

    def name(position: int) -> str:
        return f"{place.address(members[position].shard)} member {members[position].key}"

    return Encoded(format="tar", class_names=classes, size=len(members), read=read, name=name, labels=labels)


def index(path: Path, name: str, address: str) -> list[Member]:
    """The images of a shard in the order of the file.

    Args:
      path: the local file.
      name: the shard's name in the dataset.
      address: its full address, for messages.

    Raises:
      DataError: the shard or a label cannot be read, or an image has no label.
    """
    images: dict[str, tarfile.TarInfo] = {}
    labels: dict[str, int] = {}
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for info in tar:
                key, suffix = _split(info.name)
                if info.isfile() and suffix in IMAGES:
                    images[key] = info
                elif info.isfile() and suffix in LABELS:
                    labels[key] = _label(os.pread(file.fileno(), info.size, info.offset_data), suffix)
            file.seek(-END_BYTES, os.SEEK_END)
            if file.read().strip(b"\0"):
                raise DataError(f"data: shard {address} ends early", "copy it again")
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"data: shard {address} is damaged: {error}", "copy it again") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"data: shard {address}: a label cannot be read: {error}") from None
    if missing := [key for key in images if key not in labels]:
        raise DataError(
            f"data: shard {address}: {missing[0]} has no label",
            "write the label, a number from 0, to KEY.cls",
        )
    return [Member(name, key, i.offset_data, i.size, labels[key]) for key, i in images.items()]


def _split(name: str) -> tuple[str, str]:
    """``a/b.seg.jpg`` -> (``a/b``, ``jpg``): a WebDataset key ends at the first dot of the file name."""
    folder, slash, last = name.rpartition("/")
    key, _, suffixes = last.partition(".")
    return f"{folder}{slash}{key}", suffixes.rpartition(".")[2].lower()


def _label(data: bytes, suffix: str) -> int:
    if suffix == "cls":
        return int(data)
    document = json.loads(data)
    return int(document["label"] if "label" in document else document["cls"])
