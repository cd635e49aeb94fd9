"""What a screen of `watch` holds, for runs and sizes of many kinds."""

import random
import re

import pytest

from launcher.live import figures
from launcher.live.curve import POINTS, Curve
from launcher.live.lines import PROGRESS_SECONDS, Lines, line
from launcher.live.screen import Frame, draw, neighbour
from launcher.live.view import Held, Restarts, View

NOW = 1_800_000_000.0


def view(name="run", phase="Running", **more):
    values = {
        "program": "resnet50",
        "slice": "v5e-256",
        "slices": 4,
        "hosts": 256,
        "progress": {
            "step": 40,
            "steps": 269,
            "loss": 2.2134,
            "images_per_second": 1024e3,
            "data_wait": 0.31,
        },
        "evaluation": {"step": 20, "accuracy": 0.5},
        "best": {"step": 10, "accuracy": 0.625},
        "loss": (4.0, 3.0, 2.5, 2.2134),
        "accuracy": (0.1, 0.625, 0.5),
        "held": Held(since=NOW - 3600, chips=1024),
        "seconds_left": 104.0,
    }
    return View(name=name, phase=phase, **{**values, **more})


def lines(*views, width=100, height=30, **frame):
    return draw(views, Frame(width=width, height=height, where="namespace a", **frame), NOW).plain.split("\n")


def test_a_block_has_everything_about_a_run():
    restarts = Restarts(total=5, counted=1, limit=10, causes={"preempted": 4, "exit code 43": 1})
    shown = lines(view(restarts=restarts, price=1.5, ready=3, why=("host 3 is lost",)))
    assert re.sub(r"\d\d:\d\d:\d\d", "TIME", shown[0]).split() == ["1", "run", "in", "namespace", "a", "TIME"]
    assert shown[2:9] == [
        "run  Running  resnet50, 4 x v5e-256, 256 hosts, 3 of 4 slices ready",
        "  " + "━" * 9 + "─" * 51 + "  step 40/269  14 %  1 min 44 s left",
        "  loss █▄▂▁ 2.213                                 accuracy ▁█▇ 50.00 % (best 62.50 %)",
        "  1,000 images/s per chip, 31 % of the time waiting for data   restarts 5: 1 of 10 used (4",
        "  preempted, 1 exit code 43)   cost so far 1,536.00",
        "  host 3 is lost",
        "",
    ]
    assert shown[-1] == "q ends   up and down choose a run"


def test_measured_stands_beside_predicted_and_the_likely_cause_below():
    progress = {"step": 4, "images_per_second": 1024e3, "predicted": 2048e3, "slow": "waiting for data, 40%"}
    shown = lines(view(progress=progress, evaluation={}, accuracy=(), loss=()))
    assert "  1,000 images/s per chip, 50 % of the predicted 2,000" in shown
    assert "  slower than predicted: waiting for data, 40%" in shown
    unknown = lines(view(progress=progress | {"predicted": "nan", "slow": 7}))
    assert not any("predicted" in text for text in unknown)


def test_what_is_not_known_is_left_out():
    empty = View(name="run", phase="Pending")
    assert [text for text in lines(empty)[2:] if text] == [
        "run  Pending  1 host",
        "q ends   up and down choose a run",
    ]
    unknown = lines(
        view(progress={"step": 3, "loss": "nan"}, held=None, seconds_left=None, accuracy=(), evaluation={})
    )
    assert "step 3" in unknown[3]
    assert "%" not in unknown[3]
    assert unknown[4] == "  loss █▄▂▁ nan"


def test_a_cost_that_lacks_attempts_says_at_least():
    held = Held(seconds=1800, since=NOW - 1800, chips=8, whole=False)
    assert figures.cost(view(held=held, price=2.0), NOW) == "at least 16.00"
    assert figures.cost(view(held=held), NOW) == ""
    assert figures.cost(view(held=None, price=2.0), NOW) == ""


