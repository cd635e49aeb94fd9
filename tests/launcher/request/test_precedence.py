"""Which of two values a run gets, for each pair of places that may name one; the trainer decides the same."""

import pytest

from launcher import TrainingJob
from launcher.errors import RequestError
from launcher.rendering import container
from trainer.arguments import parse

# The request, the setting, the value that wins.
PAIRS = [
    # The built-in defaults are 0, 5.0 and "cosine". Without data the recipe is smoke, which has others.
    ({"recipe": "classic-90"}, "train.steps", 0),
    ({}, "optim.warmup_epochs", 0.0),
    ({}, "optim.schedule", "constant"),
    ({}, "train.steps", 100),
    ({}, "train.batch", 1024),
    # A recipe and a flag.
    ({"steps": 7}, "train.steps", 7),
    ({"recipe": "smoke", "batch": 96}, "train.batch", 96),
    ({"epochs": 2}, "train.epochs", 2.0),
    ({"recipe": "digits", "data": "synthetic"}, "data.name", "synthetic"),
    ({"seed": 3}, "train.seed", 3),
    # A recipe and --set.
    ({"set": ["optim.schedule=cosine"]}, "optim.schedule", "cosine"),
    ({"recipe": "smoke", "args": ["--set", "train.steps=9"]}, "train.steps", 9),
    # A flag and --set, before and after --.
    ({"batch": 100, "set": ["train.batch=96"]}, "train.batch", 96),
    ({"batch": 100, "args": ["--set", "train.batch=96"]}, "train.batch", 96),
    ({"data": "digits", "set": ["data.name=synthetic"]}, "data.name", "synthetic"),
    # A flag and the same flag after --.
    ({"batch": 100, "args": ["--batch", "96"]}, "train.batch", 96),
    ({"batch": 100, "args": ["--batch=96"]}, "train.batch", 96),
    ({"seed": 1, "args": ["--seed", "2"]}, "train.seed", 2),
    ({"args": ["--batch", "100", "--batch", "96"]}, "train.batch", 96),
    # --set and a flag that comes later, which does not win.
    ({"set": ["train.batch=96"], "args": ["--batch", "100"]}, "train.batch", 96),
    ({"args": ["--set", "train.batch=96", "--batch", "100"]}, "train.batch", 96),
    ({"args": ["--batch", "100", "--set", "train.batch=96"]}, "train.batch", 96),
    # --set and --set.
    ({"set": ["train.batch=100", "train.batch=96"]}, "train.batch", 96),
    ({"set": ["train.batch=100"], "args": ["--set", "train.batch=96"]}, "train.batch", 96),
    ({"args": ["--set", "train.batch=100", "--set=train.batch=96"]}, "train.batch", 96),
    # Which recipe: the dataset's, whoever names the dataset; a recipe that is named; the last of two.
    ({"data": "digits"}, "train.batch", 64),
    ({"set": ["data.name=digits"]}, "train.batch", 64),
    ({"args": ["--data", "digits"]}, "train.batch", 64),
    ({"data": "gs://b-1/imagenet"}, "train.steps", 0),
    ({"set": ["data.name=/data/imagenet"]}, "train.eval_every_epochs", 1.0),
    ({"data": "digits", "recipe": "smoke"}, "train.batch", 1024),
    ({"recipe": "classic-90", "args": ["--recipe", "smoke"]}, "train.steps", 100),
    # What the launcher adds where hosts have no directory in common, and --set.
    ({}, "checkpoint.enabled", False),
    ({"set": ["checkpoint.enabled=true"]}, "checkpoint.enabled", True),
    ({"bucket": "b-1"}, "checkpoint.enabled", True),
    # Flags that only stand after --.
    ({"args": ["--profile", "100-104"]}, "log.profile_steps", "100-104"),
]


@pytest.mark.parametrize(("fields", "path", "value"), PAIRS)
def test_the_value_that_wins(fields, path, value):
    settings = TrainingJob(slice="v4-32", arch="resnet50", **fields).settings
    assert (settings[path], type(settings[path])) == (value, type(value))


@pytest.mark.parametrize(("fields", "path", "value"), PAIRS)
def test_the_trainer_has_the_same_settings(fields, path, value):
    job = TrainingJob(slice="v4-32", arch="resnet50", **fields)
    config = parse(container.command(job)[3:])
    section, _, name = path.partition(".")
    assert getattr(getattr(config, section), name) == value
    for each, expected in job.settings.items():
        section, _, name = each.partition(".")
        assert getattr(getattr(config, section), name) == expected, each


@pytest.mark.parametrize(
    "fields",
    [
        {"batch": 96, "set": ["train.batch=100"]},
        {"batch": 96, "args": ["--batch", "100"]},
        {"batch": 96, "args": ["--set", "train.batch=100"]},
        {"set": ["train.batch=100"], "args": ["--batch", "96"]},
        {"set": ["train.batch=96", "train.batch=100"]},
        {"set": ["train.batch=96"], "args": ["--set", "train.batch=100"]},
    ],
)
def test_the_batch_that_wins_must_divide(fields):
    with pytest.raises(RequestError) as caught:
        TrainingJob(slice="v4-32", arch="resnet50", **fields)
    assert str(caught.value) == "batch: must be a multiple of the run's 16 devices, got 100"


def test_what_a_request_names():
    job = TrainingJob(slice="v4-32", arch="resnet50", batch=96, set=["optim.lr=0.5"], bucket="b-1")
    assert job.requested == {"model.arch": "resnet50", "train.batch": 96, "optim.lr": 0.5}
