"""A dataset from a module: each part of its contract that is not fulfilled is one error that names it."""

import numpy as np
import pytest

from trainer.config import DataConfig, TrainConfig
from trainer.data import datasets
from trainer.errors import ConfigError, DataError, TrainError
from trainer.rundir import directory

BROKEN = [
    ("not_a_function", DataError, "must be a function (split, config), got int"),
    ("nothing", DataError, "must return a Source of trainer.data.source, got NoneType"),
    ("empty", DataError, "size must be a whole number of at least 1, got 0"),
    ("wide", DataError, "image_shape must be (side, side, 1 or 3 channels), got (8, 16, 1)"),
    ("same_names", DataError, "class_names must be different texts, got ['a', 'a']"),
    ("no_deviation", DataError, "std must be above 0, got (0.0,)"),
    ("mean_of_nothing", DataError, "mean and std must be finite, got (nan,) and (0.2,)"),
    ("boundless", DataError, "mean and std must be finite, got (0.3,) and (inf,)"),
    ("floats", DataError, "gather must return images (1, 8, 8, 1) uint8, got (1, 8, 8, 1) float64"),
    ("other_labels", DataError, "labels must be 0..3, got 4..4"),
    ("missing", ConfigError, "cannot open the split 'train': FileNotFoundError: [Errno 2] No such file"),
    ("absent", ConfigError, "own_code.data must define absent, which it does not"),
]


@pytest.mark.parametrize(("name", "kind", "problem"), BROKEN, ids=[name for name, _, _ in BROKEN])
def test_a_part_that_is_not_fulfilled_is_named(name, kind, problem):
    with pytest.raises(TrainError) as error:
        datasets.load_both(DataConfig(name=f"own_code.data:{name}"))
    assert isinstance(error.value, kind)
    assert str(error.value).startswith("data.name: own_code.data")
    assert problem in str(error.value)


def test_examples_that_cannot_be_read_name_the_dataset_and_the_line():
    train, _ = datasets.load_both(DataConfig(name="own_code.data:breaks_later"))
    train.gather(np.array([0, 99]))
    with pytest.raises(
        DataError, match=r"own_code.data:breaks_later cannot read examples: KeyError.*line \d+"
    ):
        train.gather(np.array([0, 101]))


def test_a_dataset_that_keeps_the_contract_is_read():
    train, test = datasets.load_both(DataConfig(name="own_code.data:squares"))
    images, labels = train.gather(np.array([5, 2]))
    assert (images.shape, images.dtype, labels.tolist()) == ((2, 8, 8, 1), np.uint8, [1, 2])
    assert (train.size, test.size, train.num_classes) == (256, 64, 4)


def test_a_run_directory_does_not_choose_the_code_that_reads_data():
    config = TrainConfig(data=DataConfig(name="own_code.data:squares"))
    with pytest.raises(ConfigError, match=r"read by code that it names: own_code.data:squares"):
        directory.data_at_hand(config)


def test_gather_is_not_asked_for_no_examples():
    """A host that is left without an example in the last batch of an evaluation asks for none."""
    train, _ = datasets.load_both(DataConfig(name="own_code.data:stacks"))
    images, labels = train.gather(np.empty(0, np.int64))
    assert (images.shape, images.dtype, labels.shape) == ((0, 8, 8, 1), np.uint8, (0,))
