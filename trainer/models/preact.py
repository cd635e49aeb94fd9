"""Pre-activation ResNets (He et al. 2016, arXiv:1603.05027) in Flax NNX.

BatchNorm and ReLU come before each convolution, so that nothing stands on the path from block to block where
the shape stays the same. Convolutions run in ``LayerConfig.dtype``; statistics, normalisation and the head
are float32.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import jax
import numpy as np
from flax import nnx

from trainer.config import ModelConfig
from trainer.models import sight
from trainer.models.architecture import Architecture, Foreign, Inputs, stage_of, to_oihw
from trainer.models.layers import BatchNorm, Conv, LayerConfig
from trainer.models.pooling import pooled
from trainer.models.repeat import repeat_equal
from trainer.models.variants import Drop, drop_branch, drops_of, mean_pool

EXPANSION = 4  # ratio of a block's output channels to its width
HEAD_INIT = nnx.initializers.normal(0.01)  # Goyal et al. 2017, arXiv:1706.02677, section 5.1
SETTINGS = frozenset({"width", "dtype", "grad_dtype", "stochastic_depth", "repeat", "remat"})
SETTINGS |= {"bn_momentum", "bn_epsilon", "bn_group"}


@dataclass(frozen=True, kw_only=True)
class PreActConfig:
    """The size and the kind of a network.

    Args:
      stage_sizes: blocks of each stage; the first block of all stages but the first halves the image.
      width: channels of the stem, and of the 3x3 of the first stage; each stage doubles them.
      stem: "imagenet": 7x7 with stride 2 and max pooling; "deep": three 3x3 instead of the 7x7; "small": one
        3x3 without stride or pooling.
      pool_shortcut: whether a shortcut that halves the image is mean pooling and a 1x1 without stride.
      stride_first: whether the first 1x1 of a block has its stride, and not its 3x3.
    """

    stage_sizes: tuple[int, ...]
    width: int = 64
    stem: str = "imagenet"
    pool_shortcut: bool = False
    stride_first: bool = False


class PreActBottleneck(nnx.Module):
    """1x1, 3x3, 1x1 to four times the width, each after BatchNorm and ReLU (the paper's figure 1b).

    Where the shape changes, the shortcut is a 1x1 that shares the first BatchNorm and ReLU.

    Args:
      in_channels: channels of the image.
      width: channels of the 3x3; the block returns four times as many.
      stride: 2 halves the image.
      config: what all layers of the network share.
      kind: its ``pool_shortcut`` and ``stride_first`` count here.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int,
        config: LayerConfig,
        kind: PreActConfig,
        *,
        rngs: nnx.Rngs,
    ):
        first, second = (stride, 1) if kind.stride_first else (1, stride)
        out_channels = width * EXPANSION
        self.norm1 = BatchNorm(in_channels, config)
        self.conv1 = Conv(in_channels, width, 1, first, config, rngs=rngs)
        self.norm2 = BatchNorm(width, config)
        self.conv2 = Conv(width, width, 3, second, config, rngs=rngs)
        self.norm3 = BatchNorm(width, config)
        self.conv3 = Conv(width, out_channels, 1, 1, config, rngs=rngs)
        self.pooled = kind.pool_shortcut and stride > 1
        same_shape = in_channels == out_channels and stride == 1
        around = 1 if self.pooled else stride
        self.shortcut = nnx.data(
            None if same_shape else Conv(in_channels, out_channels, 1, around, config, rngs=rngs)
        )

    def __call__(self, x: jax.Array, train: bool, drop: Drop = None) -> jax.Array:
        """Return [B, H / stride, W / stride, 4 width] in the compute dtype.

        Args:
          x: [B, H, W, in_channels] of the compute dtype.
          train: whether BatchNorm takes the statistics of the batch.
          drop: a scalar key and the share of the examples that skip the branch; None: none does.
        """
        active = nnx.relu(self.norm1(x, train))  # [B, H, W, in]
        y = nnx.relu(self.norm2(self.conv1(active), train))  # [B, H or H / stride, …, width]
        y = nnx.relu(self.norm3(self.conv2(y), train))  # [B, H / stride, W / stride, width]
        y = self.conv3(y)  # [B, H / stride, W / stride, 4 width]
        if self.shortcut is not None:
            x = self.shortcut(mean_pool(active) if self.pooled else active)
        return x + (y if drop is None else drop_branch(y, drop[1], drop[0]))


