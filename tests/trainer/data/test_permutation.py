"""The order of an epoch: Grain's permutation, many positions per call."""

import grain
import numpy as np
import pytest

from trainer.data.permutation import permuted


@pytest.mark.parametrize("size", [1, 2, 262, 65_536, 65_538, 1_281_167, 10**9])
@pytest.mark.parametrize("seed", [0, 2**31 + 5])
def test_the_order_equals_grains(size: int, seed: int) -> None:
    order = grain.MapDataset.range(size).seed(seed).shuffle().repeat()
    positions = np.concatenate([np.arange(30), 3 * size - 5 + np.arange(30)]).clip(0)  # over an epoch's end
    assert permuted(size, seed, positions).tolist() == [order[int(p)] for p in positions]


def test_the_first_examples_of_imagenet_stay_the_same() -> None:
    # Recorded on 24 November 2026; runs begun before must continue with the same batches.
    assert permuted(1_281_167, 3, np.arange(5)).tolist() == [178790, 310391, 232272, 37871, 982834]


@pytest.mark.parametrize("size", [1, 7, 1000, 65_537, 262_145])
def test_every_example_comes_once_per_epoch(size: int) -> None:
    second_epoch = permuted(size, 3, np.arange(size, 2 * size))
    assert np.array_equal(np.sort(second_epoch), np.arange(size))
