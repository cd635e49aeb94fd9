"""The learning rate as a function of the step."""

import jax.numpy as jnp
import optax

from trainer.config import OptimConfig
from trainer.errors import ConfigError


def scaled(config: OptimConfig, rate: float, batch: int) -> float:
    """A rate of the configuration for a global batch: linear in it, or as stated (Goyal et al. 2017, 2.1)."""
    return rate * batch / config.lr_batch if config.lr_batch else rate


def make_schedule(config: OptimConfig, batch: int, steps: int, steps_per_epoch: float) -> optax.Schedule:
    """step -> learning rate: a linear warm-up, then the configured way from the peak to ``steps``."""
    peak = scaled(config, config.lr, batch)
    warmup = min(round(config.warmup_epochs * steps_per_epoch), steps - 1)
    after = _after(config, batch, peak, steps - warmup, warmup, steps_per_epoch)
    if not warmup:
        return after
    first = optax.linear_schedule(scaled(config, config.warmup_lr, batch), peak, warmup)
    return optax.join_schedules([first, after], [warmup])


def _after(
    config: OptimConfig, batch: int, peak: float, steps: int, warmup: int, steps_per_epoch: float
) -> optax.Schedule:
    """Steps are counted from the end of the warm-up, epochs from the start of the run."""
    final = scaled(config, config.final_lr, batch)
    if config.schedule == "constant":
        return optax.constant_schedule(peak)
    if config.schedule == "cosine":
        return optax.cosine_decay_schedule(peak, steps, alpha=final / peak if peak else 0.0)
    if config.schedule == "step":
        at = [max(round(epoch * steps_per_epoch) - warmup, 0) for epoch in step_epochs(config)]
        return lambda step: peak * config.step_factor ** jnp.sum(jnp.asarray(step) >= jnp.array(at))
    power = 1.0 if config.schedule == "linear" else config.power
    return optax.polynomial_schedule(peak, final, power, steps)


def step_epochs(config: OptimConfig) -> list[float]:
    """Raises ConfigError where ``optim.step_epochs`` is not rising numbers."""
    try:
        epochs = [float(word) for word in config.step_epochs.split(",")]
    except ValueError:
        epochs = []
    if not epochs or epochs != sorted(epochs):
        raise ConfigError(
            f"optim.step_epochs: must be rising numbers like 30,60,80, got '{config.step_epochs}'"
        )
    return epochs
