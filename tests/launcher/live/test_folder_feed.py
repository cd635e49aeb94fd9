"""Runs of this machine as `watch --local` follows them: files that grow, are cut off, or are written anew."""

import fcntl
import json
import os
import time

import pytest

from launcher.check import prices
from launcher.cli import main
from launcher.live.folder_feed import FolderFeed
from launcher.live.folder_run import FolderRun

PRICES = prices.read("2")
START = {"name": "start", "at": 1000.0, "restart": 0, "hosts": 2, "devices": 4, "device_kind": "cpu"}
FIRST = {"name": "first_step", "at": 1010.0, "step": 1, "steps": 90}


def write(folder, name, *rows, mode="a"):
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / name, mode, encoding="utf-8") as file:
        file.writelines(json.dumps(row) + "\n" for row in rows)


def trained(step, at, **more):
    row = {"kind": "train", "step": step, "epoch": step / 30, "loss": 2.0 / step, "at": at}
    return {**row, "images_per_second": 80.0, "data_wait": 0.25, **more}


def make(folder, *events):
    write(folder, "config.json", {"name": folder.name, "model": {"arch": "resnet-tiny"}})
    write(folder, "events.jsonl", START, FIRST, *events)
    write(folder, "metrics.jsonl", trained(10, 1020.0), trained(20, 1030.0))
    write(folder, "metrics.jsonl", {"kind": "evaluate", "step": 20, "accuracy": 0.25, "loss": 2.0})
    return folder


def held(folder):
    """Lock a run directory as a trainer does; close the file to end that trainer."""
    file = open(folder / ".lock", "w", encoding="utf-8")  # noqa: SIM115
    fcntl.flock(file, fcntl.LOCK_EX)
    return file


def view(run):
    run.update()
    return run.view()


def test_a_run_that_trains_has_all_that_its_files_say(tmp_path):
    folder = make(tmp_path / "run")
    with held(folder):
        seen = view(FolderRun(folder, "run", PRICES))
    assert (seen.phase, seen.program, seen.slice, seen.hosts) == ("Running", "resnet-tiny", "cpu-2x2", 2)
    assert (seen.progress["step"], seen.progress["steps"], seen.share_done) == (20, 90, 20 / 90)
    assert seen.seconds_left == 70.0  # 70 steps, one a second
    assert (seen.images_per_second, seen.evaluation["accuracy"], seen.loss) == (20.0, 0.25, (0.2, 0.1))
    assert seen.held
    assert seen.held.chip_hours(1000.0 + 3600) == 4.0
    assert seen.cost(1000.0 + 3600) == 8.0


@pytest.mark.parametrize(
    ("events", "locked", "phase"),
    [
        ((), True, "Running"),
        ((), False, "Stopped"),
        (({"name": "preempted", "at": 1040.0, "step": 20},), False, "Preempted"),
        (({"name": "end", "at": 1100.0, "step": 90, "accuracy": 0.5},), False, "Completed"),
        (({**START, "at": 1200.0, "restart": 1},), True, "Starting"),
    ],
)
def test_the_phase_comes_from_the_events_and_the_lock(tmp_path, events, locked, phase):
    folder = make(tmp_path / "run", *events)
    file = held(folder) if locked else None
    assert view(FolderRun(folder, "run", PRICES)).phase == phase
    if file:
        file.close()


def test_attempts_are_counted_with_their_causes_and_their_time(tmp_path):
    preempted = {"name": "preempted", "at": 1100.0, "step": 20}
    again = {**START, "at": 2000.0, "restart": 1}
    third = {**START, "at": 3000.0, "restart": 2, "before_at": 2050.0}
    folder = make(tmp_path / "run", preempted, again, {**FIRST, "at": 2010.0}, third, {**FIRST, "at": 3010.0})
    seen = view(FolderRun(folder, "run", PRICES))
    assert seen.restarts.total == 2
    assert seen.restarts.causes == {"preempted": 1, "ended without a word": 1}
    assert seen.held
    assert seen.held.seconds == (1100 - 1000) + (2050 - 2000) + (3010 - 3000)


def test_only_what_is_new_is_read_and_a_row_that_is_cut_off_waits_for_its_end(tmp_path):
    folder = make(tmp_path / "run")
    run = FolderRun(folder, "run", PRICES)
    assert view(run).progress["step"] == 20
    assert not run.update()
    with open(folder / "metrics.jsonl", "a", encoding="utf-8") as file:
        text = json.dumps(trained(30, 1040.0)) + "\n"
        file.write(text[:20])
        file.flush()
        assert view(run).progress["step"] == 20
        file.write(text[20:])
        file.flush()
        assert view(run).progress["step"] == 30
    assert len(run.view().loss) == 3


