"""Classes of a dataset among those of a network: by name, never by position where there are names."""

import numpy as np
import pytest

from trainer.data.classes import match, relabelled
from trainer.data.source import from_arrays
from trainer.errors import ConfigError

PETS = ["cat", "dog", "eel"]
NUMBERED = ["class 0", "class 1", "class 2"]


@pytest.mark.parametrize(
    ("network", "data", "positions", "warning"),
    [
        (PETS, PETS, [0, 1, 2], ""),
        (PETS, ["eel", "cat", "dog"], [2, 0, 1], ""),
        (PETS, ["dog", "eel"], [1, 2], "the data has 2 of the network's 3 classes; it lacks 'cat'"),
        (PETS, ["eel"], [2], "the data has 1 of the network's 3 classes; it lacks 'cat', 'dog'"),
        (
            ["cafe\u0301", "a,b", 'q"\n', "\U0001f41f"],
            ['q"\n', "caf\u00e9", "\U0001f41f", "a,b"],
            [2, 0, 3, 1],
            "",
        ),
        (["crane", "crane", "eel"], ["crane", "crane", "eel"], [0, 1, 2], ""),
        (
            ["0", "1", "10", "2"],
            ["0", "1", "2"],
            [0, 1, 3],
            "the data has 3 of the network's 4 classes; it lacks '10'",
        ),
        (NUMBERED, ["0", "1"], [0, 1], "the data has 2 of the network's 3 classes; it lacks 'class 2'"),
        (
            NUMBERED,
            ["n01440764", "n01443537", "n01484850"],
            [0, 1, 2],
            "the network's 3 classes are only numbered; those of the data are assumed to be in the "
            "same order: class 0 is 'n01440764', class 2 is 'n01484850'",
        ),
    ],
)
def test_classes_match_by_name(network, data, positions, warning):
    matched = match(network, data)
    assert matched.positions.tolist() == positions
    assert matched.warning == warning


@pytest.mark.parametrize(
    ("network", "data", "message"),
    [
        (
            PETS,
            ["cat", "dog", "eels"],
            "network's 3 ('cat', 'dog', 'eel'), got 'eels', class 2 of 3\nhint: give the ",
        ),
        (PETS, ["cat", "dogs", "fox"], "got 'dogs', class 1 of 3"),
        (PETS, ["0", "1", "2"], "got '0', class 0 of 3"),
        (
            ["tench, Tinca tinca", "goldfish, Carassius auratus"],
            ["n01440764", "n01443537"],
            "('tench, Tinca tinca', 'goldfish, Carassius auratus'), got 'n01440764', class 0 of 2",
        ),
        (
            [f"n{i:08}" for i in range(1000)],
            ["background", *(f"n{i:08}" for i in range(1000))],
            "network's 1,000 ('n00000000', 'n00000001', 'n00000002', 'n00000003', 'n00000004' and 995 more), "
            "got 'background', class 0 of 1,001",
        ),
        (
            [f"class {i}" for i in range(1001)],
            [f"n{i:08}" for i in range(1000)],
            "must have the 1,001 classes of the network, which are only numbered, got 1,000",
        ),
        ([f"class {i}" for i in range(1000)], [str(i) for i in range(1001)], "got 1,001: '0', '1'"),
        (["crane", "crane", "eel"], ["crane", "eel"], "got 'crane' for classes 0 and 1"),
        (PETS, ["eel", "eel"], "data classes must have different names to be matched by name, got 'eel'"),
    ],
)
def test_unknown_classes_are_refused_with_the_first_difference(network, data, message):
    with pytest.raises(ConfigError) as caught:
        match(network, data)
    assert message in str(caught.value)


def test_a_source_gets_the_labels_of_the_network():
    images = np.arange(4, dtype=np.uint8)[:, None, None, None]  # [4, 1, 1, 1]
    source = from_arrays("pets", images, np.array([0, 1, 1, 0]), ["eel", "cat"], 0.5, 0.25)
    pets = relabelled(source, PETS, np.array([2, 0], np.int32))
    shown, labels = pets.gather(np.array([3, 1]))
    assert labels.tolist() == [2, 0]
    assert shown.ravel().tolist() == [3, 1]
    assert pets.class_names == PETS
