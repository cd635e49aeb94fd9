"""Whoever wrote a run directory decides neither where we write nor whether its page can be made."""

import dataclasses
import json
import os
import random
from pathlib import Path
from typing import Any

import pytest
from etils import epath

from trainer.config import ModelConfig, TrainConfig, resolve
from trainer.errors import ConfigError, RunDirectoryError, TrainError
from trainer.metrics.lines import Evaluation, Trained
from trainer.metrics.log import Log
from trainer.report import page
from trainer.rundir import dataset, directory, files, record, rows
from trainer.weights import outputs

root = pytest.mark.skipif(os.geteuid() != 0, reason="gives files to another user, which needs root")
STRANGER = 65534
CONFIG = TrainConfig(model=ModelConfig(arch="resnet-tiny"))
METRICS = [
    {"kind": "train", "step": 1, "epoch": 0.1, "accuracy": 0.1, "grad_norm": 1.0, "loss": 2.0, "lr": 0.1},
    {"kind": "train", "step": 2, "epoch": 0.2, "accuracy": 0.2, "grad_norm": 1.0, "loss": 1.0, "lr": 0.1}
    | {
        "images_per_second": 10.0,
        "data_wait": 0.1,
        "mfu": 0.1,
        "hbm": 0.2,
        "at": 104.0,
        "waited_seconds": 1.0,
    },
    {"kind": "evaluate", "step": 2, "epoch": 0.2, "accuracy": 0.3, "loss": 1.0, "examples": 9},
]
EVENTS = [
    {"name": "start", "at": 100.0, "restart": 0, "hosts": 1, "devices": 1, "device_kind": "cpu"},
    {"name": "joined", "at": 100.5},
    {"name": "restore", "at": 101.0, "step": 0, "seconds": 0.1, "cpu_seconds": 1.0},
    {"name": "compiled", "at": 102.0, "seconds": 1.0, "cpu_seconds": 1.0, "programs": 1},
    {"name": "save", "at": 103.0, "step": 1, "seconds": 0.1, "waited_seconds": 0.1},
    {"name": "rollback", "at": 103.5, "step": 2, "to": 1, "waited_seconds": 0.1},
    {"name": "end", "at": 105.0, "step": 2, "accuracy": 0.3, "seconds": 0.1, "waited_seconds": 0.2},
]
ODD = [
    *("", "x", "<script>alert(1)</script>", "\x1b[2J", None, True, [], {}, [1], -1, 0, 1, 10**400, 2**63),
    *(1e308, -1e308, 1e-308, float("inf"), float("-inf"), float("nan"), "9" * 5000),
]


