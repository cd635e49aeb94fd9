"""Whether an image holds the code of this launcher: what its labels say, read from its registry."""

from __future__ import annotations

import json
from typing import Any

from launcher.check import image_registry
from launcher.errors import LauncherError, printable
from launcher.image import code, document
from launcher.image.credentials import credential
from launcher.image.registry import SHA256, Registry
from launcher.version import __version__

SECONDS = 5.0  # longest that a submission waits for an answer
LARGEST_CONFIG = 4 << 20


def warning(reference: str, processor: str) -> str:
    """Return one line where an image was built of other code than this launcher's; "" where nothing is known.

    It raises nothing: an image that cannot be read from here may be pulled well by the nodes.
    """
    image = image_registry.parse(reference)
    if image is None:
        return ""
    try:
        labels = image_registry.within(SECONDS, lambda: _labels(image, processor))
        return compare(reference, labels)
    except (TimeoutError, LauncherError, image_registry.Closed):
        return ""


def compare(reference: str, labels: dict[str, Any]) -> str:
    """Return what the labels of an image say against it; an empty string where it is as old as this code."""
    version, built = labels.get(document.VERSION), labels.get(document.CODE)
    hint = "resnet-launch image build makes one of this code"
    if isinstance(version, str) and _numbers(version) and _numbers(version) != _numbers(__version__):
        age = "older" if _numbers(version) < _numbers(__version__) else "newer"
        return (
            f"image {reference} is {age} than this launcher: {printable(version)}, not {__version__}; {hint}"
        )
    if isinstance(built, str) and SHA256.fullmatch(built) and built != code.digest(code.trainer()):
        return f"image {reference} holds another trainer than the one beside this launcher; {hint}"
    return ""


def _numbers(version: str) -> tuple[int, ...]:
    parts = version.split(".")
    return tuple(map(int, parts)) if all(part.isascii() and part.isdecimal() for part in parts) else ()


def _labels(image: image_registry.Image, processor: str) -> dict[str, Any]:
    registry = Registry(image, credential(image.host), (f"repository:{image.repository}:pull",), tries=1)
    manifest = registry.manifest(image.version).content
    if isinstance(entries := manifest.get("manifests"), list):
        digests = [
            entry.get("digest")
            for entry in entries
            if isinstance(entry, dict) and (entry.get("platform") or {}).get("architecture") == processor
        ]
        if not digests or not isinstance(digests[0], str) or not SHA256.fullmatch(digests[0]):
            return {}
        manifest = registry.manifest(digests[0]).content
    described = manifest.get("config")
    digest = described.get("digest") if isinstance(described, dict) else None
    if not isinstance(digest, str) or not SHA256.fullmatch(digest):
        return {}
    body = b""
    for block in registry.blob(digest):
        body += block
        if len(body) > LARGEST_CONFIG:
            return {}
    try:
        labels = json.loads(body)["config"]["Labels"]
    except (ValueError, KeyError, TypeError, RecursionError):
        return {}
    return labels if isinstance(labels, dict) else {}
