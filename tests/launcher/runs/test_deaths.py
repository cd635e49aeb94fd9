"""How pods ended. Conditions, reasons and messages are those of the kubelet and the controllers (1.36)."""

import pytest

from launcher.runs import deaths

TAINT = "Taint manager: deleting due to NoExecute taint"


def ended(code, reason="Error", message="", name="trainer", at="2026-01-01T00:00:09Z"):
    state = {"exitCode": code, "reason": reason, "message": message, "finishedAt": at}
    return {"name": name, "image": "r/i:1", "state": {"terminated": state}}


def disrupted(reason, message="", at="2026-01-01T00:00:05Z"):
    times = {"lastTransitionTime": at} if at else {}
    return {"type": "DisruptionTarget", "status": "True", "reason": reason, "message": message, **times}


def pod(*containers, name="p", phase="Failed", conditions=(), inits=(), metadata=(), spec=(), **status):
    return {
        "metadata": {"name": name, **dict(metadata)},
        "spec": {"nodeName": "n", **dict(spec)},
        "status": {
            "phase": phase,
            "conditions": list(conditions),
            "containerStatuses": list(containers),
            "initContainerStatuses": list(inits),
            **status,
        },
    }


LIMIT = {"containers": [{"name": "trainer", "resources": {"limits": {"memory": "8Gi"}}}]}
DELETED = {"deletionTimestamp": "2026-01-01T00:00:00Z", "deletionGracePeriodSeconds": 30}
UNKNOWN = ended(137, "ContainerStatusUnknown", "The container could not be located", at=None)


@pytest.mark.parametrize(
    ("one", "expected"),
    [
        # Exit 137 is five different things.
        (
            pod(ended(137)),
            "exit code 137, killed by SIGKILL; the cluster reports neither a lack of memory nor an eviction",
        ),
        (
            pod(ended(137, "OOMKilled"), spec=LIMIT),
            "exit code 137, out of memory: a process used more than its limit of 8Gi",
        ),
        (
            pod(ended(137), metadata=DELETED),
            "exit code 137, killed: its pod was deleted and it had not ended within the grace period of 30 s",
        ),
        (
            pod(ended(137), reason="Evicted", message="The node was low on resource: memory."),
            "exit code 137, evicted by its node, which lacked a resource",
        ),
        (pod(UNKNOWN), "lost: its node could not say how it ended"),
        # Out of memory is certain whatever the code.
        (
            pod(ended(1, "OOMKilled")),
            "exit code 1, out of memory: a process used more than its limit or its node had",
        ),
        (
            pod(ended(0, "OOMKilled"), phase="Succeeded"),
            "exit code 0, out of memory: a process used more than its limit or its node had, "
            "although the container itself ended with exit code 0",
        ),
        # The condition DisruptionTarget comes before everything else.
        (
            pod(UNKNOWN, conditions=[disrupted("DeletionByTaintManager", TAINT, at=None)]),
            f"evicted because its node has a taint, as a node that does not answer has: {TAINT}",
        ),
        (
            pod(ended(143), conditions=[disrupted("PreemptionByScheduler", "preempted for pod q on node n")]),
            "exit code 143, preempted by the scheduler for a pod of higher priority: "
            "preempted for pod q on node n",
        ),
        (
            pod(ended(137), conditions=[disrupted("EvictionByEvictionAPI")]),
            "exit code 137, evicted through the API, as a drain of its node does",
        ),
        (
            pod(conditions=[disrupted("DeletionByPodGC", "PodGC: node no longer exists")]),
            "removed because its node is gone: PodGC: node no longer exists",
        ),
        (
            pod(ended(143), conditions=[disrupted("TerminationByKubelet")], reason="Terminated"),
            "exit code 143, ended because its node shut down",
        ),
        (
            pod(conditions=[disrupted("TerminationByKubelet")], reason="Preempting"),
            "ended by its node for a critical pod",
        ),
        (
            pod(ended(143), conditions=[disrupted("Novel", "new words")]),
            "exit code 143, disrupted (Novel): new words",
        ),
        # A trainer that failed by itself before the disruption began keeps its own cause.
        (
            pod(ended(44, at="2026-01-01T00:00:01Z"), conditions=[disrupted("EvictionByEvictionAPI")]),
            "exit code 44, cannot succeed",
        ),
        (
            pod(ended(44), conditions=[disrupted("EvictionByEvictionAPI")]),
            "exit code 44, evicted through the API, as a drain of its node does",
        ),
        # Then the pod's own reason.
        (pod(reason="NodeShutdown"), "rejected because its node was shutting down"),
        (pod(reason="OutOfcpu"), "rejected by its node, which has no room (OutOfcpu)"),
        (pod(reason="UnexpectedAdmissionError"), "rejected by its node"),
        (pod(phase="Unknown", reason="NodeLost"), "lost: its node does not answer"),
        (pod(reason="DeadlineExceeded"), "ended because its time limit had passed"),
        (pod(reason="NovelReason"), "NovelReason"),
        (pod(), "failed without a reason"),
        # Then the container's reason, then its code.
        (
            pod(ended(255, "Unknown")),
            "exit code 255, lost by its node, which restarted, or whose container runtime did",
        ),
        (pod(ended(128, "StartError", "exec: not found")), "exit code 128, could not be started"),
        (pod(ended(127, "ContainerCannotRun")), "exit code 127, could not be started"),
        (pod(ended(139)), "exit code 139, crashed (invalid memory access)"),
        (pod(ended(45)), "exit code 45, hung"),
        (pod(ended(3)), "exit code 3, failed"),
    ],
)  # fmt: skip
def test_the_cause_that_the_api_gives(one, expected):
    [death] = deaths.deaths([one])
    assert deaths.cause(death) == f"p on node n: {expected}"


