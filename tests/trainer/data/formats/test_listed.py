"""Image files that lists label: the same examples as a folder, and every row that is not read is named."""

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from layouts import CLASSES, folder
from listed_layouts import LAYOUTS
from pictures import jpeg, picture
from same_examples import contents, packed

from trainer.config import DataConfig
from trainer.data import datasets
from trainer.data.__main__ import main
from trainer.data.formats import text_list
from trainer.data.formats.detect import find
from trainer.errors import DataError

SMALL: dict[str, Any] = {"image_size": 32, "min_area": 1.0, "eval_crop": 1.0, "bad_images": 0}
PHOTO = jpeg(picture())
KINDS = {"imagenet": "imagenet", "food-101": "food-101"}


@pytest.fixture(scope="module")
def photos(tmp_path_factory) -> Path:
    return folder(tmp_path_factory.mktemp("folder"))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_layout_holds_what_a_folder_of_the_same_images_holds(photos, tmp_path, layout, capsys) -> None:
    root = LAYOUTS[layout](tmp_path / "data")
    assert find(str(root)).kind == KINDS.get(layout, "csv")
    train, test = datasets.load_both(DataConfig(name=str(root), **SMALL))
    assert (train.size, test.size) == (96, 32)
    assert [name.replace("_", " ") for name in train.class_names] == CLASSES
    images, labels = train.gather(np.arange(96))
    same, same_labels = datasets.load(DataConfig(name=str(photos), **SMALL), "train").gather(np.arange(96))
    np.testing.assert_array_equal(images, same)
    np.testing.assert_array_equal(labels, same_labels)
    small = packed(root, tmp_path / "packed")
    for split in ("train", "test"):
        assert contents(root, split) == contents(small, split) == contents(photos, split)
    assert main(["verify", str(root)]) == 0
    assert "bad: 0, suspect: 0" in capsys.readouterr().out
    assert main(["stats", str(root)]) == 0
    assert "train" in capsys.readouterr().out


def write(root: Path, files: dict[str, str | bytes]) -> Path:
    for name, content in files.items():
        path = root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content.encode() if isinstance(content, str) else content)
    return root


ROWS = "file,label\na.jpg,cat\nb.jpg,dog\n"
TWO: dict[str, str | bytes] = {"images/a.jpg": PHOTO, "images/b.jpg": PHOTO}


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ("file,label\na.jpg,cat\nb.jpg\n", "train.csv line 3 must hold an image and its label, got 'b.jpg'"),
        (
            "file,label\na.jpg,cat\nb.jpg,\n",
            "train.csv line 3 must hold an image and its label, got 'b.jpg,'",
        ),
        ("file,label\na.jpg,cat\na.jpg,dog\n", "each image once, got 'images/a.jpg' on lines 2 and 3"),
        ("file,label\n../a.jpg,cat\n", "train.csv line 2 must hold plain relative names, got '../a.jpg'"),
        ("file,label\n/etc/a.jpg,cat\n", "train.csv line 2 must hold plain relative names, got '/etc/a.jpg'"),
        ("file,label\nc.jpg,cat\nd,cat\n", "got 2 names of which none is there: c.jpg, d\nhint: names are"),
        ("a,b,c\na.jpg,cat,1\n", "line 1 must name a column of files and one of labels, got a, b, c\nhint:"),
        ('file,label\n"a.jpg,cat\n', "train.csv line 2 must be a row of CSV, got unexpected end of data"),
        (
            "file,label\na.jpg,ca\0t\n",
            "the label in .*train.csv line 2 must be a class name in UTF-8 without",
        ),
        (b"file,label\na.jpg,\xff\n", "train.csv line 2 must be UTF-8, got b'.xff.n'"),
        (
            f"file,label\na.jpg,{'x' * 20_000}\n",
            "train.csv line 2 must be a row of CSV, got a cell of more than",
        ),
        (
            f"file,label\na.jpg,{'x' * 200_000}\n",
            "train.csv line 2 must be a row of CSV, got field larger than",
        ),
    ],
)
def test_a_bad_row_is_named(tmp_path, rows, message) -> None:
    with pytest.raises(DataError, match=rf"(?s){message}"):
        find_and_read(write(tmp_path, {**TWO, "train.csv": rows, "val.csv": ROWS}))


