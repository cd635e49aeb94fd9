"""ResNet (He et al. 2015, arXiv:1512.03385) in Flax NNX, version 1.5: the stride is on the 3x3.

Convolutions run in ``LayerConfig.dtype``; statistics, normalisation and the head are float32. Padding is
explicit and symmetric, so that weights trained elsewhere mean the same here.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from trainer.config import ModelConfig
from trainer.devices import slice_sums
from trainer.errors import ConfigError
from trainer.models import resnet_names, sight, stem_cells
from trainer.models.architecture import Architecture, Foreign, Inputs
from trainer.models.layers import (
    EXACT,
    PIXELS,
    BatchNorm,
    Conv,
    LayerConfig,
    copies,
    every_second,
    second_moments,
    wide,
)
from trainer.models.packed_relu import packed_relu
from trainer.models.pooling import pooled
from trainer.models.variants import (
    PLAIN,
    PLAIN_GROUP_WIDTH,
    SqueezeExcite,
    Variant,
    blur,
    drop_branch,
    mean_pool,
)

SETTINGS = frozenset({"width", "dtype", "grad_dtype", "stem", "shortcut", "blur", "squeeze"})
SETTINGS |= {"stochastic_depth", "bn_momentum", "bn_epsilon", "bn_fold", "bn_group"}
HEAD_INIT = nnx.initializers.normal(0.01)  # Goyal et al. 2017, arXiv:1706.02677, section 5.1


class ConvNorm(nnx.Module):
    """A convolution without bias, then BatchNorm.

    With ``config.fold_norm``, training makes BatchNorm part of the kernel of a 1x1 convolution that has more
    outputs than inputs, see ``folded_kernel``.

    Args:
      in_channels, out_channels: channels of the image and of the result.
      size, stride: pixels of a side of the kernel, and pixels between two of its places.
      config: what all layers of the network share.
      zero_scale: whether BatchNorm's scale begins at 0.
      groups: groups of the convolution.
      smooth: whether a blur comes first where there is a stride.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        size: int,
        stride: int,
        config: LayerConfig,
        *,
        rngs: nnx.Rngs,
        zero_scale: bool = False,
        groups: int = 1,
        smooth: bool = False,
    ):
        self.conv = Conv(in_channels, out_channels, size, stride, config, rngs=rngs, groups=groups)
        self.norm = BatchNorm(out_channels, config, zero_scale)
        self.smooth = smooth and stride > 1
        widens = size == groups == 1 and out_channels > in_channels
        # Folding in groups has no sum of the kernel's gradient in float32.
        foldable = config.norm_groups == 1 or not config.float32_kernel_grads
        self.folds = config.fold_norm and widens and foldable
        self.in_cells = config.pack_relu and (size, stride, groups) == (stem_cells.SIZE, 2, 1)

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Return [B, H / stride, W / stride, out_channels] in the compute dtype.

        Args:
          x: [B, H, W, in_channels] of any float dtype.
          train: whether BatchNorm takes the statistics of the batch.
        """
        if train and self.folds:
            x = self.folding_input(x)
            groups = slice_sums.own_groups(self.norm.groups)
            return folded_sum((self, x)) if groups == 1 else self._folded_in_groups(x, groups)
        x = blur(x, 1, "constant") if self.smooth else x
        return self.norm(self.conv(x), train)  # [B, H / stride, W / stride, out]

    def folding_input(self, x: jax.Array) -> jax.Array:
        """Return what the 1x1 convolution without a stride reads: [B, H / stride, W / stride, in]."""
        x = (blur(x, 1, "constant") if self.smooth else x).astype(self.conv.dtype)
        return x if self.conv.stride == 1 else every_second(x, self.conv.stride)

    def folded_kernel(self, x: jax.Array) -> tuple[jax.Array, jax.Array]:
        """Return the kernel with BatchNorm's multiplier in it, [in, out], and the shift, [out]; both float32.

        They come from the moments of the input alone. The output y = W^T x of each pixel has the mean
        W^T mean(x) and the variances diag(W^T cov(x) W). So they are known before the convolution. No
        gradient needs y: those of its statistics are products of x with small matrices.

        x: [B, H, W, in] in the compute dtype, from ``folding_input``.
        """
        count = x.size // x.shape[-1]
        mean = jnp.mean(x.astype(jnp.float32), axis=PIXELS)  # [in]
        covariance = second_moments(x) / count - jnp.outer(mean, mean)  # [in, in]
        kernel = self.conv.kernel[...][0, 0]  # [in, out]
        out_var = jnp.sum(kernel * jnp.dot(covariance, kernel, precision=EXACT), axis=0)  # [out]
        out_mean = jnp.dot(mean, kernel, precision=EXACT)  # [out]
        multiplier, shift = self.norm.learn(out_mean, jnp.maximum(out_var, 0.0), count)
        return kernel * multiplier, shift

    def _folded_in_groups(self, x: jax.Array, groups: int) -> jax.Array:
        """The same where each part of the batch has statistics, and so a kernel, of its own."""
        parts = x.reshape(groups, -1, *x.shape[1:])  # [G, B / G, H, W, in]
        count = parts[0].size // x.shape[-1]
        mean = jnp.mean(parts.astype(jnp.float32), axis=(1, 2, 3))  # [G, in]
        covariance = jax.vmap(second_moments)(parts) / count - mean[:, :, None] * mean[:, None, :]
        kernel = copies(self.conv.kernel[...][0, 0], len(parts), x.dtype)  # [G, in, out]
        out_var = jnp.sum(kernel * jnp.matmul(covariance, kernel, precision=EXACT), axis=1)  # [G, out]
        out_mean = jnp.matmul(mean[:, None], kernel, precision=EXACT)[:, 0]  # [G, out]
        multiplier, shift = self.norm.learn(out_mean, jnp.maximum(out_var, 0.0), count)
        folded = (kernel * multiplier[:, None]).astype(x.dtype)
        y = jnp.einsum("gbhwi,gio->gbhwo", parts, folded).astype(jnp.float32)  # [G, B / G, H, W, out]
        return (y + shift[:, None, None, None]).astype(x.dtype).reshape(*x.shape[:-1], -1)  # [B, H, W, out]

    def with_pooling(self, x: jax.Array, train: bool, stride: int) -> jax.Array:
        """Return the same after a max pooling of 3x3 and a ReLU, without writing the normalised image.

        The pooling comes first. Normalising keeps the order of pixels, or turns it where its scale is
        negative: the convolution gives those channels with the other sign.

        Args:
          x: [B, H, W, in_channels] of any float dtype.
          train: whether BatchNorm takes the statistics of the batch, before the pooling.
          stride: pixels between two places of the pooling.
        """
        sign = jnp.where(self.norm.scale[...] < 0, -1.0, 1.0)  # [C]
        alone = slice_sums.own_groups(self.norm.groups) == 1
        if train and self.in_cells and alone and stride == 2 and not (x.shape[1] % 4 or x.shape[2] % 4):
            return self._pooled_in_cells(x, sign)
        y = self.conv(x, sign)  # [B, H', W', C]
        sign_back = sign.astype(y.dtype)
        windows: Any = {"strides": (stride, stride), "padding": ((1, 1), (1, 1))}
        pooled = nnx.max_pool(y, (3, 3), **windows)  # [B, H' / stride, W' / stride, C]
        return nnx.relu(self.norm(pooled * sign_back, train, measured=y * sign_back))

    def _pooled_in_cells(self, x: jax.Array, sign: jax.Array) -> jax.Array:
        """The same for the 7x7 with stride 2, see ``stem_cells``: [B, H / 4, W / 4, C] of [B, H, W, in]."""
        kernel, x = self.conv.kernel[...] * sign, x.astype(self.conv.dtype)
        columns = stem_cells.cell_kernel(kernel).astype(x.dtype)
        cells = stem_cells.convolve(x, columns, stem_cells.PAD, stem_cells.PAD)  # [B, H / 4, W / 4, 4 * C]
        seen = cells.astype(wide(x.dtype))
        means = (jnp.mean(seen, axis=PIXELS), jnp.mean(jnp.square(seen), axis=PIXELS))
        mean, squares = (jnp.mean(each.reshape(4, -1), axis=0) for each in means)  # [C]
        var = jnp.maximum(squares - jnp.square(mean), 0.0)
        multiplier, shift = self.norm.learn(mean * sign, var, cells.size // mean.size)
        return stem_cells.pooled_norm(cells, multiplier * sign, shift, x, kernel)


def folded_sum(*terms: tuple[ConvNorm, jax.Array]) -> jax.Array:
    """Return the sum of several layers' results as one product, [B, H, W, out] in the compute dtype.

    The channels of their inputs lie beside each other, as their kernels do. So no result is written to be
    added, and the gradient of the sum is read once for all layers.

    Args:
      terms: a layer that folds, and its ``folding_input``; all results have the same shape.
    """
    kernels, shifts = zip(*(layer.folded_kernel(x) for layer, x in terms), strict=True)
    images = [x for _, x in terms]
    x = images[0] if len(images) == 1 else jnp.concatenate(images, axis=-1)  # [B, H, W, sum of in]
    kernel = kernels[0] if len(kernels) == 1 else jnp.concatenate(kernels)  # [sum of in, out]
    y = terms[0][0].conv.convolve(x, kernel[None, None], 1)
    return (y.astype(jnp.float32) + sum(shifts)).astype(y.dtype)  # [B, H, W, out]


class Shortcut(ConvNorm):
    """The way around a block that changes the shape: a 1x1 with the stride, or mean pooling and a 1x1.

    Args:
      in_channels, out_channels: channels of the image and of the result.
      stride: 2 where the block halves the image, else 1.
      config: what all layers of the network share.
      variant: its ``pool_shortcut`` and ``blur`` count here.
    """

    def __init__(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        config: LayerConfig,
        variant: Variant,
        *,
        rngs: nnx.Rngs,
    ):
        self.pooled = variant.pool_shortcut and stride > 1
        stride = 1 if self.pooled else stride
        super().__init__(
            in_channels, out_channels, 1, stride, config, rngs=rngs, smooth=variant.blur == "before"
        )

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Return [B, H / stride, W / stride, out_channels] of x, [B, H, W, in_channels]; see ``ConvNorm``."""
        x = mean_pool(x) if self.pooled and not (train and self.folds) else x
        return super().__call__(x, train)  # [B, H / stride, W / stride, out]

    def folding_input(self, x: jax.Array) -> jax.Array:
        return super().folding_input(mean_pool(x) if self.pooled else x)  # [B, H / stride, W / stride, in]


