"""Weights files and ONNX exports, and the files that are refused."""

import dataclasses
import os

import jax
import numpy as np
import onnxruntime
import pytest

from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.weights import inference
from trainer.weights.file import Weights, describe, load
from trainer.weights.initial import fitting_arrays
from trainer.weights.onnx import write_onnx

SIZE = 40


def random_weights(seed=0, classes=5, channels=3, **fields):
    """Return a network whose parameters and running statistics are all random."""
    model = ModelConfig(**({"arch": "resnet-tiny", "width": 8, "stem": "imagenet"} | fields))
    _, shapes = describe(model, classes, channels, SIZE, "cpu")
    stream = np.random.RandomState(seed)
    arrays = {
        n: (stream.uniform(0.5, 1.5, s) / max(np.prod(s[:-1]), 1)).astype(np.float32)
        for n, s in shapes.items()
    }
    return Weights(
        model=model,
        class_names=[f"c{i}" for i in range(classes)],
        image_size=SIZE,
        mean=(0.5,) * channels,
        std=(0.25,) * channels,
        arrays=arrays,
    )


def logits(w, images):
    net, _ = w.network("cpu")
    stats = {n: a for n, a in w.arrays.items() if n.endswith((".mean", ".var"))}
    params = {n: a for n, a in w.arrays.items() if n not in stats}
    return np.asarray(jax.jit(lambda p, s, x: net.apply(p, s, x, train=False)[0])(params, stats, images))


def test_a_weights_file_keeps_every_field_and_array(tmp_path):
    before = random_weights()
    before.save(tmp_path / "w.safetensors")
    after = load(tmp_path / "w.safetensors")
    assert dataclasses.replace(after, arrays={}) == dataclasses.replace(before, arrays={})
    for name, array in before.arrays.items():
        np.testing.assert_array_equal(after.arrays[name], array)


@pytest.mark.slow
@pytest.mark.parametrize(
    "fields",
    [
        {"arch": "resnet-tiny"},
        {"arch": "resnet-tiny", "stem": "small", "blur": "before", "squeeze": 0.25},
        {"arch": "resnext50-32x4d", "width": 16, "stem": "deep", "shortcut": "pool", "blur": "after"},
    ],
    ids=["plain", "small", "resnext-d"],
)
def test_the_onnx_export_computes_the_same_logits(tmp_path, fields):
    w = random_weights(**fields)
    write_onnx(w, str(tmp_path / "w.onnx"))
    session = onnxruntime.InferenceSession(str(tmp_path / "w.onnx"), providers=["CPUExecutionProvider"])
    images = np.random.RandomState(1).standard_normal((2, SIZE, SIZE, 3)).astype(np.float32)
    [theirs] = session.run(None, {"images": images.transpose(0, 3, 1, 2)})
    np.testing.assert_allclose(theirs, logits(w, images), rtol=1e-4, atol=1e-4)


def test_init_leaves_the_head_to_its_classes_and_refuses_another_network(tmp_path):
    path = str(tmp_path / "w.safetensors")
    random_weights(classes=5).save(path)
    other = random_weights(seed=1, classes=7)
    loaded = fitting_arrays(load(path), path, other.arrays, other.model, SIZE)
    assert set(other.arrays) - set(loaded) == {"head.kernel", "head.bias"}
    wide = random_weights(width=16)
    with pytest.raises(Exception, match=r"must fit the network: .* must be \(.*\), got \(") as caught:
        fitting_arrays(load(path), path, wide.arrays, wide.model, SIZE)
    assert "it is a resnet-tiny" in str(caught.value)
    with pytest.raises(Exception, match="must be a weights file, got"):
        load(tmp_path / "none")


@pytest.mark.parametrize(
    ("name", "value", "message"),
    [
        (
            "head.bias",
            np.full(5, np.nan, np.float32),
            "head.bias must be finite in float32, got nan in 5 of 5",
        ),
        ("stem.norm.var", np.full(8, np.inf, np.float32), "stem.norm.var must be finite in float32, got inf"),
        ("head.bias", np.zeros(4, np.float32), r"head.bias must be \(5,\), got \(4,\)"),
    ],
)
def test_a_weights_file_with_numbers_that_no_training_gives_is_refused(tmp_path, name, value, message):
    weights = random_weights()
    dataclasses.replace(weights, arrays=weights.arrays | {name: value}).save(tmp_path / "w.safetensors")
    with pytest.raises(ConfigError, match=rf"w\.safetensors: {message}"):
        load(tmp_path / "w.safetensors")


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head.kernel": np.zeros((9, 5))}, r"head.kernel must be \(16, 5\), got \(9, 5\)"),
        ({"neck.kernel": np.zeros(1)}, r"neck.kernel must be absent, got \(1,\)"),
        ({"stem.norm.mean": None}, r"stem.norm.mean must be \(8,\), got none"),
    ],
)
def test_arrays_of_another_network_are_named_before_they_are_used(change, message):
    weights = random_weights()
    arrays = {name: a for name, a in (weights.arrays | change).items() if a is not None}
    with pytest.raises(ConfigError, match=f"weights of resnet-tiny: {message}"):
        inference.build_network(dataclasses.replace(weights, arrays=arrays))


def test_what_is_no_regular_file_is_no_weights_file(tmp_path):
    os.mkfifo(tmp_path / "pipe")
    for path, got in (
        (tmp_path, "no regular file"),
        (tmp_path / "pipe", "no regular"),
        (tmp_path / "x", "no file"),
    ):
        with pytest.raises(ConfigError, match=f"must be a weights file, got {got}"):
            load(path)
