"""What keeps pods from being made, started and ended. Messages are those of a real cluster (1.36)."""

import pytest

from launcher.runs import obstacles

UNSCHEDULABLE = (
    "0/1 nodes are available: 1 Insufficient cpu. no new claims to deallocate, preemption: 0/1 nodes are "
    "available: 1 No preemption victims found for incoming pod."
)
NOW = 1767225600.0  # 2026-01-01T00:00:00Z
LONG_AGO = "2025-12-31T23:50:00Z"
JUST_NOW = "2025-12-31T23:59:50Z"


def pod(*statuses, phase="Pending", name="p", conditions=(), metadata=(), node="n", **status):
    return {
        "metadata": {"name": name, "creationTimestamp": LONG_AGO, **dict(metadata)},
        "spec": {"nodeName": node} if node else {},
        "status": {
            "phase": phase,
            "conditions": list(conditions),
            "containerStatuses": list(statuses),
            **status,
        },
    }


def container(name="trainer", **state):
    return {"name": name, "image": "r/i:1", "state": state}


def jobset(hosts=2, **status):
    group = {"name": "slice", "replicas": 1, "template": {"spec": {"parallelism": hosts}}}
    metadata = {"name": "run", "creationTimestamp": LONG_AGO}
    return {"metadata": metadata, "spec": {"replicatedJobs": [group]}, "status": status}


def test_the_same_problem_is_reported_once():
    condition = {
        "type": "PodScheduled",
        "status": "False",
        "reason": "Unschedulable",
        "message": UNSCHEDULABLE,
    }
    assert obstacles.start_problems([pod(conditions=[condition], node="")] * 3) == [
        "no node for the pod: 0/1 nodes are available: 1 Insufficient cpu (3 pods, such as p)"
    ]


@pytest.mark.parametrize(
    ("status", "expected"),
    [
        (
            container(waiting={"reason": "ErrImagePull", "message": "not found"}),
            ["image r/i:1: ErrImagePull: not found (p on node n)"],
        ),
        (
            container("fetch", waiting={"reason": "ImagePullBackOff", "message": "back-off"}),
            ["image r/i:1 of container fetch: ImagePullBackOff: back-off (p on node n)"],
        ),
        (
            container(waiting={"reason": "CreateContainerConfigError", "message": 'secret "s" not found'}),
            ['container trainer: CreateContainerConfigError: secret "s" not found (p on node n)'],
        ),
        (
            container("fuse", waiting={"reason": "CrashLoopBackOff"})
            | {"lastState": {"terminated": {"exitCode": 2, "message": "no bucket\n"}}},
            ["container fuse: CrashLoopBackOff; it last ended with exit code 2: no bucket (p on node n)"],
        ),
        (container(waiting={"message": "m"}), ["container trainer: m (p on node n)"]),
        (container(waiting={"reason": "ContainerCreating"}), []),
        (container(waiting={}), []),
        (container(), []),
        ({"name": "trainer", "state": None}, []),
    ],
)
def test_what_a_container_waits_for(status, expected):
    assert obstacles.start_problems([pod(status)]) == expected


@pytest.mark.parametrize(
    ("pods", "expected"),
    [
        ([pod(container(waiting={"reason": "ContainerCreating"}))] * 2,
         ["its containers have not started: ContainerCreating (2 pods, such as p on node n)"]),
        ([pod(container(waiting={}))] * 2,
         ["its containers have not started, and no reason is given (2 pods, such as p on node n)"]),
        ([pod(node="")], ["no scheduler has placed the pod, and none says why (p)"]),
        ([{"metadata": {"name": "p"}, "status": None}],
         ["no scheduler has placed the pod, and none says why (p)"]),
        ([pod(metadata={"creationTimestamp": JUST_NOW})] * 2, []),
        ([], ["JobSet has made no Job yet, and no event says why: does its controller run?"]),
        ([pod(phase="Running")], ["1 of 2 pods do not exist yet, and no event says why"]),
        ([pod(phase="Running")] * 2, []),
    ],
)  # fmt: skip
def test_a_start_that_takes_long_is_never_silent(pods, expected):
    assert obstacles.slow_starts(jobset(), pods, NOW) == expected


def test_a_pod_in_terminating_on_a_dead_node_names_the_node():
    leaving = {"deletionTimestamp": "2025-12-31T23:58:00Z", "deletionGracePeriodSeconds": 30}
    hanging = pod(phase="Running", metadata=leaving)
    [guess] = obstacles.ending_problems([hanging], {}, NOW)
    assert guess.startswith("the pod should have been gone by now and hangs in Terminating; its node may not")
    assert guess.endswith(" (p on node n)")
    [gone] = obstacles.ending_problems([hanging], {"n": None}, NOW)
    assert "; its node does not exist any more. " in gone
    stopped = {"type": "Ready", "status": "Unknown", "message": "Kubelet stopped posting node status."}
    node = {"status": {"conditions": [stopped | {"lastTransitionTime": "2025-12-31T23:50:00Z"}]}}
    [dead] = obstacles.ending_problems([hanging], {"n": node}, NOW)
    assert "; its node is not ready since 2025-12-31T23:50:00Z: Kubelet stopped posting node status." in dead
    in_time = pod(phase="Running", metadata={"deletionTimestamp": "2026-01-01T00:00:20Z"})
    assert obstacles.ending_problems([in_time], {}, NOW) == []
    assert obstacles.suspicious_nodes([hanging, in_time], NOW) == ["n"]


