"""The optimizer from the configuration: clipping, weight decay, update rule, averages."""

from collections.abc import Callable
from typing import Any, cast

import jax
import jax.numpy as jnp
import optax
from optax import contrib

from trainer.config import OptimConfig
from trainer.errors import ConfigError
from trainer.learning.promotion import standard_promotion
from trainer.learning.schedules import make_schedule
from trainer.state import Arrays

__all__ = ["averaged", "evaluated_params", "kernels", "make_optimizer", "make_schedule"]


# Rules of optax 0.2.8 that strict dtype promotion refuses: the bias correction of Adam is in each of them.
MIXING_RULES = ("adamw", "lamb", "muon")


def make_optimizer(config: OptimConfig, schedule: optax.Schedule) -> optax.GradientTransformation:
    """Return the configured update rule, after the configured clipping of gradients.

    Weight decay is of kernels only, unless ``config.decay`` is "all". The sources: "adamw" arXiv:1711.05101,
    "lamb" arXiv:1904.00962, "lars" arXiv:1708.03888, "muon" optax.contrib, "schedule-free" arXiv:2405.15682,
    "rmsprop" TensorFlow's ``tf.compat.v1.train.RMSPropOptimizer``.
    The clipping: by the length of the whole gradient, then adaptive (arXiv:2102.06171, section 4.1).

    Args:
      config: the settings of the optimizer.
      schedule: step -> learning rate, as ``make_schedule`` returns it.

    The functions of the result work on flat dicts of float32 arrays by name.

    Raises:
      ConfigError: ``config.momentum`` is 0 for "schedule-free".
    """
    rule = _rules(config, schedule)[config.name]()
    if config.name in MIXING_RULES:
        rule = rule._replace(update=standard_promotion(rule.update))
    chain = [rule]
    if config.clip_adaptive:
        chain.insert(0, optax.masked(optax.adaptive_grad_clip(config.clip_adaptive), _clipped))
    if config.clip_norm:
        chain.insert(0, optax.clip_by_global_norm(config.clip_norm))
    return optax.chain(*chain) if len(chain) > 1 else rule


def _rules(
    config: OptimConfig, schedule: optax.Schedule
) -> dict[str, Callable[[], optax.GradientTransformation]]:
    """Name -> a function that makes the rule, since optax checks arguments as it makes one."""
    decayed = kernels if config.decay == "kernels" else everything
    momentum, decay = config.momentum, config.weight_decay
    betas: dict[str, Any] = {"b1": momentum, "b2": config.beta2, "eps": config.epsilon, "weight_decay": decay}
    nesterov = config.nesterov and momentum > 0

    def sgd() -> optax.GradientTransformation:
        return optax.chain(
            optax.add_decayed_weights(decay, mask=decayed),
            optax.sgd(schedule, momentum=momentum or None, nesterov=nesterov),
        )

    def adamw() -> optax.GradientTransformation:
        return optax.adamw(schedule, mask=decayed, mu_dtype=jnp.dtype(config.momentum_dtype), **betas)

    def lamb() -> optax.GradientTransformation:
        return optax.chain(
            optax.scale_by_adam(b1=momentum, b2=config.beta2, eps=config.epsilon),
            optax.add_decayed_weights(decay, mask=decayed),
            _trust_ratio_of_kernels(),
            optax.scale_by_learning_rate(schedule),
        )

    def rmsprop() -> optax.GradientTransformation:
        # As in TensorFlow: epsilon under the root, squares that begin at 1, and a momentum of whole updates,
        # which hold the learning rate of their own step.
        return optax.chain(
            optax.add_decayed_weights(decay, mask=decayed),
            optax.rmsprop(
                schedule,
                decay=config.beta2,
                eps=config.epsilon,
                initial_scale=1.0,
                eps_in_sqrt=True,
                momentum=momentum or None,
            ),
        )

    def lars() -> optax.GradientTransformation:
        # Scales and biases move without decay and without a trust ratio (arXiv:1909.09756, section 3).
        masks: dict[str, Any] = {"weight_decay_mask": decayed, "trust_ratio_mask": kernels}
        masks |= {"weight_decay": decay, "trust_coefficient": config.trust}
        return optax.lars(schedule, **masks, momentum=momentum, nesterov=nesterov)

    def muon() -> optax.GradientTransformation:
        return contrib.muon(
            schedule,
            beta=momentum,
            nesterov=nesterov,
            weight_decay=decay,
            weight_decay_mask=decayed,
            adam_weight_decay=0.0,
            muon_weight_dimension_numbers=cast(Any, _matrices),
        )

    def schedule_free() -> optax.GradientTransformation:
        if not momentum:
            raise ConfigError("optim.momentum: must be above 0 for schedule-free, got 0")
        base = optax.chain(optax.add_decayed_weights(decay, mask=decayed), optax.sgd(schedule))
        return contrib.schedule_free(base, schedule, b1=momentum)

    return {
        "sgd": sgd,
        "adamw": adamw,
        "lamb": lamb,
        "lars": lars,
        "muon": muon,
        "rmsprop": rmsprop,
        "schedule-free": schedule_free,
    }


