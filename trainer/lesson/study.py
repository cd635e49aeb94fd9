"""The measurements of the lesson: gradients by block, loss by step and accuracy of networks by depth."""

import functools
import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
import numpy as np

from trainer.config import DataConfig
from trainer.data.formats import digits
from trainer.devices import cpu_barrier
from trainer.errors import ConfigError
from trainer.lesson.networks import (
    KINDS,
    LAYERS_PER_BLOCK,
    OUTSIDE_BLOCKS,
    VERY_DEEP,
    Kind,
    Params,
    logits,
    make,
)

MOMENTUM = 0.9
CLIP_NORM = 1.0  # without it, networks without BatchNorm need another learning rate at each depth
LAYERS = (20, 56, 110, 1002)
MOST_LAYERS = 2002
Report = Callable[[int, "Trained"], None]


@dataclass(frozen=True, kw_only=True)
class Size:
    """How large a study is.

    Attributes:
      layers: the depths.
      width: channels of the convolutions.
      batch: images per step.
      steps, few_steps: updates of a network, and of one with more than ``VERY_DEEP`` layers.
      seed: of parameters and order.
    """

    layers: Sequence[int] = LAYERS
    width: int = 16
    batch: int = 64
    steps: int = 200
    few_steps: int = 60
    seed: int = 0

    def steps_of(self, layers: int) -> int:
        """Return the updates of a network with so many layers."""
        return self.few_steps if layers > VERY_DEEP else self.steps

    @property
    def total(self) -> int:
        """The layers that all updates go through, for a progress bar."""
        return sum(n * self.steps_of(n) for n in self.layers) * len(KINDS)


QUICK = {"width": 8, "batch": 32, "steps": 60, "few_steps": 10}


