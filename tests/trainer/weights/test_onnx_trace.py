"""ONNX from traced operations: the same logits as JAX, for the layers that networks are made of."""

from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from trainer.config import ModelConfig
from trainer.errors import TrainError
from trainer.weights import onnx
from trainer.weights.file import Weights, describe

SIDE = 24


def weights_of(model: ModelConfig) -> Weights:
    """Weights with random gains, biases and statistics, so that no branch is zero."""
    _, shapes = describe(model, 5, 3, SIDE, "cpu")
    dice = np.random.default_rng(0)
    arrays = {}
    for name, shape in shapes.items():
        positive = name.endswith(("var", "scale"))
        arrays[name] = dice.uniform(0.5, 1.5, shape) if positive else dice.normal(0, 0.2, shape)
    arrays = {name: array.astype(np.float32) for name, array in arrays.items()}
    inputs: dict[str, Any] = {"image_size": SIDE, "mean": (0.5,) * 3, "std": (0.5,) * 3}
    return Weights(model=model, class_names=[*"abcde"], arrays=arrays, **inputs)


def difference(weights: Weights, path, images: np.ndarray) -> float:
    """The largest difference of the logits, relative to the largest logit."""
    onnxruntime = pytest.importorskip("onnxruntime")
    [logits] = onnxruntime.InferenceSession(path).run(None, {"images": images.transpose(0, 3, 1, 2)})
    net, _ = weights.network("cpu")
    params, stats = ({}, {})
    for name, array in weights.arrays.items():
        (stats if name in net.statistics else params)[name] = jnp.asarray(array)
    expected = np.asarray(jax.jit(lambda images: net.apply(params, stats, images, train=False)[0])(images))
    return float(np.abs(logits - expected).max() / np.abs(expected).max())


@pytest.mark.slow
@pytest.mark.parametrize(
    "settings",
    [
        {"stem": "small"},
        {"stem": "deep", "shortcut": "pool", "squeeze": 0.25, "blur": "after"},
        {"stem": "imagenet", "blur": "before", "stochastic_depth": 0.5},
    ],
    ids=lambda settings: settings["stem"],
)
def test_a_resnet_that_is_traced_is_the_one_that_is_written_by_hand(settings, tmp_path, monkeypatch):
    weights = weights_of(ModelConfig(arch="resnet-tiny", width=16, **settings))
    monkeypatch.setattr(onnx, "ARCHS", {})
    onnx.write_onnx(weights, str(tmp_path / "traced.onnx"))
    images = np.random.default_rng(1).normal(size=(3, SIDE, SIDE, 3)).astype(np.float32)
    assert difference(weights, tmp_path / "traced.onnx", images) < 2e-6


class Layers(nnx.Module):
    """Layers that the built-in networks lack, such as a depthwise convolution, a scan and a softmax."""

    def __init__(self, inputs, rngs):
        self.depthwise = nnx.Conv(3, 12, (7, 7), feature_group_count=3, padding="VALID", rngs=rngs)
        self.dilated = nnx.Conv(12, 12, (3, 3), kernel_dilation=2, rngs=rngs)
        self.norm = nnx.GroupNorm(12, num_groups=3, rngs=rngs)
        self.blocks = nnx.Param(jax.random.normal(rngs.params(), (4, 12, 12)) * 0.1)
        self.head = nnx.Linear(12, inputs.classes, rngs=rngs)

    def __call__(self, images, train):
        x = jnp.pad(images, ((0, 0), (3, 3), (2, 4), (0, 0)))
        x = self.norm(self.dilated(nnx.gelu(self.depthwise(x), approximate=False)))
        x = nnx.avg_pool(nnx.max_pool(x, (3, 3), (2, 2), "SAME"), (2, 2), (2, 2))
        x = jnp.flip(x, axis=1)[:, ::2, 1:]
        x = x.reshape(len(x), -1, 12)  # [B, pixels, 12]
        x, _ = jax.lax.scan(lambda x, w: (x + jnp.tanh(x @ w), None), x, self.blocks[...])
        first, second = jnp.split(x, [4], axis=-1)
        weights = jax.nn.softmax(jnp.einsum("bic,bjc->bij", second, second), axis=-1)
        x = jnp.concatenate([first, jax.nn.silu(weights @ second)], axis=-1)
        x = jnp.where(x > 0, x, jnp.expm1(x)) + jnp.arange(12) / 12
        return self.head(jnp.clip(x, -3, 3).max(axis=1))


@pytest.fixture
def own(monkeypatch):
    """A function that makes a class the network `own_code.nets:layers`."""
    from own_code import nets

    from trainer.models.architecture import architecture

    def use(kind):
        layers = architecture()(lambda inputs, rngs: kind(inputs, rngs))
        monkeypatch.setattr(nets, "layers", layers, raising=False)
        return weights_of(ModelConfig(arch="own_code.nets:layers"))

    return use


@pytest.mark.slow
def test_the_layers_of_other_networks(own, tmp_path):
    weights = own(Layers)
    onnx.write_onnx(weights, str(tmp_path / "x.onnx"))
    for count in (1, 4):
        images = np.random.default_rng(count).normal(size=(count, SIDE, SIDE, 3)).astype(np.float32)
        assert difference(weights, tmp_path / "x.onnx", images) < 5e-6


class Sorting(nnx.Module):
    def __init__(self, inputs, rngs):
        self.head = nnx.Linear(3, inputs.classes, rngs=rngs)

    def __call__(self, images, train):
        return self.head(jnp.sort(images.mean(axis=(1, 2)), axis=-1))


def test_an_operation_without_a_translation_is_named(own, tmp_path):
    weights = own(Sorting)
    with pytest.raises(TrainError, match="cannot be written as ONNX, because it has the operation sort"):
        onnx.write_onnx(weights, str(tmp_path / "x.onnx"))
    assert not (tmp_path / "x.onnx").exists()