class Block(nnx.Module):
    """A branch of convolutions and a shortcut around it; the kinds of blocks differ in ``branch``.

    ``expansion`` is the ratio of a block's output channels to its width.
    """

    expansion = 1

    def _surround(
        self,
        in_channels: int,
        out_channels: int,
        stride: int,
        config: LayerConfig,
        variant: Variant,
        drop_rate: float,
        rngs: nnx.Rngs,
    ) -> None:
        same_shape = in_channels == out_channels and stride == 1
        self.shortcut = nnx.data(
            None if same_shape else Shortcut(in_channels, out_channels, stride, config, variant, rngs=rngs)
        )
        self.squeeze = nnx.data(
            SqueezeExcite(out_channels, variant.squeeze, config, rngs=rngs) if variant.squeeze else None
        )
        self.drop_rate = drop_rate
        self.blurred = stride > 1 and variant.blur == "after"
        self.pack_relu = config.pack_relu

    def __call__(self, x: jax.Array, train: bool, key: jax.Array | None = None) -> jax.Array:
        """Return [B, H / stride, W / stride, width * expansion] in the compute dtype.

        Args:
          x: [B, H, W, in_channels] of any float dtype.
          train: whether BatchNorm takes the statistics of the batch, and examples may skip the branch.
          key: a scalar key of the examples that skip it; None: none does.
        """
        y = self.total(x, train, key if train and self.drop_rate else None)
        return packed_relu(y) if train and self.pack_relu else nnx.relu(y)

    def total(self, x: jax.Array, train: bool, key: jax.Array | None) -> jax.Array:
        """Return the sum of branch and shortcut, which a call rectifies; key None: no example skips."""
        y = self.branch(x, train)  # [B, H / stride, W / stride, out]
        if self.squeeze is not None:
            y = self.squeeze(y)
        if key is not None:
            y = drop_branch(y, self.drop_rate, key)
        return y + (x if self.shortcut is None else self.shortcut(x, train))

    def branch(self, x: jax.Array, train: bool) -> jax.Array:
        """Return what is added to the shortcut: [B, H / stride, W / stride, width * expansion]."""
        raise NotImplementedError


