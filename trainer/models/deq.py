"""Multiscale deep equilibrium networks (Bai et al. 2020, arXiv:2006.08656) in Flax NNX.

One layer, which acts on images of several resolutions at once, is applied until its output no longer changes:
the features of an image are a fixed point of the layer. Memory does not grow with the number of iterations.

Convolutions run in ``Inputs.dtype``; the fixed point, normalisation and the solver's arithmetic are float32.
"""

import itertools
import math
from dataclasses import dataclass
from typing import Any

import jax
import jax.numpy as jnp
from flax import nnx

from trainer.config import ModelConfig
from trainer.errors import ConfigError
from trainer.models import fixed_point, sight
from trainer.models.architecture import Architecture, Inputs, Outputs
from trainer.models.attention import Linear
from trainer.models.fixed_point import Point, Solver
from trainer.models.layers import BatchNorm, Conv, LayerConfig, wide
from trainer.models.pooling import pooled
from trainer.models.repeat import POLICIES

INIT = nnx.initializers.normal(0.01)  # the authors' code, MDEQ-Vision/lib/models/mdeq.py
EPSILON = 1e-5  # of group normalisation, as PyTorch has it
WIDER = 5  # channels inside a block of the layer, as a multiple of its own
BOTTLENECK = 4  # channels after a block of the readout, as a multiple of those inside it
ANDERSON_MEMORY, PHANTOM_STEPS = 5, 5
SETTINGS = frozenset(
    {
        *("dtype", "grad_dtype", "bn_momentum", "bn_epsilon", "bn_group", "remat"),
        *("solver", "iterations", "solver_memory", "damping"),
        *("fixed_point_gradient", "gradient_iterations", "jacobian"),
    }
)


@dataclass(frozen=True, kw_only=True)
class DeqConfig:
    """Sizes of a network, and how its fixed point is looked for where the settings do not say.

    Args:
      widths: channels at each resolution, the highest first; each next one has half of its side.
      readout: channels inside the block of the readout at each resolution.
      features: channels that the head sees.
      groups: groups of channels that are normalised together.
      halvings: how often the side of the image is halved before the highest resolution: 0 to 2.
      normalised_fusion: whether the convolutions between resolutions have normalised weights too.
      solver, iterations: what ``model.solver`` "auto" and ``model.iterations`` 0 stand for.
    """

    widths: tuple[int, ...]
    readout: tuple[int, ...]
    features: int
    groups: int
    halvings: int
    normalised_fusion: bool = False
    solver: str = "plain"
    iterations: int = 1


def plain_conv(
    inside: int, outside: int, size: int, stride: int, config: LayerConfig, rngs: nnx.Rngs
) -> Conv:
    """Return a convolution whose kernel begins as the authors' does."""
    conv = Conv(inside, outside, size, stride, config, rngs=rngs)
    conv.kernel = nnx.Param(INIT(rngs.params(), conv.kernel[...].shape, jnp.float32))
    return conv


class NormalisedConv(Conv):
    """A convolution with weight normalisation (Salimans and Kingma 2016, arXiv:1602.07868, equation 2).

    It runs with its kernel as it is: ``normalised`` gives that its lengths once, before all iterations.
    """

    def __init__(
        self, inside: int, outside: int, size: int, stride: int, config: LayerConfig, rngs: nnx.Rngs
    ):
        super().__init__(inside, outside, size, stride, config, rngs=rngs)
        bound = 1 / math.sqrt(size * size * inside)  # PyTorch's first kernel of a convolution
        shape = self.kernel[...].shape
        kernel = jax.random.uniform(rngs.params(), shape, jnp.float32, -bound, bound)
        self.kernel = nnx.Param(kernel)
        self.gain = nnx.Param(lengths(kernel))  # [out]


def lengths(kernel: jax.Array) -> jax.Array:
    """Return the length of the weights of each output, [out]; kernel: [size, size, in, out]."""
    return jnp.sqrt(jnp.sum(jnp.square(kernel), axis=(0, 1, 2)))


def normalised(state: nnx.State) -> nnx.State:
    """Return the arrays of a layer with each kernel that has a gain at that length."""
    flat = dict(nnx.to_flat_state(state))
    for path, gain in flat.items():
        if path[-1] == "gain":
            kernel = flat[(*path[:-1], "kernel")]
            value = kernel.get_value()
            flat[(*path[:-1], "kernel")] = kernel.replace(value * (gain.get_value() / lengths(value)))
    return nnx.from_flat_state(flat)


