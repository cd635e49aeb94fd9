"""Reading the trainer's lines out of a log."""

import pytest

from launcher.runs import trainer_log

LOG = """\
warning: no data is configured
event name=start at=1700000000.500 restart=0 hosts=2 devices=2
event name=joined at=1700000003.250
event name=compiled at=1700000010 seconds=6.5
progress step=10 steps=150 epoch=0.44 epochs=6.68 loss=2.5 lr=0.1 images_per_second=657.8 data_wait=0.0121 eta_seconds=62
E1124 10:08:57.700625 progress step=99 of somebody else
evaluate step=15 epoch=1.00 accuracy=0.25 loss=2.4 examples=360
progress step=20 steps=150 epoch=0.89 epochs=6.68 loss=nan lr=1e-05 images_per_second=600.0 data_wait=0 eta_seconds=60
""".splitlines()  # noqa: E501


def test_the_newest_line_of_each_kind_counts():
    summary = trainer_log.read(LOG)
    assert summary.progress == {
        "step": 20,
        "steps": 150,
        "epoch": 0.89,
        "epochs": 6.68,
        "loss": "nan",  # JSON has no such number
        "lr": 1e-05,
        "images_per_second": 600.0,
        "data_wait": 0,
        "eta_seconds": 60,
    }
    assert summary.evaluate == {"step": 15, "epoch": 1.0, "accuracy": 0.25, "loss": 2.4, "examples": 360}


def test_events_keep_their_time():
    assert trainer_log.read(LOG).events == {
        "start": 1700000000.5,
        "joined": 1700000003.25,
        "compiled": 1700000010.0,
    }


def test_a_log_without_lines_of_the_trainer_gives_an_empty_summary():
    assert trainer_log.read(
        ["", "progress", "Traceback (most recent call last):", "event name=x at=soon"]
    ) == (trainer_log.LogSummary())


def test_the_best_evaluation_is_kept_beside_the_newest():
    lines = [
        f"evaluate step={step} accuracy={accuracy}" for step, accuracy in ((5, 0.5), (10, 0.75), (15, "nan"))
    ]
    summary = trainer_log.read([*lines, "evaluate step=20 accuracy=0.7"])
    assert (summary.evaluate["step"], summary.best["step"]) == (20, 10)
    assert trainer_log.better({}, {"step": 1}) == {}


def test_lines_of_json_are_read_like_logfmt():
    summary = trainer_log.read(
        [
            '{"kind": "event", "name": "joined", "at": 1700000003.25}',
            '{"kind": "progress", "step": 20, "steps": 150, "loss": "nan"}',
            '{"kind": "evaluate", "step": 15, "accuracy": 0.25}',
        ]
    )
    assert summary.events == {"joined": 1700000003.25}
    assert summary.progress == {"step": 20, "steps": 150, "loss": "nan"}
    assert summary.evaluate == {"step": 15, "accuracy": 0.25}


@pytest.mark.parametrize(
    "line",
    [
        '{"kind": "progress", "step": 20',
        '{"kind": ["progress"], "step": 20}',
        '{"kind": "image", "top": []}',
        ' {"kind": "progress", "step": 20}',
        '{"kind": ' + "[" * 100_000,
        f'{{"kind": "event", "name": "start", "at": {"9" * 400}}}',
        f"event name=start at={'9' * 400}",
        "warning: progress step=3",
    ],
)
def test_other_lines_are_prose(line):
    assert trainer_log.read([line]) == trainer_log.LogSummary()


@pytest.mark.parametrize(
    ("line", "text"),
    [
        ("progress step=40 steps=269 loss=2.2123 eta_seconds=104", "step 40/269  loss 2.21  1 min 44 s left"),
        ('{"kind": "progress", "step": 40, "loss": NaN, "x": {}}', "step 40  loss NaN"),
        ("evaluate step=15 accuracy=0.25 examples=1", "evaluated at step 15: accuracy 25.00 %, 1 images"),
        ("event name=joined at=1.5", "all hosts have joined"),
        (r'event name="a\nprogress step=1" x=3', r"a\nprogress step=1, x 3"),
        ("progress of the work", "progress of the work"),
        ("evaluate step=1", "evaluate step=1"),
        ("", ""),
    ],
)
def test_lines_for_people(line, text):
    assert trainer_log.for_people(line) == text
