"""Whether an image is there, and for which processors, asked of its registry without credentials.

The protocol is the OCI distribution specification's: a manifest, and where the registry wants one, a token
that it gives to anybody for what anybody may read.
"""

from __future__ import annotations

import json
import re
import urllib.error
import urllib.parse
import urllib.request
from dataclasses import dataclass
from typing import Any

SECONDS = 10.0  # that a registry may take to answer
LARGEST = 4 * 2**20  # bytes of a manifest, as the specification wants them taken
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
    """A reference taken apart: where it is asked for, and how it is called there."""

    host: str
    repository: str
    version: str  # a tag or a digest

    @property
    def url(self) -> str:
        """Of the repository; a registry on this machine speaks without encryption, as for other clients."""
        name = self.host.rsplit(":", 1)[0]
        scheme = "http" if name in ("localhost", "127.0.0.1") else "https"
        return f"{scheme}://{HUB_SERVER if self.host in HUB else self.host}/v2/{self.repository}"


class Closed(Exception):
    """The registry does not tell: it wants credentials, or does not answer."""


def parse(reference: str) -> Image | None:
    """None where a reference names no registry: `resnet:1`, `team/resnet:1`."""
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
    """`["linux/amd64", …]`, or None where there is no such image.

    Raises Closed.
    """
    kinds = ", ".join((*INDEXES, *MANIFESTS))
    found = _get(image, f"{image.url}/manifests/{image.version}", kinds)
    if found is None:
        return None
    if "manifests" in found:
        listed = [entry.get("platform", {}) for entry in found["manifests"]]
    else:
        listed = [_get(image, f"{image.url}/blobs/{found['config']['digest']}", "*/*") or {}]
    named = {
        f"{one['os']}/{one['architecture']}" for one in listed if one.get("os") and "architecture" in one
    }
    return sorted(named - {"unknown/unknown"})  # attestations stand among the images


def _get(image: Image, url: str, accept: str) -> dict[str, Any] | None:
    """A document of the registry; None for what it does not have."""
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
            raise Closed(f"{image.host} shows {image.repository} to nobody without credentials") from None
        raise Closed(f"{image.host} answers {error.code}") from None
    except (OSError, ValueError) as error:
        reason = getattr(error, "reason", error)
        raise Closed(f"{image.host} does not answer: {reason}") from None


def _token(challenge: str) -> str:
    """What a registry gives to anybody, by its own words of where to ask; empty where it gives nothing."""
    words = dict(CHALLENGE.findall(challenge))
    realm = words.pop("realm", "")
    if not realm.startswith(("https://", "http://localhost", "http://127.0.0.1")):
        return ""
    query = urllib.parse.urlencode({key: words[key] for key in ("service", "scope") if key in words})
    given = _read(f"{realm}?{query}", {})
    return given.get("token") or given.get("access_token", "")


def _read(url: str, headers: dict[str, str]) -> dict[str, Any]:
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.urlopen(request, timeout=SECONDS) as answer:
        found = json.loads(answer.read(LARGEST))
    if not isinstance(found, dict):
        raise ValueError("what it says is no manifest")
    return found
