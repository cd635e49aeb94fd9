"""A real Docker engine in namespaces of its own: nothing of it is installed on or visible to the machine.

The engine is Debian's docker.io, unpacked into the cache. Its images and its build cache are kept there too,
so that a second build takes seconds; one engine at a time uses them. Everything else ends with the sandbox.
"""

import fcntl
import os
import re
import shutil
import signal
import subprocess
import tempfile
from pathlib import Path

from testcluster import buildah, cgroups, image, leftovers, mounts, network, places
from testcluster.build import binary
from testcluster.errors import ClusterError
from testcluster.network import Wire
from testcluster.proxy import Proxy
from testcluster.sandbox import Sandbox

PACKAGES = ("docker.io", "tini")
# path in the packages: name
PROGRAMS = {
    "usr/sbin/dockerd": "dockerd",
    "usr/sbin/docker-proxy": "docker-proxy",
    "usr/bin/docker": "docker",
    "usr/bin/tini-static": "docker-init",
}
# Addresses of containers, from the range for benchmarks (RFC 2544) like the wire's.
BRIDGE = "198.19.1.1/24"
NETWORKS = "base=198.19.16.0/20,size=24"
PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"
STORED = "4gb"  # of layers for later builds
BASE = "localhost/python-slim:here"


def programs() -> Path:
    """Return the folder of dockerd and docker, unpacked from Debian's packages once per version."""
    shelf = places.cache() / "docker"
    shelf.mkdir(parents=True, exist_ok=True)
    with places.locked(shelf / "programs.lock"):
        if not (version := _version()):  # a fresh machine has no lists of packages
            _apt("apt-get", "update", "-qq", folder=shelf)
            version = _version()
        if not version:
            raise ClusterError(
                "apt knows no package docker.io", hint="add a source of Debian's main packages"
            )
        target = shelf / f"programs-{re.sub(r'[^0-9A-Za-z.]', '-', version)}"
        if not target.is_dir():
            places.delete(*shelf.glob(".programs-*"))  # left by a killed process
            scratch = Path(tempfile.mkdtemp(prefix=".programs-", dir=shelf))
            try:
                _unpack(scratch)
                scratch.chmod(0o755)
                scratch.rename(target)
            finally:
                shutil.rmtree(scratch, ignore_errors=True)
    return target / "bin"


def _unpack(scratch: Path) -> None:
    """Fetch the packages into a folder and keep their programs in its folder `bin`."""
    try:
        _apt("apt-get", "download", *PACKAGES, folder=scratch)
    except ClusterError:  # lists of packages that are older than the mirror's files
        _apt("apt-get", "update", "-qq", folder=scratch)
        _apt("apt-get", "download", *PACKAGES, folder=scratch)
    for package in scratch.glob("*.deb"):
        _apt("dpkg-deb", "--extract", str(package), str(scratch / "root"), folder=scratch)
    (scratch / "bin").mkdir()
    for program, name in PROGRAMS.items():
        (scratch / "root" / program).rename(scratch / "bin" / name)
    places.delete(scratch / "root", *scratch.glob("*.deb"))


def _version() -> str:
    """Return the version of docker.io that Debian offers; "" where the lists of packages have none."""
    if not shutil.which("apt-get"):
        raise ClusterError(
            "Docker's engine for tests needs apt-get, which fetches Debian's package docker.io"
        )
    policy = _apt("apt-cache", "policy", PACKAGES[0], folder=Path("/"))
    match = re.search(r"Candidate: (\S+)", policy)
    return "" if not match or match[1] == "(none)" else match[1]


def _apt(*command: str, folder: Path) -> str:
    done = subprocess.run(command, cwd=folder, capture_output=True, text=True)
    if done.returncode:
        raise ClusterError(
            f"{' '.join(command[:2])} failed: {done.stderr.strip()[-500:]}", hint="apt-get update"
        )
    return done.stdout


