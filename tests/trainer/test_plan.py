"""Steps of a run, and the learning rate at them, written out by hand."""

import pytest

from trainer.config import resolve
from trainer.learning.optimizers import make_schedule
from trainer.plan import make_plan


def make(examples, **settings):
    return make_plan(resolve("r", "/d", "", {k.replace("__", "."): v for k, v in settings.items()}), examples)


def test_epochs_become_steps():
    plan = make(1437, train__batch=64, train__epochs=10.0, train__eval_every_epochs=2.0)
    assert plan.steps == 225  # 10 x 1437 / 64 = 224.5
    assert [s for s in range(1, 226) if plan.evaluates(s)] == [45, 90, 135, 180, 225]
    assert plan.epoch(45) == pytest.approx(2.0042, abs=1e-4)


def test_steps_win_over_epochs_and_the_end_is_evaluated():
    plan = make(1000, train__batch=100, train__steps=7, train__eval_every_epochs=0.0)
    assert [s for s in range(1, 8) if plan.evaluates(s)] == [7]


def test_saves_between_evaluations():
    plan = make(1000, train__batch=100, train__steps=7, checkpoint__every_steps=3)
    assert [s for s in range(1, 8) if plan.saves(s)] == [3, 6]


def test_warm_up_and_cosine():
    settings = {"optim.lr": 0.1, "optim.warmup_epochs": 1.0}
    schedule = make_schedule(resolve("r", "/d", "", settings).optim, 512, steps=110, steps_per_epoch=10)
    # Peak 0.1 x 512 / 256 = 0.2 after 10 steps; half of it in the middle of the other 100; zero at the end.
    for step, rate in [(0, 0.0), (5, 0.1), (10, 0.2), (60, 0.1), (110, 0.0)]:
        assert float(schedule(step)) == pytest.approx(rate, abs=1e-6)


def test_a_warm_up_longer_than_the_run_still_trains():
    settings = {"optim.lr": 0.256, "optim.warmup_epochs": 5.0}
    schedule = make_schedule(resolve("r", "/d", "", settings).optim, 256, steps=3, steps_per_epoch=10)
    assert [round(float(schedule(s)), 4) for s in range(3)] == [0.0, 0.128, 0.256]
