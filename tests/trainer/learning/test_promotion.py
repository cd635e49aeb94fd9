"""Steps refuse to mix dtypes in any process, and only the rules of optax that must may mix them."""

import jax
import jax.numpy as jnp
import optax
import pytest
from step_runs import SETTINGS

from trainer.config import OptimConfig, resolve
from trainer.data import datasets
from trainer.learning import optimizers, step
from trainer.models import network

KERNEL = {"stem.conv.kernel": jax.ShapeDtypeStruct((1, 1, 2, 2), jnp.float32)}


def test_a_step_refuses_to_mix_dtypes_where_the_process_would_allow_it():
    config = resolve("r", "/d", "", SETTINGS)
    images = datasets.load(config.data, "train")
    net, init = network.build(config.model, 10, 1, 8, "cpu")
    optimizer = optimizers.make_optimizer(config.optim, optax.constant_schedule(0.1))
    batch = {name: jax.ShapeDtypeStruct((4,), jnp.int32) for name in ("label", "epoch", "index")}
    batch["image"] = jax.ShapeDtypeStruct((4, 8, 8, 1), jnp.uint8)
    with jax.numpy_dtype_promotion("standard"):
        state = jax.eval_shape(step.make_init(init, optimizer), jax.random.key(0))
        plain = step.make_train_step(net, optimizer, lambda at: 0.1 * at.astype(jnp.float32), images, config)
        jax.eval_shape(plain, state, batch)
        mixing = step.make_train_step(net, optimizer, lambda at: 0.1 * at, images, config)
        with pytest.raises(jax.dtypes.TypePromotionError, match="int32"):
            jax.eval_shape(mixing, state, batch)


@pytest.mark.parametrize("name", ["sgd", "adamw", "lamb", "lars", "muon", "rmsprop", "schedule-free"])
def test_a_rule_of_optax_may_mix_dtypes_only_where_it_must(name):
    config = OptimConfig(name=name)
    rule = optimizers._rules(config, optax.constant_schedule(0.1))[name]()

    def update(grads):
        return rule.update(grads, rule.init(grads), grads)

    if name in optimizers.MIXING_RULES:
        with pytest.raises(jax.dtypes.TypePromotionError):
            jax.eval_shape(update, KERNEL)
    else:
        jax.eval_shape(update, KERNEL)
