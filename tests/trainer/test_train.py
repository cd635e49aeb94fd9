"""Whole runs of one process, as a pod or a person starts them: ends, refusals, preemption, exit codes."""

import fcntl
import json
import signal

import pytest
from train_runs import QUICK, SMALL, finish, losses, rows, start, train

from trainer.rundir.goodput import account


@pytest.fixture(scope="module")
def finished(tmp_path_factory):
    """A run of six steps that nothing disturbed."""
    run_dir = tmp_path_factory.mktemp("finished")
    code, out, err = train(run_dir)
    assert code == 0, err
    return run_dir, out


@pytest.mark.slow
def test_a_run_leaves_what_the_design_says(finished):
    run_dir, out = finished
    assert json.loads((run_dir / "config.json").read_text())["train"]["steps"] == 6
    assert sorted(losses(run_dir)) == [1, 2, 3, 4, 5, 6]
    [evaluation] = [row for row in rows(run_dir) if row["kind"] == "evaluate"]
    assert (evaluation["step"], evaluation["examples"]) == (6, 360)
    names = [row["name"] for row in rows(run_dir, "events.jsonl")]
    assert names == ["start", "joined", "opened", "compiled", "first_step", "evaluate", "save", "end"]
    assert [line.split()[0] for line in out.splitlines()].count("progress") == 6


@pytest.mark.slow
def test_a_finished_run_stays_finished(finished):
    run_dir, _ = finished
    before = losses(run_dir)
    code, out, _ = train(run_dir)
    assert code == 0
    assert "name=restore" in out
    assert "progress" not in out
    assert "evaluate" not in out  # its accuracy is in the checkpoint
    assert rows(run_dir, "events.jsonl")[-1]["accuracy"] == rows(run_dir)[-1]["accuracy"]
    assert losses(run_dir) == before


@pytest.mark.slow
def test_sigterm_saves_and_the_restart_repeats_every_loss(finished, tmp_path):
    process = start(tmp_path, *QUICK)
    for line in process.stdout:
        if line.startswith("progress step=2 "):
            process.send_signal(signal.SIGTERM)
            break
    code, out, err = finish(process)
    assert code == 42, err
    assert "event name=preempted" in out
    code, out, err = train(tmp_path)
    assert code == 0, err
    assert losses(tmp_path) == losses(finished[0])
    events = rows(tmp_path, "events.jsonl")
    spent = account(events)
    assert (spent.attempts, spent.seconds["again"]) == (2, 0.0)
    assert min(spent.seconds[kind] for kind in ("training", "saving", "start", "restoring", "stopped")) > 0
    assert sum(spent.seconds.values()) == pytest.approx(spent.total, abs=0.01)
    assert events[-1]["goodput"] == pytest.approx(spent.share, abs=1e-4)


@pytest.mark.slow
def test_a_loss_that_is_not_finite_ends_the_run_and_keeps_the_last_checkpoint(tmp_path):
    diverging = [
        "--set",
        "optim.lr=1e30",
        "--set",
        "optim.warmup_epochs=0",
        "--set",
        "checkpoint.every_steps=1",
    ]
    code, _, err = train(tmp_path, *diverging)
    assert code == 44
    assert "must be finite" in err
    assert "at step 2" in err
    assert [p.name for p in (tmp_path / "checkpoints").iterdir() if p.name.isdigit()] == ["1"]


@pytest.mark.slow
def test_a_second_job_on_the_same_directory_is_refused(finished):
    run_dir, _ = finished
    before = sorted((run_dir / "checkpoints").iterdir())
    with open(run_dir / ".lock", "r+") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        code, _, err = train(run_dir)
    assert code == 44
    assert f"error: run directory {run_dir} is in use by process" in err
    assert sorted((run_dir / "checkpoints").iterdir()) == before


@pytest.mark.slow
@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--set", "model.width=16"], "holds a run with model.width 8, got 16"),
        (["--batch", "32"], "holds a run with train.batch 64, got 32"),
        (["--seed", "1"], "holds a run with train.seed 0, got 1"),
    ],
)
def test_another_run_on_the_same_directory_is_refused(finished, arguments, message):
    run_dir, _ = finished
    before = (run_dir / "config.json").read_text()
    code, _, err = train(run_dir, *arguments)
    assert code == 44
    assert message in err
    assert "hint: use another --name or --run-dir" in err
    assert (run_dir / "config.json").read_text() == before


def test_a_directory_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    code, _, err = train(tmp_path / "file" / "run")
    assert code == 44
    assert "cannot be written" in err
    assert "Traceback" not in err


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--arch", "resnet19"], "error: model.arch: must be one of"),
        (["--data", "digitz"], "error: data.name: must be one of"),
        (["--recipe", "none"], "error: recipe: must be one of"),
        (["--recipe", "rsb-a3"], "error: augment.resolution: must be at most the 8 pixels of the images"),
        (["--colour"], "error: flag: must be a flag of python -m trainer, got '--colour'"),
        (["--data", "fashion-mnist", "--set", "data.root=/nowhere"], "error: data.root: /nowhere/"),
    ],
)
def test_a_wrong_request_ends_the_run_at_once(tmp_path, arguments, message):
    code, _, err = train(tmp_path / "run", *arguments)
    assert code == 44
    assert message in err
    assert "Traceback" not in err


@pytest.mark.slow
def test_wandb_is_offline_without_a_key_and_the_run_id_survives(tmp_path):
    arguments = [*SMALL, "--set", "train.eval_every_epochs=0"]
    assert finish(start(tmp_path, *arguments))[0] == 0
    run_id = (tmp_path / "wandb-id").read_text().strip()
    assert finish(start(tmp_path, *arguments))[0] == 0
    folders = [p.name for p in (tmp_path / "wandb").iterdir() if p.name.startswith("offline-run-")]
    assert len(folders) == 2
    assert all(name.endswith(run_id) for name in folders)


@pytest.mark.slow
def test_a_run_without_checkpoints_writes_none_and_one_with_a_prediction_logs_it(tmp_path):
    code, out, err = train(tmp_path, "--set", "checkpoint.enabled=false", "--set", "log.predicted=1e9")
    assert code == 0, err
    assert not (tmp_path / "checkpoints").exists()
    measured = [row for row in rows(tmp_path) if "images_per_second" in row]
    assert {row["predicted"] for row in measured} == {1e9}
    assert all(row["slow"].startswith(("waiting for data, ", "cause not measured")) for row in measured)
    assert json.loads((tmp_path / "config.json").read_text())["log"]["predicted"] == 1e9
    assert "slower than predicted" in (tmp_path / "report.html").read_text()
    assert [row["steps"] for row in rows(tmp_path, "events.jsonl") if row["name"] == "first_step"] == [6]
    assert " predicted=1000000000.000 " in out


@pytest.mark.slow
def test_saves_go_by_the_clock_where_that_is_wanted(tmp_path):
    code, _, err = train(tmp_path, "--set", "checkpoint.every_minutes=0.00001")
    assert code == 0, err
    assert [row["step"] for row in rows(tmp_path, "events.jsonl") if row["name"] == "save"] == [
        1,
        2,
        3,
        4,
        5,
        6,
    ]
