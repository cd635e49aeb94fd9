"""What people see: plain lines that a program can read too, and a bar on a terminal."""

import os
import pty
import subprocess
import sys

from trainer.metrics.lines import logfmt

ON_A_TERMINAL = """
from trainer.metrics.display import Bar, make_display
display = make_display()
assert isinstance(display, Bar)
display.event({"name": "start", "at": 1.0, "hosts": 2})
display.progress({"step": 1, "steps": 20, "loss": 2.5})
speed = {"images_per_second": 1234.5, "mfu": 0.29, "hbm": 0.81}
display.progress({"step": 10, "steps": 20, "loss": 1.25, **speed})
display.evaluation({"step": 10, "epoch": 1.5, "accuracy": 0.975, "loss": 0.5, "examples": 360})
display.close()
"""


def test_lines_have_stable_keys():
    row = {"step": 3, "loss": 0.123456789, "at": 1795508721.7871, "name": "x"}
    assert logfmt("progress", row) == "progress step=3 loss=0.123457 at=1795508721.787 name=x"


def test_a_terminal_gets_a_bar():
    mine, theirs = pty.openpty()
    env = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    done = subprocess.run(
        [sys.executable, "-c", ON_A_TERMINAL], stdout=theirs, env=env, timeout=60, check=False
    )
    os.close(theirs)
    shown = b""
    while True:
        try:
            part = os.read(mine, 1 << 16)
        except OSError:  # how Linux says that the other side is closed
            break
        if not part:
            break
        shown += part
    os.close(mine)
    assert done.returncode == 0
    for text in (
        b"step 10/20",
        b"loss 1.2500",
        b"1,234 images/s  MFU 29%, memory 81%",
        b"epoch 1.50: accuracy 97.50%",
        b"hosts=2",
    ):
        assert text in shown, text
