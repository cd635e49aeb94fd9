"""A killed cluster leaves nothing but its logs."""

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest
from testcluster import Cluster, ClusterError, cgroups, leftovers, places
from testcluster.objects import eventually
from testcluster.sandbox import Sandbox, held

START = """
import sys, time
from testcluster import Cluster
cluster = Cluster.start(sys.argv[1], owned=True)
cluster.add_node()
print(cluster.wire.interface, cluster.sandbox.pid, flush=True)
time.sleep(600)
"""


def interfaces() -> set[str]:
    return set(os.listdir("/sys/class/net"))


def test_a_killed_owner_leaves_nothing(control_plane: Cluster) -> None:
    """Kill the process that started a cluster with a node, without warning."""
    name = f"killed-{os.getpid()}"
    folder = places.cluster_folder(name)
    command = [sys.executable, "-c", START, name]
    environment = os.environ | {"PYTHONPATH": str(places.PACKAGE.parent)}
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment) as owner:
        assert owner.stdout
        interface, supervisor = owner.stdout.readline().split()
        assert interface in interfaces()
        group = leftovers.control_group(folder)
        owner.kill()
    assert eventually(lambda: not Path(f"/proc/{supervisor}").exists(), 20)
    assert eventually(lambda: interface not in interfaces(), 20)
    assert not held(folder)
    assert str(folder) not in Path("/proc/self/mountinfo").read_text()
    Cluster.end_named(name)  # clears what ended clusters left, while no other one starts
    assert [entry.name for entry in folder.iterdir()] == ["logs"]
    assert not any((tree / group).exists() for tree in cgroups.hierarchies())
    assert (folder / "logs" / "kubelet.log").stat().st_size > 0
    leftovers.remove_logs(folder)
    assert control_plane.api.ready()  # the other cluster of this checkout did not notice


VERSION_2 = """
import sys
from pathlib import Path
from testcluster import cgroups
name = sys.argv[1]
assert cgroups.version() == 2
assert cgroups.hierarchies() == [cgroups.ROOT]
control = cgroups.ROOT / "cgroup.subtree_control"
before = set(control.read_text().split())
cgroups.create(name)
cgroups.create(name)  # one that a killed cluster left
(cgroups.ROOT / name / "kubepods").mkdir()
offered = (cgroups.ROOT / name / "cgroup.controllers").read_text().split()
passed_on = (cgroups.ROOT / name / "kubepods" / "cgroup.controllers").read_text().split()
assert set(passed_on) == set(offered) & set(cgroups.CONTROLLERS), (offered, passed_on)
cgroups.remove(name)
assert not (cgroups.ROOT / name).exists()
control.write_text(" ".join(f"-{controller}" for controller in set(control.read_text().split()) - before))
print("passed", *passed_on)
"""


def test_a_group_of_version_2_passes_its_controllers_on(control_plane: Cluster) -> None:
    """In mounts of its own: where the machine has both versions, the second is mounted over the first."""
    trees = [Path("/sys/fs/cgroup"), Path("/sys/fs/cgroup/unified")]
    version_2 = [tree for tree in trees if (tree / "cgroup.controllers").exists()]
    if not version_2:
        pytest.skip("this machine has control groups of version 1 alone")
    mounting = f'mount --bind {version_2[0]} /sys/fs/cgroup && exec "$@"'
    command = ["unshare", "--mount", "sh", "-c", mounting, "sh", sys.executable, "-c", VERSION_2]
    environment = os.environ | {"PYTHONPATH": str(places.PACKAGE.parent)}
    done = subprocess.run(
        [*command, f"resnet-version-2-{os.getpid()}"], capture_output=True, text=True, env=environment
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.startswith("passed")


@pytest.fixture
def sandbox(tmp_path: Path) -> Sandbox:
    return Sandbox(tmp_path)


def test_a_component_that_fails_is_named_with_its_log(sandbox: Sandbox) -> None:
    sandbox.begin(owned=True)
    try:
        sandbox.start("broken", ["/bin/sh", "-c", "echo no such port; exit 3"])
        with pytest.raises(
            ClusterError, match=r"broken: it ended with 3\n  no such port\nhint: read .*/broken\.log"
        ):
            sandbox.wait("broken", lambda: False)
    finally:
        sandbox.end()


def test_stop_kills_what_ignores_the_signal(sandbox: Sandbox) -> None:
    sandbox.begin(owned=True)
    try:
        sandbox.start("deaf", ["/bin/sh", "-c", "trap '' TERM; echo ready; while :; do sleep 1; done"])
        assert eventually(lambda: "ready" in (sandbox.logs / "deaf.log").read_text())
        started = time.monotonic()
        sandbox.stop("deaf", grace_seconds=1)
        assert sandbox.status()["deaf"]["exit"] == -signal.SIGKILL
        assert 1 <= time.monotonic() - started < 20
    finally:
        sandbox.end()
    assert not held(sandbox.folder)


def test_two_clusters_of_one_name_are_refused(control_plane: Cluster) -> None:
    name = control_plane.sandbox.folder.name.split("-", 1)[1]
    with pytest.raises(ClusterError, match="is running"):
        Cluster.start(name, owned=True)
