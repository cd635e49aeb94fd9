"""Configuration of containerd, the same for a node and for unpacking images."""

from pathlib import Path

from testcluster import requirements

PAUSE = "localhost/pause:1"
NAMESPACE = "k8s.io"  # where the kubelet keeps images and containers


def config(root: Path, state: Path | str, socket: Path | str, network: Path) -> str:
    """Return the configuration of a containerd that uses only these folders."""
    cri = 'plugins."io.containerd.grpc.v1.cri"'
    return f"""version = 2
root = "{root}"
state = "{state}"
[grpc]
address = "{socket}"
[{cri}]
sandbox_image = "{PAUSE}"
# A sandbox must not ask for a better out-of-memory score than containerd itself may have.
restrict_oom_score_adj = true
[{cri}.cni]
bin_dir = "{requirements.CNI}"
conf_dir = "{network}"
[{cri}.containerd.runtimes.runc]
runtime_type = "io.containerd.runc.v2"
"""
