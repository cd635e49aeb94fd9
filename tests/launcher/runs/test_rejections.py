"""Pods that their nodes rejected: which they are, when Job replaces them, and what the verbs say of them."""

import pytest
from answers import Answers

from launcher import keys
from launcher.cli.verbs import status as status_verb
from launcher.runs import listing, rejections, waiting
from launcher.runs.status import status

UNEXPECTED = {
    "phase": "Failed",
    "reason": "UnexpectedAdmissionError",
    "message": "Pod was rejected: Allocate failed due to no healthy devices",
}
RUNNING = {
    "phase": "Running",
    "containerStatuses": [{"name": "trainer", "state": {"running": {"startedAt": "2026-01-01T00:00:05Z"}}}],
}
PENDING = {"phase": "Pending", "conditions": [{"type": "PodScheduled", "status": "True"}]}


def ended(code, name="trainer", kind="containerStatuses"):
    return {"phase": "Failed", kind: [{"name": name, "state": {"terminated": {"exitCode": code}}}]}


def pod(host=0, status=UNEXPECTED, before=0, at="2026-01-01T00:01:00Z", slice=0, deleted="", node="n"):
    """Return a pod of a host that failed `before` times."""
    deletion = {"deletionTimestamp": deleted} if deleted else {}
    return {
        "metadata": {
            "name": f"run-slice-{slice}-{host}-abc{before}d",
            "namespace": "default",
            "uid": f"{slice}-{host}-{before}",
            "creationTimestamp": at,
            "labels": {keys.JOB_INDEX: str(slice), keys.COMPLETION_INDEX: str(host)},
            "annotations": {rejections.BEFORE: str(before)},
            **deletion,
        },
        "spec": {"nodeName": node, "containers": [{"name": "trainer"}]} if node else {},
        "status": status,
    }


def jobset(limit=4, annotations=(), hosts=2, slices=1, **status):
    job = {"parallelism": hosts, **({"backoffLimitPerIndex": limit} if limit is not None else {})}
    return {
        "metadata": {
            "name": "run",
            "namespace": "default",
            "uid": "u",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": keys.labels("run"),
            "annotations": {keys.SLICE_NAME: "v5e-16", keys.ARCH_NAME: "resnet50", **dict(annotations)},
        },
        "spec": {
            "replicatedJobs": [{"name": "slice", "replicas": slices, "template": {"spec": job}}],
            "failurePolicy": {"maxRestarts": 10},
        },
        "status": status,
    }


def event(reason="MaxFailedIndexesExceeded", job="run-slice-0", count=1, at="2026-01-01T00:02:00Z"):
    about = {"kind": "Job", "name": job}
    return {"reason": reason, "involvedObject": about, "lastTimestamp": at, "count": count, "type": "Warning"}


DISRUPTED = {
    "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByTaintManager"}]
}


@pytest.mark.parametrize(
    ("other", "rejected"),
    [
        (pod(), True),
        (pod(status={"phase": "Failed", "reason": "OutOfcpu"}), True),
        (pod(status={"phase": "Failed", "reason": "NodeAffinity", "containerStatuses": []}), True),
        # An init container that ended well: a kubelet that starts again rejects pods that it knew.
        (
            pod(status={**ended(0, "code", "initContainerStatuses"), "reason": "UnexpectedAdmissionError"}),
            True,
        ),
        (pod(status=ended(1, "code", "initContainerStatuses")), False),
        (pod(status=ended(137)), False),
        (pod(status=ended(1, "beside")), False),
        (pod(status={**UNEXPECTED, **DISRUPTED}), False),
        (pod(deleted="2026-01-01T00:02:00Z"), False),
        (pod(node=""), False),  # a pod that was deleted before it had a node
        (pod(status={"phase": "Pending"}), False),
        (pod(status=RUNNING), False),
        ({}, False),
        ({"status": "Failed", "spec": None, "metadata": []}, False),
    ],
)
def test_a_rejected_pod_ended_on_a_node_without_a_container_and_without_a_disruption(other, rejected):
    assert rejections.is_rejected(other) is rejected
    assert rejections.split([other]) == (([], [other]) if rejected else ([other], []))


