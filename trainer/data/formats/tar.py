"""Tar shards in the layout of WebDataset: ``KEY.jpg`` beside ``KEY.cls``, or ``KEY.json`` with a label."""

import json
import os
import re
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from trainer.config import DataConfig
from trainer.data.encoded import MAX_IMAGE_BYTES, BadImage, Encoded, check_label, numbered_classes
from trainer.data.formats import class_names, tar_gzip, tar_index
from trainer.data.formats.dataset import Dataset, Top
from trainer.data.formats.image_files import is_image, passed_over
from trainer.data.formats.shards import dataset_of, split_folders
from trainer.data.formats.unpacked import UnpackedShards
from trainer.data.names import class_name, printable
from trainer.data.passed_over import is_system
from trainer.data.staging import open_shards
from trainer.data.storage import Place
from trainer.errors import DataError

SHARD = re.compile(r"(?:.*-)?(?P<split>[A-Za-z]+)-(?P<number>\d+)\.(?:tar(?:\.gz)?|tgz)")
LABELS = (".cls", ".json")  # the first wins
LABEL_BYTES = 2**20
LABEL_LIMIT = 2**31
LabelFile = tuple[int, str, int, int]  # rank among those of its key, name, first byte, size
THREADS = 8  # shards that are indexed at a time, mostly waiting for the disk


@dataclass(frozen=True, slots=True)
class Member:
    """Position of one image in its shard, in bytes, and its label: a number from 0, or a class name."""

    shard: str
    name: str
    start: int
    size: int
    label: int | str


@dataclass(frozen=True)
class Index:
    """The images of one shard in the order of the file, and the names of what is beside them."""

    images: list[Member]
    others: list[str]
    system: int


def matches(top: Top) -> Dataset | None:
    """The dataset of tar shards, in one folder or in one folder per split."""
    return dataset_of(top, "tar", SHARD, split_folders(top, (".tar", *tar_gzip.SUFFIXES)))