def test_a_pod_whose_end_a_finalizer_holds_back_names_it():
    metadata = {"deletionTimestamp": LONG_AGO, "finalizers": ["example.com/keep"]}
    [held] = obstacles.ending_problems([pod(phase="Failed", metadata=metadata)], {}, NOW)
    assert "; its finalizers are example.com/keep" in held


@pytest.mark.parametrize(
    "lost",
    [
        pod(phase="Unknown", reason="NodeLost", message="Node n which was running pod is unresponsive"),
        pod(phase="Running", conditions=[{"type": "Ready", "status": "False", "reason": "NodeNotReady"}]),
    ],
)
def test_a_pod_on_a_node_that_does_not_answer_is_lost(lost):
    [problem] = obstacles.ending_problems([lost], {}, NOW)
    assert problem.startswith("the pod is lost")
    assert problem.endswith(" (p on node n)")


def test_a_container_that_outlives_the_trainer_is_named():
    ended = container(terminated={"exitCode": 0})
    both = [pod(ended, container("istio-proxy", running={}), phase="Running")] * 2
    [problem] = obstacles.ending_problems(both, {}, NOW)
    assert problem.startswith(
        "container istio-proxy still runs although the trainer has ended with exit code 0"
    )
    assert problem.endswith("(2 pods, such as p on node n)")
    alive = pod(container(running={}), container("istio-proxy", running={}), phase="Running")
    assert obstacles.ending_problems([alive], {}, NOW) == []


def event(reason, message, kind="Job", name="run-slice-0"):
    return {"reason": reason, "message": message, "involvedObject": {"kind": kind, "name": name}}


QUOTA = "exceeded quota: q, requested: count/pods=1, used: count/pods=2, limited: count/pods=2"
MOUNT = 'MountVolume.SetUp failed for volume "mount-0" : references non-existent secret key: k'
JOBS = 'jobs.batch "run-slice-0" is forbidden: exceeded quota: compute'


@pytest.mark.parametrize(
    ("events", "expected"),
    [
        (
            [
                event(
                    "FailedCreate", f'Error creating: pods "run-slice-0-{host}-abcde" is forbidden: {QUOTA}'
                )
                for host in range(2)
            ],
            [f"FailedCreate: no pod can be created: {QUOTA}"],
        ),
        ([event("JobCreationFailed", JOBS, "JobSet", "run")], [f"JobCreationFailed: {JOBS}"]),
        (
            [event("HeadlessServiceCreationFailed", "no", "JobSet", "run")],
            ["HeadlessServiceCreationFailed: no"],
        ),
        ([event("PVCCreationFailed", "no", "JobSet", "run")], ["PVCCreationFailed: no"]),
        ([event("FailedMount", MOUNT, "Pod", "p")], [f"FailedMount: {MOUNT} (p)"]),
        ([event("FailedMount", MOUNT, "Pod", "of-an-earlier-attempt")], []),
        ([event("FailedScheduling", "another reason", "Pod", "p")], []),
        # JobSet's webhook holds the other pods back until the first of a slice has a node.
        (
            [
                event(
                    "FailedCreate",
                    'Error creating: admission webhook "vpod.kb.io" denied the request: leader pod not yet '
                    "scheduled, not creating follower pod. this is an expected, transient error",
                )
            ],
            [],
        ),
        (
            [
                event(
                    "FailedCreate",
                    'Error creating: admission webhook "vpod.kb.io" denied the request: follower pod node '
                    "selector for topology domain not found. missing selector: cloud.google.com/gke-nodepool",
                )
            ],
            [],
        ),
        # What JobSet says about its failure policy is no reason why pods are missing.
        (
            [
                event(
                    "FailJobSetFailurePolicyAction",
                    "applying FailJobSet failure policy action (first failed job: run-slice-0)",
                    "JobSet",
                    "run",
                ),
                event("Restarting", "restarting jobset", "JobSet", "run"),
                event("PodFailurePolicy", "failed with exit code 42"),
            ],
            [],
        ),
    ],
)
def test_what_keeps_objects_from_being_made(events, expected):
    assert obstacles.creation_problems(events, [pod()], missing=True) == expected


def test_events_about_making_pods_are_of_the_past_once_all_pods_exist():
    assert obstacles.creation_problems([event("FailedCreate", QUOTA)], [pod()], missing=False) == []


def test_a_quota_that_demands_amounts_names_the_flags():
    message = 'Error creating: pods "a-b" is forbidden: failed quota: q: must specify limits.cpu for: trainer'
    assert obstacles.creation_problems([event("FailedCreate", message)], [], missing=True) == [
        "FailedCreate: no pod can be created: failed quota: q: must specify limits.cpu for: trainer "
        "(set them, as in --cpu-limit 4)"
    ]
