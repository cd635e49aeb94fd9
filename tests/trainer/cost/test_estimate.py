"""Estimated costs: one layer worked out by hand, whole networks against published numbers."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.config import resolve
from trainer.cost.estimate import TRAFFIC, estimate
from trainer.data import datasets
from trainer.program import make_program

S = jax.ShapeDtypeStruct


def test_one_convolution_and_its_gradients():
    def loss(kernel, image):
        numbers = ("NHWC", "HWIO", "NHWC")
        out = jax.lax.conv_general_dilated(image, kernel, (2, 2), ((1, 1), (1, 1)), dimension_numbers=numbers)
        return jnp.sum(out)

    kernel, image = S((3, 3, 8, 16), jnp.bfloat16), S((2, 32, 32, 8), jnp.bfloat16)
    forward = estimate("gpu", loss, kernel, image)
    # 2 x 16 x 16 results of 16 channels, each 3 x 3 x 8 multiplications and additions
    assert forward["flops"] == 2 * 8192 * 72
    # image 16,384, kernel 1,152, result 8,192 elements of two bytes
    assert forward["bytes"] == round(TRAFFIC["gpu"] * 2 * (16384 + 1152 + 8192))
    assert forward["activations"] == 2 * 8192
    # Each of the two gradients costs as much as the layer.
    both = estimate("tpu", jax.grad(loss, argnums=(0, 1)), kernel, image)
    assert both["flops"] == pytest.approx(3 * forward["flops"], rel=0.01)


def test_a_loop_counts_once_per_iteration():
    def product(a, b):
        return jnp.sum(a @ b)

    def looped(a, b):
        return jax.lax.scan(lambda total, part: (total + product(part, b), None), 0.0, a)[0]

    once = estimate("gpu", product, S((8, 16), jnp.float32), S((16, 4), jnp.float32))
    often = estimate("gpu", looped, S((5, 8, 16), jnp.float32), S((16, 4), jnp.float32))
    assert often["flops"] == 5 * once["flops"]
    assert often["bytes"] == pytest.approx(5 * once["bytes"], abs=5)
    assert often["activations"] == once["activations"]


# GFLOP of training per image at 224 pixels: 3 passes x 2 FLOPs x the multiply-adds published for the forward
# pass (1.81, 4.09 and 11.51 G), less the gradient with respect to the images.
@pytest.mark.slow
@pytest.mark.parametrize(("arch", "gflop"), [("resnet18", 10.9), ("resnet50", 24.5), ("resnet152", 69.1)])
def test_networks_have_the_published_number_of_operations(arch, gflop):
    config = resolve("r", "/d", "", {"model.arch": arch, "train.batch": 4})
    data = datasets.load(config.data, "train")
    program = make_program(config, data, data, "gpu")
    one = S((4,), np.int32)
    batch = {"image": S((4, 224, 224, 3), np.uint8), "label": one, "epoch": one, "index": one}
    cost = estimate("gpu", program.train_step, program.shapes, batch)
    assert cost["flops"] / 4 / 1e9 == pytest.approx(gflop, rel=0.03)
