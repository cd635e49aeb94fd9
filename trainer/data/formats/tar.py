"""Tar shards as WebDataset has them: ``KEY.jpg`` beside ``KEY.cls`` (or ``KEY.json`` with a label)."""

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
from trainer.data.staging import shards
from trainer.data.storage import Place
from trainer.errors import DataError

IMAGES, LABELS = ("jpg", "jpeg", "png"), ("cls", "json")
END = 1024  # zero bytes after the last member
THREADS = 8


@dataclass(frozen=True, slots=True)
class Member:
    """Where one image lies in its shard, and its label."""

    shard: str
    key: str
    start: int
    size: int
    label: int


def load(place: Place, sizes: dict[str, int], config: DataConfig) -> Encoded:
    """One split; sizes: its shards, name -> bytes. The headers of every shard are read once."""
    files = shards(place, sizes, config.stage, config.stage_gib)
    with ThreadPoolExecutor(THREADS) as pool:
        parts = pool.map(lambda name: index(files.path(name), name, place.address(name)), sizes)
        members = [member for part in parts for member in part]
    classes = class_names.from_file(place)
    if classes is None:
        largest = max((member.label for member in members), default=-1)
        classes = [str(number) for number in range(largest + 1)]

    found = np.array([member.label for member in members], np.int32)

    def read(position: int) -> tuple[bytes, int]:
        member = members[position]
        with files.path(member.shard).open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), member.size, member.start)
        if len(data) != member.size:
            raise BadImage("the shard ends within it")
        return data, check_label(member.label, len(classes))

    def name(position: int) -> str:
        return f"{place.address(members[position].shard)} member {members[position].key}"

    return Encoded(format="tar", class_names=classes, size=len(members), read=read, name=name, labels=found)


def index(path: Path, name: str, address: str) -> list[Member]:
    """The images of a shard in their order; raises DataError for a shard or label that cannot be read."""
    images: dict[str, tarfile.TarInfo] = {}
    found: dict[str, int] = {}
    try:
        with path.open("rb") as file, tarfile.open(fileobj=file, mode="r:") as tar:
            for info in tar:
                key, suffix = _split(info.name)
                if info.isfile() and suffix in IMAGES:
                    images[key] = info
                elif info.isfile() and suffix in LABELS:
                    found[key] = _label(os.pread(file.fileno(), info.size, info.offset_data), suffix)
            file.seek(-END, os.SEEK_END)
            if file.read().strip(b"\0"):
                raise DataError(f"data: shard {address} ends early", "copy it again")
    except (tarfile.TarError, OSError) as error:
        raise DataError(f"data: shard {address} is damaged: {error}", "copy it again") from None
    except (ValueError, KeyError, TypeError) as error:
        raise DataError(f"data: shard {address}: a label cannot be read: {error}") from None
    if missing := [key for key in images if key not in found]:
        raise DataError(f"data: shard {address}: {missing[0]} has no label", "a label is KEY.cls, a number")
    return [Member(name, key, i.offset_data, i.size, found[key]) for key, i in images.items()]


def _split(name: str) -> tuple[str, str]:
    """``a/b.seg.jpg`` -> (``a/b``, ``jpg``): WebDataset's key ends at the first dot of the last part."""
    folder, slash, last = name.rpartition("/")
    key, _, suffixes = last.partition(".")
    return f"{folder}{slash}{key}", suffixes.rpartition(".")[2].lower()


def _label(data: bytes, suffix: str) -> int:
    if suffix == "cls":
        return int(data)
    document = json.loads(data)
    return int(document["label"] if "label" in document else document["cls"])
