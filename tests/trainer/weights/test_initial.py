"""The head of a run that starts from a trained network: its classes decide, not its size."""

import dataclasses

import numpy as np
import pytest

from trainer.config import ModelConfig
from trainer.weights.file import Weights
from trainer.weights.initial import fitting_head

KERNEL, BIAS = np.arange(6, dtype=np.float32).reshape(2, 3), np.array([0, 10, 20], np.float32)
WEIGHTS = Weights(
    model=ModelConfig(arch="resnet-tiny"),
    class_names=["cat", "dog", "e\u0301l"],
    image_size=32,
    mean=(0.5,) * 3,
    std=(0.5,) * 3,
    arrays={"head.kernel": KERNEL, "head.bias": BIAS, "stem.conv.kernel": np.zeros(1, np.float32)},
)


@pytest.mark.parametrize(
    ("class_names", "order"),
    [
        (["cat", "dog", "e\u0301l"], [0, 1, 2]),
        (["\u00e9l", "cat", "dog"], [2, 0, 1]),
        (["dog", "cat", "e\u0301l"], [1, 0, 2]),
    ],
)
def test_rows_of_the_same_classes_go_where_their_names_are(class_names, order):
    head, reason = fitting_head(WEIGHTS, class_names)
    assert reason == ""
    assert sorted(head) == ["head.bias", "head.kernel"]
    np.testing.assert_array_equal(head["head.bias"], [[0, 10, 20][i] for i in order])
    np.testing.assert_array_equal(head["head.kernel"][1], [[3, 4, 5][i] for i in order])


@pytest.mark.parametrize(
    ("network", "class_names", "reason"),
    [
        (["cat", "dog", "eel"], ["cat", "dog", "fox"], "class 2 of 3 is 'eel', got 'fox' of 3"),
        (["cat", "dog", "eel"], ["dog", "cat"], "class 0 of 3 is 'cat', got 'dog' of 2"),
        (["cat", "dog", "eel"], ["cat", "dog", "eel", "fox"], "class 3 of 3 is none, got 'fox' of 4"),
        (["cat", "cat", "eel"], ["cat", "eel", "cat"], "class 1 of 3 is 'cat', got 'eel' of 3"),
        (["class 0", "class 1", "class 2"], ["cat", "dog", "eel"], "its classes have no names"),
    ],
)
def test_a_head_for_other_classes_starts_afresh(network, class_names, reason):
    head, stated = fitting_head(dataclasses.replace(WEIGHTS, class_names=network), class_names)
    assert head == {}
    assert stated.startswith(reason)


def test_a_network_without_a_head_gives_none():
    backbone = dataclasses.replace(WEIGHTS, arrays={"stem.conv.kernel": np.zeros(1, np.float32)})
    assert fitting_head(backbone, ["cat", "dog", "eel"]) == ({}, "it has none")
