"""EfficientNet (Tan and Le 2019, arXiv:1905.11946) and V2 (2021, arXiv:2104.00298) in Flax NNX.

Sizes, rounding, padding, epsilon and the draw of kernels are those of the authors' code (tensorflow/tpu
models/official/efficientnet, google/automl efficientnetv2). Convolutions run in ``Inputs.dtype``; statistics,
normalisation and the head are float32.
"""

import dataclasses
import math
import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from trainer.config import ModelConfig
from trainer.models import sight
from trainer.models.architecture import Architecture, Foreign, Inputs
from trainer.models.attention import Linear
from trainer.models.layers import BatchNorm, LayerConfig
from trainer.models.variants import drop_branch, drop_features

DIVISOR = 8  # channels are a multiple of this
SQUEEZE = 0.25  # channels of the squeezed layer as a share of those that enter the block
PLAIN = {
    "bn_epsilon": 1e-5,
    "bn_momentum": 0.9,
}  # defaults of the settings, which mean the authors' values here
SETTINGS = frozenset(
    {"dtype", "padding", "dropout", "stochastic_depth", "bn_momentum", "bn_epsilon", "bn_group"}
)


@dataclass(frozen=True)
class Stage:
    """Equal blocks, the first of which may halve the image.

    Args:
      kind: "inverted": a 1x1 that widens, a depthwise convolution, a gate and a 1x1; "fused": the first two
        as one convolution, and no gate.
      repeats, size, stride, expand, width: blocks, pixels of a side of the kernel, stride of the first block,
        channels in the middle as a multiple of those that enter, channels that leave.
    """

    kind: str
    repeats: int
    size: int
    stride: int
    expand: int
    width: int


def read_stages(text: str) -> tuple[Stage, ...]:
    """Return the stages of a text such as "r1k3s1e1o16 f4k3s2e4o48"; see ``Stage``; f is fused."""
    read = re.findall(r"([rf])(\d+)k(\d)s(\d)e(\d)o(\d+)", text)
    return tuple(Stage("fused" if kind == "f" else "inverted", *map(int, numbers)) for kind, *numbers in read)


