"""Whether an image exists, and for which platforms, asked of its registry without credentials.

The protocol is that of the OCI distribution specification: a request for a manifest and, where the registry
demands one, an anonymous token for public images.
"""

from __future__ import annotations

import http.client
import json
import queue
import re
import threading
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, TypeVar, cast

SECONDS = 10.0  # longest wait for the next bytes of a registry's reply
TOTAL_SECONDS = 20.0  # longest wait for all that is asked of it
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
LOCAL_NAMES = ("localhost", "127.0.0.1")
DIGEST = re.compile(r"[a-z0-9+._-]+:[0-9a-fA-F]{32,128}")
NAME = re.compile(r"[a-z0-9_.-]{1,40}")  # of a system or a processor
CHALLENGE = re.compile(r'(\w+)="([^"]*)"')

T = TypeVar("T")


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
        scheme = "http" if name in LOCAL_NAMES else "https"
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
      Closed: the registry asks for credentials, does not reply in time, or not as a registry does.
    """
    try:
        return within(TOTAL_SECONDS, lambda: _platforms(image))
    except TimeoutError:
        raise Closed(f"{image.host} has not replied in full after {TOTAL_SECONDS:.0f} s") from None


def within(seconds: float, ask: Callable[[], T]) -> T:
    """Return what a function returns, or raise what it raises, within a time.

    Raises:
      TimeoutError: it has not ended; it goes on in a thread that does not keep the program alive.
    """
    answers: queue.SimpleQueue[tuple[T | None, BaseException | None]] = queue.SimpleQueue()

    def put() -> None:
        try:
            answers.put((ask(), None))
        except BaseException as error:
            answers.put((None, error))

    # A thread, because a server that sends a byte now and then never exceeds the timeout of a socket.
    threading.Thread(target=put, daemon=True).start()
    try:
        answer, error = answers.get(timeout=seconds)
    except queue.Empty:
        raise TimeoutError from None
    if error:
        raise error
    return cast(T, answer)


def _platforms(image: Image) -> list[str] | None:
    media_types = ", ".join((*INDEXES, *MANIFESTS))
    manifest = _get(image, f"{image.url}/manifests/{image.version}", media_types)
    if manifest is None:
        return None
    entries = manifest.get("manifests")
    if isinstance(entries, list):
        configs = [entry.get("platform") for entry in entries if isinstance(entry, dict)]
    else:
        config = manifest.get("config")
        digest = config.get("digest") if isinstance(config, dict) else None
        if not isinstance(digest, str) or not DIGEST.fullmatch(digest):
            raise Closed(f"{image.host} replies with something that is no manifest of an image")
        configs = [_get(image, f"{image.url}/blobs/{digest}", "*/*")]
    names = {_name(config) for config in configs} - {""}
    return sorted(names - {"unknown/unknown"})  # the platform of attestations, which an index also lists


def _name(config: Any) -> str:
    """Return the platform of an image's configuration or of an index's entry; "" where it names none."""
    if not isinstance(config, dict):
        return ""
    system, processor = config.get("os"), config.get("architecture")
    if not (isinstance(system, str) and isinstance(processor, str)):
        return ""
    return f"{system}/{processor}" if NAME.fullmatch(system) and NAME.fullmatch(processor) else ""


def _get(image: Image, url: str, accept: str) -> dict[str, Any] | None:
    """Return a document of the registry, or None where it does not exist."""
    headers = {"Accept": accept}
    try:
        try:
            return _read(url, headers)
        except urllib.error.HTTPError as error:
            error.close()
            token = _token(image, error.headers.get("WWW-Authenticate", "")) if error.code == 401 else ""
            if not token:
                raise
        return _read(url, headers | {"Authorization": f"Bearer {token}"})
    except urllib.error.HTTPError as error:
        error.close()
        if error.code == 404:
            return None
        if error.code in (401, 403):
            raise Closed(f"{image.host} asks for credentials to show {image.repository}") from None
        raise Closed(f"{image.host} replies with status {error.code}") from None
    # Anything that a server may send: a header of 100 KB, a redirect to nowhere, JSON a thousand levels deep.
    except (OSError, ValueError, RecursionError, http.client.HTTPException) as error:
        reason = " ".join(str(getattr(error, "reason", error)).split()) or type(error).__name__
        raise Closed(f"{image.host} does not answer: {reason}") from None


def _token(image: Image, challenge: str) -> str:
    """Return an anonymous token, as the registry's `WWW-Authenticate` header describes it, or ""."""
    parameters = dict(CHALLENGE.findall(challenge))
    realm = parameters.pop("realm", "")
    if not is_allowed(realm, image.url):
        return ""
    query = urllib.parse.urlencode(
        {key: parameters[key] for key in ("service", "scope") if key in parameters}
    )
    reply = _read(f"{realm}{'&' if urllib.parse.urlsplit(realm).query else '?'}{query}", {})
    token = reply.get("token") or reply.get("access_token")
    return token if isinstance(token, str) and token.isascii() and token.isprintable() else ""


def is_allowed(url: str, origin: str) -> bool:
    """Return whether a registry may send us to a URL: https, or http on this machine for a registry on it."""
    try:
        target, source = urllib.parse.urlsplit(url), urllib.parse.urlsplit(origin)
    except ValueError:
        return False
    if not target.hostname or target.username or target.password:
        return False
    local = target.hostname in LOCAL_NAMES and source.hostname in LOCAL_NAMES
    return target.scheme == "https" or (target.scheme == "http" and local)


class _Redirects(urllib.request.HTTPRedirectHandler):
    """Follows redirects that `is_allowed`, without the token where they lead to another host."""

    def redirect_request(self, req: Any, fp: Any, code: int, msg: str, headers: Any, newurl: str) -> Any:
        if not is_allowed(newurl, req.full_url):
            fp.close()
            raise ValueError(f"a redirect to {newurl[:100]!r}")
        request = super().redirect_request(req, fp, code, msg, headers, newurl)
        before, after = urllib.parse.urlsplit(req.full_url), urllib.parse.urlsplit(newurl)
        if request and (before.scheme, before.netloc) != (after.scheme, after.netloc):
            request.remove_header("Authorization")
        return request


def _read(url: str, headers: dict[str, str]) -> dict[str, Any]:
    request = urllib.request.Request(url, headers=headers)
    with urllib.request.build_opener(_Redirects).open(request, timeout=SECONDS) as answer:
        document = json.loads(answer.read(MAX_MANIFEST_BYTES))
    if not isinstance(document, dict):
        raise ValueError("the reply is not a manifest")
    return document
