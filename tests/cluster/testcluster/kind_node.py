"""A node image for kind, made here: Debian's systemd and containerd, Kubernetes from the pinned modules.

kind's own node images come from a registry. This one takes kind's files from the module of kind, the way
`kind build node-image` does, and runs the control plane's programs from one image with all the names that
kubeadm asks for.
"""

import json
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from testcluster import build, buildah, places
from testcluster.build import binary
from testcluster.docker import Engine

IMAGES = places.PACKAGE.parent / "images"
NODE, CONTROL_PLANE = IMAGES / "kind-node.Dockerfile", IMAGES / "control-plane.Dockerfile"
SUITE = "bookworm"  # its systemd still starts under cgroup version 1
PACKAGES = (
    "systemd", "systemd-sysv", "dbus", "iproute2", "iptables", "nftables", "kmod", "procps", "mount",
    "util-linux", "conntrack", "ethtool", "socat", "containerd", "containernetworking-plugins", "jq",
    "ca-certificates",
)  # fmt: skip
LIBRARIES = "usr/lib/x86_64-linux-gnu"
# Programs that kube-proxy calls; libraries that Go's programs load at run time.
NETWORK_PROGRAMS = ("xtables-nft-multi", "conntrack", "nft")
RESOLVER = (
    "libresolv.so.2",
    "libpthread.so.0",
    "libm.so.6",
    "libdl.so.2",
    "libnss_dns.so.2",
    "libnss_files.so.2",
)
TOOLS = ("kind", "kubeadm", "crictl", "runtime", "kubernetes", "etcd", "coredns", "pause")
IMPORT = ("ctr", "--namespace=k8s.io", "images", "import", "--all-platforms", "--no-unpack", "--digests", "-")
NAME = "localhost/kind-node"
BARE, ROOT = f"{NAME}:bare", f"{NAME}:root"
READY = "for _ in $(seq 100); do ctr version > /dev/null 2>&1 && exit; sleep 0.1; done; exit 1"


def name() -> str:
    """Return the name of the image, which follows from everything that it is made of."""
    parts = (SUITE, " ".join(PACKAGES), NODE, CONTROL_PLANE, Path(__file__))
    return f"{NAME}:{places.content_key(*parts, *(build.target(tool).name for tool in TOOLS))}"


def make(engine: Engine) -> str:
    """Build the image in an engine that lacks it, and return its name."""
    wanted = name()
    if engine.run("docker", "images", "--quiet", wanted):
        return wanted
    _remove_others(engine)
    print("building a node for kind (once for these pins)", file=sys.stderr, flush=True)
    with tempfile.TemporaryDirectory(prefix=".node-", dir=buildah.archives()) as folder:
        root = Path(folder, "root")
        buildah.sandboxed(
            "debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root)
        )
        archive = Path(folder, "images.tar")
        _save_control_plane(engine, root, Path(folder, "control-plane"), archive)
        _node(engine, root, Path(folder, "node"))
        _load(engine, archive, wanted)
    engine.run("docker", "rmi", BARE, ROOT)
    return wanted


def _remove_others(engine: Engine) -> None:
    """Remove the images of other pins but the newest, which another checkout may use."""
    others = engine.run("docker", "images", "--format={{.Repository}}:{{.Tag}}", NAME).split()  # newest first
    if former := [name for name in others if name not in (BARE, ROOT)][1:]:
        engine.run("docker", "rmi", *former)


def _save_control_plane(engine: Engine, root: Path, context: Path, archive: Path) -> None:
    """Write the images that a node of kind must hold before it starts, under the names that it asks for."""
    tree = context / "root"
    for folder in ("usr/bin", "usr/sbin", "usr/local/bin", LIBRARIES, "lib64", "tmp"):
        (tree / folder).mkdir(parents=True)
    for program in ("kube-apiserver", "kube-controller-manager", "kube-scheduler"):
        shutil.copy(binary("kubernetes", program), tree / "usr/bin")
    shutil.copy(binary("etcd", "server"), tree / "usr/bin/etcd")
    shutil.copy(binary("kubeadm", "kube-proxy"), tree / "usr/local/bin")
    shutil.copy(binary("coredns"), tree / "coredns")
    for program in NETWORK_PROGRAMS:
        shutil.copy(root / "usr/sbin" / program, tree / "usr/sbin")
    for family in ("iptables", "ip6tables"):
        for suffix in ("", "-save", "-restore"):
            (tree / "usr/sbin" / f"{family}{suffix}").symlink_to("xtables-nft-multi")
    shutil.copy(root / "lib64/ld-linux-x86-64.so.2", tree / "lib64")
    shutil.copytree(root / LIBRARIES / "xtables", tree / LIBRARIES / "xtables", symlinks=True)
    for library in {*RESOLVER, *_libraries(root)}:
        shutil.copy(root / LIBRARIES / library, tree / LIBRARIES)
    (tree / "lib").symlink_to("usr/lib")
    names = [line for line in _kubeadm_images() if "/pause:" not in line]
    first, *others = names
    engine.run("docker", "build", "--file", str(CONTROL_PLANE), "--tag", first, str(context))
    for other in others:
        engine.run("docker", "tag", first, other)
    pause = _pause_name()
    shutil.copy(binary("pause"), context / "pause")
    (context / "Dockerfile").write_text('FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n')
    engine.run("docker", "build", "--tag", pause, str(context))
    engine.run("docker", "save", "--output", str(archive), pause, *names)
    engine.run("docker", "rmi", pause, *names)