@dataclass(frozen=True, kw_only=True)
class EfficientNetConfig:
    """Sizes of a network and the settings that it honours.

    Args:
      stages: the stages before they are scaled.
      stem, head: channels of the first and of the last convolution before they are scaled.
      width, depth: by which channels and blocks are multiplied.
      limited: whether rounding to multiples of 8 may not take more than a tenth of the channels.
      same: whether the image is padded as TensorFlow's "SAME" pads it, more at its end; else symmetrically.
      dropout: share of the features before the head that training zeroes.
      depth_rate: share of the examples that skip a block at the end; it rises linearly from 0 at the first,
        as rate x i / blocks.
    """

    stages: tuple[Stage, ...]
    stem: int = 32
    head: int = 1280
    width: float = 1.0
    depth: float = 1.0
    limited: bool = True
    same: bool = True
    dropout: float = 0.0
    depth_rate: float = 0.0

    @classmethod
    def resolve(cls, model: ModelConfig, sizes: dict[str, Any]) -> "EfficientNetConfig":
        """Return the configuration of a registered network with the settings of a run."""
        own = {"same": model.padding != "symmetric", "dropout": model.dropout}
        return cls(
            **{**sizes, "stages": read_stages(sizes["stages"])}, **own, depth_rate=model.stochastic_depth
        )

    def channels(self, count: int) -> int:
        """Return scaled channels, a multiple of 8 (the authors' ``round_filters``)."""
        if self.width == 1.0:
            return count
        scaled = count * self.width
        rounded = max(DIVISOR, int(scaled + DIVISOR / 2) // DIVISOR * DIVISOR)
        return rounded + DIVISOR if self.limited and rounded < 0.9 * scaled else rounded

    def blocks(self) -> Iterator[tuple[int, int, Stage, int, int]]:
        """Yield (stage, index in the stage, block, channels that enter, channels that leave) of each block.

        The stride of the block is its own, and its ``repeats`` is 1.
        """
        before = self.channels(self.stem)
        for number, stage in enumerate(self.stages):
            after = self.channels(stage.width)
            for index in range(math.ceil(stage.repeats * self.depth)):
                stride = 1 if index else stage.stride
                yield number, index, dataclasses.replace(stage, stride=stride, repeats=1), before, after
                before = after


class Conv(nnx.Module):
    """A square convolution without bias.

    Args:
      before, after: channels of the image and of the result.
      size, stride: pixels of a side of the kernel, and between two of its places.
      config: sizes of the network; its ``same`` counts here.
      layers: its ``dtype`` counts here.
      depthwise: whether each channel is by itself; ``before`` is ``after`` then.
    """

    def __init__(
        self,
        before: int,
        after: int,
        size: int,
        stride: int,
        config: EfficientNetConfig,
        layers: LayerConfig,
        *,
        rngs: nnx.Rngs,
        depthwise: bool = False,
    ):
        # The authors count one output for a depthwise kernel.
        std = math.sqrt(2.0 / (size * size * (1 if depthwise else after)))
        shape = (size, size, 1 if depthwise else before, after)
        self.kernel = nnx.Param(std * jax.random.normal(rngs.params(), shape, jnp.float32))
        self.stride, self.same, self.dtype = stride, config.same, layers.dtype
        self.groups = before if depthwise else 1

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [B, H / stride, W / stride, after], rounded up, in ``dtype``. x: [B, H, W, before] float."""
        pad = (self.kernel[...].shape[0] - 1) // 2
        return jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            self.kernel[...].astype(self.dtype),
            (self.stride, self.stride),
            "SAME" if self.same else ((pad, pad), (pad, pad)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=self.groups,
        )


class ConvNorm(nnx.Module):
    """A convolution, BatchNorm and, where ``active``, SiLU; arguments are those of ``Conv``."""

    def __init__(self, *sizes: Any, rngs: nnx.Rngs, active: bool = True, depthwise: bool = False):
        after, layers = sizes[1], sizes[5]
        self.conv = Conv(*sizes, rngs=rngs, depthwise=depthwise)
        self.norm = BatchNorm(after, layers)
        self.active = active

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Return [B, H / stride, W / stride, after] in the compute dtype.

        Args:
          x: [B, H, W, before] of any float dtype.
          train: whether BatchNorm takes the statistics of the batch.
        """
        y = self.norm(self.conv(x), train)
        return jax.nn.silu(y) if self.active else y


class Gate(nnx.Module):
    """Scales each channel by a gate that depends on the whole image (arXiv:1709.01507, section 3), with SiLU.

    Args:
      width, squeezed: channels of the image and of the layer between.
      layers: its ``dtype`` counts here.
    """

    def __init__(self, width: int, squeezed: int, layers: LayerConfig, *, rngs: nnx.Rngs):
        init = nnx.initializers.variance_scaling(2.0, "fan_out", "normal")
        self.reduce = Linear(width, squeezed, layers.dtype, rngs=rngs, kernel_init=init)
        self.expand = Linear(squeezed, width, layers.dtype, rngs=rngs, kernel_init=init)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return x with its channels scaled, in its dtype. x: [B, H, W, width] of any float dtype."""
        means = jnp.mean(x.astype(jnp.float32), axis=(1, 2)).astype(x.dtype)  # [B, width]
        gate = jax.nn.sigmoid(self.expand(jax.nn.silu(self.reduce(means))))  # [B, width]
        return x * gate[:, None, None, :]


class Block(nnx.Module):
    """An inverted or fused block; it skips to its end where its shape stays.

    Args:
      stage: the block, with the stride of its own.
      before, after: channels that enter and leave.
      rate: share of the examples that skip it in training.
      config: sizes of the network.
      layers: dtype and BatchNorm.
    """

    def __init__(
        self,
        stage: Stage,
        before: int,
        after: int,
        rate: float,
        config: EfficientNetConfig,
        layers: LayerConfig,
        *,
        rngs: nnx.Rngs,
    ):
        middle, size, stride, shared = before * stage.expand, stage.size, stage.stride, (config, layers)
        self.fused, self.widens, self.rate = stage.kind == "fused", stage.expand != 1, rate
        self.skips = stride == 1 and before == after
        if self.fused:
            wide = middle if self.widens else after
            self.middle = ConvNorm(before, wide, size, stride, *shared, rngs=rngs)
        else:
            if self.widens:
                self.widen = ConvNorm(before, middle, 1, 1, *shared, rngs=rngs)
            self.middle = ConvNorm(middle, middle, size, stride, *shared, rngs=rngs, depthwise=True)
            self.gate = Gate(middle, max(1, int(before * SQUEEZE)), layers, rngs=rngs)
        if self.widens or not self.fused:
            self.narrow = ConvNorm(middle, after, 1, 1, *shared, rngs=rngs, active=False)

    def __call__(self, x: jax.Array, train: bool, key: jax.Array | None) -> jax.Array:
        """Return [B, H / stride, W / stride, after] in the compute dtype.

        Args:
          x: [B, H, W, before] of any float dtype.
          train: whether BatchNorm takes the statistics of the batch.
          key: a scalar key of the examples that skip the block; None: none does.
        """
        y = x
        if self.widens and not self.fused:
            y = self.widen(y, train)
        y = self.middle(y, train)
        y = y if self.fused else self.gate(y)
        if self.widens or not self.fused:
            y = self.narrow(y, train)
        if not self.skips:
            return y
        return (drop_branch(y, self.rate, key) if key is not None and self.rate else y) + x.astype(y.dtype)


class EfficientNet(nnx.Module):
    """The network: a convolution, blocks, a 1x1, the mean of all pixels, dropout and the head.

    Args:
      config: sizes of the network.
      inputs: what it is made for.
    """

    def __init__(self, config: EfficientNetConfig, inputs: Inputs, *, rngs: nnx.Rngs):
        layers, rows = inputs.layers, list(config.blocks())
        stem, head = config.channels(config.stem), config.channels(config.head)
        self.stem = ConvNorm(inputs.channels, stem, 3, 2, config, layers, rngs=rngs)
        self.blocks = nnx.List(
            [
                Block(stage, before, after, config.depth_rate * i / len(rows), config, layers, rngs=rngs)
                for i, (_, _, stage, before, after) in enumerate(rows)
            ]
        )
        self.last = ConvNorm(rows[-1][-1], head, 1, 1, config, layers, rngs=rngs)
        self.dropout = config.dropout
        init = nnx.initializers.variance_scaling(1 / 3, "fan_out", "uniform")
        self.head = Linear(head, inputs.classes, jnp.float32, rngs=rngs, kernel_init=init)

    def __call__(self, images: jax.Array, train: bool, key: jax.Array | None = None) -> jax.Array:
        """Return logits, [B, classes] float32.

        Args:
          images: [B, H, W, C] float32, normalised.
          train: whether BatchNorm takes the statistics of the batch, and examples and features are dropped.
          key: a scalar key of what is dropped; None: nothing is.
        """
        key = key if train else None
        x = self.stem(images, train)  # [B, H / 2, W / 2, stem]
        for i, block in enumerate(self.blocks):
            x = sight.spatial(block(x, train, None if key is None else jax.random.fold_in(key, i)))
        x = sight.spatial(self.last(x, train))  # [B, H / 32, W / 32, head] after five halvings
        x = jnp.mean(x.astype(jnp.float32), axis=(1, 2))  # [B, head]
        if key is not None and self.dropout:
            x = drop_features(x, self.dropout, jax.random.fold_in(key, len(self.blocks)))
        return self.head(x)


def architecture(**sizes: Any) -> Architecture:
    """Return a network of the family; ``sizes`` are fields of ``EfficientNetConfig``, ``stages`` a text."""

    def make(inputs: Inputs, rngs: nnx.Rngs) -> EfficientNet:
        return EfficientNet(EfficientNetConfig.resolve(inputs.model, sizes), inputs, rngs=rngs)

    def names(library: str, model: ModelConfig) -> Foreign:
        rows = list(EfficientNetConfig.resolve(model, sizes).blocks())
        return timm_names(rows) if library == "timm" else torchvision_names(rows)

    return Architecture(
        make=make,
        settings=SETTINGS,
        draws=lambda model: model.stochastic_depth > 0 or model.dropout > 0,
        foreign={
            "timm": lambda model: names("timm", model),
            "torchvision": lambda model: names("torchvision", model),
        },
        by_slice=True,
    )


Rows = list[tuple[int, int, Stage, int, int]]
NORM = {"scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def timm_names(rows: Rows) -> Foreign:
    """Return timm's names and layouts for these blocks (``EfficientNetConfig.blocks``)."""
    alone = {"stem.conv": "conv_stem", "stem.norm": "bn1", "last.conv": "conv_head", "last.norm": "bn2"}

    def name(ours: str) -> str:
        path, _, leaf = ours.rpartition(".")
        leaf = "weight" if leaf == "kernel" else NORM[leaf]
        match = re.fullmatch(r"blocks\.(\d+)\.(\w+)\.(\w+)", path)
        if not match:
            return f"{(alone | {'head': 'classifier'})[path]}.{leaf}"
        number, index, stage, _, _ = rows[int(match[1])]
        layer = _timm_layer(stage, match[2], match[3])
        return f"blocks.{number}.{index}.{layer}.{leaf}"

    return Foreign(
        name=name,
        anchor="conv_stem.weight",
        head="classifier.weight",
        head_bias="classifier.bias",
        write=_write,
    )


def _timm_layer(stage: Stage, part: str, kind: str) -> str:
    if part == "gate":
        return f"se.conv_{kind}"
    order = [part for part in _parts(stage) if part != "gate"]
    if kind == "norm":
        return f"bn{order.index(part) + 1}"
    if stage.kind == "fused":
        return {"middle": "conv_exp" if stage.expand != 1 else "conv", "narrow": "conv_pwl"}[part]
    if stage.expand == 1:
        return {"middle": "conv_dw", "narrow": "conv_pw"}[part]
    return {"widen": "conv_pw", "middle": "conv_dw", "narrow": "conv_pwl"}[part]


def torchvision_names(rows: Rows) -> Foreign:
    """Return torchvision's names and layouts for these blocks (``EfficientNetConfig.blocks``)."""
    last = f"features.{rows[-1][0] + 2}"
    alone = {"stem.conv": "features.0.0", "stem.norm": "features.0.1", "head": "classifier.1"}
    alone |= {"last.conv": f"{last}.0", "last.norm": f"{last}.1"}

    def name(ours: str) -> str:
        path, _, leaf = ours.rpartition(".")
        leaf = "weight" if leaf == "kernel" else NORM[leaf]
        match = re.fullmatch(r"blocks\.(\d+)\.(\w+)\.(\w+)", path)
        if not match:
            return f"{alone[path]}.{leaf}"
        number, index, stage, _, _ = rows[int(match[1])]
        place = f"features.{number + 1}.{index}.block.{_parts(stage).index(match[2])}"
        layer = {"conv": "0", "norm": "1", "reduce": "fc1", "expand": "fc2"}[match[3]]
        return f"{place}.{layer}.{leaf}"

    return Foreign(
        name=name,
        anchor="features.1.0.block.0.0.weight",
        head="classifier.1.weight",
        head_bias="classifier.1.bias",
        write=_write,
    )


def _parts(stage: Stage) -> list[str]:
    """Return the layers of a block in their order."""
    widens = stage.expand != 1
    if stage.kind == "fused":
        return ["middle", "narrow"] if widens else ["middle"]
    return [*(["widen"] if widens else []), "middle", "gate", "narrow"]


def _write(name: str, array: np.ndarray) -> np.ndarray:
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    if array.ndim == 2 and ".gate." in name:
        return array.T[:, :, None, None]  # theirs is a 1x1 convolution
    return array.T if array.ndim == 2 else array
