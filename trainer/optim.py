"""Optimizer and learning-rate schedule from the configuration."""

import optax

from trainer.config import OptimConfig
from trainer.network import Arrays

REFERENCE_BATCH = 256  # learning rates are stated for this many examples (Goyal et al. 2017, 2.1)


def make_schedule(config: OptimConfig, batch: int, steps: int, steps_per_epoch: float) -> optax.Schedule:
    """step -> learning rate: linear from zero to the peak, then a cosine to zero at ``steps``."""
    peak = config.lr * batch / REFERENCE_BATCH
    warmup = min(round(config.warmup_epochs * steps_per_epoch), steps - 1)
    after = (
        optax.cosine_decay_schedule(peak, steps - warmup)
        if config.schedule == "cosine"
        else optax.constant_schedule(peak)
    )
    if not warmup:
        return after
    return optax.join_schedules([optax.linear_schedule(0.0, peak, warmup), after], [warmup])


def make_optimizer(config: OptimConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    """SGD with Nesterov momentum; weight decay is added to the gradient of kernels, and of nothing else."""
    return optax.chain(
        optax.add_decayed_weights(config.weight_decay, mask=kernels),
        optax.sgd(schedule, momentum=config.momentum or None, nesterov=config.momentum > 0),
    )


def kernels(params: Arrays) -> dict[str, bool]:
    """Which parameters are kernels of convolutions and of the head (not scales, not biases)."""
    return {name: name.endswith(".kernel") for name in params}