class PreActResNet(nnx.Module):
    """A stem, stages of blocks that halve the image and double the width, BatchNorm, mean pooling, a head.

    Args:
      config: size and kind of the network.
      inputs: what it is made for.
    """

    def __init__(self, config: PreActConfig, inputs: Inputs, *, rngs: nnx.Rngs):
        width, layers = config.width, inputs.layers
        self.model, self.rate = inputs.model, inputs.model.stochastic_depth
        self.dtype, self.pooled = layers.dtype, config.stem != "small"
        if config.stem == "deep":
            half = width // 2
            ends = [(inputs.channels, 2), (half, 1)]
            self.deep = nnx.List(
                [Conv(before, half, 3, stride, layers, rngs=rngs) for before, stride in ends]
            )
            self.deep_norms = nnx.List([BatchNorm(half, layers) for _ in ends])
            self.stem = Conv(half, width, 3, 1, layers, rngs=rngs)
        else:
            self.deep, self.deep_norms = nnx.List([]), nnx.List([])
            size, stride = (3, 1) if config.stem == "small" else (7, 2)
            self.stem = Conv(inputs.channels, width, size, stride, layers, rngs=rngs)
        self.shapes = block_shapes(config.stage_sizes, width, EXPANSION)
        self.blocks = nnx.List([PreActBottleneck(*shape, layers, config, rngs=rngs) for shape in self.shapes])
        features = self.shapes[-1][1] * EXPANSION
        self.norm = BatchNorm(features, layers)
        self.head = nnx.Linear(features, inputs.classes, kernel_init=HEAD_INIT, rngs=rngs)

    def __call__(self, images: jax.Array, train: bool, key: jax.Array | None = None) -> jax.Array:
        """Return logits, [B, classes] float32.

        Args:
          images: [B, H, W, C] float32, normalised.
          train: whether BatchNorm takes the statistics of the batch, and examples may skip blocks.
          key: a scalar key of the examples that skip blocks; None: none does.
        """
        x = images.astype(self.dtype)
        for conv, norm in zip(self.deep, self.deep_norms, strict=True):
            x = nnx.relu(norm(conv(x), train))  # [B, H / 2, W / 2, width / 2]
        x = self.stem(x)  # [B, H / 2, W / 2, width], or [B, H, W, width]
        if self.pooled:
            windows: Any = {"strides": (2, 2), "padding": ((1, 1), (1, 1))}
            x = nnx.max_pool(x, (3, 3), **windows)  # [B, H / 4, W / 4, width]
        drops = drops_of(len(self.blocks), self.rate, key if train else None)
        x = repeat_equal(
            self.blocks, self.shapes, x, drops, self.model, lambda block, x, d: block(x, train, d)
        )
        x = sight.spatial(nnx.relu(self.norm(x, train)))  # [B, H / 32, W / 32, features] after four stages
        return self.head(pooled(x))  # [B, classes]


def block_shapes(stage_sizes: Sequence[int], width: int, expansion: int) -> tuple[tuple[int, int, int], ...]:
    """Return (channels before it, width, stride) of each block; the stem has ``width`` channels.

    Args:
      stage_sizes: blocks of each stage; the first block of all stages but the first halves the image.
      width: width of the first stage; each stage doubles it.
      expansion: ratio of a block's output channels to its width.
    """
    shapes, before = [], width
    for stage, size in enumerate(stage_sizes):
        for i in range(size):
            shapes.append((before, width * 2**stage, 2 if stage and not i else 1))
            before = width * 2**stage * expansion
    return tuple(shapes)


def architecture(stage_sizes: tuple[int, ...]) -> Architecture:
    """Return a network of the family for images of ImageNet, with so many blocks in each stage."""

    def make(inputs: Inputs, rngs: nnx.Rngs) -> PreActResNet:
        model = inputs.model
        config = PreActConfig(
            stage_sizes=stage_sizes,
            width=model.width,
            stem=inputs.stem,
            pool_shortcut=model.shortcut == "pool",
        )
        return PreActResNet(config, inputs, rngs=rngs)

    return Architecture(
        make=make,
        settings=SETTINGS | {"stem", "shortcut"},
        draws=lambda model: model.stochastic_depth > 0,
        foreign={"timm": lambda model: timm_names(stage_sizes, model)},
        by_slice=True,
    )


LEAVES = {"kernel": "weight", "scale": "weight", "bias": "bias", "mean": "running_mean", "var": "running_var"}


def timm_names(stage_sizes: tuple[int, ...], model: ModelConfig) -> Foreign:
    """Return timm's names and layouts for a network (``resnetv2_50`` and its like).

    Args:
      stage_sizes: number of blocks of each stage.
      model: settings of the network, with a stem that is not "auto".
    """

    def name(ours: str) -> str:
        path, _, leaf = ours.rpartition(".")
        leaf = LEAVES[leaf]
        if match := re.fullmatch(r"blocks\.(\d+)\.(\w+)", path):
            stage, index = stage_of(stage_sizes, int(match[1]))
            part = "downsample.conv" if match[2] == "shortcut" else match[2]
            return f"stages.{stage}.blocks.{index}.{part}.{leaf}"
        if match := re.fullmatch(r"deep(_norms)?\.(\d)", path):
            return f"stem.{'norm' if match[1] else 'conv'}{int(match[2]) + 1}.{leaf}"
        stem = "stem.conv3" if model.stem == "deep" else "stem.conv"
        alone = {"stem": stem, "norm": "norm", "head": "head.fc"}
        return f"{alone[path]}.{leaf}"

    def write(ours: str, array: np.ndarray) -> np.ndarray:
        # timm's head is a 1x1 convolution
        return to_oihw(ours, array[None, None] if ours == "head.kernel" else array)

    return Foreign(
        name=name,
        anchor="stages.0.blocks.0.norm1.weight",
        head="head.fc.weight",
        head_bias="head.fc.bias",
        write=write,
        mean=(0.5, 0.5, 0.5),  # timm.data.IMAGENET_INCEPTION_MEAN
        std=(0.5, 0.5, 0.5),
    )
