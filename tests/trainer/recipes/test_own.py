"""Recipes from a file, from a module, and as the launcher sends them; all give the settings of a run."""

import json

import pytest

from launcher.request import trainer_settings
from launcher.request.readers import Wrong
from trainer import recipes
from trainer.arguments import parse
from trainer.errors import ConfigError

FILE = """
recipe: digits
optim:
  lr: 0.05
train.batch: 32
data.flip: true
"""


def config(recipe, *arguments):
    return parse(["--run-dir", "/d", "--recipe", recipe, *arguments])


def test_a_file_changes_the_recipe_that_it_names(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    read = config(str(path), "--batch", "48")
    assert read.recipe == "mine.yaml"
    assert (read.optim.lr, read.train.batch, read.data.flip) == (0.05, 48, True)
    assert (read.data.name, read.optim.weight_decay) == ("digits", 5e-4)


def test_a_module_has_settings():
    read = config("own_code.recipe")
    assert read.recipe == "own_code.recipe"
    assert (read.optim.lr, read.train.batch, read.train.epochs) == (0.05, 32, 8.0)


def test_what_the_launcher_sends_is_what_the_trainer_reads(tmp_path):
    path = tmp_path / "mine.yaml"
    path.write_text(FILE)
    sent = trainer_settings.own_recipe(
        {
            "name": "mine.yaml",
            "recipe": "digits",
            "optim": {"lr": "0.05"},
            "train.batch": "32",
            "data.flip": "true",
        }
    )
    assert recipes.load(sent) == recipes.load(str(path))
    assert recipes.title(sent) == "mine.yaml"
    assert json.loads(sent)["optim.lr"] == 0.05


@pytest.mark.parametrize(
    ("text", "problem"),
    [
        ("optim.rate: 1", "'optim.rate' must be a setting such as optim.lr"),
        ("optim: {lr: x}", "optim.lr: must be a number, got 'x'"),
        ("optim.lr: [1]", "optim.lr must be text, a number or true or false, got [1]"),
        ("recipe: digit", "recipe must be one of cifar-resnet, classic-90, convnext-t, deit3-s, deq-digits"),
        ("- 1", "must be a mapping such as optim.lr: 0.1"),
        ("a: b: c", "must be YAML"),
        ("optim.lr: !!python/object:os.abort {}", "must be YAML"),
    ],
)
def test_a_file_that_is_wrong_is_named(tmp_path, text, problem):
    path = tmp_path / "mine.yaml"
    path.write_text(text)
    with pytest.raises(ConfigError) as error:
        config(str(path))
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        ("none.yaml", "none.yaml must be a file that can be read, got No such file or directory"),
        ("own_code.nets", "own_code.nets must have a dict SETTINGS, got NoneType"),
        ("own_code.none", "own_code.none cannot be imported: ModuleNotFoundError"),
        ("{", "must be JSON where it begins with {"),
        ("clasic-90", "must be one of cifar-resnet, classic-90"),
    ],
)
def test_a_recipe_that_is_none_is_named(recipe, problem):
    with pytest.raises(ConfigError) as error:
        config(recipe)
    assert problem in str(error.value)


@pytest.mark.parametrize(
    ("recipe", "problem"),
    [
        ({"optim.rate": 1}, "must name a field of the trainer, got 'optim.rate'"),
        ({"optim": {"lr": "x"}}, "optim.lr must be a number, got 'x'"),
        ({"optim.lr": [1]}, "optim.lr must be text, a number or true or false"),
        ({"recipe": "digit"}, "recipe must be one of cifar-resnet, classic-90"),
        ({"name": "a\nb"}, "name must be printable text"),
    ],
)
def test_the_launcher_refuses_the_same_before_it_sends(recipe, problem):
    with pytest.raises(Wrong) as error:
        trainer_settings.recipe(recipe)
    assert problem in str(error.value)
