"""FLOPs read from the HLO of convolutions: worked out by hand, and against XLA's own count."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.cost import flops, traffic

TYPES = {"x": "bf16[8,5,5,3]{3,2,1,0}", "w": "bf16[3,3,3,16]{3,2,1,0}"}


@pytest.mark.parametrize(
    ("window", "result", "pairs"),
    [
        # 3x3 over 5x5, no padding: 3 results x 3 weights along each axis
        ("size=3x3", "bf16[8,3,3,16]", 9 * 9),
        # padded to 5 results: 5 x 3 - 2, the outer two lack one weight each
        ("size=3x3 pad=1_1x1_1", "bf16[8,5,5,16]", 13 * 13),
        # every second result: 3 x 3 - 2, the outer two lack one weight each
        ("size=3x3 stride=2x2 pad=1_1x1_1", "bf16[8,3,3,16]", 7 * 7),
        # zeros between the pixels, 9 places: 4 odd ones meet 2 pixels each, 5 even ones meet 1: 4 x 2 + 5
        ("size=3x3 pad=1_1x1_1 lhs_dilate=2x2", "bf16[8,9,9,16]", 13 * 13),
    ],
)
def test_only_products_of_a_pixel_and_a_weight_count(window, result, pairs):
    line = f"%y = {result} convolution(%x, %w), window={{{window}}}, dim_labels=b01f_01io->b01f"
    assert flops.convolution(line, TYPES, result) == 2 * 8 * 3 * 16 * pairs
    numbered = {"x#0": TYPES["x"], "w#12": TYPES["w"]}
    line = line.replace("(%x, %w)", "(%x#0, %w#12)")
    assert flops.convolution(line, numbered, result) == 2 * 8 * 3 * 16 * pairs


def convolve(x, w, stride, groups=1):
    return jax.lax.conv_general_dilated(
        x,
        w,
        (stride, stride),
        ((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
        feature_group_count=groups,
    )


@pytest.mark.parametrize(("stride", "groups"), [(1, 1), (2, 1), (1, 4)])
def test_a_layer_and_its_gradients_agree_with_the_count_of_xla(stride, groups):
    x, w = jnp.ones((4, 12, 12, 8)), jnp.ones((3, 3, 8 // groups, 16))

    def step(x, w):
        y, back = jax.vjp(lambda x, w: convolve(x, w, stride, groups), x, w)
        return back(y)

    compiled = jax.jit(step).lower(x, w).compile()
    expected = compiled.cost_analysis()["flops"]
    counted = sum(row.flops for row in traffic.instructions(compiled.as_text()))
    assert counted == pytest.approx(expected, rel=0.02)  # XLA also counts transpositions and additions
    assert counted > 0.9 * 3 * 2 * 4 * np.prod(convolve(x, w, stride, groups).shape[1:]) * 6.5 * 8 / groups
