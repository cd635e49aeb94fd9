"""Each recipe compared with its source: values worked out by hand from the published settings."""

import dataclasses
import re

import pytest

from trainer import recipes
from trainer.arguments import parse
from trainer.config import resolve
from trainer.errors import ConfigError
from trainer.learning.schedules import make_schedule
from trainer.models.network import find
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
    # 10,000 steps of warm-up are 1 2/3 epochs of 6,000; shares of 1/4, 1/2, 3/4, 1/3 and 5/6 of the rest.
    "vit-s16-90": {0: 0.0, 0.3333333: 0.0002, 0.8333333: 0.0005, 1.3333333: 0.0008,
          1.6666667: 0.001, 23.75: 0.000853553391, 45.8333333: 0.0005, 67.9166667: 0.000146446609,
          31.1111111: 0.00075, 75.2777778: 6.69872981e-05},
    "vit-s16-150": {0: 0.0, 0.3333333: 0.0002, 0.8333333: 0.0005, 1.3333333: 0.0008,
          1.6666667: 0.001, 38.75: 0.000853553391, 75.8333333: 0.0005, 112.9166667: 0.000146446609,
          51.1111111: 0.00075, 125.2777778: 6.69872981e-05},
    "vit-s16-300": {0: 0.0, 0.3333333: 0.0002, 0.8333333: 0.0005, 1.3333333: 0.0008,
          1.6666667: 0.001, 76.25: 0.000853553391, 150.8333333: 0.0005, 225.4166667: 0.000146446609,
          101.1111111: 0.00075, 250.2777778: 6.69872981e-05},
    "deit3-s": {0: 1e-06, 1: 0.0008008, 2.5: 0.0020005, 4: 0.0032002, 5: 0.004,
          203.75: 0.00341567803, 402.5: 0.002005, 601.25: 0.000594321972, 270: 0.0030025,
          667.5: 0.000277279319},
    "convnext-t": {0: 0.0, 4: 0.0008, 10: 0.002, 16: 0.0032, 20: 0.004, 90: 0.00341436001,
          160: 0.0020005, 230: 0.000586639991, 113.3333333: 0.00300025, 253.3333333: 0.000268882205},
    # From 0.01 to 0.1 in an epoch; a tenth of it from epoch 82 (32,000 steps of 391) and from epoch 123.
    "cifar-resnet": {0: 0.01, 0.5: 0.055, 1: 0.1, 40: 0.1, 81.9: 0.1, 82.1: 0.01, 100: 0.01, 122.9: 0.01,
          123.1: 0.001, 163.9: 0.001},
    # 0.016 per 256 images; x 0.97 each 2.4 epochs from the start: twice, thrice, 10, 50 and 145 times.
    "effnet-b0": {0: 0.0, 1: 0.0256, 2.5: 0.064, 4: 0.1024, 5: 0.1204352, 7.1: 0.1204352,
          7.2: 0.116822144, 24: 0.0943902882, 120: 0.027912368, 349.9: 0.001545651},
    "effnetv2-s": {0: 0.0, 1: 0.0512, 2.5: 0.128, 4: 0.2048, 5: 0.2408704, 7.1: 0.2408704,
          7.2: 0.233644288, 24: 0.188780576, 120: 0.0558247361, 349.9: 0.00309130199},
    # No warm-up.
    "mdeq-small": {0: 0.05, 25: 0.04267767, 50: 0.025, 75: 0.00732233, 33.3333333: 0.0375, 66.6666667: 0.0125,
                   16.6666667: 0.0466506, 83.3333333: 0.0033494, 99: 0.0000123, 100: 0},
    "mdeq-cifar": {0: 0.1, 55: 0.08535534, 110: 0.05, 165: 0.01464466, 73.3333333: 0.075, 146.6666667: 0.025,
                   36.6666667: 0.0933013, 183.3333333: 0.0066987, 217.8: 0.0000247, 220: 0},
    # 0.1 per 256 images, so 1.6 for 4,096; 355 epochs after the warm-up, then 95.
    "nfnet-f0": {0: 0, 1: 0.32, 2.5: 0.8, 4: 1.28, 5: 1.6, 93.75: 1.3656854, 182.5: 0.8, 271.25: 0.2343146,
                 123.3333333: 1.2, 360: 0},
    "magnitude-80": {0: 0, 1: 0.32, 2.5: 0.8, 4: 1.28, 5: 1.6, 28.75: 1.3656854, 52.5: 0.8, 76.25: 0.2343146,
                     36.6666667: 1.2, 100: 0},
    # A tenth at 30, 70 and 90 epochs.
    "rigl-80": {0: 0, 1: 0.32, 2.5: 0.8, 4: 1.28, 5: 1.6, 29.9: 1.6, 30.1: 0.16,
                69.9: 0.16, 70.1: 0.016, 90.1: 0.0016},
    "rigl-90": {0: 0, 1: 0.32, 2.5: 0.8, 4: 1.28, 5: 1.6, 29.9: 1.6, 30.1: 0.16,
                69.9: 0.16, 70.1: 0.016, 90.1: 0.0016},
}  # fmt: skip

