"""The page of a run: its numbers, read back from the file; it holds all it needs."""

import dataclasses
import re

import numpy as np
import pytest
from etils import epath
from pages import CONFIG, EVALUATE, EVENTS, RECORD, TRAIN, Page

from trainer.config import resolve
from trainer.report import mistakes
from trainer.report.chart import Line, chart, percent, thin, ticks
from trainer.report.mistakes import ErrorAnalysis, Mistake
from trainer.report.page import render, write
from trainer.rundir.record import Record

ANALYSIS = ErrorAnalysis(
    class_names=["cat", "<dog>"],
    confusion=np.array([[3, 1], [2, 2]]),
    mistakes=[
        Mistake(image=b"\x89PNG", truth="<dog>", predicted="cat", probability=0.875, name="val/<dog>/1.jpg")
    ],
)


def test_the_page_holds_the_numbers_of_the_run():
    page = Page(render(RECORD, ANALYSIS))
    assert ("h1", "a<b>&co") in page.texts
    assert ("div", "resnet18 on digits, batch 1,024, 4 TPU v4 devices on 1 host, recipe digits") in page.texts
    assert page.facts() == {
        "state": "finished",
        "steps": "20",
        "epochs": "2.00",
        "training loss": "0.5000",
        "best test accuracy": "62.5 %",
        "best accuracy at step": "10",
        "median images/s": "660",
    }
    assert page.drawn == {
        "Loss": [3, 2],
        "Accuracy": [3, 2],
        "Learning rate": [3],
        "Throughput (images/s)": [2],
    }
    assert page.tables["time"][1:] == [
        ["training steps that count", "18.0 s", "56.2 %"],  # 1010..1032 less half a second, 1.5 and 2
        ["waiting for data", "0.5 s", "1.6 %"],
        ["waiting for saves", "3.5 s", "10.9 %"],
        ["starting: imports, joining, opening data and run directory", "2.0 s", "6.2 %"],
        ["tracing and compiling", "8.0 s", "25.0 %"],
        ["total since the first start, 1 attempt", "32.0 s", "100.0 %"],
    ]
    assert page.tables["confusion"] == [["", "cat", "<dog>"], ["cat", "3", "1"], ["<dog>", "2", "2"]]
    assert ("h2", "Mistakes of the best checkpoint: 3 of 8 test images") in page.texts
    assert ["model.arch", "resnet18"] in page.tables["settings"]
    assert ("span", "val/<dog>/1.jpg") in page.texts
    assert page.loads == ["data:image/png;base64,iVBORw=="]  # nothing comes over the network


def test_the_figures_for_a_program():
    result = RECORD.result()
    assert result["goodput"]["share"] == 0.5625
    del result["goodput"]
    assert result == {
        "name": "a<b>&co",
        "state": "finished",
        "step": 20,
        "accuracy": 0.5,
        "best_accuracy": 0.625,
        "best_step": 10,
        "loss": 0.5,
        "images_per_second": 660.0,
    }


def test_a_run_that_has_only_begun_has_a_page_and_says_why_there_is_no_matrix():
    page = Page(render(Record(config=CONFIG, metrics=[], events=EVENTS[:1]), "no <data> here"))
    assert page.facts() == {"state": "not finished", "steps": "0"}
    assert ("p", "No step has been logged yet.") in page.texts
    assert ("p", "No confusion matrix: no <data> here") in page.texts


def test_utilisation_is_drawn_where_it_is_known():
    known = [row | {"mfu": 0.3, "hbm": 0.7} for row in TRAIN[1:]]
    page = Page(render(Record(config=CONFIG, metrics=known, events=EVENTS), ""))
    assert page.drawn["Utilisation of the devices' peaks"] == [2, 2]
    assert (page.facts()["MFU"], page.facts()["memory bandwidth used"]) == ("30.0 %", "70.0 %")


def test_many_classes_are_shown_as_pairs():
    confusion = np.eye(30, dtype=np.int64) * 10
    confusion[4, 7], confusion[7, 4] = 5, 2
    many = ErrorAnalysis(class_names=[f"class {n}" for n in range(30)], confusion=confusion, mistakes=[])
    assert Page(mistakes.section(many)).tables["pairs"][1:] == [
        ["class 4", "class 7", "5 of 15"],
        ["class 7", "class 4", "2 of 12"],
    ]


