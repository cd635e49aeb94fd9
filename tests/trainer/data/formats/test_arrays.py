"""Datasets of arrays, CIFAR and IDX: the same examples as a folder, no code is run, damage is named."""

import io
import os
import pickle
import time
from pathlib import Path
from typing import Any

import array_layouts as made
import numpy as np
import pytest
from layouts import CLASSES, folder
from same_examples import contents, packed

from trainer.config import DataConfig
from trainer.data import datasets
from trainer.data.__main__ import main
from trainer.data.formats.detect import find
from trainer.errors import DataError

SMALL: dict[str, Any] = {"image_size": 32, "min_area": 1.0, "eval_crop": 1.0, "bad_images": 0}
LAYOUTS = {
    "cifar-10 python": made.cifar10_python,
    "cifar-10 of Python 3": lambda root: made.cifar10_python(root, made.python3),
    "cifar-10 of Python 3, protocol 2": lambda root: made.cifar10_python(root, lambda f: made.python3(f, 2)),
    "cifar-10 with bytes as keys": lambda root: made.cifar10_python(root, made.python3_bytes, "."),
    "cifar-100 python": made.cifar100_python,
    "cifar-10 binary": made.cifar10_binary,
    "cifar-100 binary": made.cifar100_binary,
    "idx with dots": made.idx,
    "idx with dashes": lambda root: made.idx(root, "-"),
    "idx with dots, gzipped": lambda root: made.idx(root, ".", ".gz"),
}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return folder(tmp_path_factory.mktemp("folder"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_holds_what_a_folder_of_the_same_images_holds(photos, tmp_path, layout, capsys) -> None:
    root = LAYOUTS[layout](tmp_path / "data")
    small = packed(root, tmp_path / "packed")
    for split in ("train", "test"):
        assert contents(root, split) == contents(small, split) == contents(photos, split)
    train, test = datasets.load_both(DataConfig(name=str(root), **SMALL))
    assert (train.size, test.size, list(train.class_names)) == (96, 32, CLASSES)
    images, labels = train.gather(np.arange(96))
    same, same_labels = datasets.load(DataConfig(name=str(photos), **SMALL), "train").gather(np.arange(96))
    np.testing.assert_array_equal(images, same[..., : images.shape[-1]])
    np.testing.assert_array_equal(labels, same_labels)
    assert main(["verify", str(root)]) == 0
    assert main(["stats", str(root)]) == 0
    assert "train: 96 images, 0 damaged" in capsys.readouterr().out


@pytest.mark.parametrize("make", [made.cifar100_python, made.cifar100_binary])
def test_the_coarse_classes_of_cifar_100(tmp_path, make) -> None:
    root = make(tmp_path / "data")
    train, _ = datasets.load_both(DataConfig(name=str(root), subset="coarse", **SMALL))
    assert list(train.class_names) == ["low", "high"]
    assert train.gather(np.arange(96))[1].tolist() == [
        label // 5 for label in made.arrays("train")[1].tolist()
    ]


@pytest.mark.parametrize(
    ("make", "subset"), [(made.cifar10_python, "coarse"), (made.cifar100_binary, "fine"), (folder, "a")]
)
def test_a_subset_that_a_dataset_does_not_have_is_refused(tmp_path, make, subset) -> None:
    with pytest.raises(DataError, match=rf"data.subset: must be empty for .*, got '{subset}'"):
        find(str(make(tmp_path / "data")), subset)


def ran(path: str) -> Any:
    class Runs:
        def __reduce__(self):
            return os.system, (f"touch {path}",)

    return Runs()


def bomb_of_arrays() -> bytes:
    """A text of 3 MB, of which each of 20,000 operations would make another array."""
    array = made.python2({"data": np.zeros((1000, 3072), np.uint8)})
    start, text = array.index(b"cnumpy"), array.index(b"T\0\xe0\x2e\0")
    repeated = array[start:text] + b"h\x01tb0"
    return b"\x80\x02" + array[text:-4] + b"q\x01" + repeated * 20_000 + b"."


def batch(labels: list, *shape: int) -> bytes:
    return made.python2({"labels": labels, "data": np.zeros(shape, np.uint8)})


BAD = {
    "code": (
        lambda tmp: pickle.dumps({"data": ran(f"{tmp}/ran"), "labels": [1]}),
        "got posix.system instead of",
    ),
    "cut": (lambda _: batch([1], 1, 3072)[:-100], "must be a file of CIFAR"),
    "empty": (lambda _: b"", "must be a file of CIFAR, got"),
    "list": (lambda _: pickle.dumps([1]), "got a pickle of a list"),
    "no data": (lambda _: pickle.dumps({"labels": [1]}), "got a pickle without 'data': 'labels'"),
    "other size": (lambda _: batch([1], 1, 300), "got 1 x 300 bytes"),
    "fewer labels": (lambda _: batch([1], 2, 3072), "and 1 labels"),
    "text label": (lambda _: batch(["a"], 1, 3072), "got the label 'a'"),
    "shape lies": (
        lambda _: batch([1], 1, 3072).replace(b"M\x01\0", b"M\xff\xff"),
        "got an array of 3,072 bytes for 65535 x 3072 values",
    ),
    "deep": (lambda _: b"\x80\x02" + b"]" * 100_000 + b"a" * 99_999 + b".", "got a pickle of a list"),
    "objects": (
        lambda _: pickle.dumps({"data": np.array([None], object), "labels": [1]}),
        "array of another",
    ),
    "bomb": (lambda _: bomb_of_arrays(), "got a pickle of"),
    "long integer": (lambda _: b"\x80\x02\x8b" + (2**28).to_bytes(4, "little") + b"x.", "of CIFAR, got"),
    "memo": (lambda _: b"\x80\x02}r" + b"\xff\xff\xff\x7f" + b".", "of CIFAR, got a pickle"),
}


@pytest.mark.parametrize("bad", BAD)
def test_a_pickle_runs_nothing_and_a_bad_one_ends_with_one_line(tmp_path, bad) -> None:
    make, message = BAD[bad]
    root = made.cifar10_python(tmp_path / "data")
    (root / "cifar-10-batches-py" / "data_batch_3").write_bytes(make(tmp_path))
    start = time.monotonic()
    with pytest.raises(DataError, match=message) as caught:
        datasets.load(DataConfig(name=str(root), **SMALL), "train")
    assert "data_batch_3 must be a file of CIFAR, got " in str(caught.value)
    assert time.monotonic() - start < 10
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize(
    ("make", "name", "message"),
    [
        (
            made.cifar10_python,
            "cifar-10-batches-py/data_batch_4",
            "got all but data_batch_4\nhint: unpack the arch",
        ),
        (made.cifar10_binary, "cifar-10-batches-bin/data_batch_2.bin", "got all but data_batch_2.bin"),
        (made.cifar100_binary, "test.bin", "must hold test.bin, got all but test.bin"),
    ],
)
def test_a_missing_file_is_named(tmp_path, make, name, message) -> None:
    root = make(tmp_path / "data")
    (root / name).unlink()
    with pytest.raises(DataError, match=message):
        find(str(root))


def test_a_binary_file_that_ends_early_and_a_label_without_a_class(tmp_path) -> None:
    root = made.cifar100_binary(tmp_path / "data")
    file = root / "train.bin"
    content = bytearray(file.read_bytes())
    file.write_bytes(content[:-1])
    with pytest.raises(
        DataError, match=r"train.bin must be a file of CIFAR, got 295,103 bytes, which is no mult"
    ):
        datasets.load(DataConfig(name=str(root), **SMALL), "train")
    content[3074 * 2 + 1] = 99
    file.write_bytes(content)
    source = datasets.load(DataConfig(name=str(root), **SMALL), "train")
    with pytest.raises(DataError, match=r"train.bin example 2: its label must be 0..9, got 99"):
        source.gather(np.arange(4))


def test_two_archives_in_one_folder_are_two_datasets(tmp_path) -> None:
    made.cifar100_python(made.cifar10_python(tmp_path))
    with pytest.raises(
        DataError, match=r"must hold one dataset, got cifar-10-.*, cifar-100.*\nhint: name one"
    ):
        find(str(tmp_path))
    assert find(str(tmp_path / "cifar-100-python")).kind == "cifar"


def test_emnist_is_upright_with_the_characters_as_classes(photos, tmp_path) -> None:
    root = made.emnist(tmp_path / "data", "letters")
    train, test = datasets.load_both(DataConfig(name=str(root)))
    assert list(train.class_names) == [f"{chr(65 + n)}{chr(97 + n)}" for n in range(10)]
    images, labels = made.arrays("train")
    gathered = train.gather(np.arange(96))
    np.testing.assert_array_equal(gathered[0], images[..., :1])
    np.testing.assert_array_equal(gathered[1], labels)
    renamed = {
        (CLASSES["ABCDEFGHIJ".index(name[0])], image): n
        for (name, image), n in contents(root, "test").items()
    }
    assert renamed == contents(photos, "test")
    assert contents(packed(root, tmp_path / "packed"), "test") == contents(root, "test")
    assert test.size == 32


def test_a_folder_with_several_of_emnist_needs_its_name(tmp_path, capsys) -> None:
    root = made.emnist(tmp_path / "data", "letters", "digits", "balanced")
    with pytest.raises(
        DataError, match=r"data.subset: must be one of the datasets in .*, balanced, digits, letters, got ''"
    ):
        find(str(root))
    train, _ = datasets.load_both(DataConfig(name=str(root), subset="digits"))
    assert list(train.class_names) == list("0123456789")
    assert "not used: 'emnist-balanced', 'emnist-letters'" in capsys.readouterr().err
    assert main(["stats", str(root), "--subset", "letters"]) == 0
    part, held = datasets.load_both(DataConfig(name=str(root), subset="digits", val_share=0.25))
    assert part.size + held.size == 96


@pytest.mark.parametrize(
    ("text", "message"),
    [
        (None, "emnist-digits-mapping.txt does not exist\nhint: it names the classes"),
        ("0 48\n1 x\n", "mapping.txt line 2 must be a label and numbers of characters, got '1 x'"),
        ("0 48\n0 49\n", "mapping.txt line 2 must be a new label up to 255, got '0 49'"),
        ("0 48\n1 9999999\n", "mapping.txt line 2 must be a new label up to 255, got '1 9999999'"),
        ("0 48\n1 7\n", "mapping.txt line 2 must be a class name in UTF-8 without control characters"),
        ("0 48\n", r"mapping.txt must have every label, got none for 1 of example \d+"),
    ],
)
def test_a_bad_mapping_of_emnist_is_named(tmp_path, text, message) -> None:
    file = made.emnist(tmp_path / "data", "digits") / "emnist-digits-mapping.txt"
    file.unlink() if text is None else file.write_text(text)
    with pytest.raises(DataError, match=message):
        datasets.load_both(DataConfig(name=str(tmp_path / "data")))


def test_the_writer_of_python_2_agrees_with_the_reader_of_python() -> None:
    fields = {"labels": [1, 2], "data": made.planes(made.arrays("val")[0][:2]), "filenames": ["a.png"]}
    again = pickle.load(io.BytesIO(made.python2(fields)), encoding="latin1")
    assert again["labels"] == [1, 2]
    np.testing.assert_array_equal(again["data"], fields["data"])
