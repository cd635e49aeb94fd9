"""Where a network looks: Grad-CAM and attention rollout beside the same computed by hand and in numpy."""

import dataclasses
import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.models import network, sight
from trainer.models.sight import Recording
from trainer.weights.explanation import Explainer
from trainer.weights.file import Weights, describe
from trainer.weights.inference import build_network

SIDE = 16
IMAGE = np.random.default_rng(0).integers(0, 256, (SIDE, SIDE, 3), np.uint8)


def drawn(side: int = SIDE, channels: int = 3, **model: Any) -> Weights:
    """A network of four classes whose arrays are all drawn, so that no branch is without effect."""
    config = network.with_stem(ModelConfig(**model), side)
    _, shapes = describe(config, 4, channels, side, "cpu")
    rng = np.random.default_rng(1)
    arrays = {n: 0.2 * rng.standard_normal(shape, np.float32) for n, shape in sorted(shapes.items())}
    arrays |= {n: np.exp(a) for n, a in arrays.items() if n.endswith((".var", ".scale"))}
    names, half = list("abcd"), (0.5,) * channels
    return Weights(model=config, class_names=names, image_size=side, mean=half, std=half, arrays=arrays)


def with_head(weights: Weights, kernel: list[list[float]]) -> Weights:
    head = {"head.kernel": np.array(kernel, np.float32), "head.bias": np.zeros(4, np.float32)}
    return dataclasses.replace(weights, arrays=weights.arrays | head)


def test_grad_cam_of_a_network_whose_classes_are_colours_is_where_the_colour_is():
    """Logits are the mean of red, that of green, the first less the second, and none of them."""
    colours = with_head(drawn(4, arch="own_code.nets:colours"), [[1, 0, 1, 0], [0, 1, -1, 0], [0, 0, 0, 0]])
    image = np.full((4, 4, 3), 127, np.uint8)  # what the network sees as less than 0, and makes 0
    image[0, 0, 0], image[0, 1, 0], image[3, 3, 1] = 255, 191, 255
    explainer = Explainer(colours)
    assert explainer.method == "Grad-CAM"
    half = (191 / 255 - 0.5) / 0.5  # as bright as the brightest, for the network
    red = np.zeros((4, 4))
    red[0, :2] = 1, half
    green = np.zeros((4, 4))
    green[3, 3] = 1
    for label, expected in enumerate((red, green, red, np.zeros((4, 4)))):
        np.testing.assert_allclose(explainer(image, label), expected, atol=1e-6)


@pytest.mark.parametrize(
    "model", [{"arch": "resnet-tiny", "width": 8}, {"arch": "efficientnet-tiny"}], ids=str
)
def test_grad_cam_before_a_mean_and_a_matrix_is_the_map_times_a_column(model):
    """Zhou et al. 2016 (arXiv:1512.04150), of which Grad-CAM is the general case."""
    weights = drawn(**model)
    net, params, stats = build_network(weights)
    images = jnp.asarray((IMAGE / 255 - 0.5)[None] / 0.5, jnp.float32)

    @jax.jit
    def last_map() -> jax.Array:
        with sight.recorded(Recording()) as recording:
            net.apply(params, stats, images, train=False)
        return recording.maps[-1][0]

    explainer, different = Explainer(weights), set()
    for label in range(4):
        column = weights.arrays["head.kernel"][:, label]
        expected = np.maximum(np.asarray(last_map()) @ column, 0)  # [rows, columns]
        if expected.any():
            got = explainer(IMAGE, label)
            assert got.shape[0] > 1
            np.testing.assert_allclose(got, expected / expected.max(), atol=1e-5)
            different.add(got.tobytes())
    assert len(different) >= 2  # each class has its own


def test_a_map_of_one_pixel_is_passed_over():
    """Of 2 pixels the last stage makes one; the stage before it has four."""
    explainer = Explainer(drawn(2, arch="resnet-tiny", width=8))
    assert explainer(np.ones((2, 2, 3), np.uint8), 0).shape == (2, 2)


def normal(x: np.ndarray, arrays: dict, name: str) -> np.ndarray:
    x = x - x.mean(-1, keepdims=True)
    return (
        x / np.sqrt((x**2).mean(-1, keepdims=True) + 1e-6) * arrays[f"{name}.scale"] + arrays[f"{name}.bias"]
    )


def linear(x: np.ndarray, arrays: dict, name: str) -> np.ndarray:
    return x @ arrays[f"{name}.kernel"] + arrays[f"{name}.bias"]