# Constants of a run: batch, epochs, optimizer, weight decay, momentum, label smoothing, augmentation.
NO_MIXING = {"mixup": 0.0, "cutmix": 0.0, "erase": 0.0, "repeats": 1, "policy": "none"}
RSB = {"mixup": 0.1, "cutmix": 1.0, "erase": 0.0, "repeats": 3, "policy": "rand", "magnitude": 7.0}
BIG_VISION = {
    "mixup": 0.2,
    "cutmix": 0.0,
    "erase": 0.0,
    "repeats": 1,
    "policy": "rand-google",
    "operations": 2,
}
BIG_VISION |= {"magnitude": 10.0, "partner": "previous", "jitter": 0.0}
DEIT3 = {"mixup": 0.8, "cutmix": 1.0, "erase": 0.0, "repeats": 3, "policy": "three", "jitter": 0.3}
CONVNEXT = {"mixup": 0.8, "cutmix": 1.0, "erase": 0.25, "erase_fill": "noise", "repeats": 1, "policy": "rand"}
CONVNEXT |= {"magnitude": 9.0, "magnitude_std": 0.5, "operations": 2}
EFFNETV2 = NO_MIXING | {"policy": "rand-google", "operations": 2, "magnitude": 5.0, "final_magnitude": 10.0}
NFNET = {"mixup": 0.2, "cutmix": 1.0, "erase": 0.0, "repeats": 1, "policy": "rand-google"}
NFNET |= {"operations": 4, "magnitude": 5.0}
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
    # big_vision's decay is 1e-4 of the weights at the peak, whatever the rate: 0.1 x 1e-3 here.
    "vit-s16-90": (1024, 90, "adamw", 0.1, 0.9, 0.0, BIG_VISION),
    "vit-s16-150": (1024, 150, "adamw", 0.1, 0.9, 0.0, BIG_VISION),
    "vit-s16-300": (1024, 300, "adamw", 0.1, 0.9, 0.0, BIG_VISION),
    "deit3-s": (2048, 800, "lamb", 0.05, 0.9, 0.0, DEIT3),
    "convnext-t": (4096, 300, "adamw", 0.05, 0.9, 0.1, CONVNEXT),
    "cifar-resnet": (128, 164, "sgd", 1e-4, 0.9, 0.0, NO_MIXING),
    "effnet-b0": (2048, 350, "rmsprop", 1e-5, 0.9, 0.1, NO_MIXING | {"policy": "auto"}),
    "effnetv2-s": (4096, 350, "rmsprop", 1e-5, 0.9, 0.1, EFFNETV2),
    "mdeq-small": (128, 100, "sgd", 5e-5, 0.9, 0.0, NO_MIXING),
    "mdeq-cifar": (128, 220, "sgd", 1e-4, 0.9, 0.0, NO_MIXING),
    "nfnet-f0": (4096, 360, "sgd", 2e-5, 0.9, 0.1, NFNET),
    "rigl-80": (4096, 100, "sgd", 1e-4, 0.9, 0.1, NO_MIXING),
    "rigl-90": (4096, 100, "sgd", 1e-4, 0.9, 0.1, NO_MIXING),
    "magnitude-80": (4096, 100, "sgd", 1e-4, 0.9, 0.0, NO_MIXING),
}

