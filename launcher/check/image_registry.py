"""Whether an image exists, and for which platforms, asked of its registry without credentials.

The protocol is that of the OCI distribution specification: a request for a manifest and, where the registry
demands one, an anonymous token for public images.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

SECONDS = 10.0  # longest wait for a registry's reply
MAX_MANIFEST_BYTES = 4 * 2**20  # the specification lets registries refuse larger manifests
INDEXES = (
    "application/vnd.oci.image.index.v1+json",
    "application/vnd.docker.distribution.manifest.list.v2+json",
)
MANIFESTS = (
    "application/vnd.oci.image.manifest.v1+json",
    "application/vnd.docker.distribution.manifest.v2+json",
)
HUB, HUB_SERVER = ("docker.io", "index.docker.io"), "registry-1.docker.io"
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')


@dataclass(frozen=True, kw_only=True)
class Image:
    """The parts of an image reference: the registry's host, the repository, and a tag or digest."""

    host: str
    repository: str
    version: str  # a tag or a digest

    @property
    def url(self) -> str:
        """URL of the repository; a registry on this machine is asked over plain HTTP, as Docker does."""
        name = self.host.rsplit(":", 1)[0]
        scheme = "http" if name in ("localhost", "127.0.0.1") else "https"
        return f"{scheme}://{HUB_SERVER if self.host in HUB else self.host}/v2/{self.repository}"


class Closed(Exception):
    """The registry asks for credentials, or does not reply."""


def parse(reference: str) -> Image | None:
    """Return the parts of a reference, or None where it names no registry (`resnet:1`, `team/resnet:1`)."""
    host, _, path = reference.partition("/")
    if not path or not ({".", ":"} & set(host) or host == "localhost"):
        return None
    path, _, digest = path.partition("@")
    name, colon, tag = path.rpartition(":")
    repository, tag = (name, tag) if colon else (path, "latest")
    if host in HUB and "/" not in repository:
        repository = f"library/{repository}"
    return Image(host=host, repository=repository, version=digest or tag)


def platforms(image: Image) -> list[str] | None:
    """Return the platforms of an image, such as `["linux/amd64"]`, or None where it does not exist.

    Raises:
      Closed: the registry asks for credentials, or does not reply.
    """
    media_types = ", ".join((*INDEXES, *MANIFESTS))
    manifest = _get(image, f"{image.url}/manifests/{image.version}", media_types)
    if manifest is None:
        return None
    if "manifests" in manifest:
        configs = [entry.get("platform", {}) for entry in manifest["manifests"]]
    else:
        configs = [_get(image, f"{image.url}/blobs/{manifest['config']['digest']}", "*/*") or {}]
    names = {
        f"{config['os']}/{config['architecture']}"
        for config in configs
        if config.get("os") and "architecture" in config
    }
    return sorted(names - {"unknown/unknown"})  # the platform of attestations, which an index also lists


def _get(image: Image, url: str, accept: str) -> dict[str, Any] | None:
    """Return a document of the registry, or None where it does not exist."""
    headers = {"Accept": accept}
    try:
        try:
            return _read(url, headers)
        except urllib.error.HTTPError as error:
            token = _token(error.headers.get("WWW-Authenticate", "")) if error.code == 401 else ""
            if not token:
                raise
        return _read(url, headers | {"Authorization": f"Bearer {token}"})
    except urllib.error.HTTPError as error:
        if error.code == 404:
            return None
        if error.code in (401, 403):
            raise Closed(f"{image.host} asks for credentials to show {image.repository}") from None
        raise Closed(f"{image.host} replies with status {error.code}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise Closed(f"{image.host} does not answer: {reason}") from None


def _token(challenge: str) -> str:
    """Return an anonymous token, as the registry's `WWW-Authenticate` header describes it, or ""."""
    parameters = dict(CHALLENGE.findall(challenge))
    realm = parameters.pop("realm", "")
    if not realm.startswith(("https://", "http://localhost", "http://127.0.0.1")):
        return ""
    query = urllib.parse.urlencode(
        {key: parameters[key] for key in ("service", "scope") if key in parameters}
    )
    reply = _read(f"{realm}?{query}", {})
    return reply.get("token") or reply.get("access_token", "")


def _read(url: str, headers: dict[str, str]) -> dict[str, Any]:
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        document = json.loads(answer.read(MAX_MANIFEST_BYTES))
    if not isinstance(document, dict):
        raise ValueError("the reply is not a manifest")
    return document
