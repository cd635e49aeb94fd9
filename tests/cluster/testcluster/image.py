"""The project's own image, from its Dockerfile, on a base that needs no registry."""

import json
import shutil
import tempfile
from dataclasses import dataclass
from pathlib import Path

from testcluster import buildah, places
from testcluster.errors import ClusterError

TARGETS = ("cpu", "tpu", "gpu")
SUITE = "trixie"
PYTHON = "3.13"
# python3-venv for the build stage; the final image takes no package from here.
PACKAGES = ("python3", "python3-venv", "ca-certificates")
CONTAINERFILE = places.PACKAGE.parent / "images" / "base.Containerfile"


@dataclass(frozen=True, kw_only=True)
class Image:
    """A built image: its name in a cluster, the archive to load, and its unpacked size in bytes."""

    name: str
    archive: Path
    bytes: int


def base() -> str:
    """The name of a base image like python:3.13-slim, made of Debian packages; built when its recipe
    changes.
    """
    key = places.content_key(SUITE, PYTHON, " ".join(PACKAGES), CONTAINERFILE)
    name = f"localhost/python-slim:{key}"
    if not buildah.identity(name):
        print(f"building a base of Debian {SUITE} with Python {PYTHON} (once)", flush=True)
        _build_base(name)
    return name


def _build_base(name: str) -> None:
    with tempfile.TemporaryDirectory(prefix=".base-", dir=buildah.archives()) as folder:
        root = Path(folder) / "root"
        buildah.sandboxed(
            "debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root)
        )
        found = (root / "usr/bin/python3").readlink().name
        if found != f"python{PYTHON}":
            raise ClusterError(f"base: Debian {SUITE} must bring python{PYTHON}, got {found}")
        shutil.copy(CONTAINERFILE, folder)
        buildah.build(name, Path(folder), "--file", str(CONTAINERFILE))


def build(target: str, name: str = "") -> Image:
    """Build one target of the Dockerfile and export it; seconds when only the project's code changed."""
    name = name or f"localhost/resnet-launch:{target}"
    options = [
        "--target",
        target,
        "--build-arg",
        f"BASE={base()}",
        "--file",
        str(places.REPOSITORY / "Dockerfile"),
    ]
    buildah.build(name, places.REPOSITORY, *options)
    identity = buildah.identity(name)
    archive = buildah.archives() / f"{target}-{identity[:16]}.tar"
    if not archive.exists():
        buildah.export(name, archive)
        for older in buildah.archives().glob(f"{target}-*.tar"):
            if older != archive:
                older.unlink(missing_ok=True)
    return Image(name=name, archive=archive, bytes=archive.stat().st_size)


def configuration(name: str) -> dict[str, object]:
    """What the image says of itself: user, environment, labels, entry point."""
    return json.loads(buildah.run("inspect", "--type=image", name))["OCIv1"]["config"]
