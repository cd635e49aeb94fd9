"""A real cluster for the tests of this folder and of others: ask for the fixture, get a running Kubernetes.

    control_plane   API server, scheduler, JobSet, Kueue and the bucket; no pod runs. About 6 s.
    cluster         the same cluster with a real node, and the project's cpu image on it: about 10 s more when
                    the image is cached, minutes the first time.
    kubeconfig      the path of a kubeconfig for a smoke test on any cluster: of `cluster`, or the one that
                    RESNET_KUBECONFIG names (kind's, or a real one), and then nothing of ours is started.
    namespace       a namespace of the test's own that enforces Pod Security `restricted`.
    docker          a real Docker engine (`testcluster.docker.Engine`), whose images and build cache are kept.

The first two give a `testcluster.Cluster`: `kubeconfig`, `api`, `bucket`, `logs`, `node`, and its faults
(`restart_apiserver()`, `kill(pod)`, `bucket.stop()`, `bucket.refuse()`); `add_fake_nodes(…)` adds hosts that
only kwok knows. One cluster serves a whole test session, so each test uses names or a namespace of its own.

RESNET_CLUSTER=running uses the cluster of `make cluster-up`: it is there at once, and is left running.
"""

import contextlib
import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import pytest
from charts import Helm
from commands import Command, command
from pod_runs import SHORT, TINY, Run
from testcluster import Cluster, image, requirements
from testcluster.api import Object
from testcluster.build import binary
from testcluster.docker import Engine
from testcluster.objects import eventually

# What the fixtures of a session have started.
CLUSTERS = contextlib.ExitStack()


@pytest.hookimpl(trylast=True)
def pytest_runtest_teardown(nextitem: pytest.Item | None) -> None:
    """End the clusters once this process goes on with other tests: idle ones take a quarter of a core."""
    if nextitem and not nextitem.path.is_relative_to(Path(__file__).parent):
        CLUSTERS.close()


@pytest.fixture(scope="session")
def control_plane() -> Iterator[Cluster]:
    """A cluster without nodes, for tests that need only an API server and controllers."""
    if os.environ.get("RESNET_CLUSTER") == "running":
        yield Cluster.attach("dev")
        CLUSTERS.close()
        return
    if reason := requirements.missing():
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)  # on CI a cluster that cannot start must not look like a pass
        pytest.skip(reason)
    started = Cluster.start(f"test-{os.getpid()}", owned=True)
    CLUSTERS.callback(started.end)
    yield started
    CLUSTERS.close()


@pytest.fixture(scope="session")
def cpu_image(control_plane: Cluster) -> image.Image:
    """The project's image for CPU slices, built from this checkout."""
    requirements.install()
    return image.build("cpu")


@pytest.fixture(scope="session")
def cluster(control_plane: Cluster, cpu_image: image.Image) -> Cluster:
    """The cluster with a node that runs pods; `cpu_image.name` is there already."""
    control_plane.add_node(cpu_image.archive).load(cpu_image.archive)
    return control_plane


@pytest.fixture(scope="session")
def kubeconfig(request: pytest.FixtureRequest) -> Path:
    """The kubeconfig of the cluster for the smoke test."""
    if named := os.environ.get("RESNET_KUBECONFIG"):
        path = Path(named).expanduser()
        if not path.is_file():
            pytest.fail(f"RESNET_KUBECONFIG: must be a file, got {named!r}", pytrace=False)
        return path
    return request.getfixturevalue("cluster").kubeconfig


@pytest.fixture
def namespace(control_plane: Cluster) -> Iterator[str]:
    """A namespace of the test's own that enforces Pod Security `restricted`; deleted afterwards."""
    with _namespace(control_plane) as name:
        yield name


@pytest.fixture(scope="session")
def helm(control_plane: Cluster) -> Helm:
    """The pinned helm; skipped without a cluster, because Go is needed to build it."""
    return Helm(binary("helm"))


@pytest.fixture(scope="session")
def docker() -> Iterator[Engine]:
    """A Docker engine in namespaces of its own."""
    if reason := requirements.missing():
        if os.environ.get("CI"):
            pytest.fail(reason, pytrace=False)
        pytest.skip(reason)
    requirements.install()
    engine = Engine.start(f"docker-{os.getpid()}")
    CLUSTERS.callback(engine.end)
    yield engine
    CLUSTERS.close()


@pytest.fixture
def nobody_s_settings(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Run the test in an empty folder, so that no resnet-launch.yaml of the checkout is read."""
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def launch(control_plane: Cluster, namespace: str, capsys: pytest.CaptureFixture[str]) -> Command:
    """Return a function that runs a line of `resnet-launch` in the test's namespace."""
    return command(control_plane, namespace, capsys)


@contextlib.contextmanager
def _namespace(cluster: Cluster) -> Iterator[str]:
    name = f"test-{uuid.uuid4().hex[:8]}"
    labels = {"pod-security.kubernetes.io/enforce": "restricted"}
    manifest: Object = {"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": name, "labels": labels}}
    cluster.api.apply([manifest])
    # A controller makes the service account a moment after the namespace; until then a submission is refused.
    accounts = f"/api/v1/namespaces/{name}/serviceaccounts"
    assert eventually(lambda: cluster.api.request("GET", accounts)["items"] != [])
    yield name
    cluster.api.delete(manifest)


@pytest.fixture(scope="session")
def undisturbed(cluster: Cluster) -> Run:
    """The reference run: 240 steps of a tiny network on two pods, saved every 20 steps."""
    name = CLUSTERS.enter_context(_namespace(cluster))
    run = Run(cluster, name, "undisturbed", f"{TINY} {SHORT}")
    assert run.wait() == "Completed", run.report()
    return run
