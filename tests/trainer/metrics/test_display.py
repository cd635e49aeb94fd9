"""What a run shows: a bar for people on a terminal, lines for programs elsewhere."""

import json
import math
import os
import pty
import subprocess
import sys
import threading

import pytest

from trainer.metrics import lines
from trainer.metrics.display import Lines, make_display

A_RUN = """
import sys
from trainer.metrics.display import make_display
display = make_display(sys.argv[1])
display.event({"name": "start", "at": 1.0, "hosts": 2, "devices": 8, "device_kind": "TPU v4"})
display.progress({"step": 1, "steps": 269, "loss": 2.5, "accuracy": 0.1})
speed = {"images_per_second": 150.2, "mfu": 0.29, "hbm": 0.81, "eta_seconds": 104.4}
display.progress({"step": 40, "steps": 269, "loss": 2.2123, "accuracy": 0.171875, **speed})
display.evaluating(256, 360)
display.evaluating(360, 360)
print("warning: of another", file=sys.stderr)
display.evaluation({"step": 40, "epoch": 1.5, "accuracy": 0.975, "loss": 0.5, "examples": 360})
display.close()
"""
PEOPLE = (
    "started: 2 hosts, 8 devices (TPU v4)",
    "step 40/269  loss 2.21  acc 17 %  150 img/s  MFU 29 %  1 min 44 s left",
    "evaluated at step 40: accuracy 97.50 %, loss 0.5, 360 images",
)


def on_terminals(form, *names):
    """Run A_RUN with these streams on one terminal; return (what it shows, stdout, stderr)."""
    mine, theirs = pty.openpty()
    shown = bytearray()

    def read():
        while True:
            try:
                part = os.read(mine, 1 << 16)
            except OSError:  # how Linux says that the other side is closed
                return
            if not part:
                return
            shown.extend(part)

    streams = {name: theirs if name in names else subprocess.PIPE for name in ("stdout", "stderr")}
    env = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen([sys.executable, "-c", A_RUN, form], env=env, **streams)
    os.close(theirs)
    reader = threading.Thread(target=read)
    reader.start()
    out, err = process.communicate(timeout=60)
    reader.join(10)
    os.close(mine)
    assert process.returncode == 0
    return shown.decode(), (out or b"").decode(), (err or b"").decode()


@pytest.mark.parametrize("names", [("stdout", "stderr"), ("stdout",), ("stderr",)])
def test_a_terminal_shows_the_lines_of_people(names):
    shown, out, err = on_terminals("auto", *names)
    for text in PEOPLE:
        assert text in shown, text
    assert "progress step=" not in shown
    assert ("warning: of another" in shown) == ("stderr" in names)
    if "stdout" not in names:  # a file or a pipe has all of the machine's lines beside it
        assert [line.split()[0] for line in out.splitlines()] == ["event", "progress", "progress", "evaluate"]
    if "stderr" not in names:
        assert err == "warning: of another\n"


@pytest.mark.parametrize(("form", "start"), [("logfmt", "progress step=1 "), ("json", '{"kind": "progress"')])
def test_a_format_that_is_asked_for_is_printed_on_a_terminal_too(form, start):
    shown, _, _ = on_terminals(form, "stdout", "stderr")
    assert start in shown
    assert "img/s" not in shown


def test_without_a_terminal_stdout_has_lines_only_and_json_is_json():
    _, out, err = on_terminals("json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["kind"] for row in rows] == ["event", "progress", "progress", "evaluate"]
    assert rows[2]["loss"] == 2.2123
    assert err == "warning: of another\n"


def test_a_long_evaluation_says_how_far_it_is_on_stderr(capsys, monkeypatch):
    clock = iter(range(0, 1000, 4))
    monkeypatch.setattr("trainer.runtime.counter.time.monotonic", lambda: float(next(clock)))
    display = Lines()
    for done in range(100, 1100, 100):
        display.evaluating(done, 1000)
    out, err = capsys.readouterr()
    assert out == ""
    assert err.splitlines()
    assert all(line.startswith("evaluating: ") and " of 1,000 images" in line for line in err.splitlines())


def test_lines_have_stable_keys():
    row = {"step": 3, "loss": 0.123456789, "at": 1795508721.7871, "name": "x"}
    assert lines.logfmt("progress", row) == "progress step=3 loss=0.123457 at=1795508721.787 name=x"


def test_json_has_no_number_that_is_not_finite():
    line = lines.json_line("progress", {"step": 3, "loss": math.nan, "lr": math.inf})
    assert line == '{"kind": "progress", "step": 3, "loss": "nan", "lr": "inf"}'


def test_pipes_get_logfmt_by_default(capsys):
    make_display().progress({"step": 1})
    assert capsys.readouterr().out == "progress step=1\n"
