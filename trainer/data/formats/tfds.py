"""ArrayRecord shards of TensorFlow Datasets: tf.train.Example records, dataset_info.json, label names."""

import contextlib
import json
import re
from collections.abc import Iterator
from typing import Any

from trainer.config import DataConfig
from trainer.data.encoded import Encoded, check_label, numbered_classes, parse_class_names
from trainer.data.formats import class_names, tf_example
from trainer.data.formats.dataset import Dataset, Top
from trainer.data.formats.packed import Records, open_shard
from trainer.data.formats.shards import dataset_of
from trainer.data.staging import open_shards
from trainer.data.storage import Place
from trainer.errors import DataError

SHARD = re.compile(r".*-(?P<split>[A-Za-z]+)\.array_record-(?P<number>\d{5})-of-(?P<of>\d{5})")


def matches(top: Top) -> Dataset | None:
    """The dataset of ArrayRecord shards with TFDS's names."""
    return dataset_of(top, "tfds", SHARD)


def open_split(dataset: Dataset, split: str, config: DataConfig) -> Encoded:
    """One split of TFDS shards.

    Raises:
      DataError: a shard or file beside it is damaged, or the classes are unknown.
    """
    place, sizes = dataset.place, dataset.shards[split]
    files = open_shards(place, sizes, config.stage, config.stage_gib)
    counts = _counts(place, next(iter(sizes)))
    if counts is None:
        counts = [open_shard(files.path(name), place.address(name)).num_records() for name in sizes]
    if len(counts) != len(sizes):
        raise DataError(
            f"data: {place.address('dataset_info.json')} must list the {len(sizes)} shards, got {len(counts)}"
        )
    for name, count in zip(sizes, counts, strict=True):
        if count > sizes[name]:  # a record takes more than a byte
            raise DataError(
                f"data: {place.address('dataset_info.json')} must list the records of {place.address(name)}, "
                f"got {count:,} in {sizes[name]:,} bytes",
                "copy it again",
            )
    listed = [{"name": name, "images": count} for name, count in zip(sizes, counts, strict=True)]
    records = Records(files, place, listed)

    def label_of(position: int) -> int:
        return tf_example.parse(records.read(position))[1]

    classes = (
        _class_names(place)
        or class_names.from_file(place)
        or class_names.from_records(place, records.size, sum(sizes.values()), label_of)
    )

    def read(position: int) -> tuple[bytes, int]:
        image, label = tf_example.parse(records.read(position))
        return image, check_label(label, len(classes))

    return Encoded(format="tfds", class_names=classes, size=records.size, read=read, name=records.name)


def _counts(place: Place, shard: str) -> list[int] | None:
    """The number of records of each shard in dataset_info.json; None where it has none."""
    split_name = shard.rpartition(".array_record")[0].rpartition("-")[2]
    with _json(place, "dataset_info.json") as info:
        for split in info.get("splits", []):
            if split.get("name") == split_name and split.get("shardLengths"):
                return [_count(length) for length in split["shardLengths"]]
    return None


def _count(length: Any) -> int:
    if not 0 <= int(length) < 2**53:
        raise ValueError(f"a shard of {length} records")
    return int(length)


def _class_names(place: Place) -> list[str] | None:
    """Names in label.labels.txt, or numbers up to the count in features.json; None where neither has them."""
    if text := place.read_if_exists(name := "label.labels.txt"):
        return parse_class_names(text, place.address(name))
    with _json(place, "features.json") as document:
        features = document.get("featuresDict", {}).get("features", {})
        count = features.get("label", {}).get("classLabel", {}).get("numClasses")
        return numbered_classes(int(count), place.address("features.json")) if count else None


@contextlib.contextmanager
def _json(place: Place, name: str) -> Iterator[dict[str, Any]]:
    """The content of a JSON file, {} where it does not exist.

    Raises:
      DataError: the file is damaged, or the block that uses it fails on its content.
    """
    text = place.read_if_exists(name)
    try:
        yield json.loads(text) if text else {}
    except (ValueError, TypeError, AttributeError, OverflowError, RecursionError) as error:
        raise DataError(f"data: {place.address(name)} is damaged: {error}", "copy it again") from None
