"""The configuration and the manifest of an image: what the Dockerfile sets, on any base."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

from launcher.image.base import Base
from launcher.image.layer import Layer
from launcher.image.target import Target
from launcher.version import __version__

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
CODE = "resnet-launch.code"  # label: digest of the trainer's files
BYTECODE = "resnet-launch.bytecode"  # label: version of the Python that compiled the modules
VERSION = "org.opencontainers.image.version"
USER = "65532:65532"
EPOCH = "1970-01-01T00:00:00Z"  # no clock decides the bytes of an image
ENVIRONMENT = {
    "PYTHONPATH": "/opt/app",
    "PYTHONUNBUFFERED": "1",
    "PYTHONDONTWRITEBYTECODE": "1",
    "HOME": "/tmp",
}
DEFAULT_PATH = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin"


@dataclass(frozen=True, kw_only=True)
class Document:
    """Bytes of a configuration or manifest, and what names them."""

    body: bytes
    digest: str
    media_type: str

    def descriptor(self) -> dict[str, Any]:
        """Return what stands in a manifest or index."""
        return {"mediaType": self.media_type, "digest": self.digest, "size": len(self.body)}


def config(base: Base, target: Target, layers: dict[str, Layer], labels: dict[str, str]) -> Document:
    """Return the configuration: the base's, with ours above it as the Dockerfile writes it.

    Args:
      layers: what made each of our layers -> the layer, the lowest first.
      labels: labels beside those of every image.
    """
    created = base.config.get("created") or EPOCH
    history = [{"created": created, "created_by": f"resnet-launch image build: {name}"} for name in layers]
    below = base.config.get("config") or {}
    environment = dict(_pairs(below.get("Env")))
    environment["PATH"] = f"/opt/venv/bin:{environment.get('PATH', DEFAULT_PATH)}"
    own = {
        "User": USER,
        "Env": [f"{name}={value}" for name, value in (environment | ENVIRONMENT).items()],
        "Cmd": ["python", "-m", "trainer", "--help"],
        "WorkingDir": "/opt/app",
        "Labels": _labels(below) | {
            "org.opencontainers.image.title": f"resnet-launch trainer ({target.kind})",
            "org.opencontainers.image.description": "Multi-host JAX ResNet training, one process per pod",
            "org.opencontainers.image.licenses": "Apache-2.0",
            VERSION: __version__,
        } | labels,
    }  # fmt: skip
    older = base.config.get("history")
    return _document(
        base.config
        | {
            "created": created,
            "config": below | own,
            "rootfs": {
                "type": "layers",
                "diff_ids": [layer.diff_id for layer in (*base.layers, *layers.values())],
            },
            "history": [*(older if isinstance(older, list) else []), *history],
        },
        CONFIG,
    )


def manifest(base: Base, config: Document, layers: tuple[Layer, ...]) -> Document:
    """Return the manifest of an image with these layers, those of the base included."""
    names = {
        "org.opencontainers.image.base.name": base.name,
        "org.opencontainers.image.base.digest": base.digest,
    }
    content = {
        "schemaVersion": 2,
        "mediaType": MANIFEST,
        "config": config.descriptor(),
        "layers": [layer.descriptor() for layer in layers],
        "annotations": names,
    }
    return _document(content, MANIFEST)


def _document(content: Any, media_type: str) -> Document:
    import hashlib

    body = json.dumps(content, sort_keys=True, separators=(",", ":")).encode()
    return Document(body=body, digest=f"sha256:{hashlib.sha256(body).hexdigest()}", media_type=media_type)


def _pairs(entries: Any) -> list[tuple[str, str]]:
    entries = entries if isinstance(entries, list) else []
    return [(name, value) for name, _, value in (str(entry).partition("=") for entry in entries)]


def _labels(config: dict[str, Any]) -> dict[str, str]:
    labels = config.get("Labels")
    return labels if isinstance(labels, dict) else {}
