"""stdout holds what Python prints; what libraries in C++ print goes elsewhere or nowhere."""

import subprocess
import sys

import pytest

from trainer.runtime.streams import QUIET, quieten, without_noise

PRINTING = """
import os, sys
from trainer.runtime import streams
streams.reserve_stdout(hosts_on_cpu=len(sys.argv) > 1)
print("data 1")
for line in (b"[Gloo] Rank 0 is connected to 1 peer ranks.\\n", b"NCCL INFO comm\\n", b"no end of line"):
    os.write(1, line)
os.system("echo a child")
print("data 2")
streams.flush()
os._exit(0)
"""


@pytest.mark.parametrize("hosts_on_cpu", [False, True])
def test_only_python_prints_to_stdout(hosts_on_cpu):
    command = [sys.executable, "-c", PRINTING, *["x"] * hosts_on_cpu]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout == "data 1\ndata 2\n"
    for text in ("NCCL INFO comm\n", "no end of line", "a child\n"):
        assert text in done.stderr, "nothing but noise is lost"
    assert ("[Gloo]" in done.stderr) != hosts_on_cpu


def test_output_survives_a_process_that_ends_as_usual():
    command = "from trainer.runtime import streams; streams.reserve_stdout(); print('data', end='')"
    done = subprocess.run([sys.executable, "-c", command], capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr) == (0, "data", "")


@pytest.mark.parametrize("line", [b"Gloo\n", b" [Gloo] x\n", b"error: [Gloo] timed out\n"])
def test_what_only_mentions_a_library_stays(line):
    assert list(without_noise([line])) == [line]


def test_levels_that_a_person_sets_stay():
    environ = {"TF_CPP_MIN_LOG_LEVEL": "0"}
    quieten(environ)
    assert environ == QUIET | {"TF_CPP_MIN_LOG_LEVEL": "0"}
