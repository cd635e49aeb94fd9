"""ArrayRecord as TensorFlow Datasets writes it: tf.train.Example records, dataset_info.json, label names."""

import contextlib
import json
from collections.abc import Iterator
from typing import Any

from trainer.config import DataConfig
from trainer.data.encoded import Encoded, check_label, class_names_of
from trainer.data.formats import class_names, tf_example
from trainer.data.formats.packed import Records, open_shard
from trainer.data.staging import shards
from trainer.data.storage import Place
from trainer.errors import DataError


def load(place: Place, sizes: dict[str, int], config: DataConfig) -> Encoded:
    """One split; sizes: its shards, name -> bytes."""
    files = shards(place, sizes, config.stage, config.stage_gib)
    counts = _counts(place, next(iter(sizes)))
    if counts is None:
        counts = [open_shard(files.path(name), place.address(name)).num_records() for name in sizes]
    if len(counts) != len(sizes):
        raise DataError(
            f"data: {place.address('dataset_info.json')} tells of {len(counts)} shards, got {len(sizes)}"
        )
    listed = [{"name": name, "images": count} for name, count in zip(sizes, counts, strict=True)]
    records = Records(files, place, listed)

    def label(position: int) -> int:
        return tf_example.parse(records.read(position))[1]

    classes = (
        _class_names(place)
        or class_names.from_file(place)
        or class_names.by_reading(place, records.size, sum(sizes.values()), label)
    )

    def read(position: int) -> tuple[bytes, int]:
        image, found = tf_example.parse(records.read(position))
        return image, check_label(found, len(classes))

    return Encoded(format="tfds", class_names=classes, size=records.size, read=read, name=records.name)


def _counts(place: Place, shard: str) -> list[int] | None:
    """Records of each shard by dataset_info.json; None where it does not say."""
    word = shard.rpartition(".array_record")[0].rpartition("-")[2]
    with _understanding(place, "dataset_info.json") as found:
        for split in found.get("splits", []):
            if split.get("name") == word and split.get("shardLengths"):
                return [int(length) for length in split["shardLengths"]]
    return None


def _class_names(place: Place) -> list[str] | None:
    if text := place.read_if_there(name := "label.labels.txt"):
        return class_names_of(text, place.address(name))
    with _understanding(place, "features.json") as found:
        features = found.get("featuresDict", {}).get("features", {})
        count = features.get("label", {}).get("classLabel", {}).get("numClasses")
        return [str(number) for number in range(int(count))] if count else None


@contextlib.contextmanager
def _understanding(place: Place, name: str) -> Iterator[dict[str, Any]]:
    """A JSON file, {} where there is none; DataError where it or what is made of it makes no sense."""
    text = place.read_if_there(name)
    try:
        yield json.loads(text) if text else {}
    except (ValueError, TypeError, AttributeError) as error:
        raise DataError(f"data: {place.address(name)} is damaged: {error}", "copy it again") from None
