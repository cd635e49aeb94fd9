"""Thousands of damaged datasets: each is read, or refused with one line that names the file."""

import gzip
import io
import json
import random
import struct
import tarfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from array_record.python.array_record_module import ArrayRecordWriter
from layouts import framed, message
from pictures import jpeg, picture, png

from trainer.config import DataConfig
from trainer.data import datasets
from trainer.data.formats import packed
from trainer.data.names import printable
from trainer.data.source import DAMAGED
from trainer.data.tools.pack import pack
from trainer.data.tools.pack_image import Packing
from trainer.errors import DataError

CASES = 300  # per format
SECONDS = 5.0  # longest case
CONFIG: dict[str, Any] = {"image_size": 8, "bad_images": 100, "max_megapixels": 1}
IMAGES = [jpeg(picture(16, 24)), png(picture(16, 16)), jpeg(picture(9, 9))]


def tfrecord(root: Path) -> None:
    records = [
        message({"image/encoded": image, "image/class/label": 1 + n}) for n, image in enumerate(IMAGES)
    ]
    (root / "train-00000-of-00001").write_bytes(b"".join(map(framed, records)))


def tar(root: Path) -> None:
    with tarfile.open(root / "train-0.tar", "w", format=tarfile.PAX_FORMAT) as file:
        for number, image in enumerate(IMAGES):
            label = json.dumps({"label": f"class {number}"}).encode()
            long = "a" * 120 if number == 1 else ""
            for suffix, data in (("jpg", image), ("json", label)):
                info = tarfile.TarInfo(f"{long}{number}.{suffix}")
                info.size = len(data)
                file.addfile(info, io.BytesIO(data))


def idx(root: Path) -> None:
    pixels = np.arange(3 * 8 * 8, dtype=np.uint8)
    (root / "train-images-idx3-ubyte").write_bytes(
        struct.pack(">4B3I", 0, 0, 8, 3, 3, 8, 8) + pixels.tobytes()
    )
    labels = gzip.compress(struct.pack(">4BI", 0, 0, 8, 1, 3) + bytes((0, 1, 2)))
    (root / "train-labels-idx1-ubyte.gz").write_bytes(labels)


def tfds(root: Path) -> None:
    writer = ArrayRecordWriter(str(root / "x-train.array_record-00000-of-00001"), "group_size:1")
    for number, image in enumerate(IMAGES):
        writer.write(message({"image": image, "label": number}))
    writer.close()
    (root / "dataset_info.json").write_text(
        json.dumps({"splits": [{"name": "train", "shardLengths": ["3"]}]})
    )
    features = {"label": {"classLabel": {"numClasses": "3"}}}
    (root / "features.json").write_text(json.dumps({"featuresDict": {"features": features}}))


def as_pack(root: Path, encoding: str = "jpeg") -> None:
    source = root.parent / f"{root.name}-source"
    for split in ("train", "val"):
        for number, image in enumerate(IMAGES):
            path = source / split / f"class {number}" / "1.jpg"
            path.parent.mkdir(parents=True)
            path.write_bytes(image)
    pack(
        str(source), str(root), Packing(encoding=encoding, shard_images=2), DataConfig(), lambda images: None
    )


def as_raw_pack(root: Path) -> None:
    as_pack(root, "raw")


HOSTILE = [
    *("/etc/passwd", "../../outside", "..", "", ".", "a/../../x", "\0", "\ud800", "x" * 5000, "\x1b[2J"),
    *(-1, 0, 10**9, 2**63, 1e308, 1.5, True, None, [], {}, [[]], {"name": "../x"}, "NaN"),
]


def mutate_json(text: bytes, chance: random.Random) -> bytes:
    """Put a hostile value or key in the place of one of a document's."""
    document = json.loads(text)
    places: list[tuple[Any, Any]] = []

    def collect(node: Any) -> None:
        keys = node if isinstance(node, dict) else range(len(node)) if isinstance(node, list) else ()
        for key in list(keys):
            places.append((node, key))
            collect(node[key])

    collect(document)
    node, key = chance.choice(places)
    value = chance.choice(HOSTILE)
    if isinstance(node, dict) and isinstance(value, str) and chance.random() < 0.3:
        node[value] = node.pop(key)
    elif isinstance(node, dict) and chance.random() < 0.1:
        del node[key]
    else:
        node[key] = value
    return json.dumps(document).encode()


def mutate(data: bytes, chance: random.Random) -> bytes:
    """Flip, insert, remove, cut, repeat or overwrite some bytes."""
    at, end = sorted(chance.choices(range(len(data) + 1), k=2))
    number = chance.choice([0, 1, 2**31 - 1, 2**32 - 1, 2**40, 2**63, 2**64 - 1])
    form = chance.choice(["<Q", ">Q", "<I", ">I"])
    edge = struct.pack(form, number & (2**32 - 1) if form[1] == "I" else number)
    changes: list[Callable[[], bytes]] = [
        lambda: data[:at] + bytes([data[at] ^ 1 << chance.randrange(8)]) + data[at + 1 :],
        lambda: data[:at] + chance.randbytes(chance.randrange(1, 64)) + data[at:],
        lambda: data[:at] + data[end:],
        lambda: data[:at],
        lambda: data[:end] + data[at:],
        lambda: data[:at] + edge + data[at + len(edge) :],
        lambda: data[:at] + bytes(end - at) + data[end:],
        lambda: data[:at] + b"%d" % number + data[at:],
    ]
    return chance.choice(changes)() if at < len(data) else data[:-1]


def read(config: DataConfig) -> str:
    """Read every image of a dataset; return the message of the error that refuses it, "" for none."""
    try:
        source = datasets.load(config, "train")
        images, labels = source.gather(np.arange(source.size))
    except DataError as error:
        return error.args[0]
    assert images.dtype == np.uint8
    assert set(labels.tolist()) <= {DAMAGED, *range(source.num_classes)}
    assert not images[labels == DAMAGED].any()
    return ""


@pytest.mark.timeout(100)
@pytest.mark.parametrize("make", [tfrecord, tar, idx, tfds, as_pack, as_raw_pack])
def test_a_damaged_dataset_is_read_or_refused(tmp_path: Path, make: Callable[[Path], None], capfd) -> None:
    root = tmp_path / make.__name__
    root.mkdir()
    make(root)
    files = {path: path.read_bytes() for path in sorted(root.iterdir()) if "test" not in path.name}
    config = DataConfig(name=str(root), **CONFIG)
    chance = random.Random(make.__name__)
    before, outcomes = sorted(tmp_path.rglob("*")), {"read": 0, "refused": 0}
    for number in range(CASES):
        path = chance.choice(list(files))
        mutator = mutate_json if path.suffix == ".json" and chance.random() < 0.7 else mutate
        changed = mutator(files[path], chance)
        path.write_bytes(changed)
        packed._names.cache_clear()
        start = time.monotonic()
        text = read(config)
        outcomes["refused" if text else "read"] += 1
        assert not text or str(tmp_path) in text, number
        assert printable(text) == text, number
        assert len(text) < 1500, number
        assert time.monotonic() - start < SECONDS, number
        path.write_bytes(files[path])
    assert sorted(tmp_path.rglob("*")) == before
    assert min(outcomes.values()) > CASES // 50, outcomes
    capfd.readouterr()
