"""Networks without normalisation (Brock et al. 2021, arXiv:2102.06171 and arXiv:2101.08692) in Flax NNX.

Standardised kernels and constants that follow from the activation keep the variance of what passes through,
so there are no statistics: an example does not depend on the others of its batch, and the state has no
``nnx.BatchStat``. Sizes and formulas of F0 to F6 are those of the authors' code (deepmind-research/nfnets),
those of NF-ResNet-50 timm's. Convolutions run in ``Inputs.dtype``; their kernels are standardised in float32,
and pooling and the head are float32.
"""

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from flax import nnx
from jax.typing import DTypeLike

from trainer.config import ModelConfig
from trainer.models import nfnet_names, sight
from trainer.models.architecture import Architecture, Inputs
from trainer.models.attention import Linear
from trainer.models.layers import LayerConfig
from trainer.models.repeat import repeat
from trainer.models.variants import SqueezeExcite, drop_branch, drop_features, mean_pool

# An activation, and the factor after which its result of a standard normal input has variance 1.
ACTIVATIONS: dict[str, tuple[Callable[[jax.Array], jax.Array], float]] = {
    "relu": (jax.nn.relu, 1.7139588594436646),
    "gelu": (jax.nn.gelu, 1.7015043497085571),  # the tanh approximation, as in the authors' code
    "silu": (jax.nn.silu, 1.7881293296813965),
}
ALPHA = 0.2  # share of a block's branch in the sum (arXiv:2102.06171, section 3)
SQUEEZE_GAIN = 2.0  # undoes the mean of the squeezed layer's gate, 1/2
LEAST_SPREAD = 1e-4  # of a kernel's variance times its fan-in, below which it is not standardised further
KERNEL_INIT = nnx.initializers.variance_scaling(1.0, "fan_in", "normal")
SQUEEZE_INIT = nnx.initializers.variance_scaling(1.0, "fan_in", "truncated_normal")
HEAD_INIT = nnx.initializers.normal(0.01)
CHANNEL_MULTIPLE = 8  # of a bottleneck without groups, as timm has it
SETTINGS = frozenset({"dtype", "activation", "dropout", "stochastic_depth", "repeat", "remat"})


@dataclass(frozen=True, kw_only=True)
class NFNetConfig:
    """Sizes of a network and the settings that it honours.

    Args:
      depths, widths: blocks and channels of each stage.
      stem: channels that enter the first stage.
      pooled_stem: whether the stem is a 7x7 with max pooling; else four 3x3.
      bottleneck: channels in the middle of a block as a share of those that leave.
      group_width: channels of a group of the 3x3; 0: one group.
      twice: whether a block has two 3x3.
      squeeze: channels of the squeezed layer as a share of the block's; 0: no squeeze and excitation.
      last: channels of the 1x1 before the head; 0: none.
      skip_gain: whether a learned number, at first 0, scales each branch (SkipInit); else the gains of its
        last convolution start at 0.
      same: whether the image is padded as TensorFlow's "SAME" pads it; else symmetrically.
      gain_in_kernel: whether the factor of the activation is part of the kernels, the stem's too.
      epsilon: added to the variance of a kernel; 0: the authors' bound ``LEAST_SPREAD`` instead.
      activation: "relu", "gelu" or "silu".
      dropout: share of the features before the head that training zeroes.
      depth_rate: share of the examples that skip a block at the end; it rises linearly from 0 at the first,
        as rate x i / blocks. Survivors are not scaled up.
    """

    depths: tuple[int, ...]
    widths: tuple[int, ...] = (256, 512, 1536, 1536)
    stem: int = 128
    pooled_stem: bool = False
    bottleneck: float = 0.5
    group_width: int = 128
    twice: bool = True
    squeeze: float = 0.5
    last: int = 3072
    skip_gain: bool = True
    same: bool = True
    gain_in_kernel: bool = False
    epsilon: float = 0.0
    activation: str = "gelu"
    dropout: float = 0.0
    depth_rate: float = 0.0

    @classmethod
    def resolve(cls, model: ModelConfig, sizes: dict[str, Any]) -> "NFNetConfig":
        """Return the configuration of a registered network with the settings of a run."""
        own: dict[str, Any] = {"dropout": model.dropout, "depth_rate": model.stochastic_depth}
        if model.activation != "auto":
            own["activation"] = model.activation
        return cls(**sizes | own)

    def middle(self, width: int) -> tuple[int, int]:
        """Return the channels and the groups of the 3x3 of a block that leaves ``width`` channels."""
        share = width * self.bottleneck
        if not self.group_width:
            return round(share / CHANNEL_MULTIPLE) * CHANNEL_MULTIPLE, 1
        groups = int(share) // self.group_width
        return groups * self.group_width, groups

    def activate(self, x: jax.Array) -> jax.Array:
        """Return the activation of x, in its shape and dtype, with variance 1 where x is standard normal."""
        function, gain = ACTIVATIONS[self.activation]
        return function(x) if self.gain_in_kernel else function(x) * gain


