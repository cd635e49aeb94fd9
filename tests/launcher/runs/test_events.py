"""Which events are about a run, and what they say about the end of its attempts."""

import pytest

from launcher.runs import events

CREATED = "2026-01-01T00:00:00Z"
LATER = "2026-01-01T00:01:00Z"


def jobset(name="exp", group="slice", replicas=2):
    return {
        "metadata": {"name": name, "uid": f"uid-{name}", "creationTimestamp": CREATED},
        "spec": {"replicatedJobs": [{"name": group, "replicas": replicas}]},
    }


POD = {
    "metadata": {
        "name": "exp-slice-0-0-abcde",
        "uid": "uid-pod",
        "ownerReferences": [{"kind": "Job", "uid": "uid-job"}],
    }
}


def event(kind, name, at=LATER, reason="FailedCreate", message="m", **involved):
    return {
        "involvedObject": {"kind": kind, "name": name, **involved},
        "reason": reason,
        "message": message,
        "lastTimestamp": at,
    }


@pytest.mark.parametrize(
    "about",
    [
        event("JobSet", "exp"),
        event("JobSet", "exp", uid="uid-exp"),
        event("Job", "exp-slice-0"),
        event("Job", "exp-slice-1", uid="of-an-earlier-attempt"),
        event("Pod", "exp-slice-0-0-abcde"),
        event("Pod", "exp-slice-0-0-abcde", uid="uid-pod"),
        event("Pod", "exp-slice-1-12-zzzzz"),  # of an earlier attempt
        event("Job", "renamed", uid="uid-job"),
    ],
)
def test_events_of_the_run_and_of_what_it_owns(about):
    assert events.concerning([about], jobset(), [POD]) == [about]


@pytest.mark.parametrize(
    "about",
    [
        event("JobSet", "exp-2"),
        event("JobSet", "exp", uid="of-a-deleted-run"),
        event("Job", "exp-2-slice-0"),
        event("Job", "exp-slice-2"),  # the run has slices 0 and 1
        event("Job", "exp-slice-0-slice-0"),  # of a run called exp-slice-0
        event("Pod", "exp-slice-0-slice-0-0-abcde"),
        event("Pod", "exp-slice-0-0-abcde", uid="of-another-pod"),
        event("Pod", "exp-slice-0-server"),
        event("Service", "exp"),
        event("Job", "exp-slice-0", at="2025-12-31T23:00:00Z"),  # of a deleted run of the same name
        {"involvedObject": None},
        "no event",
    ],
)
def test_events_of_others(about):
    assert events.concerning([about], jobset(), [POD]) == []


def test_the_time_of_an_event_is_the_last_that_it_has():
    series = {"eventTime": CREATED, "lastTimestamp": None, "series": {"lastObservedTime": LATER}}
    assert events.time(series) == LATER
    assert events.time({"lastTimestamp": None, "eventTime": CREATED}) == CREATED
    assert events.time({}) == ""


@pytest.mark.parametrize(
    ("message", "moved", "shown"),
    [
        (
            "Container trainer for pod n/p failed with exit code 42 matching FailJob rule at index 0",
            True,
            "p had saved its state",
        ),
        (
            "Pod n/p has condition DisruptionTarget matching FailJob rule at index 1",
            True,
            "p was moved by the cluster",
        ),
        (
            "Container trainer for pod n/p failed with exit code 44 matching FailJob rule at index 0",
            False,
            "",
        ),
        ("Job has reached the specified backoff limit", False, ""),
    ],
)
def test_a_preemption_is_told_from_a_failure(message, moved, shown):
    older = event("Job", "exp-slice-0", CREATED, "BackoffLimitExceeded", "older")
    newest = event("Job", "exp-slice-0", LATER, "PodFailurePolicy", message)
    of_a_pod = event("Pod", "exp-slice-0-0-abcde", "2026-01-01T00:02:00Z", "FailedScheduling")
    assert events.last_end([newest, older, of_a_pod]) == (
        {"at": LATER, "message": shown or message},
        moved,
    )


def test_code_that_was_not_unpacked_is_no_preemption_whatever_the_codes_of_the_program():
    message = "Container code for pod n/p failed with exit code 44 matching FailJob rule at index 0"
    ended = event("Job", "exp-slice-0", LATER, "PodFailurePolicy", message)
    assert events.last_end([ended], {"preempted": (44,)}) == ({"at": LATER, "message": message}, False)
    of_the_program = event(
        "Job", "exp-slice-0", LATER, "PodFailurePolicy", message.replace("code", "trainer", 1)
    )
    assert events.last_end([of_the_program], {"preempted": (44,)})[1]


def test_no_attempt_has_ended():
    assert events.last_end([event("Pod", "p", reason="FailedScheduling")]) == (None, False)
