"""FLOPs are read from the HLO of convolutions: by hand, and beside what XLA counts for itself."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from trainer.cost import flops, traffic

TYPES = {"x": "bf16[8,5,5,3]{3,2,1,0}", "w": "bf16[3,3,3,16]{3,2,1,0}"}


@pytest.mark.parametrize(
    ("window", "result", "pairs"),
    [
        # 3x3 over 5x5, no padding: 3 results of 3 weights along each axis
        ("size=3x3", "bf16[8,3,3,16]", 9 * 9),
        # padded to 5 results: the outer two lack one weight each
        ("size=3x3 pad=1_1x1_1", "bf16[8,5,5,16]", 13 * 13),
        # every second result: 3, of which the outer two lack one
        ("size=3x3 stride=2x2 pad=1_1x1_1", "bf16[8,3,3,16]", 7 * 7),
        # zeros between the pixels, 9 places: results at odd ones see two pixels, those at even ones one
        ("size=3x3 pad=1_1x1_1 lhs_dilate=2x2", "bf16[8,9,9,16]", 13 * 13),
    ],
)
def test_only_pairs_of_a_pixel_and_a_weight_count(window, result, pairs):
    line = f"%y = {result} convolution(%x, %w), window={{{window}}}, dim_labels=b01f_01io->b01f"
    assert flops.convolution(line, TYPES, result) == 2 * 8 * 3 * 16 * pairs


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
def test_a_step_and_its_gradients_as_xla_counts_them(stride, groups):
    x, w = jnp.ones((4, 12, 12, 8)), jnp.ones((3, 3, 8 // groups, 16))

    def step(x, w):
        y, back = jax.vjp(lambda x, w: convolve(x, w, stride, groups), x, w)
        return back(y)

    compiled = jax.jit(step).lower(x, w).compile()
    wanted = compiled.cost_analysis()["flops"]
    found = sum(call.flops for call in traffic.calls(compiled.as_text()))
    assert found == pytest.approx(wanted, rel=0.02)  # XLA counts a transposition or an addition too
    assert found > 0.9 * 3 * 2 * 4 * np.prod(convolve(x, w, stride, groups).shape[1:]) * 6.5 * 8 / groups
