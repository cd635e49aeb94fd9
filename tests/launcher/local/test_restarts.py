"""The failure policy as it is rendered, read as Job and JobSet read it."""

import pytest

from launcher import TrainingJob, render
from launcher.local import restarts

NEW, OLD = None, "0.8"


def failure_action(code, version):
    [jobset] = render(TrainingJob(slice="cpu-2x1", arch="resnet18", jobset_version=version, namespace="team"))
    return restarts.failure_action(jobset, "slice-0-1", code)


@pytest.mark.parametrize(
    ("code", "version", "restart", "counted"),
    [
        (42, NEW, True, False),
        (43, NEW, True, True),
        (44, NEW, False, False),
        (45, NEW, True, True),
        (137, NEW, True, True),
        (42, OLD, True, True),  # without message patterns every restart counts
        (44, OLD, False, False),
    ],
)
def test_exit_codes(code, version, restart, counted):
    action = failure_action(code, version)
    assert (action.restart, action.counted) == (restart, counted)


def test_the_message_is_the_job_controllers():
    assert failure_action(44, NEW).message == (
        "Container trainer for pod team/resnet18-cpu-2x1-slice-0-1 failed with exit code 44 "
        "matching FailJob rule at index 0"
    )
