"""Settings that a resumed run may change: each is in one group, and the groups do what they say."""

import dataclasses
import json

import pytest
from etils import epath

from trainer.config import FIELDS, resolve
from trainer.errors import RunDirectoryError
from trainer.rundir import directory
from trainer.rundir.changes import FREE, IDENTITY, LEARNING, changes


def test_every_setting_is_in_one_group():
    assert sorted([*IDENTITY, *LEARNING, *FREE]) == sorted(FIELDS)


@pytest.fixture
def run(tmp_path):
    """A run directory with a checkpoint, and a function that starts its next attempt."""
    root = epath.Path(tmp_path)

    def attempt(step=6, **settings):
        config = resolve("r", str(tmp_path), "", {k.replace("__", "."): v for k, v in settings.items()})
        directory.record(root, config, directory.claim(root, config), step)

    attempt(step=0)
    (tmp_path / "checkpoints" / "6").mkdir(parents=True)
    return attempt


def files(folder):
    return {path.name: path.read_text() for path in folder.iterdir() if path.is_file()}


@pytest.mark.parametrize(
    ("setting", "value", "before"),
    [
        ("optim__lr", 9.0, 0.1),
        ("optim__ema", 0.9, 0.0),
        ("augment__mixup", 0.5, 0.0),
        ("train__init", "/w.safetensors", ""),
        ("data__min_area", 0.5, 0.08),
        ("train__freeze", "stem", ""),
    ],
)
def test_what_changes_the_learning_must_be_allowed(run, tmp_path, capsys, setting, value, before):
    written = files(tmp_path)
    change = f"{setting.replace('__', '.')} {before!r} -> {value!r}"
    with pytest.raises(RunDirectoryError, match="which change what is learnt: ") as raised:
        run(**{setting: value})
    assert change in str(raised.value)
    assert "--set train.allow_changes=true" in str(raised.value)
    assert files(tmp_path) == written  # a refused attempt leaves no trace
    run(**{setting: value}, train__allow_changes=True)
    assert f"warning: step 6 goes on with other settings: {change}\n" in capsys.readouterr().err
    run(**{setting: value}, train__allow_changes=True)  # its restart differs in nothing
    assert "other settings" not in capsys.readouterr().err


@pytest.mark.parametrize("setting", ["model__width", "data__name", "train__batch", "train__seed"])
def test_other_data_or_another_network_is_refused_even_so(run, tmp_path, setting):
    written = files(tmp_path)
    value = {"model__width": 8, "data__name": "digits", "train__batch": 8, "train__seed": 3}[setting]
    with pytest.raises(RunDirectoryError, match=f"holds a run with {setting.replace('__', '.')} "):
        run(**{setting: value}, train__allow_changes=True)
    assert files(tmp_path) == written


@pytest.mark.parametrize(
    ("setting", "value"), [("train__steps", 8), ("train__epochs", 200.0), ("checkpoint__keep", 9)]
)
def test_length_and_checkpoints_are_free(run, capsys, setting, value):
    run(**{setting: value})
    assert f"other settings: {setting.replace('__', '.')} " in capsys.readouterr().err


def test_before_the_first_checkpoint_everything_but_the_identity_is_free(run, tmp_path):
    (tmp_path / "checkpoints" / "6").rmdir()
    (tmp_path / "checkpoints" / "6.orbax-checkpoint-tmp").mkdir()
    run(step=0, optim__lr=9.0)
    assert json.loads((tmp_path / "config.json").read_text())["optim"]["lr"] == 9.0


def test_the_settings_of_every_attempt_are_kept(run, tmp_path):
    run(train__steps=7)
    run(step=7, train__steps=9)
    attempts = [json.loads(line) for line in (tmp_path / "attempts.jsonl").read_text().splitlines()]
    assert [(row["step"], row["config"]["train"]["steps"]) for row in attempts] == [(0, 0), (6, 7), (7, 9)]
    assert json.loads((tmp_path / "config.json").read_text()) == attempts[-1]["config"]


def test_a_setting_that_an_older_version_lacked_counts_as_its_default(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "photos").mkdir()
    config = resolve("r", "/d", "", {"data.name": "photos"})
    before = dataclasses.asdict(config)
    del before["model"]["blur"], before["optim"]["ema"], before["log"]
    before["data"]["name"] = "photos/"  # older versions kept what was typed
    assert changes(before, config) == []
    [change] = changes(before | {"optim": {"lr": 1.0}}, config)
    assert str(change) == "optim.lr 1.0 -> 0.1"
