"""A registry on 127.0.0.1 that fails as a test wants; a real one is in tests/cluster."""

import hashlib
import http.server
import json
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from launcher.image import document
from launcher.image.base import Base
from launcher.image.credentials import Credential
from launcher.image.layer import Layer
from launcher.image.push import Image
from launcher.image.registry import Registry

ANONYMOUS = Credential(origin="no credentials: /home/a/.docker/config.json has none for it")
Page = Any  # a request being answered
Fault = Callable[[Page], bool]  # answers a request and returns True, or leaves it to the registry


class FaultyRegistry:
    """What a registry holds and was asked.

    Attributes:
      host: its name and port.
      blobs: digest -> bytes.
      manifests: tag or digest -> bytes.
      asked: (method, path) of each request.
    """

    def __init__(self, fault: Fault) -> None:
        self.host = ""
        self.fault = fault
        self.blobs: dict[str, bytes] = {}
        self.manifests: dict[str, bytes] = {}
        self.asked: list[tuple[str, str]] = []

    def answer(self, page: Page) -> None:
        self.asked.append((page.command, page.path))
        if self.fault(page):
            return
        path, _, query = page.path.partition("?")
        last = path.rpartition("/")[2]
        if page.command == "POST":
            reply(page, 202, Location=f"{path}1?state=a")
        elif page.command == "PUT" and "/uploads/" in path:
            digest = query.rpartition("digest=")[2]
            body = page.rfile.read(int(page.headers["Content-Length"]))
            assert digest == f"sha256:{hashlib.sha256(body).hexdigest()}"
            self.blobs[digest] = body
            reply(page, 201)
        elif page.command == "PUT":
            self.manifests[last] = page.rfile.read(int(page.headers["Content-Length"]))
            reply(page, 201)
        elif page.command == "DELETE":
            reply(page, 204)
        else:
            body = {**self.blobs, **self.manifests}.get(last)
            reply(page, 404 if body is None else 200, body or b"")


@contextmanager
def serving(fault: Fault = lambda page: False) -> Iterator[FaultyRegistry]:
    """Run a registry; where a fault answers a request, it does not."""
    registry = FaultyRegistry(fault)

    class Handler(http.server.BaseHTTPRequestHandler):
        protocol_version = "HTTP/1.1"

        def do_GET(self) -> None:
            try:
                registry.answer(self)
            except ConnectionError:
                self.close_connection = True

        do_HEAD = do_POST = do_PUT = do_DELETE = do_GET

        def log_message(self, format: str, *args: object) -> None:
            pass

    class Server(http.server.ThreadingHTTPServer):
        daemon_threads = True

        def handle_error(self, *args: object) -> None:
            pass  # a client that went away

    with Server(("127.0.0.1", 0), Handler) as server:
        registry.host = f"127.0.0.1:{server.server_port}"
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield registry
        server.shutdown()


def digest(body: bytes) -> str:
    """Return the digest of a blob."""
    return f"sha256:{hashlib.sha256(body).hexdigest()}"


def reply(page: Page, status: int, body: Any = b"", **headers: str) -> bool:
    """Answer a request; return True, as a fault does."""
    length = int(page.headers.get("Content-Length") or 0)
    if status >= 300 and length:
        page.rfile.read(length)
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    page.send_response(status)
    for key, value in headers.items():
        page.send_header(key.replace("_", "-"), value)
    page.send_header("Content-Length", str(len(data)))
    page.end_headers()
    if page.command != "HEAD":
        page.wfile.write(data)
    return True


def break_off(page: Page) -> bool:
    """Read a part of a request and close the connection."""
    page.rfile.read(min(1000, int(page.headers.get("Content-Length") or 0)))
    page.connection.close()
    page.close_connection = True
    return True


class Stages:
    """What a build shows."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.bytes = 0

    def stage(self, text: str, total: int | None = None) -> None:
        self.texts.append(text)

    def advance(self, amount: int) -> None:
        self.bytes += amount


def image(registry: Registry, *layers: bytes) -> tuple[Image, dict[str, bytes]]:
    """Return an image without a base whose layers hold these bytes, and the bytes by digest."""
    blobs = {f"sha256:{hashlib.sha256(layer).hexdigest()}": layer for layer in layers}
    described = tuple(
        Layer(digest=digest, size=len(layer), diff_id=f"sha256:{'0' * 64}") for digest, layer in blobs.items()
    )
    base = Base(name="none", digest=f"sha256:{'0' * 64}", config={}, layers=(), registry=registry)
    body = json.dumps({"os": "linux", "architecture": "amd64"}).encode()
    config = document.Document(
        body=body, digest=f"sha256:{hashlib.sha256(body).hexdigest()}", media_type=document.CONFIG
    )
    names = {layer.digest: f"part {number}" for number, layer in enumerate(described)}
    manifest = document.manifest(base, config, described)
    return Image(base=base, config=config, manifest=manifest, layers=described, names=names), blobs
