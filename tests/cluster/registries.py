"""A real image registry on this machine, for as long as a test needs it."""

import hashlib
import json
import socket
import socketserver
import subprocess
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any

from testcluster.build import binary

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"


class Registry:
    """A registry to which tests push images; their layers are empty, since nothing here reads them."""

    def __init__(self, host: str) -> None:
        self.host = host

    def push(self, repository: str, tag: str, *architectures: str, listed: bool = True) -> str:
        """Push an image per architecture under one tag, as an index if `listed`; return the reference."""
        manifests = [self._image(repository, architecture) for architecture in architectures]
        if listed:
            index = {"schemaVersion": 2, "mediaType": INDEX, "manifests": manifests}
            self._send("PUT", f"{repository}/manifests/{tag}", json.dumps(index).encode(), INDEX)
        else:
            [only] = manifests
            with urllib.request.urlopen(self._request(f"{repository}/manifests/{only['digest']}")) as reply:
                self._send("PUT", f"{repository}/manifests/{tag}", reply.read(), MANIFEST)
        return f"{self.host}/{repository}:{tag}"

    def _image(self, repository: str, architecture: str) -> dict[str, Any]:
        config = {"os": "linux", "architecture": architecture, "rootfs": {"type": "layers", "diff_ids": []}}
        described = self._blob(repository, json.dumps(config).encode())
        described["mediaType"] = "application/vnd.oci.image.config.v1+json"
        manifest = {"schemaVersion": 2, "mediaType": MANIFEST, "config": described, "layers": []}
        body = json.dumps(manifest).encode()
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        self._send("PUT", f"{repository}/manifests/{digest}", body, MANIFEST)
        platform = {"os": "linux", "architecture": architecture}
        return {"mediaType": MANIFEST, "digest": digest, "size": len(body), "platform": platform}

    def _blob(self, repository: str, body: bytes) -> dict[str, Any]:
        digest = f"sha256:{hashlib.sha256(body).hexdigest()}"
        location = self._send("POST", f"{repository}/blobs/uploads/", b"", "")["Location"]
        request = urllib.request.Request(f"{location}&digest={digest}", data=body, method="PUT")
        request.add_header("Content-Type", "application/octet-stream")
        request.add_header("Authorization", "Bearer any")
        urllib.request.urlopen(request).close()
        return {"digest": digest, "size": len(body)}

    def _send(self, method: str, path: str, body: bytes, kind: str) -> Any:
        with urllib.request.urlopen(self._request(path, method, body, kind)) as reply:
            return reply.headers

    def _request(
        self, path: str, method: str = "GET", body: bytes | None = None, kind: str = MANIFEST
    ) -> Any:
        request = urllib.request.Request(f"http://{self.host}/v2/{path}", data=body, method=method)
        request.add_header("Accept" if method == "GET" else "Content-Type", kind)
        request.add_header("Authorization", "Bearer any")
        return request


@contextmanager
def running(folder: Path, realm: str = "", *, on_disk: bool = False) -> Iterator[Registry]:
    """Run a registry that asks for any token from `realm`; without a realm it accepts anybody.

    on_disk: keep blobs below the folder; in memory each megabyte of a large one takes longer than the last.
    """
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        host = f"127.0.0.1:{free.getsockname()[1]}"
    config: dict[str, Any] = {
        "version": 0.1,
        "log": {"level": "error"},
        "storage": {"filesystem": {"rootdirectory": str(folder / "blobs")}} if on_disk else {"inmemory": {}},
        "http": {"addr": host, "secret": "tests"},
    }
    if realm:
        config["auth"] = {"silly": {"realm": realm, "service": "tests"}}
    path = folder / "registry.yaml"
    path.write_text(json.dumps(config))  # JSON is YAML
    command = [binary("registry"), "serve", str(path)]
    with (
        (folder / "registry.log").open("w") as log,
        subprocess.Popen(command, stdout=log, stderr=log) as process,
    ):
        try:
            _wait(host, process, folder / "registry.log")
            yield Registry(host)
        finally:
            process.terminate()


@contextmanager
def relayed(registry: Registry, address: str) -> Iterator[str]:
    """Let a cluster's node reach a registry by this machine's address on their wire; yield host:port."""
    host, port = registry.host.split(":")

    class Relay(socketserver.BaseRequestHandler):
        def handle(self) -> None:
            with socket.create_connection((host, int(port))) as inner:
                threads = [
                    threading.Thread(target=_copy, args=(self.request, inner)),
                    threading.Thread(target=_copy, args=(inner, self.request)),
                ]
                for thread in threads:
                    thread.start()
                for thread in threads:
                    thread.join()

    class Server(socketserver.ThreadingTCPServer):
        daemon_threads = True

    with Server((address, 0), Relay) as server:
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        yield f"{address}:{server.server_address[1]}"
        server.shutdown()


def _copy(source: socket.socket, target: socket.socket) -> None:
    with suppress(OSError):
        while data := source.recv(1 << 16):
            target.sendall(data)
    with suppress(OSError):
        target.shutdown(socket.SHUT_WR)


def _wait(host: str, process: subprocess.Popen[bytes], log: Path) -> None:
    for _ in range(200):
        try:
            urllib.request.urlopen(f"http://{host}/v2/").close()
            return
        except urllib.error.HTTPError:
            return  # it asks for a token, so it is up
        except OSError:
            assert process.poll() is None, log.read_text()
            time.sleep(0.05)
    raise AssertionError(log.read_text())
