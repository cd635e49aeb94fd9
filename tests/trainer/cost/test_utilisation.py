"""Utilisation: worked out by hand for a known chip, empty for an unknown one."""

import jax
import jax.numpy as jnp
import pytest

from trainer.cost import estimate, utilisation


def test_utilisation_by_hand():
    # ResNet-50 on v6e, 256 images per chip: 6.17 TFLOP and 81 GB per step, at 12 steps/s
    shares = utilisation.utilisation(
        utilisation.Cost(flops=6.17e12, bytes=81e9), utilisation.peak("TPU v6 lite"), 12.0
    )
    assert shares == {"mfu": 0.0807, "hbm": 0.5934}  # of 918 TFLOP/s and 1,638 GB/s


def test_a_tpu7x_has_two_devices_per_chip():
    assert utilisation.peak("TPU7x") == utilisation.Peak(flops=1153.5e12, bytes=3690e9)


def test_a_device_without_known_peaks_has_no_utilisation():
    assert utilisation.peak(jax.devices()[0].device_kind) is None
    assert utilisation.utilisation(utilisation.Cost(flops=1.0, bytes=1.0), None, 1.0) == {}
    assert utilisation.utilisation(None, utilisation.peak("TPU v4"), 1.0) == {}


def test_the_compiler_counts_a_matrix_product():
    a = jnp.ones((64, 128))
    counted = utilisation.cost(jax.jit(lambda a: a @ a.T).lower(a).compile())
    assert counted.flops == pytest.approx(2 * 64 * 64 * 128, rel=0.01)
    assert counted.bytes >= 4 * (64 * 128 + 64 * 64)


def test_loops_count_as_often_as_they_run():
    def looped(a):
        twice = jax.lax.map(lambda part: part @ part.T, a)
        return jax.lax.scan(lambda x, _: (x @ x, None), twice[0], None, length=3)[0]

    a = jax.ShapeDtypeStruct((4, 64, 128), jnp.float32)
    program = jax.jit(looped).lower(a).compile()
    products = 4 * 2 * 64 * 64 * 128 + 3 * 2 * 64**3
    assert estimate.estimate("gpu", looped, a)["flops"] == products
    factor = estimate.loop_factor(looped, a)
    assert factor == products / (2 * 64 * 64 * 128 + 2 * 64**3)
    assert utilisation.cost(program).flops < 0.3 * products  # the compiler's own count
    assert utilisation.cost(program, loop_factor=factor).flops == pytest.approx(products, rel=0.01)


class Program:
    """A program compiled for a TPU: its text, and its compiler's own counts."""

    def __init__(self, text):
        self.text = text

    def as_text(self):
        return self.text

    def cost_analysis(self):
        return {"flops": 5.0, "bytes accessed": 7.0}


def test_on_a_tpu_the_count_comes_from_the_text_where_it_is_readable():
    text = """
ENTRY %main (a: f32[64,128]) -> f32[64,64] {
  %a = f32[64,128]{1,0} parameter(0)
  ROOT %dot = f32[64,64]{1,0} convolution(%a, %a), dim_labels=bf_oi->bf
}
"""
    read = utilisation.Cost(flops=2 * 64 * 64 * 128, bytes=4 * (2 * 64 * 128 + 64 * 64))
    assert utilisation.cost(Program(text), tpu=True) == read
    assert utilisation.cost(Program("another text"), tpu=True) == utilisation.Cost(flops=5.0, bytes=7.0)


def test_what_a_step_sends_to_other_slices_comes_from_its_text():
    text = """
ENTRY %main (a: f32[64,128]) -> f32[64,64] {
  %a = f32[64,128]{1,0} parameter(0)
  %t = token[] after-all()
  %send = (f32[64,128]{1,0}, u32[], token[]) send(%a, %t), channel_id=1, SENT
  ROOT %dot = f32[64,64]{1,0} convolution(%a, %a), dim_labels=bf_oi->bf
}
"""
    attributes = 'frontend_attributes={_xla_host_transfer_handler_name="xla_megascale_runtime"}'
    read = utilisation.cost(Program(text.replace("SENT", attributes)), tpu=True)
    assert read
    assert (read.sent, read.rounds) == (4 * 64 * 128, 0)