def find_and_read(root: Path):
    return datasets.load_both(DataConfig(name=str(root), **SMALL))


def test_a_label_of_evaluation_that_training_lacks_is_named(tmp_path) -> None:
    write(tmp_path, {**TWO, "train.csv": ROWS, "val.csv": "file,label\na.jpg,cat\nb.jpg,eel\n"})
    with pytest.raises(
        DataError, match=r"val.csv line 3 must be one of the 2 classes, got 'eel'\nhint: the c"
    ):
        find_and_read(tmp_path)


def test_a_name_that_two_files_have_is_refused(tmp_path) -> None:
    write(tmp_path, {**TWO, "more/a.jpg": PHOTO, "train.csv": ROWS, "val.csv": ROWS})
    with pytest.raises(
        DataError, match=r"train.csv line 2 must name one file, got 'a.jpg': .*images/a.jpg and"
    ):
        find_and_read(tmp_path)


def test_what_no_row_names_is_counted_and_a_missing_file_is_damaged(tmp_path, capsys) -> None:
    write(tmp_path, {**TWO, "images/c.jpg": PHOTO, "images/d.heic": b"", "notes.txt": b""})
    write(tmp_path, {"train.csv": ROWS + "gone.jpg,cat\n", "val.csv": ROWS, "test.csv": "id\n1\n"})
    train, _ = datasets.load_both(DataConfig(name=str(tmp_path), **{**SMALL, "bad_images": 1}))
    assert train.passed_over.texts() == [
        "images that are not read: 1 (.heic 1)",
        "images that no list names: 1",
        "other files: 1 (.txt 1)",
    ]
    train.gather(np.arange(3))
    printed = capsys.readouterr().err
    assert f"{tmp_path}/gone.jpg: it must be a file, got nothing there" in printed
    assert "not used: 'test.csv'" in printed
    assert main(["verify", str(tmp_path)]) == 1
    assert f"bad: {tmp_path}/gone.jpg: it must be a file, got nothing there" in capsys.readouterr().out


@pytest.mark.parametrize("limit", ["MAX_BYTES", "MAX_ROWS"])
def test_a_list_without_an_end_is_refused_before_it_is_read(tmp_path, monkeypatch, limit) -> None:
    write(tmp_path, {**TWO, "val.csv": ROWS})
    with (tmp_path / "train.csv").open("wb") as file:
        file.write(ROWS.encode())
        if limit == "MAX_BYTES":
            file.truncate(2**40)
    message = "train.csv must have at most 256 MiB, got 1,048,576"
    if limit == "MAX_ROWS":
        monkeypatch.setattr(text_list, "MAX_ROWS", 2)
        message = "train.csv line 3 must be a row of CSV, got more than 2 rows"
    with pytest.raises(DataError, match=message):
        find_and_read(tmp_path)


def test_folders_of_classes_beside_a_csv_file_stay_an_image_folder(tmp_path) -> None:
    write(tmp_path, {"train/a/1.jpg": PHOTO, "val/a/1.jpg": PHOTO, "train.csv": "file,label\n1.jpg,z\n"})
    assert find(str(tmp_path)).kind == "folder"