def test_an_init_container_that_failed_is_named_with_its_words():
    failed = pod(inits=[ended(1, message="mkdir: permission denied\n", name="fetch")])
    assert deaths.first_failure([failed]) == {
        "pod": "p",
        "node": "n",
        "container": "fetch",
        "exit_code": 1,
        "meaning": "failed before the trainer could start",
        "message": "mkdir: permission denied",
        "at": "2026-01-01T00:00:09Z",
    }


def test_another_container_counts_where_the_trainer_has_not_failed():
    proxy = ended(1, message="no upstream", name="proxy")
    assert deaths.first_failure([pod(ended(0, "Completed"), proxy)])["container"] == "proxy"
    assert deaths.first_failure([pod(proxy, ended(43))])["container"] == "trainer"


def test_a_sidecar_ends_nothing():
    sidecar = {"initContainers": [{"name": "fuse", "restartPolicy": "Always"}]}
    killed = ended(137, name="fuse")
    assert (
        list(deaths.deaths([pod(ended(0, "Completed"), inits=[killed], phase="Succeeded", spec=sidecar)]))
        == []
    )
    [death] = deaths.deaths([pod(ended(43), inits=[killed], spec=sidecar)])
    assert (death.container, death.exit_code) == ("trainer", 43)


@pytest.mark.parametrize("codes", ["", "preempted=44", "finished=0,retry=44"])
def test_code_that_was_not_unpacked_has_the_codes_of_the_trainer(codes):
    metadata = {"annotations": {"resnet-launch/exit-codes": codes}} if codes else {}
    init = ended(44, message="code: it was changed", name="code")
    failed = deaths.first_failure([pod(inits=[init], metadata=metadata)])
    assert (failed["container"], failed["exit_code"]) == ("code", 44)
    assert failed["meaning"] == "the code of --code was not unpacked: cannot succeed"


def test_a_saved_preemption_is_no_failure():
    moved = pod(ended(42), conditions=[disrupted("EvictionByEvictionAPI")])
    [death] = deaths.deaths([moved])
    assert death.meaning == "evicted through the API, as a drain of its node does; preempted, state saved"
    assert deaths.first_failure([moved, pod(ended(42), name="q")]) is None


def test_the_first_is_the_one_whose_end_began_first():
    aborted = pod(ended(134, at="2026-01-01T00:00:06Z"), name="a")
    evicted = pod(
        ended(137, at="2026-01-01T00:00:35Z"), conditions=[disrupted("EvictionByEvictionAPI")], name="e"
    )
    assert deaths.first_failure([aborted, evicted])["pod"] == "e"  # its end began at :05 and took 30 s
    hung = pod(ended(45, at="2026-01-01T00:00:06Z"), name="h")
    assert deaths.first_failure([aborted, hung])["pod"] == "h"  # of one second, an abort is a consequence


@pytest.mark.parametrize(
    "status", [None, {}, {"phase": "Running", "containerStatuses": None}, {"phase": "Pending"}]
)
def test_what_lives_or_says_nothing_has_not_died(status):
    assert deaths.first_failure([{"metadata": {"name": "p"}, "status": status}]) is None


@pytest.mark.parametrize("at", ["2026-01-01T00:00:09Z", None])
def test_a_pod_that_a_controller_ended_is_not_the_first_to_fail(at):
    """The Job controller fails the other pods of a failed Job; their containers say nothing."""
    by_itself, swept_up = pod(ended(2, at=at), name="z"), pod(name="a")
    assert deaths.first_failure([swept_up, by_itself])["pod"] == "z"
