"""The learning rate as a function of the step."""

import jax
import jax.numpy as jnp
import optax
from jax.typing import ArrayLike

from trainer.config import OptimConfig
from trainer.errors import ConfigError
from trainer.learning.promotion import standard_promotion


def scaled(config: OptimConfig, rate: float, batch: int) -> float:
    """Return a learning rate of the configuration for a global batch.

    The rate is linear in the batch (Goyal et al. 2017, arXiv:1706.02677, section 2.1), unless
    ``config.lr_batch`` is 0: then it is the configured one.

    Args:
      rate: learning rate for ``config.lr_batch`` examples.
      batch: examples of a step, over all devices.
    """
    return rate * batch / config.lr_batch if config.lr_batch else rate


def make_schedule(config: OptimConfig, batch: int, steps: int, steps_per_epoch: float) -> optax.Schedule:
    """Return a function from the step, a scalar int32, to the learning rate, a scalar float32.

    The rate rises linearly during the warm-up (Goyal et al. 2017, arXiv:1706.02677, section 2.2). From its
    peak it follows ``config.schedule`` until the last step.

    Args:
      batch: examples of a step, over all devices.
      steps: updates of the whole run.
      steps_per_epoch: updates in a pass over the training data.

    Raises:
      ConfigError: ``config.step_epochs`` is not a list of rising numbers and ``config.schedule`` is "step".
    """
    peak = scaled(config, config.lr, batch)
    warmup = min(config.warmup_steps or round(config.warmup_epochs * steps_per_epoch), steps - 1)
    decay = _after_warmup(config, batch, peak, steps - warmup, warmup, steps_per_epoch)
    if not warmup:
        return decay
    rise = optax.linear_schedule(scaled(config, config.warmup_lr, batch), peak, warmup)
    return standard_promotion(optax.join_schedules([rise, decay], [warmup]))


def _after_warmup(
    config: OptimConfig, batch: int, peak: float, steps: int, warmup: int, steps_per_epoch: float
) -> optax.Schedule:
    """Steps are counted from the end of the warm-up, epochs from the start of the run."""
    final = scaled(config, config.final_lr, batch)
    if config.schedule == "constant":
        return optax.constant_schedule(peak)
    if config.schedule == "cosine":
        cosine = optax.cosine_decay_schedule(peak, steps, alpha=final / peak if peak else 0.0)
        return standard_promotion(cosine)
    if config.schedule == "step":
        boundaries = [max(round(epoch * steps_per_epoch) - warmup, 0) for epoch in step_epochs(config)]
        return _step_schedule(peak, config.step_factor, boundaries)
    if config.schedule == "exponential":
        return _staircase(peak, config.step_factor, config.decay_epochs * steps_per_epoch, warmup)
    power = 1.0 if config.schedule == "linear" else config.power
    return standard_promotion(optax.polynomial_schedule(peak, final, power, steps))


def _step_schedule(peak: float, factor: float, boundaries: list[int]) -> optax.Schedule:
    def schedule(step: ArrayLike) -> jax.Array:
        passed = jnp.sum(jnp.asarray(step) >= jnp.array(boundaries))
        return peak * factor ** passed.astype(jnp.float32)

    return schedule


def _staircase(peak: float, factor: float, length: float, warmup: int) -> optax.Schedule:
    """``peak x factor^floor(step / length)``, whose steps are counted from the start of the run.

    That is TensorFlow's ``ExponentialDecay(staircase=True)``. EfficientNet's warm-up hides its first stairs,
    so that the rate falls below the peak as the warm-up ends. ``length`` is in steps and need not be whole.
    """

    def schedule(step: ArrayLike) -> jax.Array:
        # A step on a boundary may fall below it by rounding of the quotient, so the product is compared.
        done = (jnp.asarray(step) + warmup).astype(jnp.float32)
        stairs = jnp.round(done / length)
        stairs = jnp.where(stairs * length > done, stairs - 1, stairs)
        return peak * factor**stairs

    return schedule


def step_epochs(config: OptimConfig) -> list[float]:
    """Return the epochs at which ``schedule=step`` multiplies the learning rate, from the first to the last.

    Raises:
      ConfigError: ``config.step_epochs`` is not a list of rising numbers.
    """
    try:
        epochs = [float(word) for word in config.step_epochs.split(",")]
    except ValueError:
        epochs = []
    if not epochs or epochs != sorted(epochs):
        raise ConfigError(
            f"optim.step_epochs: must be rising numbers like 30,60,80, got '{config.step_epochs}'"
        )
    return epochs
