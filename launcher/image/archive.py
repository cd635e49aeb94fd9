"""An image as an OCI archive, for `kind load image-archive`, `ctr images import` and `podman load`.

The layout is https://github.com/opencontainers/image-spec/blob/main/image-layout.md in a tar archive.
"""

from __future__ import annotations

import io
import json
import os
import stat
import tarfile
import tempfile
from pathlib import Path

from launcher.errors import Problem, RequestError
from launcher.image.cache import Cache, writing
from launcher.image.progress import Progress, size_text
from launcher.image.push import Image, fetched

INDEX = "application/vnd.oci.image.index.v1+json"
HINT = "--output names a file of a folder with more room"


def require_writable(path: Path) -> None:
    """Check a path before any work.

    Raises:
      RequestError: its folder does not exist or cannot be written, or it is no regular file.
    """
    problem = ""
    if not path.parent.is_dir():
        problem = f"must be a file in a folder that exists, got {str(path)!r}"
    elif os.path.lexists(path) and not stat.S_ISREG(path.lstat().st_mode):
        problem = f"must be a regular file, got {str(path)!r}"
    elif not os.access(path.parent, os.W_OK):
        problem = f"must be in a folder that you can write to, got {str(path)!r}"
    if problem:
        raise RequestError(Problem("output", problem, "--output image.tar"))


def write(image: Image, name: str, path: Path, cache: Cache, progress: Progress) -> int:
    """Write an archive, whole or not at all, and return its bytes.

    Args:
      name: reference that the image gets where the archive is loaded, with its registry.

    Raises:
      Damaged: a layer of the cache is not what it was; the image has to be built again.
      ActionError: the disk is full, or the base's registry does not send a layer.
    """
    blobs = {}
    for layer in image.layers:
        own = image.name(layer) != "base"
        blobs[layer.digest] = (
            cache.verified(layer.digest) if own else fetched(layer, image.base, cache, progress)
        )
    total = sum(blob.stat().st_size for blob in blobs.values())
    progress.stage(f"writing {path} ({size_text(total)})", total)
    with writing(path, HINT):
        descriptor, scratch = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
        try:
            with os.fdopen(descriptor, "wb") as file:
                _write(image, name, blobs, file, progress)
            os.chmod(scratch, 0o666 & ~_mask())
            os.replace(scratch, path)
        finally:
            Path(scratch).unlink(missing_ok=True)
    return path.stat().st_size


def _write(
    image: Image, name: str, blobs: dict[str, Path], file: io.BufferedWriter, progress: Progress
) -> None:
    names = {
        "io.containerd.image.name": name,
        "org.opencontainers.image.ref.name": name.rpartition(":")[2],
    }
    entry = image.manifest.descriptor() | {"annotations": names}
    platform = {
        key: image.base.config[key] for key in ("os", "architecture", "variant") if key in image.base.config
    }
    index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": [entry | {"platform": platform}]}
    documents = {
        "oci-layout": b'{"imageLayoutVersion":"1.0.0"}',
        "index.json": json.dumps(index, sort_keys=True).encode(),
        **{_place(document.digest): document.body for document in (image.manifest, image.config)},
    }
    with tarfile.open(fileobj=file, mode="w", format=tarfile.PAX_FORMAT) as archive:
        for place, body in documents.items():
            archive.addfile(_member(place, len(body)), io.BytesIO(body))
        for digest, blob in sorted(blobs.items()):
            with blob.open("rb") as content:
                archive.addfile(_member(_place(digest), blob.stat().st_size), content)
            progress.advance(blob.stat().st_size)


def _place(digest: str) -> str:
    return f"blobs/{digest.replace(':', '/')}"


def _member(place: str, size: int) -> tarfile.TarInfo:
    member = tarfile.TarInfo(place)
    member.size, member.mode = size, 0o644
    return member


def _mask() -> int:
    mask = os.umask(0)
    os.umask(mask)
    return mask
