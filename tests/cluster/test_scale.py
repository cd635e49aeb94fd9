"""A run of 512 hosts, on nodes that only kwok knows."""

from collections.abc import Iterator
from typing import Any

import pytest
from commands import Command, command
from testcluster import Cluster
from testcluster.objects import eventually, pods

from launcher.cluster.api import Cluster as Server

LABELS = {
    "cloud.google.com/gke-tpu-accelerator": "tpu-v5-lite-podslice",
    "cloud.google.com/gke-tpu-topology": "16x16",
}
RUN = (
    "submit --slice v5e-256 --num-slices 8 --arch resnet152 --data digits --bucket b-1 --image r/i:1 "
    "--name run"
)
SLICES, HOSTS = 8, 64  # 8 slices of 256 chips / 4 per host = 64 hosts


@pytest.fixture
def pools(control_plane: Cluster) -> Iterator[None]:
    """Add a node pool per slice, as on GKE."""
    names = [f"pool-{number}" for number in range(SLICES)]
    for name in names:
        control_plane.add_fake_nodes(name, HOSTS, LABELS, resource="google.com/tpu", devices=4)
    yield
    for name in names:
        control_plane.remove_fake_nodes(name)


def requests(monkeypatch: pytest.MonkeyPatch, cluster: Cluster) -> list[str]:
    """Return a list that collects the paths of the launcher's requests to this cluster from now on."""
    paths: list[str] = []
    request = Server.request
    own = Server(None, None, str(cluster.kubeconfig)).server

    def noted(server: Server, method: str, path: str, *args: Any, **query: Any) -> dict[str, Any]:
        if server.server == own:
            paths.append(path)
        return request(server, method, path, *args, **query)

    monkeypatch.setattr(Server, "request", noted)
    return paths


@pytest.mark.usefixtures("pools")
def test_512_hosts_are_placed_read_and_deleted(
    control_plane: Cluster,
    namespace: str,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Any,
) -> None:
    monkeypatch.chdir(tmp_path)
    launch: Command = command(control_plane, namespace, capsys)
    assert launch(RUN).code == 0
    assert eventually(lambda: launch("list --json").json[0]["phase"] == "Running", 600), launch("list").out
    paths = requests(monkeypatch, control_plane)
    status = launch("status run --json").json
    # Two pages of 512 pods, otherwise the requests of a single host: none is made host by host.
    assert len([path for path in paths if path.endswith("/pods")]) == 2
    assert len(paths) <= 12, paths
    assert (status["phase"], status["pods"], status["why"]) == ("Running", {"Running": 512}, [])
    assert list(status["startup_seconds"]) == ["created", "scheduled", "started", "total"]
    # One slice per pool: JobSet's exclusive placement.
    placed = {
        (
            pod["metadata"]["labels"]["jobset.sigs.k8s.io/job-index"],
            pod["spec"]["nodeName"].rpartition("-")[0],
        )
        for pod in pods(control_plane.api, namespace)
    }
    assert len(placed) == len({pool for _, pool in placed}) == SLICES
    assert launch("delete run --yes").out == "run deleted\n"
    assert pods(control_plane.api, namespace) == []