def write(folder: Path, metrics: list[Any], events: list[Any]) -> epath.Path:
    (folder / "config.json").write_text(json.dumps({"name": "run", "model": {"arch": "resnet-tiny"}}))
    for name, lines in (("metrics", metrics), ("events", events)):
        (folder / f"{name}.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines))
    return epath.Path(folder)


def changed(random_numbers: random.Random, lines: list[dict[str, Any]]) -> list[Any]:
    """Copies of rows with one to three values that are odd, missing or of another row."""
    copies: list[Any] = [dict(line) for line in lines]
    for _ in range(random_numbers.randint(1, 3)):
        row = random_numbers.choice(copies)
        if not isinstance(row, dict) or not row:
            continue
        key = random_numbers.choice(list(row))
        match random_numbers.randrange(5):
            case 0:
                del row[key]
            case 1:
                copies.insert(random_numbers.randrange(len(copies)), random_numbers.choice(ODD))
            case 2:
                random_numbers.shuffle(copies)
            case _:
                row[key] = random_numbers.choice(ODD)
    return copies


def test_any_rows_make_a_page(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    random_numbers = random.Random(16)
    for _ in range(1000):
        run = write(tmp_path, changed(random_numbers, METRICS), changed(random_numbers, EVENTS))
        text = page.render(loaded := record.load(run), "")
        assert "<script" not in text
        assert len(text) < 100_000
        json.dumps(loaded.result())
        log = Log(run)  # as a run that goes on reads them
        log.before()
        log.resume_at(1)
    assert all(line.isprintable() for line in capsys.readouterr().err.splitlines())


def test_sound_rows_are_read_as_they_are(tmp_path: Path) -> None:
    unknown = {"kind": "train", "step": 3, "epoch": 0.3, "loss": float("inf"), "of_a_newer_version": ["x"]}
    loaded = record.load(write(tmp_path, [*METRICS, unknown], [*EVENTS, {"name": "newer", "at": 106.0}]))
    assert loaded.metrics == [*METRICS, unknown]
    assert loaded.events == [*EVENTS, {"name": "newer", "at": 106.0}]


def test_every_field_of_a_metric_is_checked() -> None:
    declared = {field.name for kind in (Trained, Evaluation) for field in dataclasses.fields(kind)}
    assert declared <= {*rows.METRICS, *rows.TIMES, *rows.WHOLE, *rows.TEXTS}


@pytest.mark.parametrize("value", [1, 0.5, None, ["data"], "two\nlines", "\x1b[2J", "x" * 501], ids=ascii)
def test_a_cause_that_is_no_line_is_left_out(value: Any) -> None:
    row = {"kind": "train", "step": 3, "epoch": 0.3, "loss": 1.0}
    assert rows.metric(row | {"slow": value}) == row
    assert rows.metric(row | {"slow": "waiting for data"}) == row | {"slow": "waiting for data"}


@pytest.mark.parametrize("value", [10**400, -(10**400), 2**63], ids=["10^400", "-10^400", "2^63"])
@pytest.mark.parametrize("setting", ["train.batch", "optim.lr", "train.seed"])
def test_a_number_of_config_json_has_bounds(setting: str, value: int) -> None:
    with pytest.raises(ConfigError, match=f"{setting}: must be"):
        resolve("run", "", "", {setting: value})


SOUND = {"class_names": ["a", "b"], "image_size": 8, "mean": [0.5], "std": [0.2], "crop": 0.9}


@pytest.mark.parametrize("field", SOUND)
@pytest.mark.parametrize("value", [v for v in ODD if v not in (1, 1e-308, [1])], ids=lambda v: ascii(v)[:12])
def test_odd_values_of_dataset_json_are_refused(field: str, value: Any, tmp_path: Path) -> None:
    (tmp_path / "dataset.json").write_text(json.dumps(SOUND | {field: value}))
    with pytest.raises(ConfigError, match=r"dataset\.json: must hold the classes of a run as JSON") as caught:
        dataset.read(epath.Path(tmp_path))
    assert len(str(caught.value)) < 1000


@root
@pytest.mark.parametrize("name", ["checkpoints", "profile", "wandb", "tensorboard", "compile-cache"])
def test_a_run_writes_through_no_link_of_a_stranger(name: str, tmp_path: Path) -> None:
    run, victim = tmp_path / "run", tmp_path / "victim"
    run.mkdir()
    victim.mkdir()
    (run / name).symlink_to(victim)
    assert directory.make(str(run)) == epath.Path(run)  # a link of one's own may lead to a larger disk
    os.lchown(run / name, STRANGER, STRANGER)
    with pytest.raises(RunDirectoryError, match=f"{name} must not be a link of another user, got"):
        directory.make(str(run))
    with pytest.raises(RunDirectoryError):
        files.check_links(epath.Path(run), epath.Path(run / name / "deeper" / "file"))
    assert not [*victim.iterdir()]


def test_an_export_writes_through_no_link_that_waits_for_it(tmp_path: Path) -> None:
    victim, target = tmp_path / "victim", tmp_path / "out.onnx"
    for suffix in (f"{os.getpid()}.part", "part", "new"):
        (tmp_path / f".{target.name}.{suffix}").symlink_to(victim)
    with outputs.replaced(target) as temporary:
        temporary.write_text("weights")
    assert target.read_text() == "weights"
    assert not victim.exists()


def test_config_json_is_fuzzed(tmp_path: Path) -> None:
    random_numbers = random.Random(17)
    settings = {
        "model": {"arch": "resnet-tiny"},
        "train": {"batch": 8, "epochs": 1.0},
        "data": {"name": "digits"},
    }
    whole = json.dumps({"name": "run", "recipe": ""} | settings).encode()
    messages = []
    for _ in range(500):
        data = bytearray(whole)
        for _ in range(random_numbers.randint(1, 4)):
            data[random_numbers.randrange(len(data))] = random_numbers.randrange(256)
        (tmp_path / "config.json").write_bytes(data)
        try:
            directory.read(epath.Path(tmp_path))
        except TrainError as error:
            messages.append(str(error))
    assert 100 < len(messages) < 500
    assert all(len(text) < 2000 for text in messages)
    assert all(line.isprintable() for text in messages for line in text.splitlines())
