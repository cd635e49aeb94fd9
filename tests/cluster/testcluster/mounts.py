"""File systems of the sandbox's own over the folders in which programs keep state.

The machine's folders stay unchanged. The mounts end with the sandbox, so nothing has to be cleaned up.
"""

from pathlib import Path

from testcluster.sandbox import Sandbox

# A kubelet changes these settings of the machine unless they have these values. Files with the values are
# mounted over them, so it changes nothing.
KERNEL_SETTINGS = {
    "vm/overcommit_memory": 1,
    "vm/panic_on_oom": 0,
    "kernel/panic": 10,
    "kernel/panic_on_oops": 1,
    "kernel/keys/root_maxkeys": 1_000_000,
    "kernel/keys/root_maxbytes": 25_000_000,
}


def cover(sandbox: Sandbox) -> None:
    """Hide /run and /var/lib, store /var/log's pod logs with the cluster's logs, make /etc writable."""
    logs = sandbox.logs / "node"
    logs.mkdir(parents=True, exist_ok=True)
    sandbox.run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/run")
    sandbox.run("mount", "-t", "tmpfs", "-o", "mode=755", "tmpfs", "/var/lib")
    sandbox.run("mount", "--bind", str(logs), "/var/log")
    overlay(sandbox, Path("/etc"))


def overlay(sandbox: Sandbox, folder: Path) -> None:
    """Let programs of the sandbox change a folder of the machine's; the machine's own stays as it is."""
    scratch = sandbox.folder / folder.name
    scratch.mkdir(parents=True, exist_ok=True)
    # An overlay's upper folder must not lie on an overlay, which a container's root is, so it lies on tmpfs.
    sandbox.run("mount", "-t", "tmpfs", "tmpfs", str(scratch))
    sandbox.run("mkdir", str(scratch / "upper"), str(scratch / "work"))
    options = f"lowerdir={folder},upperdir={scratch}/upper,workdir={scratch}/work"
    sandbox.run("mount", "-t", "overlay", "-o", options, folder.name, str(folder))


def cover_for_kubelet(sandbox: Sandbox) -> None:
    """Mount a kubelet's state folder on disk, and kernel settings that it need not change."""
    state, settings = sandbox.folder / "kubelet", sandbox.folder / "kernel"
    for folder in (state, settings):
        folder.mkdir()
    sandbox.run("mkdir", "/var/lib/kubelet")
    sandbox.run("mount", "--bind", str(state), "/var/lib/kubelet")
    for name, value in KERNEL_SETTINGS.items():
        file = settings / name.replace("/", ".")
        file.write_text(f"{value}\n")
        sandbox.run("mount", "--bind", str(file), f"/proc/sys/{name}")
