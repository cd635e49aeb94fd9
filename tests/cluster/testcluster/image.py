"""The project's own image, from its Dockerfile, on a base that needs no registry."""

import json
import shutil
import sys
import tempfile
import tomllib
from dataclasses import dataclass
from pathlib import Path

from testcluster import buildah, places
from testcluster.errors import ClusterError

TARGETS = ("cpu", "tpu", "gpu")
ARCHIVES_KEPT = 2  # per target; other checkouts use them too
SUITE = "trixie"
PYTHON = "3.13"
# python3-venv for the build stage; the final image takes no package from here.
PACKAGES = ("python3", "python3-venv", "ca-certificates")
# A slim image lacks these too. EXTERNALLY-MANAGED would stop pip, and no Debian packages are managed here.
UNWANTED = (
    "var/lib/apt/lists/*",
    "var/cache/*/*",
    "var/log/*",
    "usr/share/doc/*",
    "usr/share/man/*",
    "usr/share/locale/*",
    "usr/lib/python3*/EXTERNALLY-MANAGED",
)
CONTAINERFILE = places.PACKAGE.parent / "images" / "base.Containerfile"


@dataclass(frozen=True, kw_only=True)
class Image:
    """A built image: its name in a cluster, the archive to load, and its unpacked size in bytes."""

    name: str
    archive: Path
    bytes: int


def base() -> str:
    """Return a base image like python:3.13-slim, built from Debian packages when its recipe changes."""
    key = places.content_key(SUITE, PYTHON, " ".join(PACKAGES + UNWANTED), CONTAINERFILE)
    name = f"localhost/python-slim:{key}"
    if not buildah.identity(name):
        print(f"building a base of Debian {SUITE} with Python {PYTHON} (once)", file=sys.stderr, flush=True)
        _build_base(name)
    return name


def _build_base(name: str) -> None:
    with tempfile.TemporaryDirectory(prefix=".base-", dir=buildah.archives()) as folder:
        root = Path(folder) / "root"
        buildah.sandboxed(
            "debootstrap", "--variant=minbase", f"--include={','.join(PACKAGES)}", SUITE, str(root)
        )
        python = (root / "usr/bin/python3").readlink().name
        if python != f"python{PYTHON}":
            raise ClusterError(f"base: Debian {SUITE} must bring python{PYTHON}, got {python}")
        for path in [path for pattern in UNWANTED for path in root.glob(pattern)]:
            shutil.rmtree(path) if path.is_dir() and not path.is_symlink() else path.unlink()
        buildah.build(name, Path(folder), "--file", str(CONTAINERFILE))


def build(target: str) -> Image:
    """Build one target of the Dockerfile and export it, if any input has changed.

    It takes seconds when only the project's code changed, since the dependencies are a layer of their own.
    """
    name = f"localhost/resnet-launch:{target}"
    arguments = {"BASE": base(), "VERSION": _version()}
    archive = buildah.archives() / f"{target}-{places.content_key(*_inputs(), *arguments.values())}.tar"
    with places.locked(buildah.archives() / f"{target}.lock"):
        if not archive.exists():
            print(f"building the {target} image", file=sys.stderr, flush=True)
            options = [
                f"--target={target}",
                *(f"--build-arg={key}={value}" for key, value in arguments.items()),
            ]
            buildah.build(name, places.REPOSITORY, *options)
            buildah.export(name, archive)
            places.keep_newest(buildah.archives(), f"{target}-*.tar", ARCHIVES_KEPT)
    return Image(name=name, archive=archive, bytes=archive.stat().st_size)


def _inputs() -> list[str | Path]:
    """Return name and path of every file in the build context."""
    root = places.REPOSITORY
    code = [
        path for path in (root / "trainer").rglob("*") if path.is_file() and "__pycache__" not in path.parts
    ]
    names = (
        "Dockerfile",
        ".dockerignore",
        "pyproject.toml",
        "constraints.txt",
        "tools/image-packages.sh",
        "tools/requirements.py",
    )
    files = [*(root / name for name in names), *sorted(code)]
    return [part for path in files for part in (str(path.relative_to(root)), path)]


def _version() -> str:
    return tomllib.loads((places.REPOSITORY / "pyproject.toml").read_text())["project"]["version"]


def configuration(name: str) -> dict[str, object]:
    """Return the configuration of the image: user, environment, labels, entry point."""
    return json.loads(buildah.run("inspect", "--type=image", name))["OCIv1"]["config"]
