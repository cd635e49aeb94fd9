"""Weights files of sparse networks: the places and values of what is left."""

import json

import numpy as np
import pytest
from safetensors import safe_open
from safetensors.numpy import load_file, save_file

from trainer import cli
from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.weights import file, indices


def sparse_weights():
    model = ModelConfig(arch="resnet-tiny", width=8, stem="small")
    _, shapes = file.describe(model, 3, 1, 8, "cpu")
    random = np.random.default_rng(0)
    arrays = {name: random.normal(size=shape).astype(np.float32) for name, shape in shapes.items()}
    for name, array in arrays.items():
        if name.endswith("kernel"):
            arrays[name] = np.where(random.random(array.shape) < 0.2, array, np.float32(0))
    names = ["a", "b", "c"]
    return file.Weights(model=model, class_names=names, image_size=8, mean=(0.5,), std=(0.5,), arrays=arrays)


def test_a_file_of_indices_is_small_and_the_same_network(tmp_path, capsys):
    weights = sparse_weights()
    dense, small, again = (tmp_path / f"{name}.safetensors" for name in ("dense", "small", "again"))
    weights.save(dense)
    assert cli.main(["export", str(dense), str(small), "--to", "indices"]) == 0
    assert small.stat().st_size < 0.6 * dense.stat().st_size
    assert cli.main(["export", str(small), str(again), "--to", "safetensors"]) == 0
    capsys.readouterr()
    assert again.read_bytes() == dense.read_bytes()
    stored = load_file(small)
    kernel = weights.arrays["head.kernel"]
    np.testing.assert_array_equal(stored["head.kernel.indices"], np.flatnonzero(kernel))
    np.testing.assert_array_equal(stored["head.kernel.values"], kernel[kernel != 0])
    assert stored["head.kernel.shape"].tolist() == list(kernel.shape)
    np.testing.assert_array_equal(stored["head.bias"], weights.arrays["head.bias"])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"head.kernel.values": None}, "head.kernel without head.kernel.values"),
        ({"head.kernel.shape": np.array([2**20, 2**20], np.int32)}, "head.kernel.shape of "),
        ({"head.kernel.shape": np.array([-4, 4], np.int32)}, "head.kernel.shape of "),
        ({"head.kernel.shape": np.array([1, 1], np.int32)}, "head.kernel.indices that do not fit"),
        ({"head.kernel.indices": np.zeros(1, np.float32)}, "no list of whole numbers"),
        ({"head.kernel.values": np.zeros(1, np.float32)}, "head.kernel.indices that do not fit"),
    ],
)
def test_a_damaged_file_is_one_error(tmp_path, change, message):
    path = tmp_path / "w.safetensors"
    sparse_weights().save(path, as_indices=True)
    with safe_open(path, "np") as opened:
        metadata = opened.metadata()
    assert json.loads(metadata["resnet-launch"])["image_size"] == 8
    parts = {name: array for name, array in (load_file(path) | change).items() if array is not None}
    save_file(parts, path, metadata)
    with pytest.raises(ConfigError) as caught:
        file.load(path)
    assert "must be a weights file, got" in str(caught.value)
    assert message in str(caught.value)


def test_empty_and_scalar_arrays_survive():
    arrays = {"a": np.zeros((2, 3), np.float32), "b": np.float32(0) * np.ones(()), "c": np.ones((2, 2))}
    again = indices.unpacked(indices.packed(arrays))
    assert again.keys() == arrays.keys()
    assert all(np.array_equal(again[name], array) for name, array in arrays.items())
