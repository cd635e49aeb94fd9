"""Paths as people type them: the trainer and `resnet-launch local` make the same of each."""

import contextlib
import os
from pathlib import Path

import pytest

from launcher.errors import RequestError
from launcher.local import paths as launcher_paths
from trainer import paths as trainer_paths
from trainer.arguments import parse
from trainer.config import resolve
from trainer.errors import ConfigError

BOTH = pytest.mark.parametrize("absolute", [trainer_paths.absolute, launcher_paths.absolute])


@pytest.fixture(autouse=True)
def here(tmp_path, monkeypatch):
    """A current folder with photos/ and a link to a folder elsewhere; HOME is beside it."""
    (tmp_path / "here" / "photos").mkdir(parents=True)
    (tmp_path / "elsewhere" / "deep").mkdir(parents=True)
    (tmp_path / "here" / "link").symlink_to(tmp_path / "elsewhere" / "deep")
    monkeypatch.chdir(tmp_path / "here")
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    return tmp_path


@BOTH
@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("runs/a", "{top}/here/runs/a"),
        ("runs/a/", "{top}/here/runs/a"),
        ("./runs//a/.", "{top}/here/runs/a"),
        ("../a", "{top}/a"),
        (".", "{top}/here"),
        ("a b", "{top}/here/a b"),
        ("é", "{top}/here/é"),
        ("~", "{top}/home"),
        ("~/runs/a/", "{top}/home/runs/a"),
        ("a~b", "{top}/here/a~b"),
        ("/", "/"),
        ("/data/../runs", "/runs"),
        ("link/../a", "{top}/here/link/../a"),  # the folder above its target, which is not here
        ("link/a", "{top}/here/link/a"),
        ("file:///data/a%20b/", "/data/a b"),
        ("file://localhost/data", "/data"),
        ("gs://bucket/a", "gs://bucket/a"),
        ("gs://bucket/a//", "gs://bucket/a"),
        ("gs://bucket/", "gs://bucket"),
        ("gs://bucket/a/../~b", "gs://bucket/a/../~b"),  # the name of an object, in which no part is special
    ],
)
def test_a_path_is_absolute(absolute, text, expected, here):
    assert absolute("run-dir", text) == expected.format(top=here)


@BOTH
@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "run-dir: must be a path or gs://…, got ''"),
        ("  ", "run-dir: must be a path or gs://…, got '  '"),
        ("a\nb", "run-dir: must be printable text in UTF-8, got 'a\\nb'"),
        ("a\x1b[2J", "run-dir: must be printable text in UTF-8, got 'a\\x1b[2J'"),
        (os.fsdecode(b"caf\xe9"), "run-dir: must be printable text in UTF-8, got 'caf\\udce9'"),
        ("gs://", "run-dir: must name a bucket"),
        ("gs:/bucket/a", "run-dir: must be a path of this machine or gs://…, got 'gs:/bucket/a'"),
        ("s3://bucket/a", "run-dir: must be a path of this machine or gs://…, got 's3://bucket/a'"),
        ("file://host/a", "run-dir: must be a path of this machine or gs://…, got 'file://host/a'"),
        ("~nobody-has-this-name/a", "got '~nobody-has-this-name/a', and ~nobody-has-this-name has no home"),
    ],
)
def test_what_is_no_path_is_refused(absolute, text, message):
    with pytest.raises((ConfigError, RequestError)) as raised:
        absolute("run-dir", text)
    assert message in str(raised.value)
    assert len(str(raised.value).splitlines()) <= 2  # the error and its hint


@BOTH
def test_a_current_folder_that_is_gone_is_named(absolute, here):
    os.chdir(here / "elsewhere")
    (here / "elsewhere" / "deep").rmdir()
    (here / "elsewhere").rmdir()
    with pytest.raises(
        (ConfigError, RequestError), match="must be absolute where the current folder is gone"
    ):
        absolute("run-dir", "runs/a")


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("photos", "{top}/here/photos"),
        ("photos/", "{top}/here/photos"),
        ("digits", "digits"),
        ("./digits", "{top}/here/digits"),
        ("nowhere", "nowhere"),  # refused with the names of the datasets
        ("gs://b/photos/", "gs://b/photos"),
    ],
)
def test_a_dataset_is_a_name_or_a_folder(text, expected, here):
    (here / "here" / "digits").mkdir()
    expected = expected.format(top=here)
    assert trainer_paths.dataset("data", text, ["digits"]) == expected
    assert launcher_paths.dataset("data", text) == expected


def test_every_setting_that_is_a_path_becomes_absolute(here):
    settings = {
        "data.name": "photos",
        "data.root": "files/",
        "data.stage": "~/stage",
        "train.init": "w.safetensors",
        "train.compile_cache": "cache",
    }
    config = resolve("r", "/d", "", settings)
    assert (config.data.name, config.data.root) == (f"{here}/here/photos", f"{here}/here/files")
    assert config.data.stage == f"{here}/home/stage"
    assert config.train.init == f"{here}/here/w.safetensors"
    assert config.train.compile_cache == f"{here}/here/cache"
    merged = launcher_paths.resolve(
        {"run_dir": "runs/a", "data": "photos", "set": [f"{k}={v}" for k, v in settings.items()]}
    )
    assert (merged["run_dir"], merged["data"]) == (f"{here}/here/runs/a", f"{here}/here/photos")
    sections = {"data": config.data, "train": config.train}
    assert merged["set"] == [f"{k}={getattr(sections[k[: k.index('.')]], k.split('.')[1])}" for k in settings]


def test_words_that_are_no_path_stay(here):
    config = resolve("r", "/d", "", {"train.compile_cache": "off", "train.init": "", "data.root": ""})
    assert (config.train.compile_cache, config.train.init, config.data.root) == ("off", "", "")
    assert launcher_paths.resolve({"set": ["train.compile_cache=off", "optim.lr=1"]}) == {
        "set": ["train.compile_cache=off", "optim.lr=1"]
    }


@pytest.mark.parametrize("flag", ["--run-dir", "--set"])
def test_the_trainer_refuses_an_empty_path(flag):
    empty = {"--run-dir": ["--run-dir", ""], "--set": ["--run-dir", "r", "--set", "train.compile_cache="]}[
        flag
    ]
    with pytest.raises(ConfigError, match="must be a path or gs://…, got ''"):
        parse(empty)


def test_a_run_directory_of_the_trainer_is_absolute(here):
    assert parse(["--run-dir", "runs/a/"]).run_dir == f"{here}/here/runs/a"
    with contextlib.chdir(Path("/")):
        assert parse(["--run-dir", "runs/a"]).run_dir == "/runs/a"
