"""A process that makes no progress ends with 45 and says what it was doing."""

import subprocess
import sys

SCRIPT = """
import time
from trainer.runtime.watchdog import Watchdog
watchdog = Watchdog({first}, {then})
{body}
watchdog.now("saving step 20 to run directory gs://b/run")
time.sleep(30)
"""


def ended(**values) -> subprocess.CompletedProcess[str]:
    words = [sys.executable, "-c", SCRIPT.format(**values)]
    return subprocess.run(words, capture_output=True, text=True, timeout=60)


def test_it_ends_what_hangs_and_says_what_that_was():
    done = ended(first=1.0, then=0, body="")
    assert done.returncode == 45
    last = done.stderr.splitlines()[-1]
    assert last.startswith("error: no progress for ")
    assert last.endswith(" s while saving step 20 to run directory gs://b/run; all stacks are above")
    assert "Current thread" in done.stderr or "Thread 0x" in done.stderr


def test_what_is_called_last_gets_the_message():
    done = ended(first=0.5, then="0, print", body="")
    assert done.returncode == 45
    assert done.stdout.startswith("no progress for ")
    assert done.stdout.endswith(" s while saving step 20 to run directory gs://b/run\n")


def test_after_the_first_beat_another_limit_holds():
    assert ended(first=600, then=1.0, body="watchdog.beat()").returncode == 45
