"""What `status` and `list` show of a run, from its objects and its first host's log."""

import copy
import datetime
import json
import random

import pytest
from answers import Answers

from launcher import keys
from launcher.cli.verbs import list as list_verb
from launcher.cli.verbs import status as status_verb
from launcher.runs import deaths, diagnosis, events, listing, lookup, obstacles, queue, startup
from launcher.runs.status import status

NOTE = {
    "by": "jane",
    "at": "2026-01-01T00:30:00Z",
    "progress": {"step": 40, "steps": 100, "loss": 1.5},
    "evaluation": {"step": 40, "accuracy": 0.5},
    "best": {"step": 20, "accuracy": 0.75},
}
LOG = [
    "event name=first_step at=1767225620.0 seconds=1",
    "evaluate step=20 accuracy=0.75",
    "evaluate step=40 accuracy=0.5",
    "progress step=50 steps=100 loss=2.0 images_per_second=10 data_wait=0 eta_seconds=3",
]


def jobset(name="run", conditions=(), annotations=(), status=(), hosts=2, **spec):
    group = {"name": "slice", "replicas": 1, "template": {"spec": {"parallelism": hosts}}}
    return {
        "metadata": {
            "name": name,
            "namespace": "default",
            "uid": f"uid-{name}",
            "creationTimestamp": "2026-01-01T00:00:00Z",
            "labels": keys.labels(name),
            "annotations": {keys.SLICE_NAME: "cpu-2x1", keys.SUBMITTED_BY: "jane", **dict(annotations)},
        },
        "spec": {"replicatedJobs": [group], "failurePolicy": {"maxRestarts": 10}, **spec},
        "status": {"conditions": list(conditions), **dict(status)},
    }


def pod(host, phase="Running", run="run", **state):
    state = state or {"running": {"startedAt": "2026-01-01T00:00:05Z"}}
    return {
        "metadata": {
            "name": f"{run}-slice-0-{host}-abcde",
            "namespace": "default",
            "uid": f"uid-{run}-{host}",
            "creationTimestamp": "2026-01-01T00:00:02Z",
            "labels": {keys.JOB_INDEX: "0", keys.COMPLETION_INDEX: str(host)},
        },
        "spec": {"nodeName": "n", "containers": [{"name": "trainer"}]},
        "status": {
            "phase": phase,
            "containerStatuses": [{"name": "trainer", "image": "i", "state": state}],
            "conditions": [],
        },
    }


LOGS = {"run-slice-0-0-abcde": LOG}
COMPLETED = {"type": "Completed", "status": "True", "lastTransitionTime": "2026-01-01T02:00:00Z"}


def page(cluster):
    return status_verb.page(status(cluster, "run"))


def test_a_run_that_trains():
    lines = page(Answers(JobSet=[jobset()], Pod=[pod(0), pod(1)], logs=LOGS))
    assert "  phase         Running" in lines
    assert "  time left     3s" in lines
    assert "  accuracy      50.00% at step 40" in lines
    assert "  best accuracy 75.00% at step 20" in lines


def own_program(*log):
    run = jobset()
    command = ["sh", "-c", 'export A=$$((1 + 2)) && exec "$@"', "--", "python", "train.py", "--lr", "0.1 b"]
    template = {"spec": {"containers": [{"name": "trainer", "command": command}]}}
    run["spec"]["replicatedJobs"][0]["template"]["spec"]["template"] = template
    return Answers(JobSet=[run], Pod=[pod(0), pod(1)], logs={"run-slice-0-0-abcde": log})


def test_a_program_of_its_own_that_prints_nothing_has_phases_only():
    cluster = own_program("epoch 1: loss 2.5", "step 3 of 5")
    lines = page(cluster)
    assert "  command       python train.py --lr '0.1 b'" in lines
    assert "  slice         cpu-2x1, 2 hosts" in lines
    shown = {line[2:16].strip() for line in lines[1:]}
    assert not shown & {"step", "throughput", "time left", "accuracy", "evaluation"}
    run = status(cluster, "run")
    assert (run["arch"], run["command"]) == ("", ["python", "train.py", "--lr", "0.1 b"])
    assert (run["progress"], run["evaluation"]) == ({}, {})
    [row] = listing.rows(cluster)
    assert list_verb._cells(row)["program"] == "python train.py --lr '0.1 b'"