@pytest.mark.parametrize(
    ("name", "content", "message"),
    [
        ("LOC_val_solution.csv", "a,b\nc,d\n", "csv line 1 must be ImageId,PredictionString, got 'a,b'"),
        (
            "LOC_val_solution.csv",
            "ImageId,PredictionString\nx,digit_0\n",
            "got 1 names of which none is there: x",
        ),
        (
            "LOC_val_solution.csv",
            "ImageId,PredictionString\nILSVRC2012_val_00000000,eel 1 2 3 4\n",
            "must have a row for every image in ILSVRC/Data/CLS-LOC/val, got none for .* and 30 more",
        ),
        (
            "LOC_synset_mapping.txt",
            "digit_0 zero\n",
            "must list the 10 folders .* it lacks digit_1, which has a",
        ),
    ],
)
def test_a_bad_list_of_imagenet_is_named(tmp_path, name, content, message) -> None:
    write(LAYOUTS["imagenet"](tmp_path), {name: content})
    with pytest.raises(DataError, match=message):
        find_and_read(tmp_path)


def test_a_class_of_imagenet_that_has_no_folder_is_named_with_its_line(tmp_path) -> None:
    table = LAYOUTS["imagenet"](tmp_path) / "LOC_val_solution.csv"
    table.write_text(table.read_text().replace("digit_3", "eel"))
    with pytest.raises(
        DataError, match=r"LOC_val_solution.csv line \d+ must be one of the 10 classes, got 'eel'"
    ):
        find_and_read(tmp_path)


def test_images_of_food_that_no_list_names_are_counted(tmp_path) -> None:
    root = write(LAYOUTS["food-101"](tmp_path), {f"images/{CLASSES[0]}/new.jpg": PHOTO})
    train, test = find_and_read(root)
    assert (train.passed_over.unlisted, test.passed_over.unlisted) == (1, 0)


def unsplit(root: Path, *counts: int) -> Path:
    for position, count in enumerate(counts):
        files = {f"{'abcdef'[position]}/{n}.jpg": jpeg(picture(16 + n, 20 + position)) for n in range(count)}
        write(root, dict(files))
    return root


def test_an_unsplit_folder_needs_a_share_for_evaluation(tmp_path, capsys) -> None:
    root = unsplit(tmp_path, 20, 10, 1)
    with pytest.raises(
        DataError, match=r"(?s)must hold a split 'test', got train\nhint: .*data.val_share=0.1 ho"
    ):
        find_and_read(root)
    train, test = datasets.load_both(DataConfig(name=str(root), val_share=0.2, **SMALL))
    assert (train.size, test.size) == (25, 6)
    assert np.bincount(test.gather(np.arange(6))[1]).tolist() == [4, 2]
    assert "evaluates on 0.2 of each class, held out with seed 0 (6)" in capsys.readouterr().err
    whole = contents(root, "train")
    parts = [contents(root, split, val_share=0.2) for split in ("train", "test")]
    assert parts[0] + parts[1] == whole
    assert contents(root, "test", val_share=0.2) == parts[1]
    assert contents(root, "test", val_share=0.2, val_seed=1) != parts[1]
    small = packed(root, tmp_path.parent / f"{tmp_path.name}-packed", val_share=0.2)
    assert [contents(small, split) for split in ("train", "test")] == parts


def test_the_verbs_hold_out_the_same_part(tmp_path, capsys) -> None:
    root = unsplit(tmp_path, 8, 8)
    assert main(["stats", str(root), "--json", "--val-share", "0.25"]) == 0
    splits = json.loads(capsys.readouterr().out)["splits"]
    assert {name: row["images"] for name, row in splits.items()} == {"train": 12, "test": 4}
    assert main(["stats", str(root), "--val-share", "0.25"]) == 0
    assert "test (held out of the training split): 4 images" in capsys.readouterr().out
    assert main(["verify", str(root), "--val-share", "0.25"]) == 0


def test_a_share_takes_the_place_of_the_split_for_evaluation(photos, capsys) -> None:
    train, test = datasets.load_both(DataConfig(name=str(photos), val_share=0.5, **SMALL))
    assert train.size + test.size == 96
    assert "not used: 'val'" in capsys.readouterr().err


def test_a_share_of_a_named_dataset_is_refused() -> None:
    with pytest.raises(Exception, match=r"data.val_share: must be 0 for 'digits', which has a split"):
        datasets.load_both(DataConfig(name="digits", val_share=0.1))
