"""The prediction, worked out by hand for round numbers."""

import pytest

from launcher.check import prediction
from launcher.hardware import slices

V4 = slices.parse("v4-32")  # 275 TFLOP/s, 1,228 GB/s, 300 GB/s of links per chip; 4 hosts of 4

# 0.1 s of arithmetic and 0.2 s of memory traffic at the chip's peaks
STEP = {"fits": True, "flops": 27.5e12, "bytes": 245.6e9, "collectives": []}


def test_a_step_takes_between_the_larger_part_and_the_sum_at_less_than_the_peaks():
    step = prediction.seconds(STEP, V4)
    # 0.3 s one after the other: at nine tenths and at eight tenths of the peaks
    assert (step.low, step.expected, step.high) == pytest.approx((0.2, 0.3333333, 0.375))


def test_collectives_take_the_links_and_a_delay():
    over_ici = {"kind": "all-reduce", "network": "ici", "number": 100, "bytes": 300_000_000}
    over_dcn = {"kind": "send", "network": "dcn", "number": 10, "bytes": 31_250_000}
    arithmetic, memory, network = prediction.parts(STEP | {"collectives": [over_ici, over_dcn]}, V4)
    assert (arithmetic, memory) == pytest.approx((0.1, 0.2))
    # inside: 100 x 10 us and twice 0.3 GB at 300 GB/s = 3 ms; between: 10 x 200 us and 31.25 MB at a
    # quarter of 12.5 GB/s = 12 ms
    assert network == pytest.approx(0.003 + 0.012)
    assert prediction.waiting_seconds({"collectives": [over_ici, over_dcn]}) == 0  # a result without rounds
    # 4 of the 10 follow each other, the others are on the way with them.
    step = STEP | {"collectives": [over_ici, over_dcn | {"rounds": 4}]}
    assert prediction.parts(step, V4)[2] == pytest.approx(0.003 + 0.0108)
    assert prediction.waiting_seconds(step) == pytest.approx(0.0008)


def test_a_run_is_its_steps_and_its_evaluations():
    result = {"batch": 4096, "steps": 36000, "steps_per_epoch": 400.0, "evaluations": 3600, "train": STEP}
    predicted = prediction.predict(result | {"eval": STEP}, V4, 1)
    # 4,096 images over 16 chips in 0.2 to 0.375 s
    assert (predicted.rate.low, predicted.rate.expected, predicted.rate.high) == pytest.approx(
        (682.67, 768, 1280), rel=1e-4
    )
    assert predicted.total.expected == pytest.approx(39600 / 3)
    assert predicted.chip_hours.expected == pytest.approx(39600 / 3 * 16 / 3600)
    assert predicted.epochs_a_day == pytest.approx(86400 * 3 / 400)
    assert (predicted.bound, predicted.flops_share, predicted.memory_share) == (
        "memory",
        pytest.approx(0.3),
        pytest.approx(0.6),
    )


def test_two_devices_per_chip_have_half_of_it_each():
    half = prediction.seconds(STEP, slices.parse("tpu7x-8"))
    # 245.6 GB at half of 7,380 GB/s
    assert half.low == pytest.approx(0.06656, rel=1e-3)


@pytest.mark.parametrize(
    ("tried", "batch"),
    [
        (
            {512: 41 * 2**30},
            368,
        ),  # 1 GiB is fixed, 80 MiB per image: 29 GiB / 80 MiB = 371, in multiples of 8
        ({4: 61 * 2**30}, 1),  # 15 GiB per image
        ({4: 401 * 2**30}, 0),
        ({64: 10 * 2**30, 128: 18 * 2**30}, 224),  # 1/8 GiB per image: 128 and 12 GiB more
        ({64: 10 * 2**30, 128: 18 * 2**30, 224: 34 * 2**30}, 200),  # 1/6 GiB per image there: 4 GiB less
    ],
)
def test_the_largest_batch_is_guessed_from_one_that_does_not_fit(tried, batch):
    assert prediction.largest_batch(tried, fixed=2**30, limit=30 * 2**30) == batch