# What a source states beside: the network that it is for, and other settings of the network and the run.
VIT = {"model.pool": "mean", "model.positions": "sincos2d", "model.representation": True}
VIT |= {"data.normalize": "symmetric", "optim.clip_norm": 1.0, "optim.warmup_steps": 10_000}
VIT |= {
    "optim.momentum_dtype": "bfloat16",
    "optim.beta2": 0.999,
    "optim.epsilon": 1e-8,
    "model.stochastic_depth": 0,
}
RMSPROP = {"optim.beta2": 0.9, "optim.epsilon": 1e-3, "optim.ema": 0.9999, "model.bn_epsilon": 1e-3}
RMSPROP |= {
    "model.dropout": 0.2,
    "model.stochastic_depth": 0.2,
    "model.padding": "auto",
    "optim.loss": "softmax",
}
RIGL = {"sparse.method": "rigl", "sparse.distribution": "erk", "sparse.every_steps": 100, "sparse.drop": 0.3}
RIGL |= {"sparse.end": 25_000 / 32_000, "sparse.pattern": "none", "optim.nesterov": True}
FURTHER = {
    "nfnet-f0": ("nfnet-f0", {"model.dropout": 0.2, "model.stochastic_depth": 0.25, "optim.ema": 0.99999,
                              "optim.clip_adaptive": 0.01, "optim.nesterov": True, "data.image_size": 256}),
    "rigl-80": ("resnet50", RIGL | {"sparse.sparsity": 0.8}),
    "rigl-90": ("resnet50", RIGL | {"sparse.sparsity": 0.9}),
    "magnitude-80": ("resnet50", {"sparse.method": "magnitude", "sparse.sparsity": 0.8, "sparse.end": 0.8,
                                  "sparse.distribution": "uniform", "sparse.every_steps": 1000,
                                  "sparse.begin": 0.32}),
    "vit-s16-90": ("vit-s16", VIT),
    "vit-s16-150": ("vit-s16", VIT),
    "vit-s16-300": ("vit-s16", VIT),
    "deit3-s": ("deit3-s16", {"optim.loss": "binary", "model.stochastic_depth": 0.05, "optim.clip_norm": 1.0,
                              "data.normalize": "dataset", "optim.epsilon": 1e-8, "optim.ema": 0}),
    "convnext-t": ("convnext-t", {"model.stochastic_depth": 0.1, "optim.ema": 0.9999, "optim.clip_norm": 0,
                                  "optim.epsilon": 1e-8, "optim.beta2": 0.999, "optim.loss": "softmax"}),
    "cifar-resnet": ("cifar-resnet110", {"data.image_size": 32, "data.shift_pixels": 4, "data.flip": True,
                                         "optim.nesterov": False, "model.width": 16}),
    "effnet-b0": ("efficientnet-b0", RMSPROP | {"model.bn_momentum": 0.99, "model.bn_group": 128,
                                                "data.image_size": 224, "data.eval_crop": 0.875}),
    "effnetv2-s": ("efficientnetv2-s", RMSPROP | {"model.bn_momentum": 0.9, "model.bn_group": 0,
                                                  "data.image_size": 384, "data.normalize": "symmetric"}),
}  # fmt: skip

