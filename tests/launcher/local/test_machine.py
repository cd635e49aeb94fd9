"""The trainer's own pods on this machine: no code from the current directory, no port on the network."""

import os
import shlex
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest
from PIL import Image

LISTEN = "0A"  # state of a socket in /proc/net/tcp
SHADOWS = ["numpy", "jax", "cv2", "trainer", "grain", "json", "launcher"]
LAUNCH = [str(Path(sys.executable).with_name("resnet-launch"))]


@pytest.fixture
def hostile(tmp_path):
    """A folder whose modules write a file when they are imported, as any downloaded folder may hold."""
    for kind in ("a", "b"):
        (tmp_path / "images" / "train" / kind).mkdir(parents=True)
        Image.new("RGB", (8, 8)).save(tmp_path / "images" / "train" / kind / "0.png")
    for name in SHADOWS:
        (tmp_path / f"{name}.py").write_text("open('imported', 'a').write(__name__)\n")
    return tmp_path


@pytest.mark.parametrize(
    "arguments",
    [
        "data stats images",
        "check --no-cluster --estimate --slice h100-8 --arch resnet-tiny --data digits --batch 64",
    ],
)
def test_no_verb_runs_code_of_the_current_directory(hostile, arguments):
    environment = os.environ | {"RESNET_CACHE": str(hostile / "cache")}
    command = [*LAUNCH, *arguments.split()]
    ended = subprocess.run(command, cwd=hostile, env=environment, capture_output=True, text=True, timeout=300)
    assert ended.returncode == 0, ended.stderr
    assert not (hostile / "imported").exists()


def listeners(group: set[int]) -> Iterator[str]:
    """Yield the addresses, in the kernel's hexadecimal form, at which these processes listen."""
    sockets = set()
    for pid in group:
        try:
            links = [os.readlink(entry) for entry in Path(f"/proc/{pid}/fd").iterdir()]
        except OSError:
            continue  # it has ended
        sockets |= {link[8:-1] for link in links if link.startswith("socket:[")}
    for table in ("/proc/net/tcp", "/proc/net/tcp6"):
        for line in Path(table).read_text().splitlines()[1:]:
            columns = line.split()
            if columns[3] == LISTEN and columns[9] in sockets:
                yield columns[1].split(":")[0]


def descendants(root: int) -> set[int]:
    """Return the ids of a process and of all below it."""
    parents = {}
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            fields = entry.read_text().rpartition(")")[2].split()
        except OSError:
            continue
        parents[int(entry.parent.name)] = int(fields[1])
    group = {root}
    while below := {pid for pid, parent in parents.items() if parent in group} - group:
        group |= below
    return group


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return probe.getsockname()[1]


@pytest.mark.skipif(
    sys.platform != "linux" or os.geteuid() != 0, reason="names a machine in its own namespace"
)
def test_pods_open_no_port_on_the_network_and_run_no_code_of_the_current_directory(hostile, tmp_path):
    if not shutil.which("unshare"):
        pytest.skip("unshare is not installed")
    # The machine's name has another address than 127.0.0.1, as it has on a network.
    (tmp_path / "hosts").write_text("127.0.0.1 localhost\n127.0.0.9 elsewhere\n")
    flags = f"--slice cpu-2x1 --arch resnet-tiny --data digits --set log.metrics_port={free_port()}"
    rename = f"mount --bind {tmp_path}/hosts /etc/hosts && hostname elsewhere"
    script = f"{rename} && exec {shlex.join(LAUNCH)} local {flags}"
    command = ["unshare", "--mount", "--uts", "sh", "-c", script]
    output = tmp_path / "output"
    with output.open("w") as file:
        process = subprocess.Popen(command, cwd=tmp_path, stdout=file, stderr=subprocess.STDOUT)
        try:
            # By then the hosts have joined and exchanged, and metrics are served.
            while process.poll() is None and "event name=opened" not in output.read_text():
                time.sleep(0.1)
            group = descendants(process.pid)
            ports = [*listeners(group)]
            variables = [Path(f"/proc/{pid}/environ").read_bytes() for pid in group]
        finally:
            process.terminate()
            time.sleep(1)
            process.terminate()  # a second signal kills the pods at once
            process.wait(60)
    assert len(ports) >= 4, output.read_text()  # the coordinator, the collectives of two hosts, metrics
    assert set(ports) <= {"0100007F", "0000000000000000FFFF00000100007F"}  # 127.0.0.1, also as IPv6 writes it
    assert not (hostile / "imported").exists()
    assert sum(b"MALLOC_ARENA_MAX=1\0" in text for text in variables) == 2  # the two pods keep freed memory
