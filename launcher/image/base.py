"""The image below ours: its configuration and its layers, which stay where they are until they are needed."""

from __future__ import annotations

import hashlib
import json
import re
from dataclasses import dataclass
from typing import Any

from launcher.check import image_registry
from launcher.errors import ActionError, Problem, RequestError, printable
from launcher.image.cache import Cache, Damaged
from launcher.image.credentials import credential
from launcher.image.exchange import Passing
from launcher.image.layer import MEDIA_TYPE, Layer
from launcher.image.registry import SHA256, Manifest, Registry
from launcher.image.target import PYTHON, Target
from launcher.request import kubernetes_names
from launcher.request.readers import Wrong

DOCKER_LAYERS = {"application/vnd.docker.image.rootfs.diff.tar.gzip": MEDIA_TYPE}
LAYERS = re.compile(r"application/vnd\.oci\.image\.layer\.v1\.tar(\+gzip|\+zstd)?")
LARGEST_CONFIG = 4 << 20


@dataclass(frozen=True, kw_only=True)
class Base:
    """An image of a registry, for one processor.

    Attributes:
      name: reference as a person wrote it, with the registry.
      digest: of its manifest.
      config: its configuration, as the OCI image specification describes it.
      layers: the layers, the lowest first.
      registry: where they are.
    """

    name: str
    digest: str
    config: dict[str, Any]
    layers: tuple[Layer, ...]
    registry: Registry


def parse(field: str, reference: str) -> image_registry.Image:
    """Return the parts of a reference; one without a registry is of Docker Hub, as for Docker.

    Raises:
      RequestError: it is no reference of an image; the error names the field.
    """
    try:
        kubernetes_names.image(reference)
    except Wrong as wrong:
        hint = wrong.hint.replace("--image", f"--{field}")
        raise RequestError(
            Problem(field, str(wrong).replace("resnet-launch:TAG", "NAME:TAG"), hint)
        ) from None
    image = image_registry.parse(reference) or image_registry.parse(f"docker.io/{reference}")
    assert image
    return image


def read(reference: str, target: Target, cache: Cache) -> Base:
    """Return the base image of a reference for the processor of a target.

    Raises:
      RequestError: it is for another processor or system, or has another Python.
      ActionError: the registry has no such image, refuses, does not answer, or sends something else.
    """
    image = parse("base", reference)
    registry = Registry(image, credential(image.host), (f"repository:{image.repository}:pull",))
    try:
        manifest = _of_platform(registry.manifest(image.version), target, registry, reference)
    except Passing as error:  # networks without Docker Hub have a registry of their own
        raise ActionError(str(error), "another --base") from None
    described = manifest.content.get("config")
    descriptors = manifest.content.get("layers")
    if not isinstance(described, dict) or not isinstance(descriptors, list):
        raise _nonsense(reference, "has no configuration and layers")
    config = _config(described, registry, cache, reference)
    platform = f"{config.get('os')}/{config.get('architecture')}"
    if platform != target.platform:
        raise _other_platform(reference, target, [printable(platform)])
    _require_python(config, reference)
    return Base(
        name=f"{image.host}/{image.repository}:{image.version}".replace(":sha256:", "@sha256:"),
        digest=manifest.digest,
        config=config,
        layers=_layers(descriptors, config, reference),
        registry=registry,
    )


def _of_platform(manifest: Manifest, target: Target, registry: Registry, reference: str) -> Manifest:
    """Return the manifest itself, or the one that an index lists for the target."""
    if manifest.media_type not in image_registry.INDEXES and "manifests" not in manifest.content:
        return manifest
    entries = manifest.content.get("manifests")
    entries = [entry for entry in entries if isinstance(entry, dict)] if isinstance(entries, list) else []
    names = {}
    for entry in entries:
        digest, platform = entry.get("digest"), entry.get("platform")
        if isinstance(digest, str) and SHA256.fullmatch(digest) and isinstance(platform, dict):
            names.setdefault(f"{platform.get('os')}/{platform.get('architecture')}", digest)
    if target.platform not in names:
        known = sorted(printable(name) for name in names if name != "unknown/unknown")
        raise _other_platform(reference, target, known)
    return registry.manifest(names[target.platform])


