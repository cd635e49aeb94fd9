"""Digits in every dataset layout that the trainer reads: the same images, labels and order in each."""

import io
import json
import struct
import tarfile
from pathlib import Path

import cv2
import google_crc32c
import numpy as np
from array_record.python.array_record_module import ArrayRecordWriter

from trainer.config import DataConfig
from trainer.data import datasets
from trainer.data.tools.pack import pack
from trainer.data.tools.pack_image import Packing

SPLITS = {"train": 96, "val": 32}
CLASSES = [f"digit {number}" for number in range(10)]

Example = tuple[bytes, int]


def examples(split: str) -> list[Example]:
    """Return PNG files of 32x32 pixels and their labels, sorted by class as an image folder is."""
    digits = datasets.load(DataConfig(name="digits"), "train" if split == "train" else "test")
    images, labels = digits.gather(np.arange(SPLITS[split]))
    encoded = []
    for row in np.argsort(labels, kind="stable"):
        large = np.repeat(np.repeat(images[row], 4, axis=0), 4, axis=1)  # [32, 32, 1]
        encoded.append((cv2.imencode(".png", large)[1].tobytes(), int(labels[row])))
    return encoded


def folder(root: Path) -> Path:
    for split in SPLITS:
        for number, (image, label) in enumerate(examples(split)):
            path = root / split / CLASSES[label] / f"{number:04d}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(image)
    return root


def tar(root: Path) -> Path:
    root.mkdir()
    for split in SPLITS:
        for shard, part in enumerate(halves(examples(split))):
            with tarfile.open(root / f"{split}-{shard:06d}.tar", "w") as file:
                for number, (image, label) in enumerate(part):
                    for suffix, data in (("png", image), ("cls", str(label).encode())):
                        info = tarfile.TarInfo(f"{number:04d}.{suffix}")
                        info.size = len(data)
                        file.addfile(info, io.BytesIO(data))
    return _named(root, "classes.txt")


def tfrecord(root: Path) -> Path:
    root.mkdir()
    for split, name in (("train", "train"), ("val", "validation")):
        for shard, part in enumerate(halves(examples(split))):
            with (root / f"{name}-{shard:05d}-of-00002").open("wb") as file:
                for image, label in part:
                    # The usual ImageNet layout counts classes from 1.
                    file.write(framed(message({"image/encoded": image, "image/class/label": label + 1})))
    return _named(root, "labels.txt")


def tfds(root: Path) -> Path:
    root.mkdir()
    splits = []
    for split, name in (("train", "train"), ("val", "validation")):
        parts = halves(examples(split))
        splits.append({"name": name, "shardLengths": [str(len(part)) for part in parts]})
        for shard, part in enumerate(parts):
            writer = ArrayRecordWriter(
                str(root / f"digits-{name}.array_record-{shard:05d}-of-00002"), "group_size:1"
            )
            for image, label in part:
                writer.write(message({"image": image, "label": label}))
            writer.close()
    (root / "dataset_info.json").write_text(json.dumps({"splits": splits}))
    return _named(root, "label.labels.txt")


def _named(root: Path, name: str) -> Path:
    (root / name).write_text("\n".join(CLASSES) + "\n")
    return root


def halves(part: list[Example]) -> list[list[Example]]:
    return [part[: len(part) // 2], part[len(part) // 2 :]]


def framed(data: bytes) -> bytes:
    """Return a TFRecord record: length, masked CRC of the length, data, masked CRC of the data."""

    def masked(part: bytes) -> bytes:
        crc = google_crc32c.value(part)
        return struct.pack("<I", ((crc >> 15) | (crc << 17) & 0xFFFFFFFF) + 0xA282EAD8 & 0xFFFFFFFF)

    length = struct.pack("<Q", len(data))
    return length + masked(length) + data + masked(data)


def message(features: dict[str, bytes | int]) -> bytes:
    """Return a serialised tf.train.Example; a field is (number << 3 | 2), length, content, with varints."""
    entries = b""
    for name, value in features.items():
        bytes_list, int64_list = 1, 3
        number, content = (bytes_list, value) if isinstance(value, bytes) else (int64_list, varint(value))
        feature = field(number, field(1, content))
        entries += field(1, field(1, name.encode()) + field(2, feature))
    return field(1, entries)


def field(number: int, content: bytes) -> bytes:
    return bytes([number << 3 | 2]) + varint(len(content)) + content


def varint(value: int) -> bytes:
    encoded = b""
    while value > 127:
        encoded, value = encoded + bytes([value & 127 | 128]), value >> 7
    return encoded + bytes([value])


def make_all(root: Path) -> dict[str, Path]:
    """Write all layouts and return their folders by name; ``packed`` and ``raw`` are packed from "folder"."""
    paths = {name: make(root / name) for name, make in LAYOUTS.items()}
    for name, encoding in (("packed", "jpeg"), ("raw", "raw")):
        packing = Packing(encoding=encoding, shard_images=40, quality=100)
        pack(str(paths["folder"]), str(root / name), packing, DataConfig(), lambda images: None)
        paths[name] = root / name
    return paths


LAYOUTS = {"folder": folder, "tar": tar, "tfrecord": tfrecord, "tfds": tfds}
