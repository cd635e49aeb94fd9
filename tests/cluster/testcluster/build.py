"""Go tools, built from the pinned modules in `tests/cluster/go` and cached by those pins."""

import os
import shutil
import subprocess
import sys
import tempfile
from dataclasses import dataclass
from functools import cache
from pathlib import Path

from testcluster import places
from testcluster.errors import ClusterError

FLAGS = ("-trimpath", "-buildvcs=false")
STRIP = "-s -w"
# A binary built outside its own repository does not know its version, and an empty one breaks clients.
KUBERNETES_VERSION = "k8s.io/component-base/version"


@dataclass(frozen=True, kw_only=True)
class Tool:
    """One module under `tests/cluster/go`: what is built from it, and the manifests kept beside that.

    A static tool also runs in an image that holds nothing else.
    """

    name: str
    packages: tuple[str, ...]
    module: str = ""
    manifests: str = ""
    static: bool = False


TOOLS = {
    tool.name: tool
    for tool in (
        Tool(name="etcd", packages=("go.etcd.io/etcd/server/v3",)),
        Tool(
            name="kubernetes",
            packages=tuple(
                f"k8s.io/kubernetes/cmd/{command}"
                for command in ("kube-apiserver", "kube-controller-manager", "kube-scheduler", "kubelet")
            ),
            module="k8s.io/kubernetes",
        ),
        Tool(
            name="jobset",
            packages=("sigs.k8s.io/jobset",),
            module="sigs.k8s.io/jobset",
            manifests="config",
            static=True,
        ),
        Tool(name="bucket", packages=("github.com/fsouza/fake-gcs-server",)),
        Tool(name="coredns", packages=(".",)),
        Tool(
            name="kueue",
            packages=("sigs.k8s.io/kueue/cmd/kueue",),
            module="sigs.k8s.io/kueue",
            manifests="config/components",
        ),
        Tool(
            name="kwok",
            packages=("sigs.k8s.io/kwok/cmd/kwok",),
            module="sigs.k8s.io/kwok",
            manifests="kustomize",
        ),
        Tool(name="pause", packages=(".",), static=True),
        Tool(name="registry", packages=(".",)),
        Tool(name="devices", packages=(".",)),
        Tool(name="helm", packages=("helm.sh/helm/v4/cmd/helm",)),
        Tool(name="runtime", packages=(".",), static=True),
        Tool(
            name="kind",
            packages=("sigs.k8s.io/kind",),
            module="sigs.k8s.io/kind",
            manifests="images/base/files",
        ),
        Tool(
            name="kubeadm",
            packages=tuple(
                f"k8s.io/kubernetes/cmd/{command}" for command in ("kubeadm", "kubectl", "kube-proxy")
            ),
            module="k8s.io/kubernetes",
        ),
        Tool(name="crictl", packages=("sigs.k8s.io/cri-tools/cmd/crictl",)),
        Tool(name="yaml", packages=(".",)),
        Tool(name="actionlint", packages=("github.com/rhysd/actionlint/cmd/actionlint",)),
    )
}


def go(*arguments: str, folder: Path, static: bool = False) -> str:
    """Run the go command in `folder` and return what it prints; raises ClusterError with its last lines."""
    environment = os.environ | ({"CGO_ENABLED": "0"} if static else {})
    try:
        done = subprocess.run(["go", *arguments], cwd=folder, env=environment, capture_output=True, text=True)
    except FileNotFoundError:
        raise ClusterError(
            "go: must be on PATH to build the test cluster", hint="install Go 1.26 or newer"
        ) from None
    if done.returncode:
        tail = "\n".join(done.stderr.strip().splitlines()[-15:])
        raise ClusterError(f"go {' '.join(arguments[:2])} failed in {folder.name}:\n{tail}")
    return done.stdout.strip()


@cache
def toolchain(static: bool) -> str:
    """Return the compiler's version and target, part of every cache key."""
    return go("env", "GOVERSION", "GOARCH", "CGO_ENABLED", folder=places.GO_MODULES / "etcd", static=static)


def version(tool: Tool) -> str:
    """The pinned version of the tool's module, read from its go.mod."""
    for line in (places.GO_MODULES / tool.name / "go.mod").read_text().splitlines():
        words = line.removeprefix("require ").split()
        if len(words) >= 2 and words[0] == tool.module and words[1].startswith("v"):
            return words[1]
    raise ClusterError(
        f"go/{tool.name}/go.mod: must require {tool.module}", hint=f"go get -tool {tool.module}@VERSION"
    )


def linker_flags(tool: Tool) -> str:
    """Return the linker's flags; they set Kubernetes' own version in its binaries."""
    if tool.module != "k8s.io/kubernetes":
        return STRIP
    major, minor, _ = version(tool).removeprefix("v").split(".", 2)
    values = {"gitVersion": version(tool), "gitMajor": major, "gitMinor": minor}
    return " ".join([STRIP, *(f"-X {KUBERNETES_VERSION}.{key}={value}" for key, value in values.items())])


def target(name: str) -> Path:
    """The folder of a tool's binaries, whose name is a hash of their pins, flags and compiler."""
    tool = TOOLS[name]
    module = places.GO_MODULES / name
    inputs = sorted(path for path in module.iterdir() if path.suffix in (".mod", ".sum", ".go"))
    key = places.content_key(
        *inputs, " ".join((*FLAGS, tool.manifests)), linker_flags(tool), toolchain(tool.static)
    )
    return places.cache() / "go" / f"{name}-{key}"


def missing() -> list[str]:
    """Return the names of the tools that have to be compiled first."""
    return [name for name in TOOLS if not target(name).is_dir()]


def build(name: str) -> Path:
    """The folder with the tool's binaries; compiles them when their pins, flags or the compiler changed."""
    folder = target(name)
    if folder.is_dir():
        return folder
    with places.locked(folder.parent / f"{name}.lock"):
        if not folder.is_dir():
            places.delete(*folder.parent.glob(f".{name}-*"))  # left by a killed process
            print(f"building {name} (once for these pins)", file=sys.stderr, flush=True)
            compile_into(folder, TOOLS[name], places.GO_MODULES / name)
    return folder


def compile_into(folder: Path, tool: Tool, module: Path) -> None:
    """Compile beside the target and rename, so that a killed build leaves nothing that looks whole."""
    scratch = Path(tempfile.mkdtemp(prefix=f".{tool.name}-", dir=folder.parent))
    try:
        options = (*FLAGS, "-ldflags", linker_flags(tool), "-o", f"{scratch}{os.sep}")
        go("build", *options, *tool.packages, folder=module, static=tool.static)
        if tool.manifests:
            source = go("list", "-m", "-f", "{{.Dir}}", tool.module, folder=module)
            shutil.copytree(
                Path(source) / tool.manifests, scratch / "manifests", copy_function=shutil.copyfile
            )
        scratch.chmod(0o755)
        scratch.rename(folder)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)


def binary(name: str, command: str | None = None) -> str:
    """The path of a built command; `command` where a tool has several."""
    return str(build(name) / (command or name))