def _config(described: dict[str, Any], registry: Registry, cache: Cache, reference: str) -> dict[str, Any]:
    digest, size = described.get("digest"), described.get("size")
    if not isinstance(digest, str) or not SHA256.fullmatch(digest):
        raise _nonsense(reference, "names no configuration by its SHA-256")
    if not isinstance(size, int) or not 0 < size <= LARGEST_CONFIG:
        raise _nonsense(reference, f"has a configuration of {size!r:.20} bytes")
    try:
        body = cache.verified(digest).read_bytes()
    except Damaged:
        body = b""
        for block in registry.blob(digest):
            body += block
            if len(body) > LARGEST_CONFIG:
                break
        if f"sha256:{hashlib.sha256(body).hexdigest()}" != digest:
            raise _nonsense(reference, "has a configuration with other bytes than its digest says") from None
        cache.keep(digest, iter([body]))
    try:
        config = json.loads(body)
    except (ValueError, RecursionError):
        config = None
    parts = [config, config.get("config") or {}, config.get("rootfs")] if isinstance(config, dict) else [None]
    if not all(isinstance(part, dict) for part in parts):
        raise _nonsense(reference, "has a configuration that is none of an image")
    return config or {}


def _layers(descriptors: list[Any], config: dict[str, Any], reference: str) -> tuple[Layer, ...]:
    diff_ids = config["rootfs"].get("diff_ids")
    if not isinstance(diff_ids, list) or len(diff_ids) != len(descriptors):
        raise _nonsense(reference, "has another number of layers than its configuration says")
    layers = []
    for descriptor, diff_id in zip(descriptors, diff_ids, strict=True):
        descriptor = descriptor if isinstance(descriptor, dict) else {}
        kind, digest, size = (descriptor.get(key) for key in ("mediaType", "digest", "size"))
        kind = DOCKER_LAYERS.get(kind, kind) if isinstance(kind, str) else ""
        named = [value for value in (digest, diff_id) if isinstance(value, str) and SHA256.fullmatch(value)]
        if len(named) < 2 or not isinstance(size, int) or size < 0:
            raise _nonsense(reference, "describes a layer without SHA-256 and size")
        if not LAYERS.fullmatch(kind):
            raise _nonsense(
                reference, f"has a layer of a kind that cannot be copied, {printable(kind)[:80]!r}"
            )
        layers.append(Layer(digest=named[0], size=size, diff_id=named[1], media_type=kind))
    return tuple(layers)


def _require_python(config: dict[str, Any], reference: str) -> None:
    """Refuse a base that says that its Python is another one; many say nothing."""
    environment = (config.get("config") or {}).get("Env")
    for entry in environment if isinstance(environment, list) else []:
        name, _, version = str(entry).partition("=")
        wanted = ".".join(map(str, PYTHON))
        if name == "PYTHON_VERSION" and not f"{version}.".startswith(f"{wanted}."):
            problem = f"must have Python {wanted}, got {reference!r} with {printable(version)[:20]}"
            raise RequestError(Problem("base", problem, f"--base python:{wanted}-slim"))


def _other_platform(reference: str, target: Target, known: list[str]) -> RequestError:
    problem = f"must be an image for {target.platform}, got {reference!r} for {', '.join(known) or 'nothing'}"
    others = [name.partition("/")[2] for name in known if name in ("linux/amd64", "linux/arm64")]
    hint = (
        f"--processor {others[0]}, or another --base" if others and target.kind != "tpu" else "another --base"
    )
    return RequestError(Problem("base", problem, hint))


def _nonsense(reference: str, what: str) -> ActionError:
    return ActionError(f"the base image {reference} {what}", "another --base")