@pytest.mark.parametrize("width", [20, 40, 60, 79, 100, 133, 300])
@pytest.mark.parametrize("height", [2, 5, 12, 24, 60])
@pytest.mark.parametrize("unicode", [True, False])
def test_no_screen_is_larger_than_its_terminal(width, height, unicode):
    dice = random.Random(width * height)
    for count in (0, 1, 3, 30):
        views = [
            view(
                f"run-{number}" * dice.randint(1, 9),
                dice.choice(["Running", "Queued", "Failed"]),
                why=tuple("word " * dice.randint(0, 90) for _ in range(dice.randint(0, 4))),
                loss=tuple(dice.random() for _ in range(dice.randint(0, 90))),
            )
            for number in range(count)
        ]
        chosen = dice.choice(views).name if views else ""
        shown = lines(*views, width=width, height=height, unicode=unicode, chosen=chosen, notes=["a note"])
        assert len(shown) == height
        assert all(len(text) <= width for text in shown), max(shown, key=len)
        assert unicode or all(text.isascii() for text in shown)


def test_many_runs_are_one_line_each_and_the_chosen_one_is_whole():
    views = [view(f"run-{number:02d}") for number in range(30)]
    shown = lines(*views, width=80, height=24, chosen="run-17")
    assert [text.split()[0] for text in shown if text.startswith("  run-")] == [
        f"run-{number}" for number in range(10, 25) if number != 17
    ]
    [chosen] = [text for text in shown if text.startswith("> ")]
    assert chosen.split()[:5] == [">", "run-17", "Running", "14", "%"]
    assert "run-17  Running  resnet50, 4 x v5e-256, 256 hosts" in shown
    wide = lines(*views, width=160, height=24)
    assert wide[2].split() == [
        "run",
        "phase",
        "done",
        "left",
        "loss",
        "accuracy",
        "img/s/chip",
        "wait",
        "restarts",
        "slice",
    ]


@pytest.mark.parametrize(
    ("chosen", "move", "name"),
    [("", 1, "b"), ("b", -1, "a"), ("c", 5, "c"), ("gone", 0, "a"), ("a", -9, "a")],
)
def test_the_choice_moves_within_the_runs(chosen, move, name):
    assert neighbour([view("a"), view("b"), view("c")], chosen, move) == name
    assert neighbour([], chosen, move) == ""


@pytest.mark.parametrize(
    ("values", "width", "shown"),
    [([1, 2, 3, 4], 8, "▁▃▆█"), ([5, 5], 8, "▁▁"), ([], 8, ""), ([0, 0, 8, 8], 2, "▁█"), ([1], 0, "")],
)
def test_a_sparkline(values, width, shown):
    assert figures.sparkline(values, width) == shown


def test_a_curve_stays_short_and_keeps_its_ends():
    curve = Curve()
    for step in range(100_000):
        curve.add(step, float(step))
    values = curve.values()
    assert len(values) <= POINTS + 1
    assert (values[0], values[-1]) == (0.0, 99_999.0)
    assert values == sorted(values)


@pytest.mark.parametrize("value", [float("nan"), float("inf"), "nan", None, True, 10**400])
def test_a_value_that_is_no_measurement_is_no_point(value):
    curve = Curve()
    curve.add(1, 2.0)
    curve.add(2, value)
    assert curve.values() == [2.0]


def test_lines_tell_changes_at_once_and_progress_once_a_minute():
    lines = Lines()
    step = lambda number, phase="Running": [view(phase=phase, progress={"step": number, "steps": 9})]  # noqa: E731
    assert list(lines.changed(step(1), 0.0)) == step(1)
    assert list(lines.changed(step(2), PROGRESS_SECONDS - 1)) == []
    assert list(lines.changed(step(3), PROGRESS_SECONDS)) == step(3)
    assert list(lines.changed(step(3, "Failed"), PROGRESS_SECONDS + 1)) == step(3, "Failed")
    assert line(step(3, "Failed")[0], NOW) == "run: Failed, step 3/9, 1 min 44 s left, accuracy 50.00 %"