def _libraries(root: Path) -> set[str]:
    """Return the libraries that the programs of the network link to."""
    programs = [f"/usr/sbin/{program}" for program in NETWORK_PROGRAMS]
    done = subprocess.run(["chroot", str(root), "ldd", *programs], capture_output=True, text=True, check=True)
    lines = [line.split() for line in done.stdout.splitlines() if "=> /" in line]
    return {words[0] for words in lines}


def _kubeadm_images() -> list[str]:
    command = [binary("kubeadm"), "config", "images", "list", f"--kubernetes-version={_version()}"]
    return subprocess.run(command, capture_output=True, text=True, check=True).stdout.split()


def _version() -> str:
    return build.version(build.TOOLS["kubernetes"])


def _kind_files() -> Path:
    return build.build("kind") / "manifests"


def _pause_name() -> str:
    """Return the name that kind's configuration of containerd gives the image of a pod's sandbox."""
    lines = (_kind_files() / "etc/containerd/config.toml").read_text().splitlines()
    [line] = [line for line in lines if line.strip().startswith("sandbox_image")]
    return line.split('"')[1]


def _node(engine: Engine, root: Path, context: Path) -> None:
    shutil.copytree(_kind_files(), context / "files", copy_function=shutil.copyfile)
    (context / "files/kind/version").write_text(_version())
    (context / "bin").mkdir()
    programs = (("kubernetes", "kubelet"), ("kubeadm", "kubeadm"), ("kubeadm", "kubectl"))
    for tool, program in (*programs, ("crictl", "crictl"), ("runtime", "runtime")):
        shutil.copy(binary(tool, program), context / "bin")
    (context / "bridge.conflist").write_text(json.dumps(_network()))
    for part in ("cni", "storage"):  # kind applies these files; a node without either needs nothing
        note = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"namespace": "kube-system"}}
        note["metadata"]["name"] = f"no-default-{part}"
        (context / f"default-{part}.yaml").write_text(json.dumps(note))
    with (context.with_name("root.tar")).open("wb") as file:
        subprocess.run(["tar", "--directory", str(root), "--create", "."], stdout=file, check=True)
    engine.run("docker", "import", str(context.with_name("root.tar")), ROOT)
    engine.run(
        "docker", "build", f"--build-arg=ROOT={ROOT}", "--file", str(NODE), "--tag", BARE, str(context)
    )


def _network() -> dict[str, object]:
    ipam = {"type": "host-local", "ranges": [[{"subnet": "10.244.0.0/24"}]], "routes": [{"dst": "0.0.0.0/0"}]}
    bridge = {"type": "bridge", "bridge": "pods", "isGateway": True, "ipMasq": True, "hairpinMode": True}
    ports = {"type": "portmap", "capabilities": {"portMappings": True}}
    return {"cniVersion": "0.4.0", "name": "pods", "plugins": [bridge | {"ipam": ipam}, ports]}


def _load(engine: Engine, archive: Path, wanted: str) -> None:
    """Import the control plane's images into the node's containerd, as `kind build node-image` does."""
    options = ("--detach", "--entrypoint=sleep", "--security-opt=seccomp=unconfined")
    container = engine.run("docker", "run", *options, BARE, "infinity").strip()
    try:
        engine.run("docker", "exec", "--detach", container, "containerd")
        engine.run("docker", "exec", container, "bash", "-c", READY)
        engine.run("docker", "exec", "--interactive", container, *IMPORT, stdin=archive.read_bytes())
        engine.run("docker", "exec", container, "pkill", "containerd")
        entry = 'ENTRYPOINT ["/usr/local/bin/entrypoint", "/sbin/init"]'
        engine.run("docker", "commit", "--change", entry, container, wanted)
    finally:
        engine.run("docker", "rm", "--force", "--volumes", container)