class BasicBlock(Block):
    """Two 3x3 convolutions (ResNet-18 and 34; the paper's table 1).

    Args:
      in_channels: channels of the image.
      width: channels of both convolutions, and of what the block returns.
      stride: of the first convolution; 2 halves the image.
      config: what all layers of the network share.
      variant: how the block differs from the paper's.
      drop_rate: probability that a training example skips the branch.
    """

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int,
        config: LayerConfig,
        variant: Variant = PLAIN,
        drop_rate: float = 0.0,
        *,
        rngs: nnx.Rngs,
    ):
        smooth = variant.blur == "before"
        self.conv1 = ConvNorm(
            in_channels, width, 3, _conv_stride(stride, variant), config, rngs=rngs, smooth=smooth
        )
        self.conv2 = ConvNorm(width, width, 3, 1, config, rngs=rngs, zero_scale=True)
        self._surround(in_channels, width, stride, config, variant, drop_rate, rngs)

    def branch(self, x: jax.Array, train: bool) -> jax.Array:
        y = nnx.relu(self.conv1(x, train))  # [B, H / stride, W / stride, width], or not halved yet
        y = blur(y, 2, "reflect") if self.blurred else y  # [B, H / stride, W / stride, width]
        return self.conv2(y, train)


class Bottleneck(Block):
    """1x1, 3x3 with the stride, 1x1 to four times the width (ResNet-50 and deeper; the paper's table 1).

    Args:
      in_channels: channels of the image.
      width: channels of the plain 3x3; the block returns four times as many.
      stride: of the 3x3; 2 halves the image.
      config: what all layers of the network share.
      variant: how the block differs from the paper's.
      drop_rate: probability that a training example skips the branch.
    """

    expansion = 4

    def __init__(
        self,
        in_channels: int,
        width: int,
        stride: int,
        config: LayerConfig,
        variant: Variant = PLAIN,
        drop_rate: float = 0.0,
        *,
        rngs: nnx.Rngs,
    ):
        inner, out_channels = variant.inner_width(width), width * self.expansion
        self.conv1 = ConvNorm(in_channels, inner, 1, 1, config, rngs=rngs)
        self.conv2 = ConvNorm(
            inner,
            inner,
            3,
            _conv_stride(stride, variant),
            config,
            rngs=rngs,
            groups=variant.groups,
            smooth=variant.blur == "before",
        )
        self.conv3 = ConvNorm(inner, out_channels, 1, 1, config, rngs=rngs, zero_scale=True)
        self._surround(in_channels, out_channels, stride, config, variant, drop_rate, rngs)

    def branch(self, x: jax.Array, train: bool) -> jax.Array:
        return self.conv3(self._inner(x, train), train)

    def total(self, x: jax.Array, train: bool, key: jax.Array | None) -> jax.Array:
        shortcut, plain = self.shortcut, self.squeeze is None and key is None
        if not train or not plain or shortcut is None or not self._folds_with(shortcut):
            return super().total(x, train, key)
        y = self._inner(x, train)
        return folded_sum((self.conv3, self.conv3.folding_input(y)), (shortcut, shortcut.folding_input(x)))

    def _folds_with(self, shortcut: Shortcut) -> bool:
        """Return whether the last convolution and the shortcut have the statistics of the same examples."""
        return self.conv3.folds and shortcut.folds and slice_sums.own_groups(self.conv3.norm.groups) == 1

    def _inner(self, x: jax.Array, train: bool) -> jax.Array:
        y = nnx.relu(self.conv1(x, train))  # [B, H, W, inner]
        y = nnx.relu(self.conv2(y, train))  # [B, H / stride, W / stride, inner], or not halved yet
        return blur(y, 2, "reflect") if self.blurred else y  # [B, H / stride, W / stride, inner]


