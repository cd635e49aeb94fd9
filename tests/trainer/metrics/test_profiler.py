"""A trace of the steps that were asked for, and what is no range of steps."""

import subprocess
import sys

import pytest
from train_runs import QUICK, environment, train

from trainer.metrics import profiler

# jaxlib makes the class of an event's statistics where one is read. From Python 3.13 on that warns of a
# missing __module__, and C++ aborts where warnings are errors: a trace is read in a process of its own.
READ = """
import sys
from jax.profiler import ProfileData
for plane in ProfileData.from_file(sys.argv[1]).planes:
    for line in plane.lines:
        for event in line.events:
            if event.name == "train":
                print(dict(event.stats)["step_num"])
"""


def traced_steps(run_dir):
    [path] = run_dir.glob("profile/plugins/profile/*/*.xplane.pb")
    command = [sys.executable, "-W", "ignore", "-c", READ, str(path)]
    read = subprocess.run(command, env=environment(), capture_output=True, text=True, timeout=100)
    assert read.returncode == 0, read.stderr
    return sorted(map(int, read.stdout.split()))


@pytest.mark.slow
def test_the_steps_that_were_asked_for_are_traced(tmp_path):
    code, _, err = train(tmp_path, "--profile", "3-5")
    assert code == 0, err
    assert traced_steps(tmp_path) == [3, 4, 5]


@pytest.mark.slow
def test_the_launcher_hands_the_words_on(tmp_path):
    command = [sys.executable, "-m", "launcher", "local", "--slice", "cpu-1x1", "--run-dir", str(tmp_path)]
    done = subprocess.run(
        [*command, *QUICK, "--", "--profile", "4-5"],
        env=environment(),
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, done.stderr
    assert traced_steps(tmp_path) == [4, 5]


@pytest.mark.slow
def test_a_run_that_ends_in_the_middle_of_a_trace_writes_it(tmp_path):
    code, _, err = train(tmp_path, "--profile", "6-20")
    assert code == 0, err
    assert traced_steps(tmp_path) == [6]


@pytest.mark.parametrize(
    ("text", "expected"), [("", []), ("7", [7]), ("7-9", [7, 8, 9]), (" 100-101 ", [100, 101])]
)
def test_ranges(text, expected):
    assert list(profiler.steps(text)) == expected


@pytest.mark.parametrize("text", ["0-3", "9-7", "a", "3:4", "-3"])
def test_what_is_no_range_is_refused(text):
    with pytest.raises(Exception, match=r"log\.profile_steps: must be FIRST-LAST, counted from 1, got"):
        profiler.steps(text)