def test_a_page_that_cannot_be_written_is_a_warning(tmp_path, capsys):
    write(epath.Path(tmp_path / "nowhere"), RECORD)
    assert capsys.readouterr().err.startswith(f"warning: {tmp_path}/nowhere/report.html was not written: ")


@pytest.mark.parametrize(
    ("low", "high", "expected"),
    [
        (0.0, 1.0, [0.0, 0.2, 0.4, 0.6, 0.8, 1.0]),
        (3.0, 3.0, [3.0, 4.0]),
        (0.0, 0.0, [0.0, 0.2]),
        (12.0, 4017.0, [0.0, 1000.0, 2000.0, 3000.0, 4000.0, 5000.0]),
    ],
)
def test_ticks_are_round_and_enclose_the_values(low, high, expected):
    assert ticks(low, high) == expected


@pytest.mark.parametrize("steps", [2, 3, 4, 5, 9])
def test_the_steps_of_a_short_run_have_labels_of_their_own(steps):
    svg = chart("Loss", [Line(name="training", points=[(step, 1.0) for step in range(1, steps + 1)])])
    labels = re.findall(r'text-anchor="middle">([^<]*)<', svg)
    assert len(labels) >= 2
    assert len(set(labels)) == len(labels)


@pytest.mark.parametrize(
    ("settings", "words"),
    [
        ({"optim.label_smoothing": 0.1}, "measured on labels smoothed by 0.1, those"),
        (
            {"augment.mixup": 0.2, "data.shift_pixels": 1},
            "measured on mixed images and augmented images, those",
        ),
        ({"augment.policy": "trivial"}, "measured on augmented images, those"),
        ({}, ""),
    ],
)
def test_the_page_says_why_training_loss_is_above_test_loss(settings, words):
    config = resolve(
        "run", "/runs/run", "", {}, {"data.name": "digits", "optim.label_smoothing": 0.0, **settings}
    )
    page = render(dataclasses.replace(RECORD, config=config), "")
    assert ("A training loss above the test loss is therefore normal." in page) == bool(words)
    assert words in page


def test_too_many_points_become_means_and_the_newest_stays():
    assert thin([(1, 1.0), (2, 3.0), (3, 5.0), (4, 7.0), (5, 9.0)], max_points=3) == [
        (2, 2.0),
        (4, 6.0),
        (5, 9.0),
    ]
    assert len(thin([(n, float(n)) for n in range(100_000)])) <= 400


def test_one_point_and_none_are_drawn_too():
    assert "<circle" in chart("Loss", [Line(name="loss", points=[(1, 2.5)])])
    assert chart("Loss", [Line(name="loss", points=[])]) == ""


@pytest.mark.parametrize(
    ("accuracies", "marks"),
    [
        ([0.0, 1.0], ["0%", "20%", "40%", "60%", "80%", "100%"]),
        ([0.001, 0.004], ["0.0%", "0.1%", "0.2%", "0.3%", "0.4%"][1:]),
        ([0.0, 0.0005], ["0.00%", "0.01%", "0.02%", "0.03%", "0.04%", "0.05%"]),
        ([0.991, 0.999], ["99.0%", "99.2%", "99.4%", "99.6%", "99.8%", "100.0%"]),
    ],
)
def test_the_marks_of_an_axis_of_shares_differ(accuracies, marks):
    figure = chart("Accuracy", [Line(name="test", points=list(enumerate(accuracies)), dots=True)], percent)
    assert [text for tag, text in Page(figure).texts if tag == "text" and text.endswith("%")] == marks


@pytest.mark.parametrize(
    ("accuracy", "shown"),
    [(0.625, "62.5 %"), (0.01, "1.0 %"), (0.0012, "0.12 %"), (0.00004, "0.004 %"), (0.0, "0.0 %")],
)
def test_a_small_accuracy_is_not_shown_as_none(accuracy, shown):
    record = dataclasses.replace(RECORD, metrics=[*TRAIN, EVALUATE[0] | {"accuracy": accuracy}])
    assert Page(render(record, "")).facts()["best test accuracy"] == shown
