"""The mean over pixels: not a number where a pixel is, in the programs that runs and verbs compile."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from trainer.config import DataConfig, ModelConfig
from trainer.data import datasets
from trainer.devices import cpu_barrier
from trainer.learning import step
from trainer.models import network
from trainer.models.pooling import pooled


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize("activation", [nnx.relu, nnx.relu6, lambda x: jnp.maximum(x, 0)], ids="abc")
def test_a_pixel_that_is_not_a_number_makes_its_channel_one(dtype, activation):
    x = np.ones((64, 4, 4, 16), np.float32)
    x[1, 2, 3, 5] = np.nan
    program = jax.jit(lambda x: pooled(activation(x.astype(dtype))), compiler_options=cpu_barrier.options())
    expected = np.ones((64, 16))
    expected[1, 5] = np.nan
    np.testing.assert_array_equal(program(x), expected)


# The compiler takes the faulty way for arrays of some size alone.
@pytest.mark.parametrize("arch", ["resnet-tiny", "resnetv2-tiny", "cifar-plain20"])
def test_a_network_whose_values_are_not_numbers_has_no_finite_loss(arch):
    model = ModelConfig(arch=arch, width=16, depth=8 if arch.startswith("cifar") else 0)
    net, init = network.build(model, 10, 1, 8, "cpu")
    params, stats = (
        {name: np.ones(a.shape, np.float32) for name, a in part.items()}
        for part in jax.eval_shape(init, jax.random.key(0))
    )
    params["stem.kernel" if "stem.kernel" in params else "stem.conv.kernel"] *= np.nan
    test = datasets.load(DataConfig(name="digits"), "test")
    batch = {"image": np.ones((64, 8, 8, 1), np.uint8), "label": np.zeros(64, np.int32)}
    evaluate = jax.jit(step.make_eval_step(net, test), compiler_options=cpu_barrier.options())
    sums = evaluate(params, stats, batch | {"weight": np.ones(64, np.float32)})
    assert np.isnan(sums["loss"])