def softmax(x: np.ndarray) -> np.ndarray:
    x = np.exp(x - x.max(-1, keepdims=True))
    return x / x.sum(-1, keepdims=True)


def mlp(x: np.ndarray, arrays: dict, name: str) -> np.ndarray:
    hidden = linear(x, arrays, f"{name}.hidden")
    gelu = hidden * 0.5 * (1 + np.vectorize(math.erf)(hidden / math.sqrt(2)))
    return linear(gelu, arrays, f"{name}.out")


def rollout_in_numpy(weights: Weights, pool: str) -> np.ndarray:
    """The whole of vit-tiny in float64, two blocks with two heads, and the rollout of its attention."""
    a = {name: array.astype(np.float64) for name, array in weights.arrays.items()}
    pixels = (IMAGE / 255 - 0.5) / 0.5
    x = np.stack(
        [
            np.einsum("hwc,hwcd->d", pixels[4 * r : 4 * r + 4, 4 * c : 4 * c + 4], a["patches.kernel"])
            for r in range(4)
            for c in range(4)
        ]
    )
    x = x + a["patches.bias"]
    if pool == "token":
        x = np.concatenate([a["token"][None], x])
    x = x + a["positions"]
    joint = np.eye(len(x))
    for block in ("blocks.0", "blocks.1"):
        inner = normal(x, a, f"{block}.norm1")
        q, k, v = np.split(linear(inner, a, f"{block}.attention.qkv"), 3, axis=-1)
        heads = [slice(0, 16), slice(16, 32)]
        attention = [softmax(q[:, h] @ k[:, h].T / 4) for h in heads]  # 4: root of 16 features
        y = np.concatenate([w @ v[:, h] for w, h in zip(attention, heads, strict=True)], axis=-1)
        x = x + linear(y, a, f"{block}.attention.out")
        x = x + mlp(normal(x, a, f"{block}.norm2"), a, f"{block}.mlp")
        joint = (0.5 * (attention[0] + attention[1]) / 2 + 0.5 * np.eye(len(x))) @ joint
    if pool == "token":
        return joint[0, 1:].reshape(4, 4)
    if pool == "map":
        x = normal(x, a, "norm")
        q = linear(a["pooling.probe"], a, "pooling.query")
        k = linear(x, a, "pooling.kv")[:, :32]
        joint = np.mean([softmax(q[h] @ k[:, h].T / 4) for h in heads], axis=0)[None] @ joint
    return joint.mean(axis=0).reshape(4, 4)


@pytest.mark.parametrize("pool", ["token", "mean", "map"])
def test_the_rollout_of_a_vit_is_that_of_numpy(pool):
    weights = drawn(arch="vit-tiny", pool=pool)
    expected = rollout_in_numpy(weights, pool)
    spread = expected.max() - expected.min()
    explainer = Explainer(weights)
    assert explainer.method == "attention rollout"
    got = explainer(IMAGE, 0)
    np.testing.assert_allclose(got, (expected - expected.min()) / spread, atol=1e-4)
    np.testing.assert_array_equal(got, explainer(IMAGE, 3))  # whatever the class


def test_blocks_that_are_scanned_and_rematerialised_show_the_same():
    plain = drawn(arch="vit-tiny")
    scanned = drawn(arch="vit-tiny", repeat="scan", remat="full")
    np.testing.assert_array_equal(Explainer(plain)(IMAGE, 1), Explainer(scanned)(IMAGE, 1))


def test_the_rollout_of_attention_to_itself_alone_is_even():
    alike = Recording(weights=[np.eye(5)[None, None]] * 3, grid=(2, 2))  # type: ignore[list-item]
    np.testing.assert_allclose(sight.rollout(alike), np.full((2, 2), 0.2), atol=1e-6)


@pytest.mark.parametrize(
    ("name", "got"),
    [
        ("mlp", "got neither"),
        ("attention", "got neither"),  # flax's own, which shows nothing
        ("pixel", "got neither"),  # a map of one pixel
        ("scanned", "got what is inside a scan or a compiled part of it"),
        ("too_few", "got 4 tokens for 4x4 patches"),
        ("halved", "got attention to 8 tokens after 16"),
    ],
)
def test_a_network_that_shows_nothing_is_one_error(name, got):
    weights = drawn(channels=1, arch=f"own_code.nets:{name}")
    with pytest.raises(ConfigError) as error:
        Explainer(weights)
    must = "must name a map of the image, or attention with its grid of patches"
    assert str(error.value).splitlines()[0] == f"--explain: own_code.nets:{name} {must}, {got}"
