"""The learning rate at points whose values are worked out by hand."""

import pytest

from trainer.config import OptimConfig
from trainer.learning.schedules import make_schedule

PLAIN = {"lr": 0.1, "warmup_epochs": 2.0}  # batch 512: peak 0.2; 10 steps an epoch, 100 steps


def rates(at, batch=512, **fields):
    schedule = make_schedule(OptimConfig(**(PLAIN | fields)), batch, 100, 10.0)
    return [float(schedule(step)) for step in at]


@pytest.mark.parametrize(
    ("fields", "at", "wanted"),
    [
        # Linear from 0 to 0.2 in 20 steps, then 0.2 x (1 + cos(pi x (step - 20) / 80)) / 2.
        ({}, [0, 5, 10, 20, 40, 60, 80, 100], [0, 0.05, 0.1, 0.2, 0.1707107, 0.1, 0.0292893, 0]),
        ({"lr_batch": 0}, [20, 60], [0.1, 0.05]),
        ({"warmup_lr": 0.01}, [0, 10], [0.02, 0.11]),
        ({"final_lr": 0.01}, [60, 100], [0.11, 0.02]),
        ({"schedule": "constant"}, [10, 20, 99], [0.1, 0.2, 0.2]),
        ({"schedule": "step", "step_epochs": "3,6,8"}, [29, 30, 60, 80], [0.2, 0.02, 0.002, 0.0002]),
        # 0.2 x (1 - (step - 20) / 80)^2
        ({"schedule": "polynomial"}, [40, 60, 100], [0.1125, 0.05, 0]),
        # 0.2 x 0.5^floor(step / 24); the warm-up of 2 epochs ends in the first stair, that of 5 in the third.
        (
            {"schedule": "exponential", "step_factor": 0.5},
            [10, 20, 23, 24, 47, 48, 99],
            [0.1, 0.2, 0.2, 0.1, 0.1, 0.05, 0.0125],
        ),
        (
            {"schedule": "exponential", "step_factor": 0.5, "warmup_epochs": 5.0},
            [25, 49, 50, 71, 72],
            [0.1, 0.196, 0.05, 0.05, 0.025],
        ),
        (
            {"schedule": "exponential", "step_factor": 0.5, "decay_epochs": 0.7, "warmup_epochs": 0.0},
            [0, 6, 7, 13, 14, 20, 21, 69, 70],
            [0.2, 0.2, 0.1, 0.1, 0.05, 0.05, 0.025, 0.2 / 2**9, 0.2 / 2**10],
        ),
        ({"warmup_steps": 40}, [10, 20, 40, 70, 100], [0.05, 0.1, 0.2, 0.1, 0]),
        ({"warmup_steps": 1000}, [0, 99], [0, 0.2]),  # the warm-up ends with the run
        ({"schedule": "linear"}, [10, 40, 60, 100], [0.1, 0.15, 0.1, 0]),
    ],
)
def test_a_rate_by_hand(fields, at, wanted):
    assert rates(at, **fields) == pytest.approx(wanted, abs=1e-7)


@pytest.mark.parametrize("text", ["", "30,20", "thirty"])
def test_epochs_that_do_not_rise_are_refused(text):
    with pytest.raises(Exception, match=r"optim.step_epochs: must be rising numbers like 30,60,80, got"):
        rates([0], schedule="step", step_epochs=text)