@pytest.mark.parametrize(
    ("before", "at"),
    [
        (0, "2026-01-01T00:01:10Z"),
        (1, "2026-01-01T00:01:20Z"),
        (3, "2026-01-01T00:02:20Z"),
        (7, "2026-01-01T00:11:00Z"),  # ten minutes are the longest pause: 10 s x 2^7 = 1,280 s
        (99, "2026-01-01T00:11:00Z"),
    ],
)
def test_the_next_pod_comes_after_a_pause_that_doubles(before, at):
    [row] = rejections.summary(jobset(limit=200), [pod(before=before)])
    assert (row["next"], row["left"]) == (at, 200 - before)


def test_a_host_is_told_by_its_last_pod_and_not_by_one_of_another():
    other = {**UNEXPECTED, "reason": "OutOfcpu", "message": "Pod was rejected: too little cpu"}
    pods = [
        pod(1, other, before=1, at="2026-01-01T00:01:10Z", node="m"),
        pod(1),
        pod(0, RUNNING),
        pod(0, before=2, slice=1, at="2026-01-01T00:03:00Z"),
        pod(0, PENDING, before=3, slice=1, at="2026-01-01T00:03:40Z"),
    ]
    first, second = rejections.summary(jobset(slices=2), pods)
    assert first == {
        "slice": 0,
        "host": 1,
        "pods": 2,
        "node": "m",
        "reason": "OutOfcpu",
        "message": "too little cpu",
        "since": "2026-01-01T00:01:00Z",
        "next": "2026-01-01T00:01:30Z",
        "left": 3,
        "replaced": False,
    }
    assert (second["slice"], second["next"], second["left"], second["replaced"]) == (1, "", 2, True)
    assert rejections.sentences([first, second]) == [
        "node m rejected the pod of slice 0 host 1, 2 times since 2026-01-01T00:01:00Z (OutOfcpu: too little "
        "cpu); the next try is at 2026-01-01T00:01:30Z. No restart is used up for it",
        "node n rejected the pod of slice 1 host 0, once since 2026-01-01T00:03:00Z "
        "(UnexpectedAdmissionError: Allocate failed due to no healthy devices); a new pod is in its place. "
        "No restart is used up for it",
    ]


def test_after_the_last_try_all_hosts_start_anew():
    [row] = rejections.summary(jobset(), [pod(before=4)])
    assert (row["next"], row["left"]) == ("", 0)
    assert rejections.sentences([row])[0].endswith("; all hosts start anew. No restart is used up for it")


def test_a_job_that_replaces_no_pod_promises_none():
    """Of JobSet before 0.10, or made by an older launcher: the restart counts."""
    [row] = rejections.summary(jobset(limit=None), [pod()])
    assert (row["next"], row["left"]) == ("", None)
    assert rejections.sentences([row])[0].endswith("no healthy devices)")


@pytest.mark.parametrize("odd", ["x", "", "-1", "1.5", None, 7, "9" * 400])
def test_an_odd_count_is_no_traceback(odd):
    one = pod()
    one["metadata"]["annotations"] = {rejections.BEFORE: odd}
    [row] = rejections.summary(jobset(), [one])
    assert row["left"] in (0, 4)
    assert rejections.sentences([row])


@pytest.mark.parametrize(
    ("events", "uncounted", "restarts"),
    [
        ([], 3, 0),
        ([event(), event(), event("PodFailurePolicy")], 3, 2),
        ([event(count=4)], 5, 4),
        ([event(job="run-slice-0"), event(job="run-slice-1")], 1, 1),  # two slices, one restart
        ([event(count="x"), {}], 2, 1),
    ],
)
def test_restarts_after_rejected_pods_are_counted_by_events(events, uncounted, restarts):
    assert rejections.restarts(events, uncounted) == restarts


EXCLUSIVE = {keys.EXCLUSIVE: "cloud.google.com/gke-nodepool"}
REPLACED = [pod(0), pod(0, RUNNING, before=1), pod(1)]  # the first pod has failed and has a new one
KUBECTL = "kubectl delete pod --namespace default run-slice-0-0-abc0d"


