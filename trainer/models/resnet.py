"""ResNet (He et al. 2015, arXiv:1512.03385) in Flax NNX, version 1.5: the stride is on the 3x3.

Convolutions run in ``dtype``; statistics, normalisation and the head are float32. Padding is explicit and
symmetric, so that weights trained elsewhere mean the same here.
"""

from collections.abc import Sequence
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from trainer.models.layers import EXACT, BatchNorm, Conv, copies, second_moments
from trainer.models.variants import PLAIN, SqueezeExcite, Variant, blur, drop_branch, mean_pool

HEAD_INIT = nnx.initializers.normal(0.01)


class ConvNorm(nnx.Module):
    """A convolution without bias, then BatchNorm; ``smooth`` blurs what a stride would leave out.

    fold: in training, BatchNorm becomes part of the kernel of a 1x1 that has more outputs than inputs, see
      ``_folded``.
    wide: the kernel's gradient is one of float32, see ``Conv``.
    """

    def __init__(
        self,
        cin,
        cout,
        kernel,
        stride,
        *,
        dtype,
        norm: dict[str, Any],
        rngs,
        zero_scale: bool = False,
        groups: int = 1,
        smooth: bool = False,
        fold: bool = False,
        wide: bool = False,
    ):
        self.conv = Conv(cin, cout, kernel, stride, dtype=dtype, rngs=rngs, groups=groups, wide=wide)
        self.norm = BatchNorm(cout, **norm, zero_scale=zero_scale)
        self.smooth = smooth and stride > 1
        widens = kernel == stride == groups == 1 and cout > cin
        self.folds = fold and widens and (self.norm.groups == 1 or not wide)

    def __call__(self, x, train):
        x = blur(x, 1, "constant") if self.smooth else x
        if train and self.folds:
            folded = self._folded if self.norm.groups == 1 else self._folded_in_groups
            return folded(x.astype(self.conv.dtype))
        return self.norm(self.conv(x), train)

    def _folded(self, x):
        """The same from the moments of the input: what the convolution gives alone is never written.

        The output y = W^T x of each pixel has the mean W^T mean(x) and the variances diag(W^T cov(x) W). So
        they are known before the convolution, whose kernel can have BatchNorm's multiplier in it; and no
        gradient needs y: those of its statistics are products of x with small matrices.
        """
        count = x.size // x.shape[-1]
        mean = jnp.mean(x.astype(jnp.float32), axis=(0, 1, 2))  # [cin]
        covariance = second_moments(x) / count - jnp.outer(mean, mean)
        kernel = self.conv.kernel[...][0, 0]  # [cin, cout]
        spread = jnp.sum(kernel * jnp.dot(covariance, kernel, precision=EXACT), axis=0)  # [cout]
        multiplier, shift = self.norm.learn(
            jnp.dot(mean, kernel, precision=EXACT), jnp.maximum(spread, 0.0), count
        )
        return (self.conv(x, multiplier).astype(jnp.float32) + shift).astype(x.dtype)

    def _folded_in_groups(self, x):
        """``_folded`` where each part of the batch has statistics, and so a kernel, of its own."""
        parts = x.reshape(self.norm.groups, -1, *x.shape[1:])  # [G, B / G, H, W, cin]
        count = parts[0].size // x.shape[-1]
        mean = jnp.mean(parts.astype(jnp.float32), axis=(1, 2, 3))  # [G, cin]
        covariance = jax.vmap(second_moments)(parts) / count - mean[:, :, None] * mean[:, None, :]
        kernel = copies(self.conv.kernel[...][0, 0], len(parts), x.dtype)  # [G, cin, cout]
        spread = jnp.sum(kernel * jnp.matmul(covariance, kernel, precision=EXACT), axis=1)  # [G, cout]
        center = jnp.matmul(mean[:, None], kernel, precision=EXACT)[:, 0]  # [G, cout]
        multiplier, shift = self.norm.learn(center, jnp.maximum(spread, 0.0), count)
        folded = (kernel * multiplier[:, None]).astype(x.dtype)
        image = jnp.einsum("gbhwi,gio->gbhwo", parts, folded).astype(jnp.float32)
        return (image + shift[:, None, None, None]).astype(x.dtype).reshape(*x.shape[:-1], -1)

    def with_pooling(self, x, train, stride):
        """The same and a max pooling of 3x3, which comes first: the normalised image is never written.

        Normalising keeps the order of pixels, or turns it where its scale is negative: the convolution gives
        those channels with the other sign.
        """
        sign = jnp.where(self.norm.scale[...] < 0, -1.0, 1.0)  # [C]
        image = self.conv(x, sign)
        back = sign.astype(image.dtype)
        largest = nnx.max_pool(image, (3, 3), strides=(stride, stride), padding=((1, 1), (1, 1)))  # pyright: ignore[reportArgumentType]
        return self.norm(largest * back, train, of=image * back)


