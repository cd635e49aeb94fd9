"""A sweep on this machine: what is refused, how many run at a time, and going on after Ctrl-C."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launcher.cli import main
from launcher.local import sweeping

TINY = ["--slice", "cpu-1x1", "--arch", "resnet-tiny", "--data", "digits"]
# Notes its start and its end in a file, and takes until `go` is there.
PROGRAM = r"""
import pathlib, sys, time
here = pathlib.Path(sys.argv[1])
with open(here / "notes", "a") as file: file.write(f"begin {sys.argv[2]}\n")
for _ in range(600):
    if (here / "go").exists(): break
    time.sleep(0.05)
with open(here / "notes", "a") as file: file.write(f"end {sys.argv[2]}\n")
sys.exit(int(sys.argv[3]))
"""


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM)
    return tmp_path


def commands(folder: Path, names: str, code: int = 0) -> dict[str, list[str]]:
    program = f"{sys.executable} {folder}/program.py {folder}"
    arguments = ["local", "--slice", "cpu-1x1", "--max-restarts", "0"]
    return {
        name: [
            *arguments,
            *("--name", name, "--run-dir", str(folder / "sweep" / name)),
            *("--command", f"{program} {name} {code}"),
        ]
        for name in names
    }


def notes(folder: Path) -> list[str]:
    return (folder / "notes").read_text().splitlines() if (folder / "notes").exists() else []


def run(folder: Path, names: str, parallel: int, code: int = 0) -> tuple[list[str], list[str]]:
    shown: list[str] = []
    failed = sweeping.run(folder / "sweep", commands(folder, names, code), parallel, os.environ, shown.append)
    return failed, shown


def test_as_many_run_at_a_time_as_asked_for_and_none_twice(folder: Path) -> None:
    (folder / "go").touch()
    assert run(folder, "abc", 1) == ([], [f"{n} {what}" for n in "abc" for what in ("begins", "finished")])
    assert notes(folder) == [f"{what} {n}" for n in "abc" for what in ("begin", "end")]
    failed, shown = run(folder, "abcd", 2)
    assert (failed, shown[:3]) == ([], [f"{n} had finished" for n in "abc"])
    assert notes(folder)[6:] == ["begin d", "end d"]


def test_a_run_with_other_arguments_is_run_again_and_one_that_failed_too(folder: Path) -> None:
    (folder / "go").touch()
    failed, shown = run(folder, "a", 1, code=3)
    assert failed == ["a"]
    assert shown[-1] == f"a failed with exit code 1: {folder}/sweep/a.log"
    assert "exit code 3" in (folder / "sweep" / "a.log").read_text()
    assert run(folder, "a", 1)[0] == []
    assert notes(folder).count("begin a") == 2
    (folder / "sweep" / sweeping.RECORD).write_text(
        "{"
    )  # cut off by a full disk: nothing is known to be done
    assert run(folder, "a", 1)[1] == ["a begins", "a finished"]


@pytest.mark.slow
def test_a_signal_ends_the_runs_with_a_checkpoint(folder: Path) -> None:
    line = ["sweep", "--local", "--name", "s", *TINY, "--grid", "train.seed=0,1", "--parallel", "2"]
    line += ["--steps", "100000"]
    with subprocess.Popen(
        [sys.executable, "-m", "launcher", *line],
        stderr=subprocess.PIPE,
        text=True,
    ) as process:
        try:
            assert process.stderr
            while process.stderr.readline() not in ("s-seed1 begins\n", ""):
                pass
            logs = [folder / "runs" / "s" / f"s-seed{seed}.log" for seed in (0, 1)]
            deadline = time.monotonic() + 300
            while not all("progress step=" in log.read_text() for log in logs):
                assert time.monotonic() < deadline
                time.sleep(0.2)
        finally:
            process.terminate()  # as Ctrl-C, which a process in the background may ignore
        _, err = process.communicate(timeout=200)
    assert process.returncode == 1
    assert err.splitlines() == [
        "error: stopped: the runs have saved and ended",
        "hint: the same command goes on with them",
    ]
    saved = [*(folder / "runs" / "s").glob("s-seed*/checkpoints/*")]
    assert {path.parent.parent.name for path in saved} == {"s-seed0", "s-seed1"}
    assert not (folder / "runs" / "s" / sweeping.RECORD).exists()


@pytest.mark.slow
def test_a_sweep_to_its_end_with_its_results(folder: Path, capfd: pytest.CaptureFixture[str]) -> None:
    line = ["sweep", "--local", "--name", "s", *TINY, "--steps", "2", "--grid", "train.seed=0,1"]
    assert main([*line, "--parallel", "2"]) == 0
    assert "next:\n  resnet-launch sweep status s --local\n" in capfd.readouterr().err
    assert main(["sweep", "status", "s", "--local"]) == 0
    lines = capfd.readouterr().out.splitlines()
    assert lines[0].split()[:2] == ["name", "state"]
    assert {line.split()[0] for line in lines[1:3]} == {"s-seed0", "s-seed1"}
    assert lines[4].split() == ["settings", "runs", "mean", "of", "best", "accuracy", "standard", "deviation"]
    assert lines[5].split()[:2] == ["all", "2"]


@pytest.mark.parametrize(
    ("arguments", "problems"),
    [
        ([], ["name: must be given: the runs are called after it"]),
        (["--name", "s"], ["grid: must be given at least once"]),
        (
            ["--name", "s", "--grid", "optim.lr=x,y"],
            ["set: optim.lr must be a number, got 'x'", "set: optim.lr"],
        ),
        (["--name", "s", "--grid", "train.seed=1", "--seed", "2"], ["grid: must be the only one that sets"]),
        (
            ["--name", "s", "--grid", "optim.lr=1", "--set", "optim.lr=2"],
            ["grid: must be the only one that sets optim.lr, got --set optim.lr too"],
        ),
        (["--name", "s", "--grid", "optim.lr=1", "--parallel", "0"], ["parallel: must be at least 1, got 0"]),
        (["--name", "s", "--grid", "optim.lr=1", "--queue", "q"], ["queue: must be left out with --local"]),
        (["--name", "S!", "--grid", "optim.lr=1"], ["name: must"]),
        (["status"], ["arguments: must be `status NAME` or flags only, got 'status'"]),
        (["stat", "s"], ["arguments: must be `status NAME` or flags only, got 'stat s'"]),
    ],
)
def test_wrong_requests(
    folder: Path, capsys: pytest.CaptureFixture[str], arguments: list[str], problems: list[str]
) -> None:
    assert main(["sweep", "--local", *TINY, *arguments]) == 2
    out, err = capsys.readouterr()
    assert out == ""
    errors = [line.removeprefix("error: ") for line in err.splitlines() if line.startswith("error: ")]
    assert len(errors) == len(problems)
    assert all(error.startswith(problem) for error, problem in zip(errors, problems, strict=True))
    assert not (folder / "runs").exists()


def test_a_plan_changes_nothing(folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
    line = ["sweep", "--local", "--name", "s", *TINY, "--grid", "train.seed=0..2", "--plan", "--json"]
    assert main(line) == 0
    rows = json.loads(capsys.readouterr().out)
    assert [row["name"] for row in rows] == ["s-seed0", "s-seed1", "s-seed2"]
    assert rows[1] == {
        "name": "s-seed1",
        "settings": {"train.seed": "1"},
        "run_dir": f"{folder}/runs/s/s-seed1",
    }
    assert not (folder / "runs").exists()


@pytest.mark.parametrize("flags", ["", "--run-dir elsewhere"])
def test_the_status_of_no_sweep_is_one_error(
    folder: Path, capsys: pytest.CaptureFixture[str], flags: str
) -> None:
    assert main(["sweep", "status", "lr", "--local", *flags.split()]) == 1
    error, hint = capsys.readouterr().err.splitlines()
    place = folder / (flags.rpartition(" ")[2] or "runs/lr")
    assert error == f"error: no runs of a sweep 'lr' on this machine: there is no folder {place}"
    assert hint == "hint: resnet-launch sweep status lr, for one on a cluster"
