"""Weights files and ONNX exports, and the files that are refused."""

import dataclasses

import jax
import numpy as np
import onnxruntime
import pytest

from trainer.config import ModelConfig
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
