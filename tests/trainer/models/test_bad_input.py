"""What does not fit a network of each family is one error that names it, before anything is computed."""

import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.models import network
from trainer.models.attention import Attention
from trainer.registry import ARCHS
from trainer.weights import torch_names
from trainer.weights.file import Weights, describe
from trainer.weights.initial import fitting_arrays


def error_of(arch: str, pixels: int, **model) -> list[str]:
    with pytest.raises(ConfigError) as error:
        network.build(ModelConfig(arch=arch, **model), 4, 3, pixels, "cpu")
    return str(error.value).splitlines()


@pytest.mark.parametrize(
    ("arch", "pixels", "must"),
    [
        ("vit-ti16", 100, "a multiple of the 16 pixels of a patch of vit-ti16"),
        ("vit-s16", 225, "a multiple of the 16 pixels of a patch of vit-s16"),
        ("vit-b32", 240, "a multiple of the 32 pixels of a patch of vit-b32"),
        ("vit-l16", 8, "a multiple of the 16 pixels of a patch of vit-l16"),
        ("deit3-s16", 230, "a multiple of the 16 pixels of a patch of deit3-s16"),
        ("vit-tiny", 10, "a multiple of the 4 pixels of a patch of vit-tiny"),
        ("convnext-t", 28, None),
        ("convnext-s", 31, None),
        ("convnext-tiny", 7, None),
    ],
)
def test_a_resolution_that_does_not_fit_is_named(arch, pixels, must):
    least = 8 if arch == "convnext-tiny" else 32
    must = f"images must be {must}" if must else f"images must have at least {least} pixels for {arch}"
    assert error_of(arch, pixels)[0] == f"model.arch: {must}, got {pixels}"


@pytest.mark.parametrize("arch", ["vit-ti16", "vit-b32", "vit-tiny"])
def test_the_resolution_that_the_hint_names_is_taken(arch):
    assert error_of(arch, 9)[1] == "hint: --set data.image_size=224 decodes them so"
    describe(ModelConfig(arch=arch), 4, 3, 224, "cpu")


@pytest.mark.parametrize(
    ("arch", "setting", "value"),
    [
        ("vit-ti16", "blur", "after"),
        ("vit-s32", "padding", "symmetric"),
        ("deit3-s16", "bn_group", 32),
        ("convnext-t", "pool", "mean"),
        ("convnext-s", "dropout", 0.1),
        ("convnext-tiny", "stem", "deep"),
        ("efficientnet-b0", "shortcut", "pool"),
        ("efficientnetv2-s", "positions", "sincos2d"),
        ("efficientnet-tiny", "repeat", "scan"),
        ("resnet50", "pool", "map"),
        ("resnet18", "padding", "symmetric"),
        ("resnext50-32x4d", "dropout", 0.2),
        ("nfnet-f0", "bn_group", 32),
        ("nfnet-f3", "width", 128),
        ("nf-resnet50", "bn_epsilon", 1e-3),
        ("resnetv2-50", "depth", 101),
        ("resnetv2-101", "squeeze", 0.25),
        ("resnetv2-tiny", "pool", "map"),
        ("cifar-resnet20", "shortcut", "pool"),
        ("cifar-preact164", "stem", "deep"),
        ("cifar-plain56", "stochastic_depth", 0.1),
        ("mdeq-small", "depth", 26),
        ("mdeq-cifar", "repeat", "scan"),
        ("deq-tiny", "stochastic_depth", 0.2),
        ("resnet50", "solver", "anderson"),
        ("vit-s16", "iterations", 4),
    ],
)
def test_a_setting_of_another_family_is_named(arch, setting, value):
    line, hint = error_of(arch, 224, **{setting: value})[:2]
    assert line.startswith(f"model.{setting}: must be ")
    assert line.endswith(f" for {arch}, got {value!r}")
    honoured = network.find(arch).settings
    assert setting not in honoured
    assert hint.startswith(f"hint: the settings of {arch}: ")
    assert "model.dtype" in hint


@pytest.mark.parametrize("heads", [0, 3, 7, 16])
def test_heads_that_do_not_divide_the_width_are_named(heads):
    with pytest.raises(ConfigError, match=f"heads of attention must divide its width 10, got {heads}"):
        Attention(10, heads, jnp.float32, rngs=nnx.Rngs(0))


def weights(arch: str) -> Weights:
    model = network.with_stem(ModelConfig(arch=arch), 224)
    _, shapes = describe(model, 4, 3, 224, "cpu")
    arrays = {name: np.zeros(shape, np.float32) for name, shape in shapes.items()}
    half = (0.5,) * 3
    return Weights(model=model, class_names=list("abcd"), image_size=224, mean=half, std=half, arrays=arrays)


@pytest.mark.parametrize(
    ("of", "to"),
    [
        ("vit-ti16", "vit-s16"),
        ("vit-s16", "vit-s32"),
        ("deit3-s16", "vit-s16"),
        ("convnext-t", "convnext-s"),
        ("efficientnet-b0", "efficientnet-b1"),
        ("efficientnetv2-b0", "efficientnetv2-s"),
        ("resnet18", "resnet34"),
        ("nfnet-tiny", "nf-resnet50"),
        ("resnetv2-tiny", "resnetv2-50"),
        ("cifar-resnet20", "cifar-resnet32"),
        ("cifar-plain20", "cifar-plain56"),
        ("deq-tiny", "mdeq-cifar"),
        # of another family
        ("resnet-tiny", "vit-tiny"),
        ("vit-tiny", "convnext-tiny"),
        ("deq-tiny", "efficientnet-tiny"),
        ("resnetv2-tiny", "resnet-tiny"),
        ("cifar-resnet20", "cifar-preact164"),
    ],
)
def test_weights_of_another_size_or_family_are_refused_by_name(of, to):
    small = weights(of)
    model = network.with_stem(ModelConfig(arch=to), 224)
    _, shapes = describe(model, 4, 3, 224, "cpu")
    with pytest.raises(ConfigError) as error:
        fitting_arrays(small, "w.safetensors", {n: np.empty(s) for n, s in shapes.items()}, model, 224)
    text = str(error.value)
    assert text.startswith("train.init: w.safetensors must fit the network: ")
    assert f"hint: it is a {of}; --arch and --set model.… must describe it" in text
    shared = network.find(of).foreign.keys() & network.find(to).foreign.keys()
    for library in shared if ARCHS[of][0] == ARCHS[to][0] else ():
        theirs = torch_names.write(small.model, small.arrays, library)
        with pytest.raises(ConfigError) as error:
            torch_names.read(model, theirs, shapes, "w.pth", library)
        assert str(error.value).startswith(f"w.pth: must hold a {to}: ")
