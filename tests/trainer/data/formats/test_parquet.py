"""Parquet files of images: the same examples as a folder, columns by Hugging Face's types, damage named."""

import json
import random
import struct
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import CLASSES, examples, folder, halves
from same_examples import contents, packed

from trainer.config import DataConfig
from trainer.data import datasets
from trainer.data.__main__ import main
from trainer.data.formats.detect import find
from trainer.errors import TrainError

pa = pytest.importorskip("pyarrow", reason="pyarrow is an extra: pip install '.[parquet]'")
parquet = pytest.importorskip("pyarrow.parquet")

SMALL: dict[str, Any] = {"image_size": 32, "min_area": 1.0, "eval_crop": 1.0, "bad_images": 0}
IMAGE = pa.struct({"bytes": pa.binary(), "path": pa.string()})


@pytest.fixture(autouse=True)
def cache(tmp_path, monkeypatch) -> Path:
    monkeypatch.setenv("RESNET_CACHE", str(tmp_path / "cache"))
    return tmp_path / "cache" / "data" / "unpacked"


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return folder(tmp_path_factory.mktemp("folder"))


def table(part, labels: str = "names", image: str = "image", label: str = "label"):
    """A table as Hugging Face writes it: an image is {bytes, path}, names are in the metadata."""
    images = pa.array([{"bytes": data, "path": "x.png"} for data, _ in part], IMAGE)
    numbers: Any = pa.array([number for _, number in part], pa.int64())
    if labels == "texts":
        numbers = pa.array([CLASSES[number] for _, number in part])
    features = {image: {"_type": "Image"}, label: {"names": CLASSES, "_type": "ClassLabel"}}
    metadata = {"huggingface": json.dumps({"info": {"features": features}})} if labels == "names" else None
    schema = pa.schema({"id": pa.int64(), image: IMAGE, label: numbers.type}, metadata=metadata)
    return pa.table([pa.array(range(len(part))), images, numbers], schema=schema)


def write(root: Path, names: tuple[str, ...], **options) -> Path:
    parts = [*halves(examples("train")), examples("val")]
    for name, part in zip(names, parts, strict=True):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        parquet.write_table(table(part, **options), root / name, row_group_size=20)
    return root


NAMES = (
    "data/train-00000-of-00002.parquet",
    "data/train-00001-of-00002.parquet",
    "data/test-00000-of-00001.parquet",
)
LAYOUTS = {
    "hub": (NAMES, {}),
    "hub with hashes": (tuple(name.replace(".", "-0123456789abcdef.") for name in NAMES), {}),
    "converted": (
        ("default/train/0000.parquet", "default/train/0001.parquet", "default/validation/0000.parquet"),
        {},
    ),
    "plain": (("train_0.parquet", "train_1.parquet", "val.parquet"), {"labels": "texts"}),
    "cifar": (
        tuple(name.replace("data", "cifar") for name in NAMES),
        {"image": "img", "label": "fine_label"},
    ),
}


def converted(root: Path) -> Path:
    return root / "default" if (root / "default").exists() else root


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_holds_what_a_folder_of_the_same_images_holds(photos, tmp_path, layout, capsys) -> None:
    names, options = LAYOUTS[layout]
    root = converted(write(tmp_path / "data", names, **options))
    assert find(str(root)).kind == "parquet"
    small = packed(root, tmp_path / "packed")
    for split in ("train", "test"):
        assert contents(root, split) == contents(small, split) == contents(photos, split)
    train, test = datasets.load_both(DataConfig(name=str(root), **SMALL))
    images, labels = train.gather(np.arange(96))
    same, same_labels = datasets.load(DataConfig(name=str(photos), **SMALL), "train").gather(np.arange(96))
    np.testing.assert_array_equal(images, same)
    np.testing.assert_array_equal(labels, same_labels)
    assert main(["verify", str(root)]) == 0
    assert main(["stats", str(root)]) == 0
    assert test.size == 32


def test_configurations_are_told_by_data_subset(tmp_path) -> None:
    root = tmp_path / "data"
    for name in ("plain", "large"):
        write(root, tuple(shard.replace("data", name) for shard in NAMES))
    with pytest.raises(
        TrainError, match=r"data.subset: must be a folder of Parquet .* one of large, plain, got ''"
    ):
        find(str(root))
    assert find(str(root), "plain").place.path.endswith("data/plain")
    with pytest.raises(TrainError, match="one of large, plain, got 'small'"):
        find(str(root), "small")


def test_files_beside_an_image_folder_are_not_the_dataset(tmp_path) -> None:
    root = folder(tmp_path / "data")
    one(root / "meta", table(PNG))
    assert find(str(root)).kind == "folder"


def one(root: Path, content, name: str = "train.parquet") -> Path:
    root.mkdir(exist_ok=True)
    parquet.write_table(content, root / name)
    return root


