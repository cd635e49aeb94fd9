"""TFRecord shards under the names that people give them: the same examples as a folder."""

from pathlib import Path

import pytest
from layouts import CLASSES, examples, folder, framed, halves, message
from same_examples import contents, packed

from trainer.data.formats.detect import find
from trainer.errors import DataError

NAMES = [
    ("train-00000-of-00002.tfrecord", "train-00001-of-00002.tfrecord", "val-00000-of-00001.tfrecord"),
    ("train.tfrecord-00000-of-00002", "train.tfrecord-00001-of-00002", "val.tfrecord-00000-of-00001"),
    ("my.data-train-00000-of-00002.tfrecords", "my.data-train-00001-of-00002.tfrecords", "my_test.tfrecords"),
    ("train_0.tfrecord", "train_1.tfrecord", "validation_0.tfrecord"),
    ("train00-48.tfrec", "train01-48.tfrec", "val00-32.tfrec"),  # as on Kaggle, with the numbers of records
    ("train/00-32x32-48.tfrec", "train/01-32x32-48.tfrec", "val/00-32x32-32.tfrec"),
    ("train.0.tfrecord", "train.1.tfrecord", "valid.tfrecord"),
]


def write(root: Path, names: tuple[str, ...], label: str = "label", first: int = 0) -> Path:
    parts = [*halves(examples("train")), examples("val")]
    for name, part in zip(names, parts, strict=True):
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        records = (framed(message({"image": image, label: number + first})) for image, number in part)
        path.write_bytes(b"".join(records))
    (root / "classes.txt").write_text("\n".join(CLASSES))
    return root


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return folder(tmp_path_factory.mktemp("folder"))


@pytest.mark.parametrize("names", NAMES, ids=lambda names: names[0])
def test_names_of_shards(photos, tmp_path, names) -> None:
    root = write(tmp_path / "data", names)
    assert find(str(root)).kind == "tfrecord"
    for split in ("train", "test"):
        assert contents(root, split) == contents(photos, split)


def test_the_label_of_kaggle_and_the_packed_result(photos, tmp_path) -> None:
    root = write(tmp_path / "data", NAMES[5], "class")
    small = packed(root, tmp_path / "packed")
    for split in ("train", "test"):
        assert contents(root, split) == contents(small, split) == contents(photos, split)


def test_a_missing_shard_with_a_suffix_is_named(tmp_path) -> None:
    root = write(tmp_path / "data", NAMES[0])
    (root / "train-00000-of-00002.tfrecord").unlink()
    with pytest.raises(DataError, match=r"00001-of-00002.tfrecord and the like .* got 1: number 0 is m"):
        find(str(root))


def test_a_folder_of_images_beside_a_shard_is_no_folder_of_shards(tmp_path) -> None:
    root = folder(tmp_path / "data")
    (root / "train" / "cache.tfrecord").write_bytes(b"")
    assert find(str(root)).kind == "folder"