# Side of the training images in pixels by epoch; on a ramp the nearest multiple of 32, half rounded up.
# fast-16: epoch 12 has 176 = 5.5 x 32. fast-88: epoch 69 has 171.6, epoch 71 has 177.5.
PIXELS = {
    "classic-90": {0: 0, 89: 0},
    "rsb-a1": {0: 0, 599: 0},
    "rsb-a2": {0: 0, 299: 0},
    "rsb-a3": {0: 160, 99: 160},
    "torchvision-v2": {0: 176, 599: 176},
    "fast-16": {0: 160, 5: 160, 11: 160, 12: 192, 13: 192, 15: 192},
    "vit-s16-90": {0: 0, 89: 0},
    "vit-s16-150": {0: 0, 149: 0},
    "vit-s16-300": {0: 0, 299: 0},
    "deit3-s": {0: 0, 799: 0},
    "convnext-t": {0: 0, 299: 0},
    "cifar-resnet": {0: 0, 163: 0},
    "effnet-b0": {0: 0, 349: 0},
    # Four parts of 87.5 epochs: 128 + (300 - 128) k / 4 pixels.
    "effnetv2-s": {0: 171, 86: 171, 88: 214, 174: 214, 175: 257, 261: 257, 263: 300, 349: 300},
    "nfnet-f0": {0: 192, 359: 192},
    "rigl-80": {0: 0, 99: 0},
    "rigl-90": {0: 0, 99: 0},
    "magnitude-80": {0: 0, 99: 0},
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


@pytest.mark.parametrize("name", FURTHER)
def test_what_the_source_states_beside(name):
    arch, wanted = FURTHER[name]
    config = resolve("r", "/d", name, recipes.load(name), {"model.arch": arch})
    recipes.check_family(name, arch)
    sections = dataclasses.asdict(config)
    assert {path: sections[path.split(".")[0]][path.split(".")[1]] for path in wanted} == wanted
    # The network honours each setting of section model that the recipe has.
    settings = find(arch).settings
    assert {path for path in recipes.load(name) if path.startswith("model.")} <= {
        f"model.{s}" for s in settings
    }
    assert f"--arch {arch} --recipe {name} " in recipe_text(name)


PUBLISHED = {
    "vit-s16-90": "76.5",
    "vit-s16-150": "78.5",
    "vit-s16-300": "80",
    "deit3-s": "81.4",
    "cifar-resnet": "93.57",
    "effnet-b0": "77.1",
    "effnetv2-s": "83.9",
    "convnext-t": "82.1",
    "nfnet-f0": "83.6",
    "rigl-80": "75.12",
    "rigl-90": "73.07",
    "magnitude-80": "75.53",
}


@pytest.mark.parametrize("name", PUBLISHED)
def test_the_published_accuracy_is_stated(name):
    assert f"\nexpected:  {PUBLISHED[name]} % top-1 " in recipe_text(name)


@pytest.mark.parametrize(
    ("name", "arch", "family", "hint"),
    [
        ("vit-s16-90", "resnet50", "vit", "--recipe fast-16 is for resnet50"),
        ("convnext-t", "resnet50", "convnext", "--recipe fast-16 is for resnet50"),
        ("effnet-b0", "convnext-s", "efficientnet", "--recipe convnext-t is for convnext-s"),
        ("rsb-a1", "vit-b16", "resnet", "--recipe deit3-s is for vit-b16"),
        ("deit3-s", "efficientnetv2-s", "vit", "--recipe effnet-b0 is for efficientnetv2-s"),
    ],
)
def test_a_recipe_of_another_family_is_refused(name, arch, family, hint):
    with pytest.raises(ConfigError) as error:
        parse(["--run-dir", "/d", "--recipe", name, "--arch", arch, "--data", "/images"])
    text = str(error.value)
    assert text.startswith(f"recipe: {name} must be used with a network of {family} (")
    assert f"got {arch} of " in text
    assert hint in text
    fitting = hint.split()[1]
    for recipe in (fitting, "classic-90"):  # what the hint says
        assert parse(["--run-dir", "/d", "--recipe", recipe, "--arch", arch, "--data", "/i"]).recipe == recipe


@pytest.mark.parametrize(
    ("name", "arch"),
    [
        ("classic-90", "vit-b16"),
        ("smoke", "efficientnet-b0"),
        ("vit-s16-90", "vit-b32"),
        ("deit3-s", "deit3-l16"),
        ("rsb-a1", "own.nets:net"),
    ],
)
def test_a_recipe_for_the_family_or_for_all_is_taken(name, arch):
    assert parse(["--run-dir", "/d", "--recipe", name, "--arch", arch, "--data", "/images"]).recipe == name


def recipe_text(name):
    return __import__(f"trainer.recipes.{name.replace('-', '_')}", fromlist=["x"]).__doc__


def test_every_docstring_states_command_slice_time_accuracy_source_and_date():
    for name in recipes.RECIPES:
        text = recipe_text(name)
        labels = ("command", "slice", "time", "expected", "source", "measured")
        assert all(f"\n{label}:" in text for label in labels), name
        assert f"--slice {re.search(r'^slice: +([^ ,]+)', text, re.MULTILINE)[1]} " in text, name
        assert configured(name).recipe == name


def test_only_recipes_without_a_published_schedule_are_missing_above():
    assert set(recipes.RECIPES) == {*RATES, "digits", "deq-digits", "fashion", "smoke", "vit-digits"}


def test_a_resolution_ramp_without_a_first_resolution_is_refused():
    config = resolve("r", "/d", "", {"augment.final_resolution": 192})
    with pytest.raises(
        Exception, match=r"augment.resolution: must be set where augment.final_resolution is set"
    ):
        make_plan(config, 1000)