@dataclass(kw_only=True)
class Trained:
    """What was measured on one network.

    Attributes:
      kind, layers: the network.
      steps: updates that were planned.
      losses: training loss of each batch, before its update.
      accuracies: training accuracy of each batch, before its update, 0 to 1.
      first, last: [blocks] float64, norm of the gradient of the loss with respect to the input of each block,
        in the first and in the last step.
      norm: norm of the gradient of the loss with respect to all parameters, in the last step.
      test_accuracy: 0 to 1; NaN where the training or a logit of a test image was not finite.
    """

    kind: Kind
    layers: int
    steps: int
    losses: list[float]
    accuracies: list[float]
    first: np.ndarray
    last: np.ndarray
    norm: float = 0.0
    test_accuracy: float = math.nan

    @property
    def is_finite(self) -> bool:
        """Whether every loss and gradient was finite; training ends at the first that is not."""
        return bool(np.isfinite([self.losses[-1], self.norm, *self.last]).all())

    @property
    def began_finite(self) -> bool:
        """Whether those of the first step were."""
        return self.is_finite or len(self.losses) > 1

    @property
    def loss(self) -> float:
        """Mean training loss over the last tenth of the steps; NaN where one was not finite."""
        return self._mean(self.losses)

    @property
    def accuracy(self) -> float:
        """Mean training accuracy over the last tenth of the steps."""
        return self._mean(self.accuracies)

    def _mean(self, values: list[float]) -> float:
        return float(np.mean(values[-max(self.steps // 10, 1) :])) if self.is_finite else math.nan


def check_layers(layers: Sequence[int]) -> None:
    """Raise ConfigError for a depth that no network of the lesson has."""
    if len(set(layers)) != len(layers) or not layers:
        listed = ",".join(map(str, layers))
        raise ConfigError(f"--layers: must be different numbers of layers, got {listed!r}", "--layers 20,56")
    for count in layers:
        least = OUTSIDE_BLOCKS + LAYERS_PER_BLOCK
        if not least <= count <= MOST_LAYERS or count % 2:
            nearest = min(max(count + count % 2, least), MOST_LAYERS)
            raise ConfigError(
                f"--layers: must be 2n + 2, {least} to {MOST_LAYERS:,}, nearest {nearest}, got {count}",
                f"--layers {nearest}",
            )


def ratio(norms: np.ndarray) -> float:
    """Return the gradient at the first block as a multiple of that at the last; NaN where none is finite."""
    with np.errstate(all="ignore"):
        value = float(norms[0] / norms[-1])
    return value if math.isfinite(value) else math.nan


def study(size: Size, report: Report) -> list[Trained]:
    """Train every kind of network at every depth on the digits and return what was measured.

    Args:
      size: how large the study is.
      report: called after each step with the layers that it went through and the network so far; after a
        step that is not finite, also with the layers of the steps that are left out.

    Raises:
      DataError: the digits are not on this machine.
    """
    check_layers(size.layers)
    train, test = (_arrays(split) for split in ("train", "test"))
    return [_trained(kind, count, size, train, test, report) for count in size.layers for kind in KINDS]


def _arrays(split: str) -> tuple[np.ndarray, np.ndarray]:
    source = digits.load(split, DataConfig(name="digits"))
    images, labels = source.gather(np.arange(source.size))
    return (images / np.float32(255) - np.float32(source.mean[0])) / np.float32(source.std[0]), labels


def _trained(
    kind: Kind,
    layers: int,
    size: Size,
    train: tuple[np.ndarray, np.ndarray],
    test: tuple[np.ndarray, np.ndarray],
    report: Report,
) -> Trained:
    blocks = (layers - OUTSIDE_BLOCKS) // LAYERS_PER_BLOCK
    params = make(kind, blocks, size.width, 10, size.seed)
    velocity = jax.tree.map(jnp.zeros_like, params)
    step, steps = _make_step(kind, blocks, size, kind.rate(layers)), size.steps_of(layers)
    result = Trained(
        kind=kind, layers=layers, steps=steps, losses=[], accuracies=[], first=np.empty(0), last=np.empty(0)
    )
    order = np.random.default_rng(size.seed)
    batches: list[np.ndarray] = []
    for _ in range(steps):
        if not batches:
            shuffled = order.permutation(len(train[1]))
            batches = list(shuffled[: len(shuffled) // size.batch * size.batch].reshape(-1, size.batch))
        rows = batches.pop()
        params, velocity, measured = step(params, velocity, train[0][rows], train[1][rows])
        loss, accuracy, norm, norms = measured
        result.losses.append(float(loss))
        result.accuracies.append(float(accuracy))
        result.last, result.norm = np.asarray(norms, np.float64), float(norm)
        if len(result.losses) == 1:
            result.first = result.last
        left = 0 if result.is_finite else steps - len(result.losses)  # steps that are not taken
        report(layers * (1 + left), result)
        if not result.is_finite:
            return result
    result.test_accuracy = _test_accuracy(kind, params, *test)
    return result


def _make_step(kind: Kind, blocks: int, size: Size, rate: float) -> Callable:
    shape = (blocks, size.batch, 4, 4, size.width)

    def loss_of(params: Params, probes: jax.Array, images: jax.Array, labels: jax.Array):
        scores = jax.nn.log_softmax(logits(kind, params, images, probes))  # [B, classes]
        loss = -jnp.mean(jnp.take_along_axis(scores, labels[:, None], axis=1))
        return loss, jnp.mean(scores.argmax(axis=1) == labels)

    @functools.partial(jax.jit, compiler_options=cpu_barrier.options())
    def step(params: Params, velocity: Params, images: jax.Array, labels: jax.Array):
        gradient = jax.value_and_grad(loss_of, argnums=(0, 1), has_aux=True)
        (loss, accuracy), (grads, probe_grads) = gradient(params, jnp.zeros(shape), images, labels)
        norms = jax.vmap(length)(probe_grads)  # [blocks]
        norm = length(jnp.stack([length(g) for g in grads.values()]))
        scale = jnp.minimum(1.0, CLIP_NORM / norm)
        velocity = jax.tree.map(lambda v, g: MOMENTUM * v + scale * g, velocity, grads)
        params = jax.tree.map(lambda p, v: p - rate * v, params, velocity)
        return params, velocity, (loss, accuracy, norm, norms)

    return step


def _test_accuracy(kind: Kind, params: Params, images: np.ndarray, labels: np.ndarray) -> float:
    blocks, width = params["conv"].shape[0], params["conv"].shape[-1]
    probes = jnp.zeros((blocks, 1, 1, 1, width))
    compiled = jax.jit(lambda p, x: logits(kind, p, x, probes), compiler_options=cpu_barrier.options())
    scores = np.asarray(compiled(params, images))  # [images, classes]
    if not np.isfinite(scores).all():
        return math.nan
    return float(np.mean(scores.argmax(axis=1) == labels))


def length(x: jax.Array) -> jax.Array:
    """Return the root of the sum of squares, a scalar; finite and above 0 wherever a float32 can hold it.

    Squares alone overflow above 2e19, and are 0 below 1e-19.

    Args:
      x: an array of any shape, float32.
    """
    # Within these bounds neither a quotient nor the sum of squares leaves the range of a float32.
    unit = jnp.clip(jnp.max(jnp.abs(x)), 1e-30, 1e30)
    return unit * jnp.sqrt(jnp.sum(jnp.square(x / unit)))