def test_a_file_that_was_written_anew_begins_again(tmp_path):
    folder = make(tmp_path / "run")
    run = FolderRun(folder, "run", PRICES)
    assert len(view(run).loss) == 2
    write(folder, "new", trained(5, 1500.0), mode="w")
    os.replace(folder / "new", folder / "metrics.jsonl")
    seen = view(run)
    assert (seen.progress["step"], seen.loss) == (5, (0.4,))


@pytest.mark.parametrize(
    "text",
    [
        '{"kind": "train", "step": "x"}',
        "[]",
        "\x00\x01",
        "{" * 5000,
        '{"kind": "train", "step": 1, "loss": 1e999}',
    ],
)
def test_damaged_rows_are_left_out(tmp_path, text):
    folder = make(tmp_path / "run")
    for name in ("metrics.jsonl", "events.jsonl"):
        with open(folder / name, "a", encoding="utf-8") as file:
            file.write(f"{text}\n")
    (folder / "config.json").write_text(text, encoding="utf-8")
    write(folder, "metrics.jsonl", trained(30, 1040.0))
    seen = view(FolderRun(folder, "run", PRICES))
    assert (seen.progress["step"], seen.program) == (30, "")


def test_a_pipe_in_the_place_of_a_file_makes_nobody_wait(tmp_path):
    folder = make(tmp_path / "run")
    os.unlink(folder / "metrics.jsonl")
    os.mkfifo(folder / "metrics.jsonl")
    assert view(FolderRun(folder, "run", PRICES)).progress == {"steps": 90}


def test_runs_that_are_over_are_left_out_unless_named_and_new_ones_appear(tmp_path, monkeypatch):
    monkeypatch.setattr("launcher.live.folder_feed.LOOK_SECONDS", 0.05)
    end = {"name": "end", "at": 1100.0, "step": 90}
    done, running = make(tmp_path / "lr" / "done", end), make(tmp_path / "lr" / "going")
    with held(running):
        feed = FolderFeed([str(tmp_path), str(done)], PRICES, lambda: None)
        feed.open()
        try:
            assert {seen.name: seen.phase for seen in feed.views()} == {
                "done": "Completed",
                "lr/going": "Running",
            }
            later = tmp_path / "lr" / "later"
            later.mkdir()
            with held(later):
                make(later)
                deadline = time.monotonic() + 10
                while len(feed.views()) < 3:
                    assert time.monotonic() < deadline
                    time.sleep(0.02)
            assert feed.error is None
        finally:
            feed.close()


@pytest.mark.parametrize(
    ("arguments", "message", "hint"),
    [
        (
            ["--local", "nowhere"],
            "name: must be a folder with --local, got 'nowhere', which does not exist",
            "resnet-launch watch --local runs",
        ),
        (
            ["--local"],
            "name: must be a folder with --local, got 'runs', which does not exist",
            "`resnet-launch local` makes it in the folder where it is typed",
        ),
        (
            ["--local", "gs://b/runs"],
            "name: must be a folder of this machine with --local, got 'gs://b/runs'",
            "resnet-launch board gs://b/runs --serve 0",
        ),
        (
            ["--local", "--context", "c"],
            "context: must be left out with --local, got 'c'",
            "resnet-launch watch --local",
        ),
        (["--price", "much"], "price: must be a number above zero, or one per generation, got 'much'", None),
        (["No_Name"], "name: must ", None),
    ],
)
def test_bad_input_is_one_error(tmp_path, monkeypatch, capsys, arguments, message, hint):
    monkeypatch.chdir(tmp_path)
    assert main(["watch", *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    error, *rest = err.splitlines()
    assert error.startswith(f"error: {message}")
    assert hint is None or rest == [f"hint: {hint}"]


def test_lines_and_json_of_local_runs(tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    make(tmp_path / "runs" / "a", {"name": "end", "at": 1100.0, "step": 90})
    assert main(["watch", "--local", "runs/a", "--price", "1"]) == 0
    assert capsys.readouterr().out.split(" ", 1)[1] == (
        "a: Completed, step 20/90, loss 0.1, accuracy 25.00 %, 20.0 images/s per chip, "
        "25 % waiting for data, cost so far 0.11\n"
    )
    assert main(["watch", "--local", "runs/a", "--json"]) == 0
    row = json.loads(capsys.readouterr().out)
    assert (row["name"], row["phase"], row["images_per_second_per_chip"], row["cost"]) == (
        "a",
        "Completed",
        20.0,
        None,
    )
