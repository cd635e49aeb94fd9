"""The plot of a search: coordinates worked out by hand, and its texts."""

import xml.etree.ElementTree as ElementTree

import pytest

from launcher import TrainingJob
from launcher.check import plot
from launcher.check.assessment import GIB, Assessment
from launcher.check.prediction import Prediction, Range

SVG = "{http://www.w3.org/2000/svg}"
JOB = TrainingJob(slice="v5e-4", arch="resnet50", batch=256, bucket="b-1")


def assessment(per_device, rate, peak):
    value = Range(low=rate - 100, expected=rate, high=rate + 100)
    prediction = Prediction(
        step=value,
        rate=value,
        total=value,
        epochs_a_day=1.0,
        chip_hours=value,
        flops_share=0.5,
        memory_share=0.5,
        bound="memory",
    )
    result = {"batch": 4 * per_device, "devices": 4, "estimated": False, "versions": {"libtpu": "0.0.42"}}
    result["train"] = {"fits": True, "peak": peak * GIB}
    return Assessment(job=JOB, result=result, prediction=prediction)


def test_each_batch_is_a_point_of_both_panels():
    drawn = ElementTree.fromstring(plot.svg([assessment(200, 1900, 15), assessment(100, 1800, 8)]))
    points = [(c.get("cx"), c.get("cy")) for c in drawn.iter(f"{SVG}circle")]
    # x: 76 + 100 / 206 of 614. y above: 270 - 1,800 / 2,160 of 200 (the most is 2,000 and 8 % of room);
    # below: 500 - 8 / 17.28 of 170.
    assert points[0] == ("374.1", "103.3")
    assert points[2] == ("374.1", "421.3")
    texts = [text.text for text in drawn.iter(f"{SVG}text")]
    assert texts[0] == "resnet50 on v5e-4, laid out by libtpu 0.0.42"
    assert {"1,800", "1,900", "8", "15", "limit: 16 GiB per device", "batch per device"} <= set(texts)


def test_labels_cover_neither_one_another_nor_the_limit():
    batches = [(64, 4060, 1.77), (128, 3904, 3.17), (190, 3850, 4.5), (1400, 3406, 15.2)]
    drawn = ElementTree.fromstring(plot.svg([assessment(*batch) for batch in batches]))
    labels = {text.text: (float(text.get("x")), float(text.get("y"))) for text in drawn.iter(f"{SVG}text")}
    points = [(float(c.get("cx")), float(c.get("cy"))) for c in drawn.iter(f"{SVG}circle")]
    # The labels of 64 and 128 are 32 wide and stand 27 apart: one is above its point, the other below.
    assert labels["4,060"][1] == points[0][1] - 10
    assert labels["3,904"][1] == points[1][1] + 20
    assert labels["3,850"][1] == points[2][1] - 10
    # y of the limit: 500 - 16 / 17.28 of 170 = 342.6; a text above 15.2 would lie across it.
    assert labels["15.2"][1] == points[-1][1] + 20


@pytest.mark.parametrize(
    ("most", "expected"),
    [
        (376, [0, 100, 200, 300]),
        (16.8, [0, 5, 10, 15]),
        (0.9, [0, 0.2, 0.4, 0.6, 0.8]),
        (1, [0, 0.2, 0.4, 0.6, 0.8, 1]),
    ],
)
def test_ticks_are_round_numbers(most, expected):
    assert plot.ticks(most) == pytest.approx(expected)