PNG = examples("val")[:3]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (
            lambda: table(PNG).drop(["label"]),
            "must have one column of labels, got columns id, image\nhint: it may",
        ),
        (lambda: table(PNG).drop(["image"]), "must have one column of images, got columns id, label"),
        (
            lambda: (
                table(PNG)
                .append_column("front", table(PNG)["image"])
                .rename_columns(["id", "a", "label", "b"])
            ),
            "must have one column of images, got a, b",
        ),
        (
            lambda: table(PNG).replace_schema_metadata(
                {"huggingface": '{"info": {"features": {"label": {"_type": "ClassLabel", "names": [1]}}}}'}
            ),
            r"must list the names of its classes, got \[1\]",
        ),
    ],
)
def test_unknown_columns_are_named(tmp_path, content, message) -> None:
    with pytest.raises(TrainError, match=message):
        datasets.load(DataConfig(name=str(one(tmp_path / "data", content())), **SMALL), "train")


def test_rows_without_an_image_or_label_are_damaged(tmp_path, capsys) -> None:
    content = table(PNG)
    images = pa.array([{"bytes": PNG[0][0], "path": None}, {"bytes": None, "path": "x.png"}, None], IMAGE)
    root = one(tmp_path / "data", content.set_column(1, "image", images))
    assert main(["verify", str(root)]) == 1
    printed = capsys.readouterr().out
    for row in (1, 2):
        assert f"train.parquet row {row}: its row must hold the bytes of an image, got none" in printed
    missing = content.set_column(2, content.schema.field(2), pa.array([0, None, 99], pa.int64()))
    assert main(["verify", str(one(tmp_path / "labels", missing))]) == 1
    printed = capsys.readouterr().out
    assert "row 1: its label must be 0..9, got -1" in printed
    assert "row 2: its label must be 0..9, got 99" in printed


def test_a_label_that_training_lacks_is_named(tmp_path) -> None:
    root = one(tmp_path / "data", table(PNG[:1], "texts"))
    one(root, table([(PNG[0][0], 9)], "texts"), "val.parquet")
    with pytest.raises(
        TrainError, match=r"labels in .*val.parquet must be among the 1 classes, got 'digit 9'"
    ):
        datasets.load(DataConfig(name=str(root), **SMALL), "test")


def test_without_pyarrow_the_extra_is_named(tmp_path, monkeypatch) -> None:
    root = one(tmp_path / "data", table(PNG))
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    with pytest.raises(TrainError, match=r"Parquet files need pyarrow.*\nhint: pip install '.\[parquet\]'"):
        datasets.load(DataConfig(name=str(root), **SMALL), "train")


def test_a_damaged_file_is_read_or_refused(tmp_path) -> None:
    """300 seeded changes: no crash, no other exception."""
    root = one(tmp_path / "data", table(PNG))
    good, source = (root / "train.parquet").read_bytes(), random.Random(0)
    messages = []
    for _ in range(300):
        data = bytearray(good)
        for _ in range(source.choice((1, 3, 20))):
            data[source.randrange(len(data))] ^= 1 << source.randrange(8)
        data = data[: source.randrange(len(data))] if source.random() < 0.1 else data
        (root / "train.parquet").write_bytes(data)
        try:
            train = datasets.load(DataConfig(name=str(root), **{**SMALL, "bad_images": 10}), "train")
            train.gather(np.arange(train.size))
        except TrainError as error:
            messages.append(str(error))
    assert len(messages) > 50
    assert all("train.parquet" in message for message in messages)


def lying_footer(path: Path) -> None:
    """The length of the end, the last 8 bytes but 4, says 2 GiB."""
    data = path.read_bytes()
    path.write_bytes(data[:-8] + struct.pack("<I", 2**31 - 1) + b"PAR1")


def repeated(path: Path) -> None:
    """One image of 20 MB that a dictionary repeats 2,000 times: 40 GB."""
    images = pa.DictionaryArray.from_arrays(pa.array([0] * 2000), pa.array([bytes(20_000_000)]))
    labels = pa.array([0] * 2000, pa.int64())
    with parquet.ParquetWriter(
        path, pa.schema({"image": images.type, "label": labels.type}), store_schema=False
    ) as writer:
        writer.write_table(pa.table({"image": images, "label": labels}))


def nothing(path: Path) -> None:
    """Ten million rows of nothing."""
    parquet.write_table(
        pa.table({"image": pa.nulls(10**7, pa.binary()), "label": pa.nulls(10**7, pa.int64())}), path
    )


@pytest.mark.skipif(sys.platform != "linux", reason="limits the memory of a process as Linux does")
@pytest.mark.parametrize(
    ("make", "message"),
    [
        (lying_footer, "train.parquet is damaged: "),
        (repeated, "train.parquet must unpack to at most 0.0"),
        (nothing, "train.parquet must hold at most 5,000,000 rows, got 10,000,000"),
    ],
)
def test_a_file_that_lies_about_its_size_ends_with_one_line(tmp_path, make, message) -> None:
    root = one(tmp_path / "data", table(PNG))
    make(root / "train.parquet")
    command = ["prlimit", f"--as={2**33}", sys.executable, "-m", "trainer.data", "stats", str(root)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=100)
    assert done.returncode == 1
    errors = [line for line in done.stderr.splitlines() if not line.startswith("hint: ")]
    assert len(errors) == 1, done.stderr
    assert message in errors[0]
