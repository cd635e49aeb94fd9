"""The layouts that people bring, in a bucket: the same examples as on a disk."""

from pathlib import Path

import array_layouts
import listed_layouts
import pytest
from layouts import folder
from local_bucket import serving
from same_examples import contents

from trainer.data.formats.detect import find


def unsplit(root: Path) -> Path:
    return folder(root) / "train"


MAKERS = {
    "imagenet": listed_layouts.imagenet,
    "csv of all": listed_layouts.csv_of_all,
    "csv inside": listed_layouts.csv_inside,
    "food-101": listed_layouts.food101,
    "cifar": array_layouts.cifar10_python,
    "idx": array_layouts.idx,
    "unsplit": unsplit,
}


@pytest.mark.parametrize("layout", MAKERS)
def test_a_layout_in_a_bucket_holds_the_same_examples(tmp_path, monkeypatch, layout) -> None:
    root = MAKERS[layout](tmp_path / "data")
    settings = {"val_share": 0.2} if layout == "unsplit" else {}
    objects = {
        f"data/{path.relative_to(root)}": path.read_bytes() for path in root.rglob("*") if path.is_file()
    }
    with serving(objects) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        for split in ("train", "test"):
            assert contents("gs://b/data", split, **settings) == contents(root, split, **settings)


def test_a_layout_in_a_bucket_is_told_by_its_names(tmp_path, monkeypatch) -> None:
    root = listed_layouts.csv_per_split(tmp_path / "data")
    objects = {
        f"data/{path.relative_to(root)}": path.read_bytes() for path in root.rglob("*") if path.is_file()
    }
    with serving(objects) as address:
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", address)
        dataset = find("gs://b/data")
    assert (dataset.kind, dataset.splits) == ("csv", {"train": "train.csv", "test": "test.csv"})