@pytest.mark.parametrize(
    ("annotations", "pods", "held"),
    [
        (EXCLUSIVE, REPLACED, True),
        (EXCLUSIVE, [pod(0, ended(1)), *REPLACED[1:]], True),
        (EXCLUSIVE, REPLACED[:2], True),
        ({}, REPLACED, False),
        (EXCLUSIVE, [pod(0), pod(1)], False),  # the new pod of the first is still to come
        (EXCLUSIVE, [*REPLACED[:2], pod(1, RUNNING)], False),  # none is missing
        (EXCLUSIVE, [pod(0, RUNNING), pod(1)], False),
        (EXCLUSIVE, [pod(0, deleted="2026-01-01T00:02:00Z"), *REPLACED[1:]], False),
        (EXCLUSIVE, [pod(0), pod(0, RUNNING, before=1, deleted="2026-01-01T00:02:00Z"), pod(1)], False),
    ],
)
def test_a_replaced_first_pod_of_exclusive_placement_is_to_be_deleted(annotations, pods, held):
    sentences = rejections.held_back(jobset(annotations=annotations), pods)
    assert [text.rpartition(": ")[2] for text in sentences] == ([KUBECTL] if held else [])
    if held:  # no time is promised to a host that gets no pod
        rows = rejections.summary(jobset(annotations=annotations), pods)
        assert all(row["next"] == "" for row in rows)


def test_of_two_slices_only_the_one_that_waits_is_named():
    pods = [*REPLACED, pod(0, slice=1), pod(0, RUNNING, before=1, slice=1), pod(1, RUNNING, slice=1)]
    [sentence] = rejections.held_back(jobset(annotations=EXCLUSIVE, slices=2), pods)
    assert sentence.endswith(": " + KUBECTL)


def test_status_says_which_host_is_rejected_and_which_restarts_came_of_it():
    pods = [pod(0, RUNNING), pod(1)]
    events = [event(), event("Failed", at="2026-01-01T00:03:00Z")]
    described = status(
        Answers(JobSet=[jobset(restarts=3, restartsCountTowardsMax=1)], Pod=pods, Event=events), "run"
    )
    assert (described["phase"], described["pods"], described["failed"]) == (
        "Restarting",
        {"Running": 1},
        None,
    )
    assert described["rejected"]["restarts"] == 1
    lines = status_verb.page(described)
    assert "  restarts      3 (1 of 10 used; 2 not counted, at least 1 of them after rejected pods)" in lines
    assert any(
        line.startswith("  why           node n rejected the pod of slice 0 host 1, once") for line in lines
    )


@pytest.mark.parametrize(
    ("total", "counted", "shown"),
    [
        (1, 0, "1 (0 of 10 used; 1 not counted, after rejected pods)"),
        (3, 1, "3 (1 of 10 used; 2 not counted, at least 1 of them after rejected pods)"),
        (0, 0, "0 (0 of 10 used)"),
    ],
)
def test_the_restarts_name_what_used_the_budget(total, counted, shown):
    events = [event()] if total else []
    run = jobset(restarts=total, restartsCountTowardsMax=counted)
    pods = [pod(0, RUNNING), pod(1, PENDING)]
    assert f"  restarts      {shown}" in status_verb.page(
        status(Answers(JobSet=[run], Pod=pods, Event=events), "run")
    )


def test_a_rejected_pod_is_what_failed_only_where_nothing_else_did():
    over = {"type": "Failed", "status": "True", "reason": "FailedJobs", "message": ""}
    alone = status(Answers(JobSet=[jobset(conditions=[over])], Pod=[pod(0)]), "run")
    assert alone["failed"]["meaning"] == "rejected by its node"
    beside = status(Answers(JobSet=[jobset(conditions=[over])], Pod=[pod(0), pod(1, ended(44))]), "run")
    assert beside["failed"]["exit_code"] == 44
    assert alone["rejected"]["hosts"] == beside["rejected"]["hosts"] == []


def test_the_list_gives_the_rejection_as_the_reason():
    [row] = listing.rows(Answers(JobSet=[jobset()], Pod=[pod(0), pod(1)]))
    assert row["phase"] == "Pending"
    assert row["reason"].startswith("node n rejected the pod of slice 0 host 0, once")
    [row] = listing.rows(Answers(JobSet=[jobset()], Pod=[pod(0), pod(0, RUNNING, 1), pod(1, RUNNING)]))
    assert (row["phase"], row["reason"]) == ("Running", "")


@pytest.mark.parametrize("restarts", [0, 2])
@pytest.mark.parametrize("reason", ["SysctlForbidden", "AppArmor", "UnexpectedAdmissionError"])
def test_a_wait_is_given_up_for_what_no_repair_changes(restarts, reason):
    run = jobset(restarts=restarts)
    pods = [pod(host, {"phase": "Failed", "reason": reason, "message": "m"}) for host in (0, 1)]
    seen = waiting.look(Answers(JobSet=[run], Pod=pods), run)
    lasting = (f"its nodes reject the pods ({reason}: m)",) if reason != "UnexpectedAdmissionError" else ()
    assert seen.hopeless == lasting