def _conv_stride(stride: int, variant: Variant) -> int:
    """The stride of the 3x3 that halves the image: 1 where a blur halves it afterwards."""
    return 1 if variant.blur == "after" else stride


BLOCKS: dict[str, type[BasicBlock] | type[Bottleneck]] = {"basic": BasicBlock, "bottleneck": Bottleneck}


@dataclass(frozen=True, kw_only=True)
class ResNetConfig:
    """The size and the kind of a ResNet.

    Args:
      block: "basic" or "bottleneck".
      stage_sizes: blocks of each stage; the first block of all stages but the first halves the image.
      width: channels of the first stage; each stage doubles them.
      stem: "imagenet": 7x7 with stride 2 and max pooling; "deep": three 3x3 instead of the 7x7 (ResNet-C,
        arXiv:1812.01187, figure 2b); "small": one 3x3 without stride or pooling, for 8 to 64 pixels.
      variant: how the blocks differ from the paper's.
    """

    block: str
    stage_sizes: tuple[int, ...]
    width: int = 64
    stem: str = "imagenet"
    variant: Variant = PLAIN

    @classmethod
    def resolve(cls, model: ModelConfig, sizes: Mapping[str, Any], stem: str) -> "ResNetConfig":
        """Return the configuration of a registered network with the settings of a run.

        Args:
          model: the settings of the run.
          sizes: ``block``, ``stage_sizes`` and, where they are not 1 and 64, ``groups`` and ``group_width``.
          stem: ``model.stem``, or what its "auto" means for the images of the run.

        Raises:
          ConfigError: ``model.width`` leaves a group without a channel.
        """
        variant = Variant(
            groups=sizes.get("groups", 1),
            group_width=sizes.get("group_width", PLAIN_GROUP_WIDTH),
            pool_shortcut=model.shortcut == "pool",
            blur=model.blur,
            squeeze=model.squeeze,
            depth_rate=model.stochastic_depth,
        )
        if not variant.inner_width(model.width):
            least = -(-PLAIN_GROUP_WIDTH // variant.group_width)
            raise ConfigError(f"model.width: must be at least {least} for {model.arch}, got {model.width}")
        return cls(
            block=sizes["block"],
            stage_sizes=tuple(sizes["stage_sizes"]),
            width=model.width,
            stem=stem,
            variant=variant,
        )


class ResNet(nnx.Module):
    """A stem, stages of blocks that halve the image and double the width, mean pooling, a linear head.

    Args:
      config: size and kind of the network.
      layers: what all of its layers share.
      channels: channels of the images.
      num_classes: length of a row of logits.
    """

    def __init__(
        self, config: ResNetConfig, layers: LayerConfig, *, channels: int, num_classes: int, rngs: nnx.Rngs
    ):
        width, variant = config.width, config.variant
        self.pooled, self.blurred = config.stem != "small", variant.blur == "after"
        self.dtype = layers.dtype
        if config.stem == "deep":
            half = width // 2
            first = ConvNorm(channels, half, 3, 2, layers, rngs=rngs)
            self.deep = nnx.List([first, ConvNorm(half, half, 3, 1, layers, rngs=rngs)])
            self.stem = ConvNorm(half, width, 3, 1, layers, rngs=rngs)
        else:
            self.deep = nnx.List([])
            size, stride = (3, 1) if config.stem == "small" else (7, 2)
            self.stem = ConvNorm(channels, width, size, stride, layers, rngs=rngs)
        make, features, blocks = BLOCKS[config.block], width, []
        last_block = max(sum(config.stage_sizes) - 1, 1)
        for stage, size in enumerate(config.stage_sizes):
            for i in range(size):
                stride = 2 if stage > 0 and i == 0 else 1
                drop_rate = variant.depth_rate * len(blocks) / last_block
                blocks.append(make(features, width * 2**stage, stride, layers, variant, drop_rate, rngs=rngs))
                features = width * 2**stage * make.expansion
        self.blocks = nnx.List(blocks)
        self.head = nnx.Linear(features, num_classes, kernel_init=HEAD_INIT, rngs=rngs)

    def __call__(self, images: jax.Array, train: bool, key: jax.Array | None = None) -> jax.Array:
        """Return logits, [B, num_classes] float32.

        Args:
          images: [B, H, W, channels] of any float dtype, normalised.
          train: whether BatchNorm takes the statistics of the batch, and examples may skip blocks.
          key: a scalar key of the examples that skip blocks; None: none does.
        """
        x = images.astype(self.dtype)
        for layer in self.deep:
            x = nnx.relu(layer(x, train))  # [B, H / 2, W / 2, width / 2]
        if self.pooled:
            # The stem halves the image unless ``deep`` did. The pooling or the blur after it halves it again.
            x = self.stem.with_pooling(x, train, 1 if self.blurred else 2)
            x = blur(x, 2, "reflect") if self.blurred else x  # [B, H / 4, W / 4, width]
        else:
            x = nnx.relu(self.stem(x, train))  # [B, H, W, width]
        for i, block in enumerate(self.blocks):
            x = sight.spatial(block(x, train, None if key is None else jax.random.fold_in(key, i)))
        # x: [B, H / 32, W / 32, features] after four stages and a stem that pools
        return self.head(pooled(x))  # [B, num_classes]


def architecture(**sizes: Any) -> Architecture:
    """Return a network of the family; ``sizes`` are those that ``ResNetConfig.resolve`` takes."""

    def make(inputs: Inputs, rngs: nnx.Rngs) -> ResNet:
        config = ResNetConfig.resolve(inputs.model, sizes, inputs.stem)
        return ResNet(config, inputs.layers, channels=inputs.channels, num_classes=inputs.classes, rngs=rngs)

    def foreign(model: ModelConfig) -> Foreign:
        return resnet_names.foreign(model, tuple(sizes["stage_sizes"]))

    return Architecture(
        make=make,
        settings=SETTINGS,
        draws=lambda model: model.stochastic_depth > 0,
        foreign={"torchvision": foreign, "timm": foreign},
        by_slice=True,
    )