class Engine:
    """A running Docker engine.

    folder        its sandbox's folder; docker.sock in it is the engine's address
    proxy         the way out for builds: `proxy.url`
    run(…)        runs a command inside, with docker on PATH
    """

    def __init__(self, sandbox: Sandbox, wire: Wire, lock: int) -> None:
        self.sandbox, self.wire, self._lock = sandbox, wire, lock
        self.proxy = Proxy(wire.host)

    @property
    def folder(self) -> Path:
        """The folder of the sandbox."""
        return self.sandbox.folder

    @classmethod
    def start(cls, name: str, storage: Path | None = None, megabytes: int | None = None) -> "Engine":
        """Start an engine that ends with this process.

        Args:
          storage: folder of its images; default: the one in the cache, and then this waits while another
            engine uses it.
          megabytes: size of a disk in memory over that folder, which ends with the engine; default: none.
        """
        binaries = programs()
        storage = storage or places.cache() / "docker" / "storage"
        storage.mkdir(parents=True, exist_ok=True)
        lock = os.open(storage.with_name("storage.lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o644)
        fcntl.flock(lock, fcntl.LOCK_EX)
        try:
            try:
                return cls._begin(name, binaries, storage, lock, megabytes)
            except ClusterError:
                if not any(storage.iterdir()):
                    raise
                places.delete(storage)  # a killed engine may leave one that no other can use
                storage.mkdir()
                return cls._begin(name, binaries, storage, lock, megabytes)
        except BaseException:
            os.close(lock)
            raise

    @classmethod
    def _begin(cls, name: str, binaries: Path, storage: Path, lock: int, megabytes: int | None) -> "Engine":
        folder = places.cluster_folder(name)
        running = ClusterError(f"a Docker engine {name!r} of this checkout is running")
        sandbox = leftovers.begin_sandbox(folder, True, running)
        try:
            wire = network.connect(sandbox)
            mounts.cover(sandbox)
            if not Path("/lib/modules").exists():  # kind's nodes mount it, and Docker would make it here
                mounts.overlay(sandbox, Path("/lib").resolve())
            cgroups.create(leftovers.control_group(folder))
            if megabytes:
                sandbox.run("mount", "-t", "tmpfs", "-o", f"size={megabytes}m", "tmpfs", str(storage))
            engine = cls(sandbox, wire, lock)
            engine._start(binaries, storage)
        except BaseException:
            sandbox.end()
            leftovers.clear(folder)
            raise
        return engine

    def _start(self, binaries: Path, storage: Path) -> None:
        flags = {
            "data-root": storage,
            "exec-root": "/run/docker",
            "pidfile": "/run/docker.pid",
            "host": f"unix://{self.socket}",
            "storage-driver": "overlay2",
            "bip": BRIDGE,
            "default-address-pool": NETWORKS,
            "cgroup-parent": f"/{leftovers.control_group(self.folder)}",
            "add-runtime": f"filtered={binary('runtime')}",
            "default-runtime": "filtered",
        }
        command = [str(binaries / "dockerd"), *(f"--{key}={value}" for key, value in flags.items())]
        self.binaries = binaries
        self.sandbox.start("dockerd", command, {"PATH": f"{binaries}:{PATH}"})
        self.sandbox.wait("dockerd", lambda: bool(self.run("docker", "version")), errors=(ClusterError,))
        if stale := self.run("docker", "ps", "--all", "--quiet").split():  # of a killed engine
            self.run("docker", "rm", "--force", "--volumes", *stale)
        self.run("docker", "network", "prune", "--force")
        self.prune()

    def prune(self) -> None:
        """Delete images without a name, and of the build cache what was not used for the longest time."""
        self.run("docker", "image", "prune", "--force")
        self.run("docker", "builder", "prune", "--force", f"--keep-storage={STORED}")

    @property
    def socket(self) -> str:
        """The engine's address for DOCKER_HOST, without its scheme; /run is the sandbox's own."""
        return "/run/docker.sock"

    def environment(self) -> dict[str, str]:
        """Return the variables of a command inside."""
        return {
            "PATH": f"{self.binaries}:{os.environ.get('PATH', PATH)}",
            "DOCKER_HOST": f"unix://{self.socket}",
            "DOCKER_BUILDKIT": "1",
            "DOCKER_CONFIG": str(self.folder / "client"),
        }

    def start_command(
        self, *command: str, environment: dict[str, str] | None = None
    ) -> subprocess.Popen[str]:
        """Start a command inside, in the checkout, in its own process group, with one stream of output."""
        variables = self.environment() | (environment or {})
        inside = ["nsenter", f"--target={self.sandbox.pid}", "--mount", "--net", "--pid"]
        words = ["env", *(f"{key}={value}" for key, value in variables.items()), *command]
        return subprocess.Popen(
            [*inside, f"--wd={places.REPOSITORY}", "--", *words],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,
        )

    def call(
        self, *command: str, environment: dict[str, str] | None = None
    ) -> subprocess.CompletedProcess[str]:
        """Run a command inside, in the checkout, and return how it ended; its output is kept as it came."""
        with self.start_command(*command, environment=environment) as process:
            try:
                output, _ = process.communicate()
            except BaseException:  # a test's time limit, Ctrl-C
                os.killpg(process.pid, signal.SIGTERM)
                raise
        return subprocess.CompletedProcess(process.args, process.returncode, output)

    def run(
        self, *command: str, stdin: bytes | None = None, environment: dict[str, str] | None = None
    ) -> str:
        """Run a command inside and return its output; raises ClusterError with the end of what it said."""
        variables = self.environment() | (environment or {})
        words = [f"{key}={value}" for key, value in variables.items()]
        return self.sandbox.run("env", *words, *command, stdin=stdin)

    def base(self) -> str:
        """Load the stand-in for python:3.13-slim, with how this machine reaches its package index."""
        name = image.base()
        known = self.run("docker", "images", "--quiet", name)
        if not known:
            archive = self.folder / "base.tar"
            buildah.export(name, archive)
            self.run("docker", "load", "--input", str(archive))
            archive.unlink()
        with tempfile.TemporaryDirectory() as folder:
            files = [file for file in map(Path, buildah.MACHINE_FILES) if file.exists()]
            for file in files:
                shutil.copy(file, folder)
            copies = "\n".join(f"COPY {file.name} {file}" for file in files)
            Path(folder, "Dockerfile").write_text(f"FROM {name}\n{copies}\n")
            self.run("docker", "build", "--quiet", "--tag", BASE, folder)
        return BASE

    def end(self) -> None:
        """End everything; the images stay in the cache."""
        self.proxy.end()
        self.sandbox.end()
        leftovers.clear(self.folder)
        os.close(self._lock)