class Shortcut(ConvNorm):
    """A 1x1 with a stride, or mean pooling and a 1x1 without, where the shape changes."""

    def __init__(self, cin, cout, stride, variant: Variant, **kw):
        self.pooled = variant.pool_shortcut and stride > 1
        stride = 1 if self.pooled else stride
        super().__init__(cin, cout, 1, stride, smooth=variant.blur == "before", **kw)

    def __call__(self, x, train):
        return super().__call__(mean_pool(x) if self.pooled else x, train)


class Block(nnx.Module):
    """A branch of convolutions and a shortcut around it; ``branch`` is what the kinds differ in."""

    expansion = 1

    def _surround(self, cin, cout, stride, variant, drop, **kw):
        self.shortcut = nnx.data(
            None if cin == cout and stride == 1 else Shortcut(cin, cout, stride, variant, **kw)
        )
        squeeze = {"dtype": kw["dtype"], "rngs": kw["rngs"]}
        self.squeeze = nnx.data(SqueezeExcite(cout, variant.squeeze, **squeeze) if variant.squeeze else None)
        self.drop = drop
        self.blurred = stride > 1 and variant.blur == "after"

    def _stride(self, stride, variant):
        """Of the 3x3 that halves the image: none where a blur does it afterwards."""
        return 1 if variant.blur == "after" else stride

    def __call__(self, x, train, key=None):
        """x: [B, H, W, cin]; key: of the examples that skip this block, where any may."""
        y = self.branch(x, train)
        if self.squeeze is not None:
            y = self.squeeze(y)
        if train and self.drop and key is not None:
            y = drop_branch(y, self.drop, key)
        return nnx.relu(y + (x if self.shortcut is None else self.shortcut(x, train)))

    def branch(self, x, train):
        raise NotImplementedError


class BasicBlock(Block):
    """Two 3x3 convolutions (ResNet-18 and 34)."""

    def __init__(self, cin, width, stride, variant: Variant = PLAIN, drop: float = 0.0, **kw):
        before = variant.blur == "before"
        self.conv1 = ConvNorm(cin, width, 3, self._stride(stride, variant), smooth=before, **kw)
        self.conv2 = ConvNorm(width, width, 3, 1, zero_scale=True, **kw)
        self._surround(cin, width, stride, variant, drop, **kw)

    def branch(self, x, train):
        y = nnx.relu(self.conv1(x, train))
        return self.conv2(blur(y, 2, "reflect") if self.blurred else y, train)


class Bottleneck(Block):
    """1x1, 3x3 with the stride, 1x1 to four times the width (ResNet-50 and deeper)."""

    expansion = 4

    def __init__(self, cin, width, stride, variant: Variant = PLAIN, drop: float = 0.0, **kw):
        inner, cout = variant.inner_width(width), width * self.expansion
        middle = {"groups": variant.groups, "smooth": variant.blur == "before"}
        self.conv1 = ConvNorm(cin, inner, 1, 1, **kw)
        self.conv2 = ConvNorm(inner, inner, 3, self._stride(stride, variant), **middle, **kw)
        self.conv3 = ConvNorm(inner, cout, 1, 1, zero_scale=True, **kw)
        self._surround(cin, cout, stride, variant, drop, **kw)

    def branch(self, x, train):
        y = nnx.relu(self.conv1(x, train))
        y = nnx.relu(self.conv2(y, train))
        return self.conv3(blur(y, 2, "reflect") if self.blurred else y, train)