def test_a_program_of_its_own_that_prints_the_documented_lines():
    lines = page(
        own_program(
            "progress step=40 steps=100 loss=2.5 tokens_per_second=12345 eta_seconds=61",
            "evaluate step=40 loss=2.25 perplexity=9.4877",
        )
    )
    assert "  step          40 of 100, loss 2.5000" in lines
    assert "  throughput    12,345 tokens/s" in lines
    assert "  time left     61s" in lines
    assert "  evaluation    loss 2.25, perplexity 9.4877 at step 40" in lines


@pytest.mark.parametrize(
    ("line", "row"),
    [
        ("progress step=7", "  step          7"),
        ('{"kind": "progress", "step": 7, "steps": 9}', "  step          7 of 9"),
        ("progress step=7 loss=nan", "  step          7, loss nan"),
        ("evaluate accuracy=0.5", "  accuracy      50.00%"),
    ],
)
def test_some_of_the_values_are_enough(line, row):
    assert row in page(own_program(line))


def test_a_completed_run_says_when_it_ended_and_has_no_time_left():
    ended = {"exitCode": 0, "reason": "Completed", "startedAt": "2026-01-01T00:00:05Z"}
    pods = [pod(host, "Succeeded", terminated=ended) for host in (0, 1)]
    cluster = Answers(JobSet=[jobset(conditions=[COMPLETED])], Pod=pods, logs=LOGS)
    run = status(cluster, "run")
    assert (run["finished"], run["seconds"]) == ("2026-01-01T02:00:00Z", 7200.0)
    assert "eta_seconds" not in run["progress"]
    text = "\n".join(status_verb.page(run))
    assert "  finished      2026-01-01T02:00:00Z, 2h after its submission" in text
    assert "time left" not in text
    assert "Event" not in cluster.asked


@pytest.mark.parametrize("labels", [{}, {keys.QUEUE: "team"}])
def test_a_suspended_run_keeps_its_step_and_accuracy_and_has_not_failed(labels):
    run = jobset(annotations={keys.SUSPENDED: json.dumps(NOTE)}, suspend=True)
    run["metadata"]["labels"] |= labels
    owner = {"uid": "uid-run", "name": "run"}
    workload = {
        "metadata": {"name": "w", "uid": "w", "ownerReferences": [owner]},
        "spec": {"active": False, "queueName": "team"},
    }
    left = pod(0, "Failed", terminated={"exitCode": 143, "reason": "Error"})
    cluster = Answers(JobSet=[run], Pod=[left], Workload=[workload] if labels else [])
    lines = page(cluster)
    assert "  phase         Suspended" in lines
    assert "  why           it was suspended by jane: resnet-launch resume run" in lines
    assert "  step          40 of 100, loss 1.5000, when it was suspended" in lines
    assert "  accuracy      50.00% at step 40" in lines
    assert "  best accuracy 75.00% at step 20" in lines
    assert not any("failed" in line for line in lines)
    [row] = listing.rows(cluster)
    assert (row["phase"], row["progress"]["step"], row["reason"]) == ("Suspended", 40, "suspended by jane")


def test_a_note_that_somebody_else_wrote_is_no_traceback():
    for note in ("", "[]", "null", "{", '{"progress": 5, "by": ["x"]}', "[" * 100_000):
        run = jobset(annotations={keys.SUSPENDED: note}, suspend=True)
        assert page(Answers(JobSet=[run]))[1] == "  phase         Suspended"


