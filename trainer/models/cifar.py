"""Networks for small images by one rule for any depth: residual, plain and pre-activation.

He et al. 2015 (arXiv:1512.03385), section 4.2: three stages of n blocks of two 3x3, 6n + 2 layers, with
shortcuts or without. He et al. 2016 (arXiv:1603.05027): three stages of n bottlenecks, 9n + 2 layers; sizes
and strides as in the authors' resnet-pre-act.lua.
"""

from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.models.architecture import Architecture, Inputs
from trainer.models.layers import BatchNorm, Conv, LayerConfig
from trainer.models.pooling import pooled
from trainer.models.preact import HEAD_INIT, SETTINGS, PreActConfig, PreActResNet, block_shapes
from trainer.models.repeat import repeat_equal
from trainer.models.variants import Drop, drop_branch, drops_of

STAGES = 3
OUTSIDE_BLOCKS = 2  # the stem and the head
LAYERS_PER_BLOCK = {"residual": 2, "plain": 2, "preact": 3}


class Block(nnx.Module):
    """Two 3x3 convolutions with BatchNorm, and the image itself around them where there is a shortcut.

    A shortcut that changes the shape has no parameters: it takes every second pixel, and the new channels are
    zero (option A of the paper).

    Args:
      in_channels: channels of the image.
      width: channels of both convolutions, and of what the block returns.
      stride: of the first convolution; 2 halves the image.
      config: what all layers of the network share.
      shortcut: whether the image is added to what the convolutions return.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int,
        config: LayerConfig,
        shortcut: bool,
        *,
        rngs: nnx.Rngs,
    ):
        self.conv1 = Conv(in_channels, width, 3, stride, config, rngs=rngs)
        self.norm1 = BatchNorm(width, config)
        self.conv2 = Conv(width, width, 3, 1, config, rngs=rngs)
        self.norm2 = BatchNorm(width, config)
        self.stride, self.new_channels, self.shortcut = stride, width - in_channels, shortcut

    def __call__(self, x: jax.Array, train: bool, drop: Drop = None) -> jax.Array:
        """Return [B, H / stride, W / stride, width] in the compute dtype.

        Args:
          x: [B, H, W, in_channels] of the compute dtype.
          train: whether BatchNorm takes the statistics of the batch.
          drop: a scalar key and the share of the examples that skip the convolutions; None: none does.
        """
        y = nnx.relu(self.norm1(self.conv1(x), train))  # [B, H / stride, W / stride, width]
        y = self.norm2(self.conv2(y), train)
        if not self.shortcut:
            return nnx.relu(y)
        y = y if drop is None else drop_branch(y, drop[1], drop[0])
        x = x[:, :: self.stride, :: self.stride]  # [B, H / stride, W / stride, in]
        return nnx.relu(y + jnp.pad(x, ((0, 0), (0, 0), (0, 0), (0, self.new_channels))))


class CifarNet(nnx.Module):
    """A 3x3, three stages of n blocks that halve the image and double the width, mean pooling, a head.

    Args:
      blocks_per_stage: n.
      shortcut: whether the blocks have shortcuts.
      inputs: what the network is made for.
    """

    def __init__(self, blocks_per_stage: int, shortcut: bool, inputs: Inputs, *, rngs: nnx.Rngs):
        width, layers = inputs.model.width, inputs.layers
        self.model, self.rate, self.dtype = inputs.model, inputs.model.stochastic_depth, layers.dtype
        self.stem = Conv(inputs.channels, width, 3, 1, layers, rngs=rngs)
        self.norm = BatchNorm(width, layers)
        self.shapes = block_shapes((blocks_per_stage,) * STAGES, width, 1)
        self.blocks = nnx.List([Block(*shape, layers, shortcut, rngs=rngs) for shape in self.shapes])
        self.head = nnx.Linear(self.shapes[-1][1], inputs.classes, kernel_init=HEAD_INIT, rngs=rngs)

    def __call__(self, images: jax.Array, train: bool, key: jax.Array | None = None) -> jax.Array:
        """Return logits, [B, classes] float32.

        Args:
          images: [B, H, W, C] float32, normalised.
          train: whether BatchNorm takes the statistics of the batch, and examples may skip blocks.
          key: a scalar key of the examples that skip blocks; None: none does.
        """
        x = nnx.relu(self.norm(self.stem(images.astype(self.dtype)), train))  # [B, H, W, width]
        drops = drops_of(len(self.blocks), self.rate, key if train else None)
        x = repeat_equal(
            self.blocks, self.shapes, x, drops, self.model, lambda block, x, d: block(x, train, d)
        )
        return self.head(pooled(x))  # [B, classes]


def blocks_per_stage(model: ModelConfig, layers_per_block: int, depth: int) -> int:
    """Return the blocks of each of the three stages of a network with so many layers.

    Args:
      model: its ``depth`` is the number of layers; 0: ``depth``.
      layers_per_block: convolutions of a block.
      depth: the number of layers in the network's name.

    Raises:
      ConfigError: no such network has ``model.depth`` layers; the message names the nearest that one has.
    """
    depth, step = model.depth or depth, STAGES * layers_per_block
    count, too_many = divmod(depth - OUTSIDE_BLOCKS, step)
    if count >= 1 and not too_many:
        return count
    below, above = depth - too_many, depth - too_many + step
    nearest = [below, above] if count >= 1 else [step + OUTSIDE_BLOCKS]
    nearest = [each for each in nearest if abs(each - depth) == min(abs(n - depth) for n in nearest)]
    raise ConfigError(
        f"model.depth: must be {step}n + {OUTSIDE_BLOCKS} for {model.arch}, nearest "
        f"{' or '.join(map(str, nearest))}, got {depth}",
        f"--set model.depth={nearest[-1]}",
    )


def architecture(kind: str, depth: int) -> Architecture:
    """Return a network of the family.

    Args:
      kind: "residual", "plain" or "preact".
      depth: its layers where ``model.depth`` is 0.
    """

    def make(inputs: Inputs, rngs: nnx.Rngs) -> nnx.Module:
        count = blocks_per_stage(inputs.model, LAYERS_PER_BLOCK[kind], depth)
        if kind != "preact":
            return CifarNet(count, kind == "residual", inputs, rngs=rngs)
        sizes: dict[str, Any] = {"stage_sizes": (count,) * STAGES, "width": inputs.model.width}
        return PreActResNet(PreActConfig(**sizes, stem="small", stride_first=True), inputs, rngs=rngs)

    drops = kind != "plain"  # where there is no shortcut no example can skip a block
    return Architecture(
        make=make,
        settings=(SETTINGS if drops else SETTINGS - {"stochastic_depth"}) | {"depth"},
        draws=lambda model: model.stochastic_depth > 0,
        by_slice=True,
    )
