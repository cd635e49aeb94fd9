"""Each recipe compared with its source: values worked out by hand from the published settings."""

import dataclasses
import re

import pytest

from trainer import recipes
from trainer.config import resolve
from trainer.learning.schedules import make_schedule
from trainer.plan import make_plan

# Learning rate at ten epochs, of which a run has 6,000 steps each.
# A cosine is peak x (1 + cos(pi x share of the epochs since the warm-up)) / 2: 1/4, 1/2 and 3/4 give
# 0.8535534, 0.5 and 0.1464466 of the peak.
RATES = {
    # 0.1 per 256 images, so 0.4 for 1,024; 85 epochs after the warm-up.
    "classic-90": {0: 0, 1: 0.08, 2.5: 0.2, 4: 0.32, 5: 0.4, 26.25: 0.3414214, 47.5: 0.2, 68.75: 0.0585786,
                   75.8333333: 0.0267949, 90: 0},  # a share of 5/6: 0.0669873
    "rsb-a1": {0: 0, 1: 0.001, 2.5: 0.0025, 4: 0.004, 5: 0.005, 153.75: 0.004267767, 302.5: 0.0025,
               451.25: 0.000732233, 203.3333333: 0.00375, 600: 0},  # a share of 1/3: 0.75
    "rsb-a2": {0: 0, 1: 0.001, 2.5: 0.0025, 4: 0.004, 5: 0.005, 78.75: 0.004267767, 152.5: 0.0025,
               226.25: 0.000732233, 103.3333333: 0.00375, 300: 0},
    "rsb-a3": {0: 0, 1: 0.0016, 2.5: 0.004, 4: 0.0064, 5: 0.008, 28.75: 0.006828427, 52.5: 0.004,
               76.25: 0.001171573, 36.6666667: 0.006, 100: 0},
    # The warm-up begins at a hundredth of the peak: 0.005, plus 0.099 per epoch.
    "torchvision-v2": {0: 0.005, 1: 0.104, 2: 0.203, 4: 0.401, 5: 0.5, 153.75: 0.4267767, 302.5: 0.25,
                       451.25: 0.0732233, 203.3333333: 0.375, 600: 0},
    # From 1.7e-4 to 1.7 in two epochs, then linearly to 0.
    "fast-16": {0: 0.00017, 1: 0.850085, 2: 1.7, 4: 1.4571429, 5.5: 1.275, 9: 0.85, 11: 0.6071429,
               12.5: 0.425,
                14: 0.2428571, 16: 0},
    "fast-88": {0: 0.00017, 1: 0.850085, 2: 1.7, 23.5: 1.275, 45: 0.85, 65: 0.4546512, 66.5: 0.425,
                70: 0.3558140, 76: 0.2372093, 88: 0},
    # Linear warm-up, then 1e-4 + (peak - 1e-4) x (remaining share of the epochs)^2.
    "lars-4k": {0: 0, 0.5: 2.625, 1: 5.25, 2: 10.5, 9: 6.720036, 16: 3.780064, 19.5: 2.625075, 23: 1.680084,
                30: 0.420096, 37: 0.0001},
    "lars-8k": {0: 0, 1: 3.4, 2.5: 8.5, 4: 13.6, 5: 17, 14.25: 9.56254375, 23.5: 4.250075, 32.75: 1.06259375,
                38.3: 0.170099, 42: 0.0001},
    "lars-16k": {0: 0, 1: 5, 2.5: 12.5, 4: 20, 5: 25, 17.75: 14.06254375, 30.5: 6.250075, 43.25: 1.56259375,
                 50.9: 0.250099, 56: 0.0001},
    "lars-32k": {0: 0, 4.5: 7.25, 9: 14.5, 13.5: 21.75, 18: 29, 29.5: 16.31254375, 41: 7.250075,
                 52.5: 1.81259375, 59.4: 0.290099, 64: 0.0001},
    "lars-64k": {0: 0, 8.25: 5.77025, 16.5: 11.5405, 24.75: 17.31075, 33: 23.081, 47.75: 12.98310625,
                 62.5: 5.770325, 77.25: 1.44265625, 86.1: 0.230909, 92: 0.0001},
}  # fmt: skip

