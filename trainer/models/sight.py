"""Where a network looks: what its computation names for that, and the maps that follow from it.

``attend`` of ``trainer.models.attention`` shows its weights by itself. A network names the grid of its
patches with ``patches``, or a map of the image with ``spatial``. Outside a recording these do nothing.
"""

import contextlib
from collections.abc import Iterator
from contextvars import ContextVar
from dataclasses import dataclass, field

import jax
import jax.numpy as jnp
from flax.nnx.tracers import TraceState

RESIDUAL = 0.5  # share of a block's output that its skip connection carries (arXiv:2005.00928, section 3)


@dataclass
class Recording:
    """What one call of a network shows.

    Attributes:
      shift: added to one of the maps: the gradient with respect to it is that of the map; None: nothing is.
      shifted: number of that map.
      maps: maps of the image in the order of the network, each [B, H, W, C].
      weights: attention in the order of the network, each [B, heads, T, S] float32; rows sum to 1.
      grid: rows and columns of the patches; None: the network named none.
      first: whether the head sees the first token alone; else the mean of all.
      level: the transformation, such as ``jax.grad``, in which the network is called.
      hidden: whether something was shown inside a scan or another transformation, which cannot be read here.
    """

    shift: jax.Array | None = None
    shifted: int = -1
    maps: list[jax.Array] = field(default_factory=list)
    weights: list[jax.Array] = field(default_factory=list)
    grid: tuple[int, int] | None = None
    first: bool = False
    level: TraceState = field(default_factory=TraceState)
    hidden: bool = False


_recording: ContextVar[Recording | None] = ContextVar("recording", default=None)


@contextlib.contextmanager
def recorded(recording: Recording) -> Iterator[Recording]:
    """Fill a recording with what networks show inside the block."""
    recording.level = TraceState()
    token = _recording.set(recording)
    try:
        yield recording
    finally:
        _recording.reset(token)


def spatial(x: jax.Array) -> jax.Array:
    """Name a map of the image and return it; Grad-CAM uses the last one of more than one pixel.

    Args:
      x: [B, H, W, C] of any float dtype, before it is pooled.
    """
    if (recording := _current()) is None:
        return x
    if recording.shift is not None and len(recording.maps) == recording.shifted:
        x = x + recording.shift.astype(x.dtype)
    recording.maps.append(x)
    return x


def patches(rows: int, columns: int, *, first: bool) -> None:
    """Name the grid whose patches are the last tokens of all attention, row by row.

    Args:
      rows, columns: patches from top to bottom and from left to right.
      first: whether the head sees the first token alone; else the mean of all, or one that attends to them.
    """
    if (recording := _recording.get()) is not None:
        recording.grid, recording.first = (rows, columns), first


def attention(q: jax.Array, k: jax.Array) -> None:
    """Show the weights of one attention.

    Args:
      q: [B, T, heads, D] of any float dtype.
      k: [B, S, heads, D] of any float dtype.
    """
    if (recording := _current()) is None:
        return
    wide = q.astype(jnp.float32) / jnp.sqrt(jnp.float32(q.shape[-1]))
    scores = jnp.einsum("bthd,bshd->bhts", wide, k.astype(jnp.float32))
    recording.weights.append(jax.nn.softmax(scores, axis=-1))  # [B, heads, T, S]


def _current() -> Recording | None:
    """Return the recording, if what is shown now can be read by the one who records."""
    recording = _recording.get()
    if recording is None or recording.level.is_valid():
        return recording
    recording.hidden = True
    return None


def rollout(recording: Recording) -> jax.Array:
    """Return how much of each patch reaches the head: [rows, columns] float32 of at least 0.

    Attention rollout (Abnar and Zuidema 2020, arXiv:2005.00928, section 3): the mean over the heads of each
    attention, half of it and half of the skip connection, multiplied through the network. An attention of
    fewer queries than tokens, such as a pooling, has no skip connection.

    Args:
      recording: of one image; it names a grid.

    Raises:
      ValueError: the tokens of an attention do not fit the others, or are fewer than the patches.
    """
    assert recording.grid
    rows, columns = recording.grid
    tokens = recording.weights[0].shape[-1]
    if tokens < rows * columns:
        raise ValueError(f"{tokens} tokens for {rows}x{columns} patches")
    joint = jnp.eye(tokens)
    for weights in recording.weights:
        mean = jnp.mean(weights[0], axis=0)  # [T, S]
        if mean.shape[1] != len(joint):
            raise ValueError(f"attention to {mean.shape[1]} tokens after {len(joint)}")
        if mean.shape[0] == mean.shape[1]:
            mean = RESIDUAL * mean + (1 - RESIDUAL) * jnp.eye(len(mean))
        joint = mean @ joint  # [T, tokens]
    reached = joint[0] if recording.first else jnp.mean(joint, axis=0)  # [tokens]
    return reached[tokens - rows * columns :].reshape(rows, columns)


def grad_cam(values: jax.Array, gradient: jax.Array) -> jax.Array:
    """Return where a map of the image speaks for a class: [H, W] float32 of at least 0.

    Grad-CAM (Selvaraju et al. 2017, arXiv:1610.02391, section 3, equations 1 and 2): channels are weighted by
    their mean gradient, and what speaks against the class is left out.

    Args:
      values: the map, [H, W, C] of any float dtype.
      gradient: derivative of the class's logit with respect to it, [H, W, C] of any float dtype.
    """
    weights = jnp.mean(gradient.astype(jnp.float32), axis=(0, 1))  # [C]
    return jax.nn.relu(jnp.einsum("hwc,c->hw", values.astype(jnp.float32), weights))
