"""ResNet (He et al. 2015, arXiv:1512.03385) in Flax NNX, version 1.5: the stride is on the 3x3.

Convolutions run in ``dtype``; statistics, normalisation and the head are float32. Padding is explicit and
symmetric, so that weights trained elsewhere mean the same here.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from trainer.models.layers import BatchNorm, Conv

HEAD_INIT = nnx.initializers.normal(0.01)


class ConvNorm(nnx.Module):
    """A convolution without bias, then BatchNorm."""

    def __init__(
        self, cin, cout, kernel, stride, *, dtype, norm: dict[str, Any], rngs, zero_scale: bool = False
    ):
        self.conv = Conv(cin, cout, kernel, stride, dtype=dtype, rngs=rngs)
        self.norm = BatchNorm(cout, **norm, zero_scale=zero_scale)

    def __call__(self, x, train):
        return self.norm(self.conv(x), train)


class BasicBlock(nnx.Module):
    """Two 3x3 convolutions (ResNet-18 and 34)."""

    expansion = 1

    def __init__(self, cin, width, stride, **kw):
        self.conv1 = ConvNorm(cin, width, 3, stride, **kw)
        self.conv2 = ConvNorm(width, width, 3, 1, zero_scale=True, **kw)
        self.shortcut = nnx.data(_shortcut(cin, width, stride, **kw))

    def __call__(self, x, train):
        y = nnx.relu(self.conv1(x, train))
        y = self.conv2(y, train)
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x, train)))


class Bottleneck(nnx.Module):
    """1x1, 3x3 with the stride, 1x1 to four times the width (ResNet-50 and deeper)."""

    expansion = 4

    def __init__(self, cin, width, stride, **kw):
        cout = width * self.expansion
        self.conv1 = ConvNorm(cin, width, 1, 1, **kw)
        self.conv2 = ConvNorm(width, width, 3, stride, **kw)
        self.conv3 = ConvNorm(width, cout, 1, 1, zero_scale=True, **kw)
        self.shortcut = nnx.data(_shortcut(cin, cout, stride, **kw))

    def __call__(self, x, train):
        y = nnx.relu(self.conv1(x, train))
        y = nnx.relu(self.conv2(y, train))
        y = self.conv3(y, train)
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x, train)))


BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResNet(nnx.Module):
    """A stem, stages of blocks that halve the image and double the width, mean pooling, a linear head.

    Args:
      block: "basic" or "bottleneck".
      stage_sizes: blocks of each stage.
      width: channels of the first stage.
      channels, num_classes: of the images and of the logits.
      small_stem: one 3x3 convolution for images of 8 to 64 pixels, instead of 7x7, stride 2 and max pooling.
      dtype: arithmetic of the convolutions.
    """

    def __init__(
        self,
        *,
        block: str,
        stage_sizes: Sequence[int],
        num_classes: int,
        rngs: nnx.Rngs,
        width: int = 64,
        channels: int = 3,
        small_stem: bool = False,
        dtype: jnp.dtype = jnp.float32,
        bn_momentum: float = 0.9,
        bn_epsilon: float = 1e-5,
    ):
        kw = {"dtype": dtype, "norm": {"momentum": bn_momentum, "epsilon": bn_epsilon}, "rngs": rngs}
        self.small_stem = small_stem
        self.dtype = dtype
        self.stem = ConvNorm(channels, width, 3 if small_stem else 7, 1 if small_stem else 2, **kw)
        make, blocks, features = BLOCKS[block], [], width
        for stage, size in enumerate(stage_sizes):
            for i in range(size):
                stride = 2 if stage > 0 and i == 0 else 1
                blocks.append(make(features, width * 2**stage, stride, **kw))
                features = width * 2**stage * make.expansion
        self.blocks = nnx.List(blocks)
        self.head = nnx.Linear(features, num_classes, kernel_init=HEAD_INIT, rngs=rngs)

    def __call__(self, images: jax.Array, train: bool) -> jax.Array:
        """images: [B, H, W, channels] float, normalised; returns logits [B, num_classes] float32."""
        x = nnx.relu(self.stem(images.astype(self.dtype), train))  # [B, H, W, width] or [B, H/2, W/2, width]
        if not self.small_stem:
            x = nnx.max_pool(x, (3, 3), strides=(2, 2), padding=((1, 1), (1, 1)))  # pyright: ignore[reportArgumentType]  # [B, H/4, W/4, width]
        for block in self.blocks:
            x = block(x, train)
        x = jnp.mean(x.astype(jnp.float32), axis=(1, 2))  # [B, features]
        return self.head(x)


def _shortcut(cin: int, cout: int, stride: int, **kw) -> ConvNorm | None:
    return None if cin == cout and stride == 1 else ConvNorm(cin, cout, 1, stride, **kw)
