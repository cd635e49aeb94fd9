"""Image stores for containerd, unpacked once for each set of images and copied by links for each cluster."""

import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

from testcluster import buildah, containerd, places
from testcluster.build import binary
from testcluster.errors import ClusterError
from testcluster.sandbox import Sandbox

STORES = "[0-9a-f]*"
STORES_KEPT = 3
# containerd collects garbage after a hundred changes. While an image replaces the one of the same name, that
# can delete a layer which both have, between the search for it and its use.
NO_COLLECTION = """
[plugins."io.containerd.gc.v1.scheduler"]
mutation_threshold = 0
startup_delay = "24h"
"""
# bbolt's files are changed in place; all other files of a store are written once and renamed.
DATABASES = (".db",)


def pause() -> Path:
    """The archive of the image that holds a pod's namespaces open: one static program."""
    program = Path(binary("pause"))
    archive = buildah.archives() / f"pause-{places.content_key(program)}.tar"
    if not archive.exists():
        with tempfile.TemporaryDirectory() as folder:
            shutil.copy2(program, folder)
            Path(folder, "Containerfile").write_text(
                'FROM scratch\nCOPY pause /pause\nENTRYPOINT ["/pause"]\n'
            )
            buildah.build(containerd.PAUSE, Path(folder), "--file", f"{folder}/Containerfile")
        buildah.export(containerd.PAUSE, archive)
    return archive


def prepared(*archives: Path) -> Path:
    """A containerd root that holds the pause image and `archives`; unpacked when these are new."""
    wanted = (pause(), *archives)
    shelf = places.cache() / "stores"
    target = shelf / places.content_key(*(archive.name for archive in wanted))
    with places.locked(shelf / "lock"):
        if not target.is_dir():
            places.delete(*shelf.glob(".store-*"))  # left by a killed process
            print(f"unpacking {', '.join(archive.stem for archive in wanted)}", file=sys.stderr, flush=True)
            _unpack(target, wanted)
            places.keep_newest(shelf, STORES, STORES_KEPT)
        os.utime(target)
    return target


def copy(source: Path, target: Path) -> None:
    """Copy a store by hard links: layers are read-only once unpacked; only the databases change in place."""
    subprocess.run(["cp", "--archive", "--link", str(source), str(target)], check=True)
    for database in target.rglob("*"):
        if database.suffix in DATABASES and database.is_file() and "snapshots/" not in str(database):
            copied = database.with_name(database.name + ".copy")
            shutil.copy2(database, copied)
            copied.replace(database)


def _unpack(target: Path, archives: tuple[Path, ...]) -> None:
    """Import archives with a containerd on a scratch root, which gets its name when all are imported.

    The root begins as a copy of the newest store, so that only layers that it lacks cost time and space.
    """
    scratch = Path(tempfile.mkdtemp(prefix=".store-", dir=target.parent))
    sandbox = Sandbox(scratch)
    socket = scratch / "containerd.sock"
    config = scratch / "config.toml"
    settings = containerd.config(scratch / "root", scratch / "state", socket, scratch / "network")
    config.write_text(settings + NO_COLLECTION)
    ctr = ("ctr", f"--address={socket}", f"--namespace={containerd.NAMESPACE}")
    try:
        if known := sorted(target.parent.glob(STORES), key=lambda store: store.stat().st_mtime):
            copy(known[-1], scratch / "root")
        sandbox.begin(owned=True)
        sandbox.start("containerd", [str(shutil.which("containerd")), f"--config={config}"])
        sandbox.wait("containerd", lambda: bool(sandbox.run(*ctr, "version")), errors=(ClusterError,))
        for archive in archives:
            sandbox.run(*ctr, "images", "import", str(archive))
        sandbox.run(*ctr, "leases", "create", "--id", "import")
        sandbox.run(*ctr, "leases", "delete", "--sync", "import")  # collects what no image has any more
        sandbox.stop("containerd")  # an orderly stop closes its databases
        (scratch / "root").rename(target)
    finally:
        sandbox.end()
        shutil.rmtree(scratch, ignore_errors=True)
