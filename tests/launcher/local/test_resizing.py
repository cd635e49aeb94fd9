"""`resize --local`: a run of another terminal saves, ends, and goes on in this one with another shape."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from launcher.cli import main
from launcher.local import typed

# Notes its shape, waits for SIGTERM until `go` is there, and notes that it was asked to save.
PROGRAM = r"""
import os, pathlib, signal, sys, time
here = pathlib.Path(sys.argv[1])
def note(text):
    with open(here / "notes", "a") as file: file.write(text + "\n")
def save(*_):
    note("saved")
    while (here / "slow").exists(): time.sleep(0.05)
    sys.exit(42)
signal.signal(signal.SIGTERM, save)
note("begin " + os.environ["RESNET_HOSTS"] + " " + os.environ["OWN"])
for _ in range(600):
    if (here / "go").exists(): break
    time.sleep(0.05)
"""
TINY = "--arch resnet-tiny --data digits --name mine"


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "program.py").write_text(PROGRAM)
    (tmp_path / "elsewhere").mkdir()
    return tmp_path


def arguments(folder: Path, slice_name: str) -> list[str]:
    command = f"{sys.executable} program.py {folder}"
    return ["local", "--slice", slice_name, "--name", "mine", "--env", "OWN=a b", "--command", command]


def begin(folder: Path) -> subprocess.Popen[bytes]:
    process = subprocess.Popen([sys.executable, "-m", "launcher", *arguments(folder, "cpu-2x1")], cwd=folder)
    for _ in range(300):
        if len(notes(folder)) == 2:
            return process
        time.sleep(0.05)
    process.kill()
    raise AssertionError("the run has not begun")


def notes(folder: Path) -> list[str]:
    return (folder / "notes").read_text().splitlines() if (folder / "notes").exists() else []


@pytest.mark.parametrize("name", ["mine", "runs/mine", "absolute"])
def test_a_run_that_is_alive_saves_first(folder, capfd, monkeypatch, name):
    process = begin(folder)
    try:
        (folder / "go").touch() if name == "runs/mine" else None
        if name == "absolute":  # the paths of the run are those of the folder in which it was typed
            monkeypatch.chdir(folder / "elsewhere")
            name = str(folder / "runs" / "mine")
        after = subprocess.Popen(
            [sys.executable, "-m", "launcher", "resize", name, "--local", "--slice", "cpu-1x1"]
        )
        assert process.wait(30) == (0 if name == "runs/mine" else 1)
        for _ in range(300):
            if notes(folder)[-1] == "begin 1 a b":
                break
            time.sleep(0.05)
        assert notes(folder)[-1] == "begin 1 a b"
        (folder / "go").touch()
        assert after.wait(30) == 0
    finally:
        process.kill()
    saved = [] if name == "runs/mine" else ["saved", "saved"]
    assert notes(folder) == ["begin 2 a b", "begin 2 a b", *saved, "begin 1 a b"]
    assert "mine goes on with cpu-1x1" in capfd.readouterr().err
    kept = typed.read(folder / "runs" / "mine")
    assert kept
    assert (kept.slice, typed.is_alive(folder / "runs" / "mine")) == ("cpu-1x1", False)
    assert (folder / "runs" / "mine" / typed.FILE).stat().st_mode & 0o777 == 0o600


def test_a_run_that_has_ended_goes_on_and_one_of_the_same_shape_is_left_alone(folder, capfd):
    process = begin(folder)
    assert main(["resize", "mine", "--local", "--slice", "cpu-2x1"]) == 0
    assert capfd.readouterr().out.splitlines()[-1] == "mine has this shape already: cpu-2x1"
    assert process.poll() is None
    process.send_signal(signal.SIGTERM)
    assert process.wait(30) == 1
    (folder / "go").touch()
    assert main(["resize", "mine", "--local", "--slice", "cpu-4x1"]) == 0
    assert sorted(notes(folder)[4:]) == ["begin 4 a b"] * 4


def test_after_ctrl_c_the_run_saves_and_the_same_command_goes_on_with_it(folder):
    (folder / "slow").touch()
    process = begin(folder)
    move = [sys.executable, "-m", "launcher", *["resize", "mine", "--local", "--slice", "cpu-1x1"]]
    try:
        moving = subprocess.Popen(move, stderr=subprocess.PIPE, text=True)
        for _ in range(300):
            if "saved" in notes(folder):
                break
            time.sleep(0.05)
        moving.send_signal(signal.SIGINT)
        error, hint = moving.communicate(timeout=30)[1].splitlines()[-2:]
        assert moving.returncode == 1
        assert error == "error: interrupted; mine saves and ends"
        assert hint == "hint: the same command goes on with it"
        (folder / "slow").unlink()
        assert process.wait(30) == 1
    finally:
        process.kill()
    (folder / "go").touch()
    subprocess.run(move, check=True, timeout=60)
    assert notes(folder)[-1] == "begin 1 a b"


@pytest.mark.parametrize(
    ("line", "problems"),
    [
        ("resize mine --local --slice v4-8", ["slice: must be cpu-<hosts>x<devices per host>"]),
        ("resize mine --local --slice cpu-1x3", ["slice: must divide the batch, got cpu-1x3: batch 64 of"]),
        ("resize mine --local --slice cpu", ["slice: must be a slice such as v4-32"]),
        ("resize mine --local", ["slice: must be given"]),
        ("resize --local --slice cpu-1x1", ["name: must be given"]),
        ("resize other --local --slice cpu-1x1", ["name: must be the folder of a run that `local` began"]),
        (
            "resize mine --local --slice cpu-1x1 --num-slices 2 --estimate --namespace a",
            [f"{name}: must be left out with --local" for name in ("num-slices", "estimate", "namespace")],
        ),
    ],
)
def test_what_does_not_fit_is_refused_before_anything_is_stopped(folder, capsys, line, problems):
    run_dir = folder / "runs" / "mine"
    run_dir.mkdir(parents=True)
    values = {"arguments": ["--arch", "resnet-tiny", "--data", "digits"], "trainer_arguments": []}
    values |= {"slice": "cpu-1x1", "directory": str(folder), "grace": 9}
    asleep = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        kept = typed.Typed(name="mine", run_dir=str(run_dir), process=asleep.pid, **values)
        with typed.kept(kept):
            assert typed.is_alive(run_dir)
            assert main(line.split()) == 2
            assert asleep.poll() is None
    finally:
        asleep.kill()
        asleep.wait()
    errors = [text for text in capsys.readouterr().err.splitlines() if text.startswith("error: ")]
    assert len(errors) == len(problems)
    for error, problem in zip(errors, problems, strict=True):
        assert error.startswith(f"error: {problem}")


@pytest.mark.parametrize(
    "content", [b"", b"[]", b'{"name": "mine"', b'{"name": "mine"}', b"\xff", b"7", b'{"process": 1}']
)
def test_half_a_file_and_one_of_another_version_are_one_error(folder, capsys, content):
    (folder / "runs" / "mine").mkdir(parents=True)
    (folder / "runs" / "mine" / typed.FILE).write_bytes(content)
    assert main(["resize", "mine", "--local", "--slice", "cpu-1x1"]) == 2
    error, hint = capsys.readouterr().err.splitlines()
    assert error == "error: name: must be the folder of a run that `local` began on this machine, got 'mine'"
    assert hint == "hint: its own command with another --slice and its --name goes on with it"
    assert main(["local", "--slice", "cpu-1x1", "--name", "mine", "--command", "true"]) == 0
    assert main(["resize", "mine", "--local", "--slice", "cpu-2x1"]) == 0


def test_a_second_process_keeps_nothing(tmp_path: Path) -> None:
    values = {"arguments": [], "trainer_arguments": [], "slice": "cpu-1x1", "directory": "/", "grace": 9}
    first, second = (
        typed.Typed(name=name, run_dir=str(tmp_path), process=os.getpid(), **values) for name in "ab"
    )
    with typed.kept(first):
        with typed.kept(second):
            assert json.loads((tmp_path / typed.FILE).read_text())["name"] == "a"
        assert typed.is_alive(tmp_path)
    assert not typed.is_alive(tmp_path)


@pytest.mark.parametrize("flag", ["--notify hook/url", "--secret-env TOKEN=a/b"])
def test_a_secret_that_this_terminal_lacks_stops_and_writes_nothing(folder, capsys, monkeypatch, flag):
    monkeypatch.delenv("RESNET_NOTIFY_URL", raising=False)
    monkeypatch.delenv("TOKEN", raising=False)
    line = f"local --slice cpu-1x1 {TINY} {flag}".split()
    assert main(line) == 2
    assert not (folder / "runs").exists()
    run_dir = folder / "runs" / "mine"
    run_dir.mkdir(parents=True)
    asleep = subprocess.Popen([sys.executable, "-c", "import time; time.sleep(60)"])
    try:
        values = {"trainer_arguments": [], "slice": "cpu-1x1", "directory": str(folder), "grace": 9}
        arguments = f"--arch resnet-tiny --data digits {flag}".split()
        kept = typed.Typed(
            name="mine", run_dir=str(run_dir), process=asleep.pid, arguments=arguments, **values
        )
        with typed.kept(kept):
            assert main(["resize", "mine", "--local", "--slice", "cpu-2x1"]) == 2
        assert asleep.poll() is None
    finally:
        asleep.kill()
        asleep.wait()
    assert capsys.readouterr().err.count("in this environment") == 2
