"""The contract of a network, built in or from a package: what makes it, and the settings that it honours.

``--arch package.module:name`` names an ``Architecture``, which the decorator ``architecture`` makes::

    @architecture(settings=["dtype"])
    def mlp(inputs: Inputs, rngs: nnx.Rngs) -> nnx.Module:
        return MLP(inputs.image_size**2 * inputs.channels, inputs.classes, inputs.dtype, rngs)

The module is called as ``module(images, train=...)`` and returns logits, or ``Outputs`` with more.
images: [B, H, W, C] float32, normalised; logits: [B, classes] of any float dtype. Where ``__call__`` has a
parameter ``key``, it gets a random key of the step in training and None in evaluation.

Its arrays are ``nnx.Param`` and ``nnx.BatchStat``, float32. Random state, as of ``nnx.Dropout``, is no part
of a checkpoint: it is made anew from (seed, step), so that a resumed run draws the same numbers. Weight decay
applies to the arrays named ``kernel``, as Flax's layers name them. The part named ``head`` holds the arrays
whose last axis is the classes; ``train.init`` starts it afresh for other classes.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx

from trainer.config import ModelConfig
from trainer.devices.model_axis import Division
from trainer.errors import ConfigError
from trainer.models.layers import LayerConfig

# torchvision and timm normalise with these, per channel in RGB order (torchvision.transforms).
IMAGENET_MEAN, IMAGENET_STD = (0.485, 0.456, 0.406), (0.229, 0.224, 0.225)
METRICS = ("residual", "iterations")  # what a network may report; fields of trainer.metrics.lines.Trained
SETTINGS = frozenset(field.name for field in dataclasses.fields(ModelConfig)) - {"arch"}


@dataclasses.dataclass(frozen=True, kw_only=True)
class Inputs:
    """What a network is made for.

    Attributes:
      model: settings of the network.
      classes: length of a row of logits.
      channels: channels of the images.
      image_size: height and width of the decoded images in pixels; training may resize them.
      dtype: dtype to compute in: ``model.dtype``, or what its "auto" means on the devices of the run.
      stem: ``model.stem``, or what its "auto" means for these images.
      layers: dtype and BatchNorm of the layers in ``trainer.models.layers``.
    """

    model: ModelConfig
    classes: int
    channels: int
    image_size: int
    dtype: jnp.dtype
    stem: str
    layers: LayerConfig


class Outputs(NamedTuple):
    """What a network returns that has penalties, or that reports more than its logits.

    Attributes:
      logits: [B, classes] of any float dtype.
      penalties: scalars by name, each added to the loss in training.
      metrics: scalars by name, of ``METRICS``, which training logs beside the loss.
    """

    logits: jax.Array
    penalties: Mapping[str, jax.Array] = {}
    metrics: Mapping[str, jax.Array] = {}


def from_oihw(name: str, array: np.ndarray, shape: tuple[int, ...]) -> np.ndarray:
    """Return an array of PyTorch in our layout: OIHW kernels become HWIO, [out, in] becomes [in, out].

    Args:
      name: our name of the array.
      array: its values in the other library's layout.
      shape: its shape in our layout; with two axes, a 1x1 convolution becomes a matrix.
    """
    if array.ndim == 4:
        array = array.transpose(2, 3, 1, 0)
        return array[0, 0] if len(shape) == 2 else array
    return array.T if array.ndim == 2 else array


def to_oihw(name: str, array: np.ndarray) -> np.ndarray:
    """Return an array of ours in the layout of PyTorch: the inverse of ``from_oihw``."""
    if array.ndim == 4:
        return array.transpose(3, 2, 0, 1)
    return array.T if array.ndim == 2 else array


def stage_of(depths: tuple[int, ...], block: int) -> tuple[int, int]:
    """Return (stage, index in the stage) of a block, all counted from 0."""
    for stage, depth in enumerate(depths):
        if block < depth:
            return stage, block
        block -= depth
    raise ValueError(f"a network of {sum(depths)} blocks has no further one")


@dataclasses.dataclass(frozen=True, kw_only=True)
class Foreign:
    """How another library names and lays out the arrays of a network, and which images its weights expect.

    Attributes:
      name: our name of an array -> theirs.
      anchor: their name of a tensor that each network of the family has, by which it is found in a file.
      head: their name of the head's kernel, [classes, features].
      head_bias: their name of its bias.
      ignored: ends of names of tensors that are no part of the network, such as counters.
      read: ``read(our name, their array, our shape) -> our array``.
      write: ``write(our name, our array) -> their array``.
      mean, std: mean and standard deviation of each channel, for images scaled to 0..1.
    """

    name: Callable[[str], str]
    anchor: str
    head: str = "head.weight"
    head_bias: str = "head.bias"
    ignored: tuple[str, ...] = ("num_batches_tracked",)
    read: Callable[[str, np.ndarray, tuple[int, ...]], np.ndarray] = from_oihw
    write: Callable[[str, np.ndarray], np.ndarray] = to_oihw
    mean: tuple[float, ...] = IMAGENET_MEAN
    std: tuple[float, ...] = IMAGENET_STD


@dataclasses.dataclass(frozen=True, kw_only=True)
class Architecture:
    """What makes a network, and what the trainer must know of it.

    Attributes:
      make: ``make(inputs, rngs)`` returns the module. It may be traced.
      settings: settings of the section ``model`` that the network honours, such as "dtype". Another one that
        differs from its default is refused.
      draws: whether training draws random numbers with these settings; None: where ``__call__`` has a
        parameter ``key``, or a layer holds random state.
      foreign: library ("torchvision" or "timm") -> a function of the settings that returns its names and
        layouts.
      fit: ``fit(name, array, shape)`` returns an array that was learned on images of another size for those
        of the run, and one that cannot be as it is; None: no array depends on the size.
      division: how ``mesh.model`` divides its arrays; None: it cannot be divided.
      by_slice: whether examples of a batch meet only in our BatchNorm, and what is drawn for them is drawn by
        ``trainer.models.variants``; then slices may compute apart what is theirs.

    Raises:
      ConfigError: a word of ``settings`` is no setting.
    """

    make: Callable[[Inputs, nnx.Rngs], nnx.Module]
    settings: frozenset[str] = frozenset()
    draws: Callable[[ModelConfig], bool] | None = None
    foreign: Mapping[str, Callable[[ModelConfig], Foreign]] = dataclasses.field(default_factory=dict)
    fit: Callable[[str, np.ndarray, tuple[int, ...]], np.ndarray] | None = None
    division: Division | None = None
    by_slice: bool = False

    def __post_init__(self):
        if unknown := sorted(self.settings - SETTINGS):
            listed = ", ".join(sorted(SETTINGS))
            maker = (
                f"{self.make.__module__}:{getattr(self.make, '__qualname__', type(self.make).__qualname__)}"
            )
            problem = f"model.arch: the settings of {maker} must be of {listed}, got {unknown[0]!r}"
            raise ConfigError(problem)


def architecture(
    *,
    settings: Collection[str] = (),
    foreign: Mapping[str, Callable[[ModelConfig], Foreign]] | None = None,
    division: Division | None = None,
) -> Callable[[Callable[[Inputs, nnx.Rngs], nnx.Module]], Architecture]:
    """Return a decorator that makes an ``Architecture`` of a function; arguments are its attributes."""

    def decorate(make: Callable[[Inputs, nnx.Rngs], nnx.Module]) -> Architecture:
        return Architecture(make=make, settings=frozenset(settings), foreign=foreign or {}, division=division)

    return decorate
