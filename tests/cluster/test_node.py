"""Real pods of the real image: they find each other, compute together, reach the bucket, end on a signal."""

import signal

import pytest
from testcluster import Cluster, cgroups, image
from testcluster.api import Object
from testcluster.objects import eventually, finished, jobset, log, pods

# Two processes with one CPU device each: 1 from the first plus 2 from the second is 3 on both.
ALL_REDUCE = """
import os, socket, time
import jax
for _ in range(300):
    try:
        address = socket.gethostbyname(os.environ["COORDINATOR"])
        break
    except OSError:
        time.sleep(0.1)
rank = int(os.environ["JOB_COMPLETION_INDEX"])
jax.distributed.initialize(f"{address}:8476", 2, rank, cluster_detection_method="deactivate")
from jax.sharding import Mesh, NamedSharding, PartitionSpec
sharding = NamedSharding(Mesh(jax.devices(), ("data",)), PartitionSpec("data"))
mine = jax.numpy.array([1.0 + rank])
whole = jax.make_array_from_process_local_data(sharding, mine, (2,))
total = jax.jit(lambda x: x.sum(), out_shardings=NamedSharding(sharding.mesh, PartitionSpec()))(whole)
print(f"process {rank} of {jax.process_count()}: total {float(total)}", flush=True)
"""

COPY = """
import os
from etils import epath
path = epath.Path(f"{os.environ['BUCKET']}/pod.txt")
path.write_text("written in a pod")
print(path.read_text())
"""


def python(
    cluster: Cluster, namespace: str, name: str, code: str, count: int = 1, bucket: str = ""
) -> Object:
    """A JobSet whose pods run `code` with the image's Python."""
    environment = {"JAX_PLATFORMS": "cpu", "HOME": "/tmp", "COORDINATOR": f"{name}-slice-0-0.{name}"}
    return jobset(
        namespace,
        name,
        count=count,
        image="localhost/resnet-launch:cpu",
        command=["python", "-c", code],
        environment=environment | cluster.bucket.environment() | {"BUCKET": bucket},
        resources={"requests": {"cpu": "200m"}},
    )


def test_two_pods_compute_one_sum(cluster: Cluster, namespace: str) -> None:
    manifest = python(cluster, namespace, "sum", ALL_REDUCE, count=2)
    cluster.api.apply([manifest])
    assert eventually(lambda: finished(cluster.api, manifest) != "", 90)
    logs = sorted(
        log(cluster.api, namespace, pod["metadata"]["name"]) for pod in pods(cluster.api, namespace)
    )
    assert "process 0 of 2: total 3.0" in logs[0] + logs[1]
    assert "process 1 of 2: total 3.0" in logs[0] + logs[1]
    assert finished(cluster.api, manifest) == "Completed"


def test_a_pod_reads_and_writes_the_bucket(cluster: Cluster, namespace: str) -> None:
    bucket = cluster.bucket.create(namespace)
    manifest = python(cluster, namespace, "copy", COPY, bucket=bucket)
    cluster.api.apply([manifest])
    assert eventually(lambda: finished(cluster.api, manifest) != "", 60)
    (pod,) = pods(cluster.api, namespace)
    assert log(cluster.api, namespace, pod["metadata"]["name"]).endswith("written in a pod\n")


def test_the_image_is_on_the_node(cluster: Cluster, cpu_image: image.Image) -> None:
    assert cluster.node
    assert cpu_image.name in cluster.node.images()


def test_a_killed_pod_ends_with_137_and_a_restarted_server_still_knows(
    cluster: Cluster, namespace: str
) -> None:
    manifest = python(cluster, namespace, "sleep", "import time; time.sleep(600)")
    cluster.api.apply([manifest])

    def running() -> list[str]:
        everything = pods(cluster.api, namespace)
        return [pod["metadata"]["name"] for pod in everything if pod["status"]["phase"] == "Running"]

    assert eventually(lambda: len(running()) == 1)
    name = running()[0]
    cluster.restart_apiserver()
    cluster.kill(name, namespace, signal.SIGKILL)
    assert eventually(lambda: finished(cluster.api, manifest) == "Failed")
    state = cluster.pod(name, namespace)["status"]["containerStatuses"][0]["state"]
    assert state["terminated"]["exitCode"] == 137


def test_the_node_runs_under_control_groups_of_version_2(cluster: Cluster, namespace: str) -> None:
    if cgroups.version() == 1:
        pytest.skip("this machine has control groups of version 1: the node runs under these alone here")
    manifest = python(cluster, namespace, "group", "print(open('/proc/self/cgroup').read())")
    cluster.api.apply([manifest])
    assert eventually(lambda: finished(cluster.api, manifest) == "Completed", 60)
    (pod,) = pods(cluster.api, namespace)
    assert log(cluster.api, namespace, pod["metadata"]["name"]).startswith("0::/")
