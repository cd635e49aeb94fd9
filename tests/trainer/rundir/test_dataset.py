"""dataset.json: what a run keeps of its data, and the datasets on which it does not go on."""

import dataclasses

import pytest
from etils import epath

from trainer.errors import ConfigError, RunDirectoryError
from trainer.rundir import dataset
from trainer.rundir.dataset import NAME, DatasetRecord

RECORD = DatasetRecord(
    class_names=("cat", "d\u00f6g", 'e,e"l\n'),
    image_size=32,
    mean=(0.5, 0.25, 0.1),
    std=(0.2, 0.2, 0.2),
    crop=0.875,
    images=36,
)


@pytest.fixture
def root(tmp_path):
    """A run with a checkpoint."""
    (tmp_path / "checkpoints" / "20").mkdir(parents=True)
    dataset.write(epath.Path(tmp_path), RECORD)
    return epath.Path(tmp_path)


def names(*class_names):
    return dataclasses.replace(RECORD, class_names=class_names)


def test_a_record_comes_back_as_it_was_and_leaves_no_other_file(root):
    assert dataset.read(root) == RECORD
    dataset.write(root, names("x"))
    assert dataset.read(root) == names("x")
    assert sorted(path.name for path in root.iterdir()) == ["checkpoints", NAME]


def test_another_number_of_images_is_warned_of(root):
    assert dataset.check(root, RECORD) == ""
    warning = dataset.check(root, dataclasses.replace(RECORD, images=35))
    assert warning.startswith("the dataset had 36 training images and has 35 now: ")


def test_the_record_of_an_older_version_knows_no_number_of_images(root):
    dataset.write(root, dataclasses.replace(RECORD, images=None))
    assert dataset.check(root, RECORD) == ""


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        (names("d\u00f6g", "cat", 'e,e"l\n'), "class 0 of 3 is 'cat', got 'd\u00f6g' of 3"),
        (names("cat", "fox", 'e,e"l\n'), "class 1 of 3 is 'd\u00f6g', got 'fox' of 3"),
        (names("cat", "d\u00f6g"), "class 2 of 3 is 'e,e\"l\\n', got none of 2"),
        (names(*RECORD.class_names, "fox"), "class 3 of 3 is none, got 'fox' of 4"),
        (names("0", "1", "2"), "class 0 of 3 is 'cat', got '0' of 3"),
        (dataclasses.replace(RECORD, mean=(0.5, 0.25, 0.2)), "mean (0.5, 0.25, 0.1), got (0.5, 0.25, 0.2)"),
        (dataclasses.replace(RECORD, std=(0.2,)), "std (0.2, 0.2, 0.2), got (0.2,)"),
        (dataclasses.replace(RECORD, image_size=64), "image_size 32, got 64"),
    ],
)
def test_a_run_does_not_go_on_with_other_classes_or_images(root, changed, message):
    with pytest.raises(RunDirectoryError) as caught:
        dataset.check(root, changed)
    assert message in str(caught.value)
    assert "\nhint: " in str(caught.value)
    assert dataset.read(root) == RECORD


@pytest.mark.parametrize(
    "same",
    [
        RECORD,
        names("cat", "do\u0308g", 'e,e"l\n'),  # as macOS writes it
        dataclasses.replace(RECORD, crop=0.9),  # of evaluations alone
        dataclasses.replace(RECORD, mean=(0.5, 0.25, 0.1 + 1e-9)),  # summed in another order
    ],
)
def test_a_run_goes_on_with_the_same_classes(root, same):
    assert dataset.check(root, same) == ""


def test_a_run_without_a_checkpoint_may_still_change_its_data(root):
    (root / "checkpoints" / "20").rmdir()
    assert dataset.check(root, names("x")) == ""


def test_a_run_of_an_older_version_says_what_it_assumes(root):
    (root / NAME).unlink()
    assert dataset.read(root) is None
    assert dataset.check(root, RECORD) == (
        f"run directory {root} was written by a version that kept no class names; it is assumed to be "
        "trained for those of its dataset now: 'cat', 'd\u00f6g', 'e,e\"l\\n'"
    )


@pytest.mark.parametrize("text", ["", "[1]", '{"class_names": ["a"]}', "{"])
def test_a_damaged_record_is_named(root, text):
    (root / NAME).write_text(text)
    with pytest.raises(ConfigError, match=f"{NAME}: must hold the classes of a run as JSON, got "):
        dataset.read(root)