BLOCKS = {"basic": BasicBlock, "bottleneck": Bottleneck}


class ResNet(nnx.Module):
    """A stem, stages of blocks that halve the image and double the width, mean pooling, a linear head.

    Args:
      block: "basic" or "bottleneck".
      stage_sizes: blocks of each stage.
      width: channels of the first stage.
      channels, num_classes: of the images and of the logits.
      stem: "imagenet": 7x7 with stride 2 and max pooling; "deep": three 3x3 instead of the 7x7 (ResNet-D);
        "small": one 3x3 without stride or pooling, for images of 8 to 64 pixels.
      variant: what the blocks have beyond the paper's.
      dtype: arithmetic of the convolutions.
      norm_groups: parts of the batch with BatchNorm statistics of their own.
      fold: BatchNorm of the 1x1 convolutions that widen becomes part of their kernels in training.
      wide: gradients of kernels are summed in float32 whatever ``dtype``.
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
        stem: str = "imagenet",
        variant: Variant = PLAIN,
        dtype: jnp.dtype = jnp.float32,
        bn_momentum: float = 0.9,
        bn_epsilon: float = 1e-5,
        norm_groups: int = 1,
        fold: bool = False,
        wide: bool = False,
    ):
        norm = {"momentum": bn_momentum, "epsilon": bn_epsilon, "groups": norm_groups}
        kw = {"dtype": dtype, "norm": norm, "rngs": rngs, "fold": fold, "wide": wide}
        self.pooled, self.blurred = stem != "small", variant.blur == "after"
        self.dtype = dtype
        if stem == "deep":
            half = width // 2
            self.deep = nnx.List([ConvNorm(channels, half, 3, 2, **kw), ConvNorm(half, half, 3, 1, **kw)])
            self.stem = ConvNorm(half, width, 3, 1, **kw)
        else:
            self.deep = nnx.List([])
            size, stride = (3, 1) if stem == "small" else (7, 2)
            self.stem = ConvNorm(channels, width, size, stride, **kw)
        make, blocks, features = BLOCKS[block], [], width
        for stage, size in enumerate(stage_sizes):
            for i in range(size):
                stride = 2 if stage > 0 and i == 0 else 1
                drop = variant.depth_rate * len(blocks) / max(sum(stage_sizes) - 1, 1)
                blocks.append(make(features, width * 2**stage, stride, variant, drop, **kw))
                features = width * 2**stage * make.expansion
        self.blocks = nnx.List(blocks)
        self.head = nnx.Linear(features, num_classes, kernel_init=HEAD_INIT, rngs=rngs)

    def __call__(self, images: jax.Array, train: bool, key: jax.Array | None = None) -> jax.Array:
        """images: [B, H, W, channels] float, normalised; returns logits [B, num_classes] float32.

        key: of the examples that skip blocks in training, where any may.
        """
        x = images.astype(self.dtype)
        for layer in self.deep:
            x = nnx.relu(layer(x, train))
        if self.pooled:
            x = nnx.relu(self.stem.with_pooling(x, train, 1 if self.blurred else 2))
            x = blur(x, 2, "reflect") if self.blurred else x  # [B, H/4, W/4, width]
        else:
            x = nnx.relu(self.stem(x, train))  # [B, H, W, width]
        for i, block in enumerate(self.blocks):
            x = block(x, train, None if key is None else jax.random.fold_in(key, i))
        x = jnp.mean(x.astype(jnp.float32), axis=(1, 2))  # [B, features]
        return self.head(x)
