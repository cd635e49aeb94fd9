"""An image goes to a registry: first the blobs that it lacks, last the manifest."""

from __future__ import annotations

import io
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from pathlib import Path

from launcher.errors import ActionError
from launcher.image.base import Base
from launcher.image.cache import Cache, Damaged
from launcher.image.document import Document
from launcher.image.layer import Layer
from launcher.image.progress import Progress, size_text
from launcher.image.registry import Registry

QUESTIONS = 4  # to a registry at a time


@dataclass(frozen=True, kw_only=True)
class Image:
    """A whole image: its documents, and its layers with those of the base first."""

    base: Base
    config: Document
    manifest: Document
    layers: tuple[Layer, ...]
    names: dict[str, str]  # digest of a layer of ours -> what it is

    def name(self, layer: Layer) -> str:
        """Return what a layer is, for people."""
        return self.names.get(layer.digest, "base")


@dataclass(frozen=True, kw_only=True)
class Sent:
    """What a push has sent: bytes, and blobs that were there, mounted or uploaded."""

    uploaded_bytes: int
    uploaded: tuple[str, ...]
    mounted: int
    present: int


def push(image: Image, registry: Registry, cache: Cache, progress: Progress) -> Sent:
    """Push an image; its tag names it only when all of it is there.

    Raises:
      Damaged: a layer of the cache is not what it was; the image has to be built again.
      ActionError: the registry refuses or does not answer; the tag names what it named before.
    """
    blobs = {layer.digest: layer for layer in image.layers}
    progress.stage(f"asking {registry.image.host} what it has")
    with ThreadPoolExecutor(QUESTIONS) as pool:
        there = dict(zip(blobs, pool.map(registry.has_blob, blobs), strict=True))
    missing = [layer for digest, layer in blobs.items() if not there[digest]]
    mounted = {layer.digest for layer in missing if _mounted(layer, image, registry)}
    uploads = [layer for layer in missing if layer.digest not in mounted]
    uploaded_bytes = 0
    for layer in uploads:
        name = image.name(layer)
        path = fetched(layer, image.base, cache, progress) if name == "base" else cache.verified(layer.digest)
        progress.stage(f"uploading the layer of {name} ({size_text(layer.size)})", layer.size)
        registry.upload(layer.digest, layer.size, partial(path.open, "rb"), progress.advance)
        uploaded_bytes += layer.size
    progress.stage("storing the manifest")
    if not registry.has_blob(image.config.digest):
        body = image.config.body
        registry.upload(image.config.digest, len(body), partial(io.BytesIO, body), lambda amount: None)
        uploaded_bytes += len(body)
    registry.put_manifest(registry.image.version, image.manifest.body, image.manifest.media_type)
    return Sent(
        uploaded_bytes=uploaded_bytes + len(image.manifest.body),
        uploaded=tuple(image.name(layer) for layer in uploads),
        mounted=len(mounted),
        present=sum(there.values()),
    )


def fetched(layer: Layer, base: Base, cache: Cache, progress: Progress) -> Path:
    """Return the file of a layer of the base, which is downloaded where the cache lacks it.

    Raises:
      ActionError: the base's registry does not send it, or sends other bytes.
    """
    try:
        return cache.verified(layer.digest)
    except Damaged:
        progress.stage(f"fetching a layer of the base ({size_text(layer.size)})", layer.size)
    try:
        return cache.keep(layer.digest, base.registry.blob(layer.digest, progress.advance))
    except Damaged:
        host = base.registry.image.host
        raise ActionError(
            f"{host} sends other bytes than those of {layer.digest}", "another --base"
        ) from None


def _mounted(layer: Layer, image: Image, registry: Registry) -> bool:
    """Let the registry take a layer of the base from another of its repositories, where it can."""
    source = image.base.registry.image
    if image.name(layer) != "base" or source.host != registry.image.host:
        return False
    return registry.mount(layer.digest, source.repository)