def test_list_shows_the_step_and_a_short_reason():
    failed = {
        "type": "Failed",
        "status": "True",
        "reason": "FailedJobs",
        "lastTransitionTime": "2026-01-01T01:00:00Z",
    }
    runs = [jobset(), jobset("second", hosts=1), jobset("third", [failed], hosts=1)]
    second = pod(0, "Pending", "second", waiting={"reason": "ErrImagePull", "message": "no such image " * 9})
    third = pod(0, "Failed", "third", terminated={"exitCode": 44, "reason": "Error"})

    class Selecting(Answers):
        def list(self, kind, namespace=None, labelSelector="", **query):
            objects, version = super().list(kind, namespace)
            run = labelSelector.partition(",")[0].removeprefix(f"{keys.JOBSET_NAME}=")
            return [
                o for o in objects if kind != "Pod" or o["metadata"]["name"].startswith(f"{run}-s")
            ], version

    cluster = Selecting(JobSet=runs, Pod=[pod(0), pod(1), second, third], logs=LOGS)
    rows = {row["name"]: list_verb._cells(row) for row in listing.rows(cluster)}
    assert (rows["run"]["step"], rows["run"]["reason"]) == ("50/100", "")
    assert (rows["second"]["step"], rows["second"]["phase"]) == ("", "Pending")
    assert rows["second"]["reason"].startswith("image i: ErrImagePull: no such image")
    assert len(rows["second"]["reason"]) == list_verb.REASON_WIDTH
    assert (rows["third"]["reason"], rows["third"]["age"]) == ("cannot succeed", "took 60m")


def test_list_goes_on_where_pods_and_workloads_may_not_be_read():
    run = jobset(suspend=True)
    run["metadata"]["labels"][keys.QUEUE] = "team"
    rows = listing.rows(Answers(JobSet=[run, jobset("b")], refused=("Pod", "Workload")))
    assert [row["phase"] for row in rows] == ["Queued", "Pending"]


def test_watch_shows_changes_until_the_run_is_over(capsys, monkeypatch):
    cluster = Answers(JobSet=[jobset()], Pod=[pod(0), pod(1)], logs=LOGS)
    looks = []

    def end_at_the_third_look(seconds):
        looks.append(seconds)
        if len(looks) == 3:
            cluster.objects["JobSet"] = [jobset(conditions=[COMPLETED])]

    monkeypatch.setattr(status_verb.time, "sleep", end_at_the_third_look)
    status_verb._watch(cluster, "run", as_json=True)
    documents = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [document["phase"] for document in documents] == [
        "Running",
        "Completed",
    ]  # no line without a change
    assert len(looks) == 3


WAITING = [
    ({"type": "PodScheduled", "status": "False", "reason": "SchedulingGated", "message": "gates"}, "gates"),
    ({"type": "PodScheduled", "status": "False"}, "no node for the pod"),
]


@pytest.mark.parametrize(("condition", "words"), WAITING)
def test_a_pod_without_a_node_is_never_silent(condition, words):
    waiting = pod(0, "Pending", waiting={"reason": "PodInitializing"})
    waiting["status"]["conditions"] = [condition]
    [why] = [w for w in status(Answers(JobSet=[jobset()], Pod=[waiting]), "run")["why"] if words in w]
    assert waiting["metadata"]["name"] in why


def test_a_start_in_order_is_named():
    startup_policy = {
        "type": "StartupPolicyInProgress",
        "status": "True",
        "message": "in order startup policy",
    }
    odd = {"type": "Weird", "status": "Unknown"}
    why = status(Answers(JobSet=[jobset(conditions=[startup_policy, odd])]), "run")["why"]
    assert why == ["JobSet starts its groups in order: in order startup policy"]


def test_a_jobset_of_a_stranger_has_a_status():
    stranger = {
        "metadata": {"name": "run"},
        "spec": {"replicatedJobs": [{"name": "workers", "template": {}}]},
    }
    run = status(Answers(JobSet=[stranger]), "run")
    assert (run["hosts"], run["slice"], run["submitted_by"]) == (1, "", "")
    assert status_verb.page(run)[0] == "run"


ODD = (None, "", "text", 5, -1, 1.5, True, [], ["x"], [None], {}, {"a": None}, "2026-13-45T00:00:00Z")


def _paths(value, path=()):
    yield path
    items = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, entry in items:
        yield from _paths(entry, (*path, key))