def open_split(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    """One split of tar shards; the headers of every shard are read once.

    Labels are numbers from 0, or class names. Where no file lists the classes, they are the sorted labels of
    the training split, or the numbers up to the largest label.

    Raises:
      DataError: a shard or label cannot be read, or a label is none of the classes.
    """
    place = dataset.place
    files, parts = _open(dataset, split, config)
    members = [member for part in parts for member in part.images]
    classes = class_names.from_file(place) or _classes(dataset, split, members, config)
    labels = _positions(place, members, classes)

    def read(position: int) -> tuple[bytes, int]:
        member = members[position]
        if member.size < 0:
            raise BadImage("it must be a file, got a link or a device")
        if member.size > MAX_IMAGE_BYTES:
            raise BadImage(f"it must have at most 1 GiB, got {member.size / 2**30:.1f}")
        with files.path(member.shard).open("rb", buffering=0) as file:
            data = os.pread(file.fileno(), member.size, member.start)
        if len(data) != member.size:
            raise BadImage("the shard ends within the image")
        return data, check_label(int(labels[position]), len(classes))

    def name(position: int) -> str:
        member = members[position]
        return printable(f"{place.address(member.shard)} member {member.name}")

    return Encoded(
        format="tar",
        class_names=classes,
        size=len(members),
        read=read,
        name=name,
        labels=labels,
        passed_over=passed_over(
            [other for part in parts for other in part.others], sum(part.system for part in parts)
        ),
    )


def _open(dataset: Dataset, split: str, config: DataConfig) -> tuple[UnpackedShards, list[Index]]:
    place, sizes = dataset.place, dataset.shards[split]
    shards = open_shards(place, sizes, config.stage, config.stage_gib)
    files = UnpackedShards(
        shards, place, tar_gzip.unpack, config, packed=tar_gzip.is_gzipped, most_times=tar_gzip.MOST_TIMES
    )
    with ThreadPoolExecutor(THREADS) as pool:
        parts = pool.map(lambda name: index(files.path(name), name, place.address(name)), sizes)
        return files, list(parts)


def _classes(dataset: Dataset, split: str, members: list[Member], config: DataConfig) -> list[str]:
    """Classes that no file lists: numbers up to the largest label, or the names that training images have."""
    if all(isinstance(member.label, int) for member in members):
        largest = max((int(member.label) for member in members), default=-1)
        return numbered_classes(max(largest + 1, 0), dataset.place.path)
    if split != "train" and "train" in dataset.splits:
        members = [member for part in _open(dataset, "train", config)[1] for member in part.images]
    return sorted({str(member.label) for member in members})


def _positions(place: Place, members: list[Member], classes: list[str]) -> np.ndarray:
    """The label of each image as a number, [N] int32.

    Raises:
      DataError: a name is none of the classes.
    """
    by_name = {name: position for position, name in enumerate(classes)}
    texts = any(isinstance(member.label, str) for member in members)
    numbers = classes == [str(number) for number in range(len(classes))]
    labels = np.empty(len(members), np.int32)
    for row, member in enumerate(members):
        label = member.label
        if isinstance(label, str) or (texts and not numbers and str(label) in by_name):
            position = by_name.get(str(label))
            if position is None:
                raise DataError(
                    f"data: the label of {printable(place.address(member.shard))} member "
                    f"{printable(member.name)} must be one of the {len(classes)} classes, got {label!r}",
                    f"the classes are those of {class_names.CLASS_FILES[0]}, or the labels of training",
                )
            label = position
        labels[row] = label
    return labels


def index(path: Path, name: str, address: str) -> Index:
    """Read the headers and labels of a shard.

    Args:
      path: the local file.
      name: the shard's name in the dataset.
      address: its full address, for messages.

    Raises:
      DataError: the shard or a label cannot be read, or an image has no label.
    """
    images: dict[str, tuple[str, int, int]] = {}  # key -> name, start, size
    label_files: dict[str, list[LabelFile]] = {}
    others, system = [], 0
    for member, start, size in tar_index.files(path, address):
        key, suffix, direct = _split(member)
        if any(map(is_system, member.split("/"))):
            system += 1
        elif suffix in LABELS:
            rank = 2 * LABELS.index(suffix) + (not direct)
            label_files.setdefault(key, []).append((rank, member, start, size))
        elif not is_image(member):
            others.append(member)
        elif key not in images or images[key][0] == member:
            images[key] = member, start, size
        elif direct == (_split(images[key][0])[2]):
            raise DataError(
                f"data: shard {address} must hold one image per key, "
                f"got {printable(images[key][0])} and {printable(member)}",
                "the key of a member is its name up to the first dot",
            )
        else:
            others.append(images[key][0] if direct else member)
            images[key] = (member, start, size) if direct else images[key]
    members = []
    with path.open("rb", buffering=0) as file:
        for key, (member, start, size) in images.items():
            label = _label(file.fileno(), label_files.get(key, ()), address, member)
            members.append(Member(name, member, start, size, label))
    return Index(members, others, system)


def _split(name: str) -> tuple[str, str, bool]:
    """``a/b.seg.jpg`` -> ``a/b``, ``.jpg``, False: a WebDataset key ends at the first dot of the file name.

    The last is whether nothing stands between key and suffix.
    """
    folder, slash, last = name.rpartition("/")
    key, _, suffixes = last.partition(".")
    between, _, suffix = suffixes.rpartition(".")
    return f"{folder}{slash}{key}", f".{suffix.lower()}", not between


def _label(file: int, candidates: Iterable[LabelFile], address: str, image: str) -> int | str:
    """The label of an image from the first of its label files that holds one.

    Raises:
      DataError: none holds one, or its content is no label; the message names member and content.
    """
    for _, member, start, size in sorted(candidates):
        where = f"shard {address} member {printable(member)}"
        if not 0 <= size <= LABEL_BYTES:
            got = f"{size:,} bytes" if size >= 0 else "a link"
            raise DataError(f"data: {where} must be a file of at most 1 MiB, got {got}")
        content = os.pread(file, size, start)
        try:
            value = _parsed(content, member)
        except (ValueError, RecursionError) as error:
            reason = f" ({printable(str(error))[:80]})" if isinstance(error, json.JSONDecodeError) else ""
            raise DataError(
                f"data: {where} must hold a label, got {content[:60]!r}{reason}",
                "a label is a number from 0 or the name of a class",
            ) from None
        if isinstance(value, str):
            return class_name(value, f"the label in {where}")
        if value is not None:
            return value
    raise DataError(
        f"data: shard {address}: {printable(image)} has no label",
        "write the label, a number from 0 or the name of a class, to KEY.cls",
    )


def _parsed(content: bytes, member: str) -> int | str | None:
    """The label in a file; None for JSON without one. Raises ValueError for anything else."""
    if not member.lower().endswith(".json"):
        return _number_or_name(content.decode().strip())
    document = json.loads(content)
    if not isinstance(document, dict):
        return _from_json(document)
    keys = [key for key in ("label", "cls") if document.get(key) is not None]
    return _from_json(document[keys[0]]) if keys else None


def _from_json(value: object) -> int | str:
    if isinstance(value, str):
        return _number_or_name(value.strip())
    if isinstance(value, bool) or not isinstance(value, (int, float)) or value != int(value):
        raise ValueError("no label")
    return _within(int(value))


def _number_or_name(text: str) -> int | str:
    if not text:
        raise ValueError("empty")
    if re.fullmatch(r"[+-]?\d{1,20}", text, re.ASCII):
        return _within(int(text))
    return text


def _within(label: int) -> int:
    if abs(label) >= LABEL_LIMIT:
        raise ValueError("too large")
    return label
