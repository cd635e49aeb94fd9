"""TensorBoard's own reader finds the rows of metrics.jsonl in the files of a run, each step once."""

import os
import signal
import sys

import pytest
from etils import epath
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator
from train_runs import QUICK, finish, rows, start, train

from trainer.errors import ConfigError
from trainer.metrics.lines import Progress
from trainer.metrics.log import Log
from trainer.metrics.tensorboard import TensorBoard

ON = ["--set", "log.tensorboard=true"]


def scalars(folder):
    """Name -> [(step, value)], as TensorBoard shows them."""
    scalars = EventAccumulator(str(folder))
    scalars.Reload()
    return {name: [(e.step, e.value) for e in scalars.Scalars(name)] for name in scalars.Tags()["scalars"]}


@pytest.mark.slow
def test_a_killed_run_and_its_restart_show_each_step_once(tmp_path):
    process = start(tmp_path, *QUICK, *ON, "--set", "checkpoint.every_steps=2")
    for line in process.stdout:
        if line.startswith("progress step=5 "):
            os.kill(process.pid, signal.SIGKILL)
            break
    finish(process)
    code, out, err = train(tmp_path, *ON)
    assert code == 0, err
    assert "name=restore" in out
    shown, kept = scalars(tmp_path / "tensorboard"), rows(tmp_path)
    trained = [row for row in kept if row["kind"] == "train"]
    assert len(list((tmp_path / "tensorboard").iterdir())) == 2
    for name in ("loss", "accuracy", "grad_norm", "lr", "epoch"):
        pairs = [(row["step"], pytest.approx(row[name], rel=1e-6)) for row in trained]
        # The first attempt's file was not written to its end: its last rows may be missing, never doubled.
        steps = [step for step, _ in shown[f"train/{name}"]]
        assert steps == sorted(set(steps))
        assert shown[f"train/{name}"] == [pair for pair in pairs if pair[0] in steps]
        assert steps[-2:] == [5, 6]
    [evaluation] = [row for row in kept if row["kind"] == "evaluate"]
    assert shown["evaluate/accuracy"] == [(6, pytest.approx(evaluation["accuracy"], rel=1e-6))]


def test_steps_that_are_done_again_replace_the_first(tmp_path):
    board = TensorBoard(epath.Path(tmp_path))
    board.resume_at(0)
    for step in (1, 2, 3, 4):
        board(step, {"train/loss": float(step)})
    board.resume_at(2)
    for step in (3, 4, 5):
        board(step, {"train/loss": 10.0 * step})
    board.close()
    assert scalars(tmp_path / "tensorboard") == {
        "train/loss": [(1, 1.0), (2, 2.0), (3, 30.0), (4, 40.0), (5, 50.0)]
    }


def test_the_prediction_is_a_line_beside_the_rate(tmp_path):
    board = TensorBoard(epath.Path(tmp_path))
    log = Log(epath.Path(tmp_path), mirrors=[board])
    log.resume_at(0)
    figures = {"loss": 1.0, "accuracy": 0.5, "grad_norm": 1.0, "lr": 0.1}
    log.progress(Progress(step=1, steps=9, epoch=0.1, epochs=1.0, **figures), 0.0)
    for step, rate in ((2, 640.0), (3, 700.0)):
        speed = {"images_per_second": rate, "predicted": 900.0, "slow": "cause not measured"}
        log.progress(Progress(step=step, steps=9, epoch=0.1, epochs=1.0, **figures, **speed), 0.0)
    log.close()
    board.close()
    shown = scalars(tmp_path / "tensorboard")
    assert shown["train/predicted"] == [(2, 900.0), (3, 900.0)]
    assert shown["train/images_per_second"] == [(2, 640.0), (3, 700.0)]
    assert "train/slow" not in shown  # no number


def test_a_missing_writer_is_named_with_the_command_that_installs_it(tmp_path, monkeypatch):
    monkeypatch.setitem(sys.modules, "tensorboardX", None)  # as where it is not installed
    with pytest.raises(ConfigError, match=r"log\.tensorboard: must be false without tensorboardX") as error:
        TensorBoard(epath.Path(tmp_path))
    assert "pip install '.[tensorboard]'" in str(error.value)


@pytest.mark.slow
def test_without_being_asked_there_are_none(tmp_path):
    code, _, err = train(tmp_path)
    assert code == 0, err
    assert not (tmp_path / "tensorboard").exists()


def test_the_digest_of_the_code_is_a_text(tmp_path, monkeypatch):
    monkeypatch.setenv("RESNET_CODE", '{"digest": "abc"}')
    board = TensorBoard(epath.Path(tmp_path))
    board.resume_at(4)
    board.close()
    shown = EventAccumulator(str(tmp_path / "tensorboard"))
    shown.Reload()
    [event] = shown.Tensors("code/text_summary")
    assert event.step == 4
    assert event.tensor_proto.string_val[0] == b'```\n{\n  "digest": "abc"\n}\n```'