def _spoilt(obj, choose):
    """Return a copy of an object in which one to three values are odd."""
    copied = copy.deepcopy(obj)
    for _ in range(choose.randint(1, 3)):
        path = choose.choice([path for path in _paths(copied) if path])
        holder = copied
        for key in path[:-1]:
            holder = holder[key]
        holder[path[-1]] = copy.deepcopy(choose.choice(ODD))
    return copied


def test_odd_objects_are_no_traceback():
    choose = random.Random(0)
    now = datetime.datetime(2026, 1, 1, 3, tzinfo=datetime.UTC).timestamp()
    failed = pod(
        1, "Failed", terminated={"exitCode": 137, "reason": "Error", "finishedAt": "2026-01-01T00:00:09Z"}
    )
    failed["status"] |= {
        "initContainerStatuses": [{"name": "init", "state": {"waiting": {"reason": "CrashLoopBackOff"}}}],
        "conditions": [{"type": "DisruptionTarget", "status": "True", "reason": "DeletionByPodGC"}],
    }
    failed["metadata"] |= {"deletionTimestamp": "2026-01-01T00:00:09Z", "finalizers": ["f"]}
    run = jobset(conditions=[COMPLETED], annotations={keys.SUSPENDED: json.dumps(NOTE)}, suspend=True)
    condition = {"type": "QuotaReserved", "status": "False", "reason": "Pending", "message": "m"}
    workload = {
        "metadata": {"name": "w", "uid": "w", "ownerReferences": [{"uid": "uid-run", "name": "run"}]},
        "spec": {"active": True, "queueName": "q", "priority": 1},
        "status": {
            "conditions": [condition],
            "admissionChecks": [{"name": "c", "state": "Retry", "retryCount": 1}],
            "requeueState": {"count": 1, "requeueAt": "2026-01-01T00:00:09Z"},
        },
    }
    event = {
        "involvedObject": {"kind": "Job", "name": "run-slice-0"},
        "reason": "PodFailurePolicy",
        "message": "pod n/p failed with exit code 42 ",
        "lastTimestamp": "2026-01-01T00:00:09Z",
    }
    for _ in range(1500):
        one, pods = _spoilt(run, choose), [_spoilt(pod(0), choose), _spoilt(failed, choose)]
        queued, spoilt_events = _spoilt(workload, choose), [_spoilt(event, choose), event]
        diagnosis.phase(one, pods, queued)
        json.dumps(lookup.row(one, pods, queued))
        diagnosis.failure(one)
        deaths.first_failure(pods)
        assert all(isinstance(text, str) for text in queue.explain_wait(queued, [workload, queued], "run"))
        concerning = events.concerning(spoilt_events, one, pods)
        events.last_end(concerning)
        obstacles.start_problems(pods)
        obstacles.ending_problems(pods, {"n": _spoilt(failed, choose)}, now)
        obstacles.creation_problems(spoilt_events, pods, True)
        obstacles.slow_starts(one, pods, now)
        startup.breakdown(one, pods, {"first_step": 1767225620.0}, "2026-01-01T00:00:09Z")
        lookup.noted(one, "progress")


@pytest.mark.parametrize(
    ("values", "shown"),
    [
        ("predicted=20", "  as predicted  50% of 20 images/s"),
        (
            'predicted=40 slow="cause not measured"',
            "  as predicted  25% of 40 images/s; likely cause: cause not measured",
        ),
        (
            'predicted=40 slow="slow host run-slice-0-1-abcde: waiting for data, 60% of the time more on"',
            "  as predicted  25% of 40 images/s; likely cause: slow host run-slice-0-1-abcde on node n: "
            "waiting for data, 60% of the time more…",
        ),
        ("predicted=nan", None),
        ("predicted=0", None),
    ],
)
def test_measured_against_predicted_with_the_node_of_a_slow_host(values, shown):
    log = [f"progress step=50 steps=100 images_per_second=10 {values}"]
    lines = page(Answers(JobSet=[jobset()], Pod=[pod(0), pod(1)], logs={"run-slice-0-0-abcde": log}))
    assert [line for line in lines if "as predicted" in line] == ([shown] if shown else [])
