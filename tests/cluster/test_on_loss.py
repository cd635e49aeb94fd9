"""`wait --on-loss` on real pods: a slice loses its place for good, and the run goes on with the other one."""

import subprocess
import sys

from pod_runs import SHORT, TINY, Run
from testcluster import Cluster
from testcluster.api import Object
from testcluster.objects import eventually

ONE = "import time; time.sleep(3600)"


def guest(cluster: Cluster, namespace: str, cpu: int) -> list[Object]:
    """A pod of a higher priority that leaves too little of the node for a second slice."""
    priority: Object = {
        "apiVersion": "scheduling.k8s.io/v1",
        "kind": "PriorityClass",
        "metadata": {"name": f"guest-{namespace}"},
        "value": 1000,
    }
    security = {"allowPrivilegeEscalation": False, "capabilities": {"drop": ["ALL"]}, "runAsNonRoot": True}
    container = {
        "name": "guest",
        "image": "localhost/resnet-launch:cpu",
        "command": ["python", "-c", ONE],
        "resources": {"requests": {"cpu": f"{cpu}m"}},
        "securityContext": security | {"runAsUser": 1000, "seccompProfile": {"type": "RuntimeDefault"}},
    }
    pod: Object = {
        "apiVersion": "v1",
        "kind": "Pod",
        "metadata": {"name": "guest", "namespace": namespace},
        "spec": {
            "priorityClassName": f"guest-{namespace}",
            "terminationGracePeriodSeconds": 1,
            "containers": [container],
        },
    }
    return [priority, pod]


def millicores(text: str) -> int:
    return int(text[:-1]) if text.endswith("m") else int(float(text) * 1000)


def test_a_run_that_loses_a_slice_goes_on_with_the_other(
    cluster: Cluster, namespace: str, undisturbed: Run
) -> None:
    """A pod of higher priority takes the place of a slice, as a reclaimed node does, and stays."""
    [node] = [
        node
        for node in cluster.api.request("GET", "/api/v1/nodes")["items"]
        if node["metadata"]["name"] == "node-0"
    ]
    room = millicores(node["status"]["allocatable"]["cpu"])
    each = room * 45 // 100
    run = Run(cluster, namespace, "lost", f"--num-slices 2 --cpu {each}m {TINY} {SHORT}", "cpu-1x1")
    run.reach("progress step=12 ")
    context = ["--kubeconfig", str(cluster.kubeconfig), "--namespace", namespace]
    line = "wait lost --on-loss 1 --loss-after 30s --timeout 6m"
    command = [sys.executable, "-m", "launcher", *line.split(), *context]
    waiting = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    guests = guest(cluster, namespace, room - each - 200)
    try:
        assert waiting.stderr
        assert (
            waiting.stderr.readline()
            == "lost has 2 slices; where one is missing for 30 s, it goes on with 1\n"
        )
        uid = run.pods()[0]["metadata"]["labels"]["jobset.sigs.k8s.io/jobset-uid"]
        run.reach("progress step=40 ")  # the command has looked at the log of a run that trains
        cluster.api.apply(guests)
        output, errors = waiting.communicate(timeout=400)
        assert output == "lost completed\n", f"{errors}\n{run.report()}"
        assert "lost goes on with 1 x cpu-1x1, from its last checkpoint" in errors
        assert "lost has 1 of 2 slices; without the other for 30 s, it goes on with 1" in errors
        pods = run.pods()
        assert [pod["metadata"]["labels"]["jobset.sigs.k8s.io/job-index"] for pod in pods] == ["0"]
        assert pods[0]["metadata"]["labels"]["jobset.sigs.k8s.io/jobset-uid"] != uid
        [restore] = run.events("restore")[-1:]
        assert restore["step"] >= 10
        # The losses go on as if nothing had happened: those of an unbroken run.
        losses, expected = dict(run.losses()), dict(undisturbed.losses())
        assert set(losses) == set(range(1, 241))
        differences = [abs(losses[step] - expected[step]) for step in range(1, 241)]
        assert max(differences) < 1e-5, max(
            differences
        )  # the order of summation differs; 2.4e-7 was measured
    finally:
        waiting.kill()
        cluster.api.delete(guests[1])
        cluster.api.delete(guests[0])
        run.delete()
    assert eventually(lambda: run.pods() == [], 60)
