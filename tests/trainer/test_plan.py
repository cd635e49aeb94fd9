"""Steps of a run, and the learning rate at them, written out by hand."""

import pytest

from trainer.config import resolve
from trainer.data.formats import synthetic
from trainer.learning.optimizers import make_schedule
from trainer.plan import make_plan
from trainer.program import make_program


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


V2 = {"augment__policy": "rand-google", "augment__resolution": 171, "augment__final_resolution": 300}
V2 |= {"augment__magnitude": 5.0, "augment__final_magnitude": 10.0, "augment__stages": 4}


def test_resolution_and_augmentation_rise_over_equal_parts_of_the_run():
    # EfficientNetV2-S: 128 + (300 - 128) k / 4 pixels, magnitudes from 5 to 10; here mixup and dropout too.
    plan = make(
        1000, train__batch=10, train__steps=82, **V2, augment__final_mixup=0.6, augment__final_dropout=0.3
    )
    stages = [(s.pixels, s.magnitude, s.mixup, s.cutmix, s.dropout) for s in plan.stages()]
    assert [pixels for pixels, *_ in stages] == [171, 214, 257, 300] == plan.resolutions()
    expected = [(5, 0, 0, 0), (20 / 3, 0.2, 0, 0.1), (25 / 3, 0.4, 0, 0.2), (10, 0.6, 0, 0.3)]
    for (_, *rest), wanted in zip(stages, expected, strict=True):
        assert rest == pytest.approx(wanted, abs=1e-9)
    # 82 / 4 = 20.5: parts begin at 0, 20.5, 41 and 61.5.
    firsts = [step for step in range(82) if step == 0 or plan.stage(step) != plan.stage(step - 1)]
    assert firsts == [0, 21, 41, 62]
    assert plan.stages(41) == plan.stages()[2:]
    assert plan.stage(82) == plan.stage(81)


def test_a_run_shorter_than_its_stages_has_one_a_step():
    plan = make(1000, train__batch=10, train__steps=3, **V2)
    assert [plan.stage(step).pixels for step in range(3)] == [171, 214, 257]
    assert len(plan.stages()) == 3


def test_without_final_values_nothing_rises():
    plan = make(
        1000, train__batch=10, train__steps=8, augment__stages=4, augment__mixup=0.5, model__dropout=0.0
    )
    assert [(s.pixels, s.mixup, s.magnitude) for s in plan.stages()] == [(0, 0.5, 7.0)]


@pytest.mark.parametrize("name", ["magnitude", "mixup", "cutmix", "dropout"])
def test_a_final_value_without_stages_is_refused(name):
    with pytest.raises(
        Exception, match=f"augment.stages: must be at least 2 where augment.final_{name} is set"
    ):
        make(1000, **{f"augment__final_{name}": 0.5})


def test_stages_and_a_ramp_of_epochs_are_refused():
    with pytest.raises(
        Exception, match=r"augment.ramp_to_epoch: must be 0 where augment.stages is set, got 9"
    ):
        make(1000, augment__stages=2, augment__ramp_to_epoch=9)


def program(**settings):
    settings = {"data.image_size": 32, "train.batch": 8, "train.steps": 8, **settings}
    config = resolve("r", "/d", "", settings)
    train, test = (synthetic.load(split, config.data) for split in ("train", "test"))
    return make_program(config, train, test, "cpu")


@pytest.mark.parametrize(("first", "last", "largest"), [(20, 28, 28), (28, 20, 28), (0, 0, 0)])
def test_memory_is_checked_at_the_largest_resolution(first, last, largest):
    made = program(
        **{
            "model.arch": "efficientnet-tiny",
            "augment.stages": 3,
            "augment.resolution": first,
            "augment.final_resolution": last,
        }
    )
    [stage] = [stage for stage, step in made.train_steps.items() if step is made.train_step]
    assert stage.pixels == largest


@pytest.mark.parametrize(
    ("arch", "first", "problem"),
    [
        (
            "vit-tiny",
            18,
            "training at 18 pixels: model.arch: images must be a multiple of the 4 pixels of a patch",
        ),
        ("convnext-tiny", 4, "training at 4 pixels: model.arch: images must have at least 8 pixels"),
        ("own_code.nets:mlp", 16, "training at 16 pixels: model.arch: own_code.nets:mlp"),
    ],
)
def test_a_resolution_that_the_network_cannot_take_is_refused_before_the_first_step(arch, first, problem):
    settings = {"model.arch": arch, "augment.stages": 2, "augment.resolution": first}
    settings |= {"augment.final_resolution": 32} | ({"model.width": 16} if ":" in arch else {})
    with pytest.raises(Exception, match=f"augment.resolution: {problem}"):
        program(**settings)
