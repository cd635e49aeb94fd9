"""Kueue and real pods: a run waits for quota and says why, starts when it is free, survives preemption."""

import signal

import pytest
from pod_runs import SHORT, TINY, Run
from testcluster import Cluster
from testcluster.api import Object
from testcluster.objects import KUEUE, eventually, queue

CPUS = 1  # quota: fits one run of two pods that request 400m each


@pytest.fixture
def priorities(cluster: Cluster, namespace: str) -> str:
    """The name of a queue of one CPU in which runs of higher priority preempt others."""
    flavor, cluster_queue, local = queue(namespace, namespace, CPUS)
    preemption = {"withinClusterQueue": "LowerPriority"}
    cluster.api.apply(
        [flavor, cluster_queue | {"spec": cluster_queue["spec"] | {"preemption": preemption}}, local]
    )
    for name, value in (("low", 10), ("high", 100)):
        manifest: Object = {"apiVersion": KUEUE, "kind": "WorkloadPriorityClass", "metadata": {"name": name}}
        cluster.api.apply([manifest | {"value": value, "description": f"{name} priority"}])
    return namespace


def test_a_run_waits_is_preempted_and_goes_on_where_it_was(
    cluster: Cluster, namespace: str, priorities: str, undisturbed: Run
) -> None:
    queued = f"--queue {priorities} --cpu 400m"
    low = Run(cluster, namespace, "low", f"{TINY} {SHORT} {queued} --priority low --max-restarts 0")
    low.reach("progress step=45 ")
    for host in range(2):  # its other steps would be over before the next two runs are submitted
        low.signal(host, signal.SIGSTOP)

    # A second run of the same priority waits, and its status gives the reason.
    second = Run(cluster, namespace, "second", f"{TINY} {SHORT} {queued} --priority low --steps 20")
    assert eventually(lambda: second.status()["phase"] == "Queued", 30), second.report()
    assert eventually(lambda: "quota is used by low" in second.status()["why"], 30), second.status()
    second.delete()

    # A run of higher priority takes its place; the preempted one has saved its step.
    high = Run(cluster, namespace, "high", f"{TINY} {SHORT} {queued} --priority high --steps 20")
    for host in range(2):
        low.signal(host, signal.SIGCONT)
    assert eventually(lambda: low.status()["phase"] == "Queued", 90), low.report()
    assert any("evicted by Kueue (Preempted)" in why for why in low.status()["why"]), low.status()
    assert high.wait() == "Completed", high.report()

    # It is admitted again by itself, its restart is not counted, and it ends with the same losses.
    assert low.wait() == "Completed", low.report()
    [preempted] = low.events("preempted")
    assert preempted["step"] >= 45
    assert [event["step"] for event in low.events("restore")] == [preempted["step"]]
    assert low.status()["restarts"]["counted"] == 0
    assert low.losses() == undisturbed.losses()
    low.delete()
    high.delete()
