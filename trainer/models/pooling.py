"""The mean over the pixels of an image, which stays not a number where a pixel is."""

import jax
import jax.numpy as jnp

from trainer.devices import cpu_barrier
from trainer.models.layers import wide


def pooled(x: jax.Array) -> jax.Array:
    """Return the mean over all pixels, [B, C] in at least float32.

    XLA's CPU compiler hands a relu and the sum behind it to YNNPACK as one operation, whose relu makes 0 of
    what is not a number. A network whose values have overflowed would have logits of 0, a finite loss and no
    gradient. Programs with ``cpu_barrier.OPTIONS`` compute x on its own.

    Args:
      x: [B, H, W, C] of any float dtype.
    """
    return jnp.mean(cpu_barrier.once(x).astype(wide(x.dtype)), axis=(1, 2))