def _trust_ratio_of_kernels() -> optax.GradientTransformation:
    """LAMB's trust ratio for kernels, and 1 for scales and biases, as timm and apex have it.

    A gain that begins at 1e-6 (LayerScale) would otherwise move by a millionth of the learning rate. The
    state is that of ``optax.lamb``, so that its checkpoints are read.
    """
    rule = optax.scale_by_trust_ratio()

    def update(updates: Any, state: Any, params: Any = None) -> tuple[Any, Any]:
        scaled, state = rule.update(updates, state, params)
        return {n: u if _is_kernel(n) else updates[n] for n, u in cast(Arrays, scaled).items()}, state

    return optax.GradientTransformation(rule.init, update)


def averaged(config: OptimConfig, count: jax.Array, old: Arrays, new: Arrays) -> Arrays:
    """Return the exponential average of arrays, which changes every ``config.ema_every_steps`` updates.

    After n changes the old average has the share min(ema, (1 + n) / (10 + n)), as in TensorFlow's
    ``ExponentialMovingAverage``: at first it would be mostly of the initial weights otherwise.

    Args:
      config: ``ema`` is the share of the old average in the long run, 0 to 1.
      count: scalar int32, updates done, this one included.
      old: the average so far, float32 arrays by name.
      new: the arrays after this update, of the same shapes.
    """
    changes = count / config.ema_every_steps
    old_share = jnp.minimum(config.ema, (1.0 + changes) / (10.0 + changes))
    old_share = jnp.where(count % config.ema_every_steps == 0, old_share, 1.0)
    return {name: old_share * old[name] + (1.0 - old_share) * array for name, array in new.items()}


def evaluated_params(config: OptimConfig, opt: Any, params: Arrays) -> Arrays:
    """Return the parameters that stand for the run: the trained ones, or schedule-free's running mean.

    Args:
      config: the settings of the optimizer.
      opt: its state, as ``make_optimizer(config, ...)`` made it.
      params: the trained parameters, float32 arrays by name.
    """
    if config.name != "schedule-free":
        return params
    [state] = [s for s in jax.tree.leaves(opt, is_leaf=_is_schedule_free) if _is_schedule_free(s)]
    # Compiled, since its numbers would go to the devices one by one.
    return cast(Arrays, jax.jit(contrib.schedule_free_eval_params)(state, cast(Any, params)))


def _is_schedule_free(state: Any) -> bool:
    return isinstance(state, contrib.ScheduleFreeState)


def kernels(params: Arrays) -> dict[str, bool]:
    """Return for each parameter whether its name ends in ``kernel``: no scale, bias or position."""
    return {name: _is_kernel(name) for name in params}


def _is_kernel(name: str) -> bool:
    return name.rpartition(".")[2] == "kernel"


def everything(params: Arrays) -> dict[str, bool]:
    """Return True for each parameter."""
    return dict.fromkeys(params, True)


def _clipped(params: Arrays) -> dict[str, bool]:
    """All but the head's kernel, which adaptive clipping leaves alone (arXiv:2102.06171, section 4.1).

    Its bias is clipped, as gains and biases are in the authors' code (experiment_nfnets.py).
    """
    return {name: not (name.startswith("head.") and _is_kernel(name)) for name in params}


def _matrices(params: Arrays) -> dict[str, Any]:
    """Kernels as matrices of inputs and outputs for Muon. The head, scales and biases go to Adam: None.

    So do kernels with three axes: which of them are inputs depends on the layer.
    """
    numbers = {2: contrib.MuonDimensionNumbers(0, 1), 4: contrib.MuonDimensionNumbers((0, 1, 2), 3)}
    return {
        name: numbers.get(p.ndim) if _is_kernel(name) and not name.startswith("head.") else None
        for name, p in params.items()
    }