# Constants of a run: batch, epochs, optimizer, weight decay, momentum, label smoothing, augmentation.
NO_MIXING = {"mixup": 0.0, "cutmix": 0.0, "erase": 0.0, "repeats": 1, "policy": "none"}
RSB = {"mixup": 0.1, "cutmix": 1.0, "erase": 0.0, "repeats": 3, "policy": "rand", "magnitude": 7.0}
TORCHVISION = {"mixup": 0.2, "cutmix": 1.0, "erase": 0.1, "repeats": 4, "policy": "trivial"}
CONSTANTS = {
    "classic-90": (1024, 90, "sgd", 1e-4, 0.9, 0.1, NO_MIXING),
    "rsb-a1": (2048, 600, "lamb", 0.01, 0.9, 0.1, RSB | {"mixup": 0.2}),
    "rsb-a2": (2048, 300, "lamb", 0.02, 0.9, 0.0, RSB),
    "rsb-a3": (2048, 100, "lamb", 0.02, 0.9, 0.0, RSB | {"repeats": 1, "magnitude": 6.0}),
    "torchvision-v2": (1024, 600, "sgd", 2e-5, 0.9, 0.1, TORCHVISION),
    "fast-16": (4096, 16, "sgd", 1e-4, 0.9, 0.1, NO_MIXING),
    "fast-88": (4096, 88, "sgd", 1e-4, 0.9, 0.1, NO_MIXING),
    "lars-4k": (3264, 37, "lars", 5e-5, 0.9, 0.1, NO_MIXING),
    "lars-8k": (8192, 42, "lars", 2e-4, 0.9, 0.1, NO_MIXING),
    "lars-16k": (16384, 56, "lars", 2e-4, 0.9, 0.1, NO_MIXING),
    "lars-32k": (32768, 64, "lars", 1e-4, 0.929, 0.1, NO_MIXING),
    "lars-64k": (65536, 92, "lars", 1e-4, 0.95372, 0.1, NO_MIXING),
}

# Side of the training images in pixels by epoch; on a ramp the nearest multiple of 32, half rounded up.
# fast-16: epoch 12 has 176 = 5.5 x 32. fast-88: epoch 69 has 171.6, epoch 71 has 177.5.
PIXELS = {
    "classic-90": {0: 0, 89: 0},
    "rsb-a1": {0: 0, 599: 0},
    "rsb-a2": {0: 0, 299: 0},
    "rsb-a3": {0: 160, 99: 160},
    "torchvision-v2": {0: 176, 599: 176},
    "fast-16": {0: 160, 5: 160, 11: 160, 12: 192, 13: 192, 15: 192},
    "fast-88": {0: 160, 30: 160, 65: 160, 69: 160, 71: 192, 76: 192, 87: 192},
}


def configured(name):
    return resolve("r", "/d", name, recipes.load(name))


@pytest.mark.parametrize("name", RATES)
def test_the_learning_rate_at_ten_points(name):
    config = configured(name)
    schedule = make_schedule(config.optim, config.train.batch, round(config.train.epochs * 6000), 6000.0)
    rates = {epoch: float(schedule(round(epoch * 6000))) for epoch in RATES[name]}
    assert len(rates) == 10
    assert rates == pytest.approx(RATES[name], rel=2e-5, abs=2e-7)


@pytest.mark.parametrize("name", CONSTANTS)
def test_the_constants_of_a_run(name):
    config = configured(name)
    batch, epochs, optimizer, decay, momentum, smoothing, augmentation = CONSTANTS[name]
    assert (config.train.batch, config.train.epochs, config.optim.name) == (batch, epochs, optimizer)
    assert (config.optim.weight_decay, config.optim.momentum) == (decay, momentum)
    assert config.optim.label_smoothing == smoothing
    assert dataclasses.asdict(config.augment).items() >= augmentation.items()


@pytest.mark.parametrize("name", PIXELS)
def test_the_image_size_by_epoch(name):
    config = configured(name)
    plan = make_plan(config, 1_281_167)
    pixels = {epoch: plan.resolution(round((epoch + 0.5) * plan.steps_per_epoch)) for epoch in PIXELS[name]}
    assert pixels == PIXELS[name]
    assert plan.resolutions() == list(dict.fromkeys(PIXELS[name].values()))


def test_every_docstring_states_command_slice_time_accuracy_source_and_date():
    for name in recipes.RECIPES:
        text = __import__(f"trainer.recipes.{name.replace('-', '_')}", fromlist=["x"]).__doc__
        labels = ("command", "slice", "time", "expected", "source", "measured")
        assert all(f"\n{label}:" in text for label in labels), name
        assert f"--slice {re.search(r'^slice: +([^ ,]+)', text, re.MULTILINE)[1]} " in text, name
        assert configured(name).recipe == name


def test_only_recipes_without_a_published_schedule_are_missing_above():
    assert set(recipes.RECIPES) == {*RATES, "digits", "fashion", "smoke"}


def test_a_resolution_ramp_without_a_first_resolution_is_refused():
    config = resolve("r", "/d", "", {"augment.final_resolution": 192})
    with pytest.raises(
        Exception, match=r"augment.resolution: must be set where augment.final_resolution is set"
    ):
        make_plan(config, 1000)
