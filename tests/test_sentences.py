"""Lines for people: the launcher and the trainer have the same code, and no line breaks it."""

import ast
from pathlib import Path

import pytest

from launcher.runs import sentences as launcher_sentences
from trainer.metrics import sentences
from trainer.metrics.sentences import duration, sentence


def test_both_packages_have_the_same_code():
    one, other = (
        ast.dump(ast.Module(ast.parse(Path(module.__file__).read_text()).body[1:], []))
        for module in (sentences, launcher_sentences)
    )
    assert one == other, "copy the code below the docstring"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [
        (0, "0 s"),
        (-3, "0 s"),
        (59.4, "59 s"),
        (60, "1 min"),
        (104.4, "1 min 44 s"),
        (7500, "2 h 5 min"),
        (3605, "1 h"),
        (273600, "3 d 4 h"),
    ],
)
def test_durations(seconds, text):
    assert duration(seconds) == text


@pytest.mark.parametrize(
    ("kind", "row", "text"),
    [
        (
            "progress",
            {
                "step": 40,
                "steps": 269,
                "loss": 2.2123,
                "accuracy": 0.171875,
                "images_per_second": 150.2,
                "eta_seconds": 104.4,
                "lr": 0.1,
            },
            "step 40/269  loss 2.21  acc 17 %  150 img/s  1 min 44 s left",
        ),
        ("progress", {"step": 1, "steps": 10, "loss": 2.3}, "step 1/10  loss 2.3"),
        ("progress", {"step": 7, "loss": "nan", "accuracy": "inf"}, "step 7  loss nan  acc inf"),
        ("progress", {"step": 3, "images_per_second": 0.52}, "step 3  0.5 img/s"),
        (
            "progress",
            {"step": 3, "images_per_second": 123456.7, "mfu": 0.555},
            "step 3  123,457 img/s  MFU 56 %",
        ),
        (
            "evaluate",
            {"step": 135, "accuracy": 0.969444, "loss": 0.177548, "examples": 50000},
            "evaluated at step 135: accuracy 96.94 %, loss 0.178, 50,000 images",
        ),
        (
            "evaluate",
            {"accuracy": 0.5, "raw_accuracy": 0.25},
            "evaluated: accuracy 50.00 % (not averaged: 25.00 %)",
        ),
        (
            "event",
            {"name": "start", "hosts": 1, "devices": 4, "device_kind": "TPU v4", "restart": 2},
            "started: 1 host, 4 devices (TPU v4), restart 2",
        ),
        ("event", {"name": "compiled", "at": 1.0, "seconds": 67.279}, "compiled in 1 min 7 s"),
        (
            "event",
            {"name": "end", "step": 269, "accuracy": 0.986111, "goodput": 0.84},
            "finished at step 269, accuracy 98.61 %, goodput 84 %",
        ),
        ("event", {"name": "of-a-program", "at": 1.0, "shard": 3}, "of-a-program, shard 3"),
        ("progress", {"steps": 10}, ""),
        ("evaluate", {"step": 10}, ""),
        ("event", {"at": 1}, ""),
        ("other", {"step": 1}, ""),
    ],
)
def test_lines_for_people(kind, row, text):
    assert sentence(kind, row) == text


@pytest.mark.parametrize("value", [10**400, -1e300, "", "x", True, [1], {"a": 1}, None])
def test_no_value_breaks_a_line(value):
    progress = dict.fromkeys(("step", "steps", "loss", "accuracy", "images_per_second", "mfu", "eta_seconds"))
    for kind, row in (
        ("progress", dict.fromkeys(progress, value)),
        ("evaluate", dict.fromkeys(("step", "accuracy", "raw_accuracy", "loss", "examples"), value)),
        *(
            (
                "event",
                {
                    "name": name,
                    "step": value,
                    "seconds": value,
                    "accuracy": value,
                    "goodput": value,
                    "hosts": value,
                },
            )
            for name in [*sentences.EVENTS, value]
        ),
    ):
        assert isinstance(sentence(kind, row), str)
