"""Where the time to the first step goes."""

from launcher.runs import startup

CREATED = 1767225600.0  # 2026-01-01T00:00:00Z


def pod(created, scheduled, started):
    status = {
        "conditions": [
            {"type": "PodScheduled", "status": "True", "lastTransitionTime": f"2026-01-01T{scheduled}Z"}
        ]
    }
    if started:
        state = {"running": {"startedAt": f"2026-01-01T{started}Z"}}
        status["containerStatuses"] = [{"name": "trainer", "state": state}]
    return {"metadata": {"creationTimestamp": f"2026-01-01T{created}Z"}, "status": status}


JOBSET = {"metadata": {"creationTimestamp": "2026-01-01T00:00:00Z"}}
PODS = [pod("00:00:01", "00:00:02", "00:00:04"), pod("00:00:01", "00:00:03", "00:00:05")]
EVENTS = {
    "start": CREATED + 5.5,
    "joined": CREATED + 9.5,
    "compiled": CREATED + 19.75,
    "first_step": CREATED + 20,
}


def test_each_milestone_counts_from_the_one_before_and_waits_for_the_last_pod():
    assert startup.breakdown(JOBSET, PODS, EVENTS, "") == {
        "created": 1.0,
        "scheduled": 2.0,
        "started": 2.0,
        "joined": 4.5,
        "compiled": 10.3,
        "first_step": 0.2,
        "total": 20.0,
    }


def test_a_pod_that_has_not_started_leaves_later_milestones_out():
    waiting = pod("00:00:01", "00:00:03", None)
    assert startup.breakdown(JOBSET, [PODS[0], waiting], {}, "") == {
        "created": 1.0,
        "scheduled": 2.0,
        "total": 3.0,
    }


def test_a_restarted_run_counts_from_its_failure():
    restarted = JOBSET | {"status": {"restarts": 2}}
    seconds = startup.breakdown(restarted, PODS, {"restore": CREATED + 8}, "2025-12-31T23:59:59Z")
    assert seconds == {"created": 2.0, "scheduled": 2.0, "started": 2.0, "restore": 3.0, "total": 9.0}


def test_a_restarted_run_whose_failure_is_forgotten_counts_from_its_pods():
    restarted = JOBSET | {"status": {"restarts": 2}}
    assert startup.breakdown(restarted, PODS, {}, "") == {"scheduled": 2.0, "started": 2.0, "total": 4.0}


RESUMED = {"type": "Suspended", "status": "False", "reason": "ResumeJobs"}


def resumed(at, **status):
    condition = RESUMED | {"lastTransitionTime": at}
    return {
        "metadata": {"creationTimestamp": "2025-12-31T20:00:00Z"},
        "status": {"conditions": [condition], **status},
    }


def test_a_resumed_run_counts_from_its_resumption():
    seconds = startup.breakdown(resumed("2026-01-01T00:00:00Z"), PODS, EVENTS, "")
    assert (seconds["created"], seconds["total"]) == (1.0, 20.0)


def test_a_run_that_failed_after_its_resumption_counts_from_the_failure():
    run = resumed("2025-12-31T22:00:00Z", restarts=1)
    assert startup.breakdown(run, PODS, {}, "2025-12-31T23:59:59Z")["created"] == 2.0
    assert "created" not in startup.breakdown(run, PODS, {}, "")  # the failure is forgotten


def test_a_run_resumed_after_its_failure_counts_from_the_resumption():
    run = resumed("2026-01-01T00:00:00Z", restarts=1)
    assert startup.breakdown(run, PODS, {}, "2025-12-31T21:00:00Z")["created"] == 1.0
    assert startup.breakdown(run, PODS, {}, "")["created"] == 1.0


def test_the_parts_add_up_although_clocks_differ():
    events = {"start": CREATED + 4.26, "joined": CREATED + 9.54, "compiled": CREATED + 9.49}
    seconds = startup.breakdown(JOBSET, PODS, events, "")
    total = seconds.pop("total")
    assert round(sum(seconds.values()), 1) == total == 9.5
    assert min(seconds.values()) == 0.0


def test_nothing_before_the_first_pod():
    assert startup.breakdown(JOBSET, [], {}, "") == {}
