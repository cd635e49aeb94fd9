"""Where the time went: two attempts by hand, a run that was never disturbed, one that was rolled back."""

import pytest

from trainer.rundir.goodput import account

START = [
    {"name": "start", "at": 1000.0},
    {"name": "joined", "at": 1002.0},
    {"name": "opened", "at": 1005.0},
    {"name": "compiled", "at": 1025.0, "seconds": 19.0},
    {"name": "first_step", "at": 1026.0, "step": 1},
    {"name": "evaluate", "at": 1040.0, "step": 10, "seconds": 4.0},
    {"name": "save", "at": 1041.0, "step": 10, "seconds": 1.0, "waited_seconds": 2.0},
]
# Killed after step 17, of which the next start tells; it goes on from step 10.
AGAIN = [
    {"name": "start", "at": 1075.0, "before_step": 17, "before_at": 1055.0, "before_waited_seconds": 3.0},
    {"name": "joined", "at": 1078.0},
    {"name": "opened", "at": 1080.0},
    {"name": "restore", "at": 1084.0, "step": 10, "seconds": 3.0},
    {"name": "compiled", "at": 1086.0, "seconds": 6.0},
    {"name": "first_step", "at": 1087.0, "step": 11},
    {"name": "save", "at": 1106.0, "step": 20, "seconds": 2.0, "waited_seconds": 5.0},
    {"name": "end", "at": 1109.0, "step": 20, "seconds": 3.0, "waited_seconds": 5.0},
]


def test_a_run_that_was_killed_once():
    goodput = account(START + AGAIN)
    assert goodput.seconds == {
        "training": 9.0 + 13.0,  # 1025..1041 less 4 + 1 + 2; 1086..1109 less 2 + 5 + 3
        "again": 14.0,  # 1041..1055, its waiting for data included
        "data": 2.0 + 5.0,
        "evaluating": 4.0,
        "saving": 1.0 + 2.0 + 3.0,
        "start": 5.0 + 5.0,
        "compiling": 20.0 + 1.0 + 2.0,  # before the restore and after it
        "restoring": 3.0,
        "stopped": 20.0,  # 1055..1075
    }
    assert (goodput.total, goodput.attempts) == (109.0, 2)
    assert sum(goodput.seconds.values()) == 109.0
    assert goodput.share == pytest.approx(22 / 109)


def test_a_run_under_way_ends_with_its_newest_logged_step():
    goodput = account(START, {"step": 15, "at": 1051.0, "waited_seconds": 2.5})
    assert goodput.total == 51.0
    assert goodput.seconds["training"] == 9.0 + 9.5  # 1041..1051 less half a second
    assert goodput.seconds["data"] == 2.5


def test_without_a_checkpoint_everything_is_done_again():
    fresh = [{"name": "start", "at": 1050.0}, {"name": "opened", "at": 1051.0}]
    fresh += [{"name": "compiled", "at": 1052.0, "seconds": 1.0}, {"name": "end", "at": 1060.0, "step": 20}]
    goodput = account(START + fresh)
    assert (goodput.seconds["again"], goodput.seconds["training"]) == (16.0, 8.0)
    assert goodput.seconds["stopped"] == 9.0  # from the save, the last that was heard of it


def test_a_rollback_costs_what_came_after_the_checkpoint():
    rest = [
        {"name": "rollback", "at": 1045.0, "step": 13, "to": 10, "waited_seconds": 2.0},
        {"name": "end", "at": 1050.0, "step": 20, "seconds": 1.0, "waited_seconds": 2.0},
    ]
    goodput = account(START + rest)
    assert (goodput.seconds["again"], goodput.seconds["training"]) == (4.0, 9.0 + 4.0)


def test_a_finished_run_that_is_started_again_costs_nothing_more():
    idle = [{"name": "start", "at": 9000.0}, {"name": "restore", "at": 9004.0, "step": 20}]
    idle += [{"name": "compiled", "at": 9005.0, "seconds": 1.0}, {"name": "end", "at": 9006.0, "step": 20}]
    assert account(START + AGAIN + idle) == account(START + AGAIN)


def test_events_of_an_older_version_say_less_and_are_read():
    old = [{k: v for k, v in e.items() if "seconds" not in k and "before" not in k} for e in START + AGAIN]
    goodput = account(old)
    assert goodput.seconds["again"] == 0.0  # nobody knows of step 17
    assert goodput.seconds["stopped"] == 34.0
    assert sum(goodput.seconds.values()) == goodput.total == 109.0


def test_before_the_first_start_there_is_nothing_to_tell():
    assert account([]) is None