class Place(NamedTuple):
    """A block's place in the network.

    Attributes:
      stage: its stage, counted from 0.
      before, after: channels that enter and leave.
      stride: 2 where the block halves the image.
      beta: 1 / the standard deviation of what enters, by formula.
    """

    stage: int
    before: int
    after: int
    stride: int
    beta: float


def places(config: NFNetConfig) -> Iterator[Place]:
    """Yield the place of each block.

    A block adds alpha squared to the variance; the first of a stage, whose shortcut is a convolution of the
    scaled activation, resets it to 1 (arXiv:2101.08692, section 3).
    """
    before, variance = config.stem, 1.0
    for stage, (depth, after) in enumerate(zip(config.depths, config.widths, strict=True)):
        for index in range(depth):
            yield Place(stage, before, after, 1 if index or not stage else 2, 1 / math.sqrt(variance))
            variance = (1.0 if index == 0 else variance) + ALPHA**2
            before = after


class ScaledConv(nnx.Module):
    """A square convolution with a standardised kernel, a gain for each output and a bias.

    The kernel that counts is (kernel - mean) / sqrt(variance x fan-in) x gain, with mean and variance over
    the inputs of each output (scaled weight standardisation, arXiv:2101.08692, section 4).

    Args:
      before, after: channels of the image and of the result.
      size, stride: pixels of a side of the kernel, and between two of its places.
      config: its ``same``, ``epsilon``, ``gain_in_kernel`` and ``activation`` count here.
      dtype: dtype to compute in.
      groups: parts of the channels that do not see each other.
      gain: first value of the gains.
    """

    def __init__(
        self,
        before: int,
        after: int,
        size: int,
        stride: int,
        config: NFNetConfig,
        dtype: DTypeLike,
        *,
        rngs: nnx.Rngs,
        groups: int = 1,
        gain: float = 1.0,
    ):
        shape = (size, size, before // groups, after)
        self.kernel = nnx.Param(KERNEL_INIT(rngs.params(), shape, jnp.float32))
        self.gain = nnx.Param(jnp.full(after, gain, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(after, jnp.float32))
        self.stride, self.groups, self.dtype = stride, groups, dtype
        self.same, self.epsilon = config.same, config.epsilon
        self.factor = ACTIVATIONS[config.activation][1] if config.gain_in_kernel else 1.0

    def standardised(self) -> jax.Array:
        """Return the kernel that counts, [size, size, before / groups, after] float32."""
        kernel = self.kernel[...]
        fan_in = math.prod(kernel.shape[:-1])
        centred = kernel - jnp.mean(kernel, axis=(0, 1, 2))
        var = jnp.mean(jnp.square(centred), axis=(0, 1, 2))  # [after]
        spread = (var + self.epsilon) * fan_in if self.epsilon else jnp.maximum(var * fan_in, LEAST_SPREAD)
        return centred * (jax.lax.rsqrt(spread) * self.gain[...] * self.factor)

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [B, H / stride, W / stride, after], rounded up, in ``dtype``. x: [B, H, W, before] float."""
        pad = (self.kernel[...].shape[0] - 1) // 2
        y = jax.lax.conv_general_dilated(
            x.astype(self.dtype),
            self.standardised().astype(self.dtype),
            (self.stride, self.stride),
            "SAME" if self.same else ((pad, pad), (pad, pad)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
            feature_group_count=self.groups,
        )
        return y + self.bias[...].astype(self.dtype)


class Drop(NamedTuple):
    """What differs between the blocks of a stage.

    Attributes:
      beta: scalar float32, 1 / the standard deviation of what enters.
      skips: a scalar key and the share of the examples that skip the block; None: none does.
    """

    beta: jax.Array
    skips: tuple[jax.Array, jax.Array] | None


class Block(nnx.Module):
    """A bottleneck whose branch starts from the scaled activation (arXiv:2102.06171, figure 3).

    Args:
      place: the block's place; its ``beta`` does not count here.
      config: sizes of the network.
      layers: their ``dtype`` counts here.
    """

    def __init__(self, place: Place, config: NFNetConfig, layers: LayerConfig, *, rngs: nnx.Rngs):
        before, after, stride, dtype = place.before, place.after, place.stride, layers.dtype
        middle, groups = config.middle(after)
        self.config, self.stride = config, stride
        self.conv1 = ScaledConv(before, middle, 1, 1, config, dtype, rngs=rngs)
        self.conv2 = ScaledConv(middle, middle, 3, stride, config, dtype, rngs=rngs, groups=groups)
        if config.twice:
            self.conv3 = ScaledConv(middle, middle, 3, 1, config, dtype, rngs=rngs, groups=groups)
        gain = 1.0 if config.skip_gain else 0.0
        self.out = ScaledConv(middle, after, 1, 1, config, dtype, rngs=rngs, gain=gain)
        self.projects = stride > 1 or before != after
        if self.projects:
            self.shortcut = ScaledConv(before, after, 1, 1, config, dtype, rngs=rngs)
        if config.squeeze:
            self.squeeze = SqueezeExcite(after, config.squeeze, layers, rngs=rngs, kernel_init=SQUEEZE_INIT)
        if config.skip_gain:
            self.skip_gain = nnx.Param(jnp.zeros((), jnp.float32))

    def __call__(self, x: jax.Array, drop: Drop) -> jax.Array:
        """Return [B, H / stride, W / stride, after] in the compute dtype.

        Args:
          x: [B, H, W, before] in the compute dtype.
          drop: what differs between the blocks of a stage.
        """
        activate = self.config.activate
        scaled = activate(x) * drop.beta.astype(x.dtype)
        shortcut = x
        if self.projects:
            shortcut = self.shortcut(mean_pool(scaled) if self.stride > 1 else scaled)
        y = self.conv2(activate(self.conv1(scaled)))
        if self.config.twice:
            y = self.conv3(activate(y))
        y = self.out(activate(y))
        if self.config.squeeze:
            y = self.squeeze(y) * SQUEEZE_GAIN
        if drop.skips is not None:
            key, rate = drop.skips
            y = drop_branch(y, rate, key, rescale=False)
        if self.config.skip_gain:
            y = y * self.skip_gain[...].astype(y.dtype)
        return y * ALPHA + shortcut


class Stem(nnx.Module):
    """The convolutions that quarter the image: a 7x7 and max pooling, or four 3x3 with activations between.

    Args:
      channels: channels of the images.
      config: sizes of the network.
      dtype: dtype to compute in.
    """

    def __init__(self, channels: int, config: NFNetConfig, dtype: DTypeLike, *, rngs: nnx.Rngs):
        self.config = config
        if config.pooled_stem:
            self.convs = nnx.List([ScaledConv(channels, config.stem, 7, 2, config, dtype, rngs=rngs)])
            return
        # 16, 32, 64 and 128 channels, with strides 2, 1, 1 and 2
        widths = [channels, *(config.stem // part for part in (8, 4, 2, 1))]
        strides = (2, 1, 1, 2)
        self.convs = nnx.List(
            [
                ScaledConv(widths[i], widths[i + 1], 3, stride, config, dtype, rngs=rngs)
                for i, stride in enumerate(strides)
            ]
        )

    def __call__(self, images: jax.Array) -> jax.Array:
        """Return [B, H / 4, W / 4, stem], rounded up, in the compute dtype. images: [B, H, W, C] float32."""
        x = images
        for i, conv in enumerate(self.convs):
            x = conv(self.config.activate(x) if i else x)
        if self.config.pooled_stem:
            windows: dict[str, Any] = {"strides": (2, 2), "padding": ((1, 1), (1, 1))}
            return nnx.max_pool(x, (3, 3), **windows)
        return x


class NFNet(nnx.Module):
    """The network: stem, stages of blocks, a 1x1, the mean of all pixels, dropout and the head.

    Args:
      config: sizes of the network.
      inputs: what it is made for.
    """

    def __init__(self, config: NFNetConfig, inputs: Inputs, *, rngs: nnx.Rngs):
        self.config, self.model, self.depths = config, inputs.model, config.depths
        rows = list(places(config))
        self.betas = tuple(place.beta for place in rows)
        self.stem = Stem(inputs.channels, config, inputs.dtype, rngs=rngs)
        self.blocks = nnx.List([Block(place, config, inputs.layers, rngs=rngs) for place in rows])
        features = config.last or config.widths[-1]
        if config.last:
            self.last = ScaledConv(config.widths[-1], features, 1, 1, config, inputs.dtype, rngs=rngs)
        self.head = Linear(features, inputs.classes, jnp.float32, rngs=rngs, kernel_init=HEAD_INIT)

    def __call__(self, images: jax.Array, train: bool, key: jax.Array | None = None) -> jax.Array:
        """Return logits, [B, classes] float32.

        Args:
          images: [B, H, W, C] float32, normalised.
          train: whether examples skip blocks and features are dropped.
          key: a scalar key of what is dropped; None: nothing is.
        """
        key = key if train else None
        x = self.stem(images)  # [B, H / 4, W / 4, stem]
        drops = self._drops(key)
        done = 0
        for depth in self.depths:
            # The first block of a stage has a shortcut of its own; the others are equal.
            x = self.blocks[done](x, _at(drops, done))
            others = slice(done + 1, done + depth)
            if depth > 1:
                x = repeat(
                    list(self.blocks)[others], x, _at(drops, others), self.model, lambda b, x, d: b(x, d)
                )
            x = sight.spatial(x)
            done += depth
        x = sight.spatial(self.config.activate(self.last(x) if self.config.last else x))
        pooled = jnp.mean(x.astype(jnp.float32), axis=(1, 2))  # [B, features]
        if key is not None and self.config.dropout:
            features_key = jax.random.fold_in(key, len(self.blocks))
            pooled = drop_features(pooled, self.config.dropout, features_key)
        return self.head(pooled)

    def _drops(self, key: jax.Array | None) -> Drop:
        """What differs between the blocks, stacked: betas [blocks], keys [blocks] and rates [blocks]."""
        betas, count = jnp.array(self.betas, jnp.float32), len(self.betas)
        if key is None or not self.config.depth_rate:
            return Drop(betas, None)
        keys = jax.vmap(lambda i: jax.random.fold_in(key, i))(jnp.arange(count))
        return Drop(betas, (keys, jnp.array([self.config.depth_rate * i / count for i in range(count)])))


def _at(drops: Drop, index: int | slice) -> Drop:
    return jax.tree.map(lambda array: array[index], drops)


def architecture(**sizes: Any) -> Architecture:
    """Return a network of the family; ``sizes`` are fields of ``NFNetConfig``."""

    def make(inputs: Inputs, rngs: nnx.Rngs) -> NFNet:
        return NFNet(NFNetConfig.resolve(inputs.model, sizes), inputs, rngs=rngs)

    config = NFNetConfig(**sizes)
    return Architecture(
        make=make,
        settings=SETTINGS,
        draws=lambda model: model.stochastic_depth > 0 or model.dropout > 0,
        foreign={"timm": lambda model: nfnet_names.timm(config.depths, config.pooled_stem)},
        by_slice=True,
    )
