"""TrainConfig: layers, types, and errors that name the field."""

import pytest

from trainer import recipes
from trainer.arguments import parse
from trainer.config import FIELDS, parse_setting, resolve, schema
from trainer.errors import ConfigError


def test_later_layers_win_and_strings_are_read_by_type():
    config = resolve(
        "r", "/d", "", {"train.batch": 8, "optim.lr": 1}, {"train.batch": "16", "data.flip": "true"}
    )
    assert (config.train.batch, config.optim.lr, config.data.flip) == (16, 1.0, True)
    assert config.model.arch == "resnet50"


@pytest.mark.parametrize(
    ("setting", "message"),
    [
        ("train.bach=3", "train.bach: no such setting; did you mean train.batch?"),
        ("train.batch=x", "train.batch: must be a whole number, got 'x'"),
        ("train.batch=0", "train.batch: must be a number of at least 1, got 0"),
        ("optim.lr=nan", "optim.lr: must be a number of at least 0, got nan"),
        ("train.epochs=inf", "train.epochs: must be a number of at least 0, got inf"),
        ("data.flip=yes", "data.flip: must be true or false, got 'yes'"),
        (
            "data.name=digit",
            "data.name: must be one of digits, fashion-mnist, synthetic or package.module:name, got 'digit'; "
            "did you mean digits?",
        ),
    ],
)
def test_a_bad_value_names_field_expectation_and_value(setting, message):
    with pytest.raises(ConfigError) as caught:
        resolve("r", "/d", "", dict([parse_setting(setting)]))
    assert str(caught.value) == message


def test_all_problems_are_reported_at_once():
    with pytest.raises(ConfigError) as caught:
        resolve("r", "/d", "", {"train.batch": 0, "data.threads": -1})
    assert len(str(caught.value).splitlines()) == 2


def test_the_recipe_of_the_dataset_then_flags_then_settings():
    config = parse(["--run-dir", "/d", "--data", "digits", "--batch", "32", "--set", "train.batch=128"])
    assert config.recipe == "digits"
    assert config.train.batch == 128
    assert config.data.shift_pixels == 1  # from the recipe


def test_without_data_the_run_is_short():
    config = parse(["--run-dir", "/d"])
    assert (config.data.name, config.recipe, config.train.steps) == ("synthetic", "smoke", 100)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (
            ["--run-dir", "/d", "--recipe", "classic"],
            "recipe: must be one of cifar-resnet, classic-90, convnext-t, deit3-s, deq-digits, digits, "
            "effnet-b0, effnetv2-s, fashion, fast-16, fast-88, lars-16k, lars-32k, lars-4k, lars-64k, "
            "lars-8k, magnitude-80, mdeq-cifar, mdeq-small, nfnet-f0, rigl-80, rigl-90, rsb-a1, rsb-a2, "
            "rsb-a3, smoke, torchvision-v2, vit-digits, vit-s16-150, vit-s16-300, vit-s16-90, "
            "FILE.yaml or package.module, got 'classic'",
        ),
        (["--arch", "resnet18"], "--run-dir: must be given"),
        (
            ["--run-dir", "/d", "--set", "train.batch"],
            "--set: must be section.field=value, got 'train.batch'",
        ),
    ],
)
def test_a_bad_command_line_is_one_error(arguments, message):
    with pytest.raises(ConfigError) as caught:
        parse(arguments)
    assert str(caught.value).splitlines()[0] == message


@pytest.mark.parametrize("name", recipes.RECIPES)
def test_every_recipe_resolves(name):
    resolve("r", "/d", name, recipes.load(name))


def test_the_schema_has_a_row_a_field():
    rows = {row["field"]: row for row in schema()}
    assert set(rows) == set(FIELDS)
    assert rows["train.batch"] == {
        "field": "train.batch",
        "type": "int",
        "default": 1024,
        "help": "global batch: examples per step, over all hosts",
        "minimum": 1,
    }


@pytest.mark.parametrize("word", ["photos", "photos/", "./photos", "my photos", "digits2"])
def test_a_folder_here_is_a_dataset_with_the_recipe_of_pictures(tmp_path, monkeypatch, capsys, word):
    (tmp_path / word).mkdir()
    monkeypatch.chdir(tmp_path)
    config = parse(["--run-dir", "/d", "--data", word])
    assert config.data.name == str(tmp_path / word.strip("./"))
    assert config.recipe == "classic-90"
    assert capsys.readouterr().err == ""


@pytest.mark.parametrize("name", ["digits", "synthetic", "fashion-mnist"])
def test_a_folder_with_the_name_of_a_dataset_is_named(tmp_path, monkeypatch, capsys, name):
    (tmp_path / name).mkdir()
    monkeypatch.chdir(tmp_path)
    assert parse(["--run-dir", "/d", "--data", name]).data.name == name
    assert capsys.readouterr().err == (
        f"warning: data.name: '{name}' is the dataset of that name; the folder here is './{name}'\n"
    )
    assert parse(["--run-dir", "/d", "--data", f"./{name}"]).data.name == str(tmp_path / name)
    assert capsys.readouterr().err == ""
