"""Real pods of a program of the user's own: joining on one and two slices, and lines that `status` reads."""

import pytest
from testcluster import Cluster
from testcluster.objects import eventually, finished, log, pods

from launcher import TrainingJob, render
from launcher.cluster.api import Cluster as Api
from launcher.runs.status import status

PLAIN = """
import os
import jax
jax.distributed.initialize()
from jax.experimental import multihost_utils
ranks = multihost_utils.process_allgather(jax.numpy.array(jax.process_index())).tolist()
same = {os.environ[name] for name in ("RANK", "NODE_RANK", "JAX_PROCESS_ID")}
print("joined", jax.process_index(), jax.process_count(), jax.device_count(), ranks, same, os.getcwd())
print(f"progress step=7 steps=9 tokens_per_second=1234 run_dir={os.environ['RESNET_RUN_DIR']}", flush=True)
"""


@pytest.mark.parametrize(("slice_name", "slices"), [("cpu-2x2", 1), ("cpu-1x2", 2)])
def test_plain_jax_joins_without_arguments(
    cluster: Cluster, namespace: str, slice_name: str, slices: int
) -> None:
    job = TrainingJob(
        slice=slice_name,
        num_slices=slices,
        name="plain",
        namespace=namespace,
        image="localhost/resnet-launch:cpu",
        command=("python", "-c", PLAIN),
        workdir="/tmp",
        cpu="200m",
        max_restarts=0,
    )
    [jobset] = render(job)
    cluster.api.apply([jobset])
    assert eventually(lambda: finished(cluster.api, jobset) != "", 180)
    index = "jobset.sigs.k8s.io/job-index" if slices > 1 else "batch.kubernetes.io/job-completion-index"
    logs = {
        pod["metadata"]["labels"][index]: log(cluster.api, namespace, pod["metadata"]["name"])
        for pod in pods(cluster.api, namespace)
    }
    for rank in ("0", "1"):
        assert f"joined {rank} 2 4 [0, 1] {{'{rank}'}} /tmp" in logs[rank], logs
    assert finished(cluster.api, jobset) == "Completed"
    run = status(Api(None, namespace, str(cluster.kubeconfig)), "plain")
    assert run["progress"] == {"step": 7, "steps": 9, "tokens_per_second": 1234, "run_dir": "/scratch/plain"}
    assert run["command"] == ["python", "-c", PLAIN]
