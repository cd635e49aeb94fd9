"""Metadata of weights files: a field of another type is named."""

import dataclasses
import json

import pytest

from trainer.config import ModelConfig
from trainer.weights import metadata

RIGHT = {
    "model": dataclasses.asdict(ModelConfig()),
    "class_names": ["a", "b"],
    "image_size": 224,
    "mean": [0.5, 0.5, 0.5],
    "std": [0.25, 0.25, 0.25],
    "crop": 0.9,
}


def test_what_is_written_is_read():
    expected = RIGHT | {"model": ModelConfig(), "mean": (0.5, 0.5, 0.5), "std": (0.25, 0.25, 0.25)}
    assert metadata.read(json.dumps(RIGHT)) == expected


def test_the_file_of_a_version_without_crop_and_new_settings_is_read():
    old = {name: value for name, value in RIGHT.items() if name != "crop"} | {"model": {"arch": "resnet18"}}
    assert metadata.read(json.dumps(old))["model"] == ModelConfig(arch="resnet18")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"model": {"arch": "resnet51"}}, "model.arch: must be one of"),
        ({"model": {"arch": 50}}, "model.arch of 50, which this version does not know"),
        ({"model": {"wings": 2}}, "model.wings of 2, which this version does not know"),
        ({"model": {"width": 2.5}}, "model.width of 2.5"),
        ({"model": {"width": True}}, "model.width of True"),
        ({"model": []}, "model that is a list"),
        ({"class_names": {"a": 1}}, "class_names that are not a list of names"),
        ({"class_names": ["a", 2]}, "class_names that are not a list of names"),
        ({"image_size": 10**9}, "image_size of 1000000000, which must be 1 to 16384"),
        ({"image_size": "224"}, "image_size of '224'"),
        ({"mean": [0.5, 0.5]}, "mean that is not 1 or 3 numbers"),
        ({"mean": [0.5, 0.5, float("nan")]}, "mean that is not 1 or 3 numbers"),
        ({"std": [0.0, 1, 1]}, "which must be above 0"),
        ({"std": [0.25]}, "for each channel of mean"),
        ({"crop": 1.5}, "crop of 1.5, which must be above 0 and at most 1"),
        ({"colour": "rgb"}, "metadata of a newer version: 'colour' is not known"),
    ],
)
def test_a_field_of_another_kind_is_named(change, message):
    with pytest.raises(ValueError, match=r".") as caught:
        metadata.read(json.dumps(RIGHT | change))
    assert message in str(caught.value)


@pytest.mark.parametrize("text", ["[]", "null", "{", "[" * 100_000, '{"model": {}}'])
def test_metadata_of_another_shape_is_refused(text):
    with pytest.raises(ValueError, match=r"metadata|Expecting"):
        metadata.read(text)