class GroupNorm(nnx.Module):
    """Normalisation of each example over its pixels and a group of channels (arXiv:1803.08494, section 3).

    Args:
      channels: channels of the image.
      groups: number of groups, which divides them.
    """

    def __init__(self, channels: int, groups: int):
        self.scale = nnx.Param(jnp.ones(channels, jnp.float32))
        self.bias = nnx.Param(jnp.zeros(channels, jnp.float32))
        self.groups = groups

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [B, H, W, channels] in at least float32. x: [B, H, W, channels] of any float dtype."""
        x = x.astype(wide(x.dtype))
        # Channels are reduced first, so that no large array has its channels split.
        mean = self._over_groups(jnp.mean(x, axis=(1, 2)))  # [B, channels]
        var = self._over_groups(jnp.mean(jnp.square(x), axis=(1, 2))) - jnp.square(mean)
        # Rounding can take the difference just below zero.
        multiplier = jax.lax.rsqrt(jnp.maximum(var, 0.0) + EPSILON) * self.scale[...].astype(x.dtype)
        shift = self.bias[...].astype(x.dtype) - mean * multiplier
        return x * multiplier[:, None, None] + shift[:, None, None]

    def _over_groups(self, means: jax.Array) -> jax.Array:
        """Return the mean of each group at each of its channels, [B, channels] from [B, channels]."""
        parts = means.reshape(len(means), self.groups, -1)
        return jnp.broadcast_to(jnp.mean(parts, axis=2, keepdims=True), parts.shape).reshape(means.shape)


class Block(nnx.Module):
    """The residual block of one resolution (arXiv:2006.08656, figure 2).

    Args:
      width: channels of the image.
      groups: groups of the normalisations.
      config: settings of the convolutions.
    """

    def __init__(self, width: int, groups: int, config: LayerConfig, *, rngs: nnx.Rngs):
        self.widen = NormalisedConv(width, WIDER * width, 3, 1, config, rngs)
        self.norm1 = GroupNorm(WIDER * width, groups)
        self.narrow = NormalisedConv(WIDER * width, width, 3, 1, config, rngs)
        self.norm2 = GroupNorm(width, groups)
        self.norm3 = GroupNorm(width, groups)

    def __call__(self, z: jax.Array, injection: jax.Array | None) -> jax.Array:
        """Return [B, H, W, width] in the dtype of z.

        Args:
          z: [B, H, W, width] float32.
          injection: what the image adds, of the same shape and any float dtype; None: nothing.
        """
        y = self.narrow(nnx.relu(self.norm1(self.widen(z)))).astype(z.dtype)
        if injection is not None:
            y = y + injection.astype(z.dtype)
        return self.norm3(nnx.relu(self.norm2(y) + z))


class Fusion(nnx.Module):
    """What one resolution gives to another: strided convolutions to a lower one, or copies to a higher one.

    Args:
      widths: channels at each resolution.
      source, target: numbers of the two resolutions; 0 is the highest.
      sizes: groups, and whether the convolutions are normalised.
      config: settings of the convolutions.
    """

    def __init__(
        self,
        widths: tuple[int, ...],
        source: int,
        target: int,
        sizes: DeqConfig,
        config: LayerConfig,
        *,
        rngs: nnx.Rngs,
    ):
        conv = NormalisedConv if sizes.normalised_fusion else plain_conv
        self.copies = 2 ** max(source - target, 0)
        before = widths[source]
        if target > source:
            outs = [before] * (target - source - 1) + [widths[target]]
            self.convs = nnx.List([conv(before, out, 3, 2, config, rngs) for out in outs])
        else:
            outs = [widths[target]]
            self.convs = nnx.List([conv(before, widths[target], 1, 1, config, rngs)])
        self.norms = nnx.List([GroupNorm(out, sizes.groups) for out in outs])

    def __call__(self, x: jax.Array) -> jax.Array:
        """Return [B, H', W', C'] float32 of the target's resolution. x: [B, H, W, C] of the source's."""
        for number, (conv, norm) in enumerate(zip(self.convs, self.norms, strict=True)):
            x = norm(conv(nnx.relu(x) if number else x))
        if self.copies == 1:
            return x
        batch, height, width, channels = x.shape
        n = self.copies
        x = jnp.broadcast_to(x[:, :, None, :, None], (batch, height, n, width, n, channels))
        return x.reshape(batch, height * n, width * n, channels)


class Layer(nnx.Module):
    """The layer whose fixed point is sought: a block for each resolution, then each gives to each other.

    Args:
      sizes: sizes of the network.
      config: settings of the convolutions.
    """

    def __init__(self, sizes: DeqConfig, config: LayerConfig, *, rngs: nnx.Rngs):
        widths, levels = sizes.widths, range(len(sizes.widths))
        self.blocks = nnx.List([Block(width, sizes.groups, config, rngs=rngs) for width in widths])
        self.fusions = nnx.Dict(
            {
                f"{source}_{target}": Fusion(widths, source, target, sizes, config, rngs=rngs)
                for target in levels
                for source in levels
                if source != target
            }
        )
        self.outs = nnx.List([NormalisedConv(width, width, 1, 1, config, rngs) for width in widths])
        self.norms = nnx.List([GroupNorm(width, sizes.groups // 2) for width in widths])

    def __call__(self, z: Point, injection: jax.Array) -> Point:
        """Return the next point: for each resolution [B, H, W, width] float32, as z.

        Args:
          z: a point.
          injection: [B, H, W, widths[0]], what the image adds to the highest resolution.
        """
        inner = [
            block(x, None if level else injection)
            for level, (block, x) in enumerate(zip(self.blocks, z, strict=True))
        ]
        fused = []
        for target, x in enumerate(inner):
            for source, y in enumerate(inner):
                x = x if source == target else x + self.fusions[f"{source}_{target}"](y)
            y = self.outs[target](nnx.relu(x)).astype(x.dtype)
            fused.append(self.norms[target](y))
        return tuple(fused)


class ConvUnit(nnx.Module):
    """A convolution and BatchNorm, with relu unless it ends a branch.

    Args:
      inside, outside, size, stride: of the convolution.
      config: settings of both.
      relu: whether relu follows.
    """

    def __init__(
        self,
        inside: int,
        outside: int,
        size: int,
        stride: int,
        config: LayerConfig,
        *,
        rngs: nnx.Rngs,
        relu: bool = True,
    ):
        self.conv = plain_conv(inside, outside, size, stride, config, rngs)
        self.norm = BatchNorm(outside, config)
        self.relu = relu

    def __call__(self, x: jax.Array, train: bool) -> jax.Array:
        """Return [B, H / stride, W / stride, outside]. x: [B, H, W, inside] of any float dtype."""
        y = self.norm(self.conv(x), train)
        return nnx.relu(y) if self.relu else y


class Readout(nnx.Module):
    """The features of an image from its fixed point: each resolution is widened and added to the next one.

    Args:
      sizes: sizes of the network.
      config: settings of convolutions and BatchNorm.
    """

    def __init__(self, sizes: DeqConfig, config: LayerConfig, *, rngs: nnx.Rngs):
        def unit(inside: int, outside: int, size: int, stride: int = 1, relu: bool = True) -> ConvUnit:
            return ConvUnit(inside, outside, size, stride, config, rngs=rngs, relu=relu)

        pairs = list(zip(sizes.widths, sizes.readout, strict=True))
        outer = [BOTTLENECK * inner for inner in sizes.readout]
        self.first = nnx.List([unit(width, inner, 1) for width, inner in pairs])
        self.middle = nnx.List([unit(inner, inner, 3) for inner in sizes.readout])
        self.last = nnx.List([unit(inner, BOTTLENECK * inner, 1, relu=False) for inner in sizes.readout])
        self.shortcuts = nnx.List([unit(width, BOTTLENECK * inner, 1, relu=False) for width, inner in pairs])
        self.halvings = nnx.List([unit(a, b, 3, 2) for a, b in itertools.pairwise(outer)])
        self.final = unit(outer[-1], sizes.features, 1)

    def __call__(self, z: Point, train: bool) -> jax.Array:
        """Return [B, features] float32. z: a point."""
        y = sight.spatial(self._widened(0, z[0], train))
        for level, halving in enumerate(self.halvings, start=1):
            y = sight.spatial(self._widened(level, z[level], train) + halving(y, train))
        return pooled(sight.spatial(self.final(y, train)))

    def _widened(self, level: int, z: jax.Array, train: bool) -> jax.Array:
        y = self.last[level](self.middle[level](self.first[level](z, train), train), train)
        return nnx.relu(y + self.shortcuts[level](z, train))


class Deq(nnx.Module):
    """The network: a stem, the fixed point of the layer, a readout and a head.

    Args:
      sizes: sizes of the network.
      search: how the fixed point and its gradient are computed.
      inputs: what it is made for.
    """

    def __init__(self, sizes: DeqConfig, search: "Search", inputs: Inputs, *, rngs: nnx.Rngs):
        config, width = inputs.layers, sizes.widths[0]
        strides = [2 if number < sizes.halvings else 1 for number in range(2)]
        self.stem = nnx.List(
            [
                ConvUnit(inputs.channels, width, 3, strides[0], config, rngs=rngs),
                ConvUnit(width, width, 3, strides[1], config, rngs=rngs),
            ]
        )
        if sizes.halvings or len(sizes.widths) > 2:
            self.stem.append(ConvUnit(width, width, 1, 1, config, rngs=rngs))
        self.layer = Layer(sizes, config, rngs=rngs)
        self.readout = Readout(sizes, config, rngs=rngs)
        self.head = Linear(sizes.features, inputs.classes, wide(inputs.dtype), rngs=rngs)
        self.sizes, self.search, self.arch = sizes, search, inputs.model.arch
        self.dtype = wide(inputs.dtype)  # of the fixed point

    def __call__(self, images: jax.Array, train: bool, key: jax.Array | None = None) -> Outputs:
        """Return logits, [B, classes] float32, with the residual and the iterations of the fixed point.

        Args:
          images: [B, H, W, C] float32, normalised; H and W are multiples of ``multiple``.
          train: whether gradients are wanted; BatchNorm then takes the statistics of the batch.
          key: a scalar key of the Jacobian's estimate; None: there is no penalty.
        """
        check_sides(self.arch, self.sizes, images.shape[1:3])
        injection = images
        for unit in self.stem:
            injection = unit(injection, train)  # [B, H, W, widths[0]] after the halvings
        graphdef, state = nnx.split(self.layer)
        theta = normalised(state), injection

        def body(theta: Any, z: Point) -> Point:
            state, injection = theta
            return nnx.merge(graphdef, state)(z, injection)

        point, solved = self.search.find(body, theta, self._start(injection), train)
        metrics = {"residual": jnp.mean(solved.residual), "iterations": jnp.mean(solved.evaluations)}
        penalties = {}
        if self.search.jacobian and key is not None:
            norm = fixed_point.jacobian_norm(lambda z: body(theta, z), solved.point, key)
            penalties["jacobian"] = self.search.jacobian * norm
        return Outputs(self.head(self.readout(point, train)), penalties, metrics)

    def _start(self, injection: jax.Array) -> Point:
        batch, height, width, _ = injection.shape
        return tuple(
            jnp.zeros((batch, height >> level, width >> level, channels), self.dtype)
            for level, channels in enumerate(self.sizes.widths)
        )


@dataclass(frozen=True, kw_only=True)
class Search:
    """How a network computes its fixed point and the gradient of it.

    Attributes:
      solver: of the fixed point.
      gradient: "phantom", "implicit" or "unrolled"; see ``trainer.models.fixed_point``.
      gradient_iterations: steps of the phantom gradient, or iterations of the implicit one.
      remat: policy of jax.checkpoint for an iteration that is differentiated; None: all of it is kept.
      jacobian: weight of the penalty on the Jacobian.
    """

    solver: Solver
    gradient: str
    gradient_iterations: int
    remat: Any = None
    jacobian: float = 0.0

    def find(
        self, body: fixed_point.Body, theta: Any, start: Point, train: bool
    ) -> tuple[Point, fixed_point.Solved]:
        """Return the point that the readout sees, and the fixed point that it comes from.

        Evaluation sees the fixed point. Training sees it after the steps that are differentiated.

        Args:
          body, theta: the layer and its arrays.
          start: the first point.
          train: whether gradients are wanted.
        """
        if self.gradient == "unrolled" and train:
            solved = fixed_point.solve(lambda z: body(theta, z), start, self.solver, self.remat)
            return solved.point, jax.lax.stop_gradient(solved)
        fixed = jax.lax.stop_gradient(theta)
        solved = fixed_point.solve(lambda z: body(fixed, z), start, self.solver)
        if not train:
            return solved.point, solved
        if self.gradient == "implicit":
            linear = Solver(
                name=self.solver.name,
                iterations=self.gradient_iterations,
                memory=min(self.solver.memory, self.gradient_iterations),
                damping=self.solver.damping,
            )
            return fixed_point.implicit(body, theta, solved.point, linear), solved
        steps, damping = self.gradient_iterations, self.solver.damping
        return fixed_point.phantom(body, theta, solved.point, steps, damping, self.remat), solved


def search_of(sizes: DeqConfig, model: ModelConfig) -> Search:
    """Return how a network with these settings computes its fixed point.

    Raises:
      ConfigError: settings that contradict each other, by name.
    """
    name = sizes.solver if model.solver == "auto" else model.solver
    iterations = model.iterations or sizes.iterations
    problems = []
    if name == "plain" and model.solver_memory:
        problems.append(
            f"model.solver_memory: must be 0 with model.solver=plain, which keeps nothing, got "
            f"{model.solver_memory}"
        )
    if name == "anderson" and model.solver_memory == 1:
        problems.append("model.solver_memory: must be at least 2 with model.solver=anderson, got 1")
    if model.solver_memory > iterations:
        problems.append(
            f"model.solver_memory: must be at most the {iterations} iterations, got {model.solver_memory}"
        )
    if model.fixed_point_gradient == "unrolled" and name != "plain":
        problems.append(
            "model.fixed_point_gradient: must be phantom or implicit with "
            f"model.solver={name}, got 'unrolled'"
        )
    if model.fixed_point_gradient == "unrolled" and model.gradient_iterations:
        problems.append(
            "model.gradient_iterations: must be 0 with model.fixed_point_gradient=unrolled, which "
            f"differentiates all iterations, got {model.gradient_iterations}"
        )
    if model.fixed_point_gradient == "implicit" and model.remat != "none":
        problems.append(
            "model.remat: must be none with model.fixed_point_gradient=implicit, which keeps no iteration, "
            f"got {model.remat!r}"
        )
    if name == "broyden" and model.fixed_point_gradient == "implicit" and model.damping != 1:
        problems.append(
            f"model.damping: must be 1 with model.solver=broyden and the implicit gradient, got "
            f"{model.damping:g}"
        )
    if problems:
        raise ConfigError("\n".join(problems))
    memory = {"plain": 1, "anderson": min(ANDERSON_MEMORY, iterations), "broyden": iterations}[name]
    backward = {"phantom": PHANTOM_STEPS, "implicit": iterations, "unrolled": 0}[model.fixed_point_gradient]
    return Search(
        solver=Solver(
            name=name,
            iterations=iterations,
            memory=model.solver_memory or memory,
            damping=model.damping,
        ),
        gradient=model.fixed_point_gradient,
        gradient_iterations=model.gradient_iterations or backward,
        remat=POLICIES[model.remat],
        jacobian=model.jacobian,
    )


def check_sides(arch: str, sizes: DeqConfig, sides: tuple[int, ...]) -> None:
    """Raise ConfigError where an image cannot be halved down to the lowest resolution."""
    multiple = 2 ** (sizes.halvings + len(sizes.widths) - 1)
    if any(side % multiple for side in sides):
        raise ConfigError(
            f"model.arch: {arch} needs images whose sides are a multiple of {multiple} pixels, got "
            f"{'x'.join(map(str, sides))}",
            "data.image_size is the size of the images, augment.resolution that of the training",
        )


def architecture(**sizes: Any) -> Architecture:
    """Return a network of the family; ``sizes`` are fields of ``DeqConfig``."""
    config = DeqConfig(**sizes)

    def make(inputs: Inputs, rngs: nnx.Rngs) -> Deq:
        check_sides(inputs.model.arch, config, (inputs.image_size, inputs.image_size))
        return Deq(config, search_of(config, inputs.model), inputs, rngs=rngs)

    return Architecture(make=make, settings=SETTINGS, draws=lambda model: model.jacobian > 0)
