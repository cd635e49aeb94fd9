"""Images are looked for in a real registry: there or not, for which processors, behind a token or closed."""

import http.server
import json
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
import registries
from testcluster.requirements import missing

from launcher.check import image_registry

needs_go = pytest.mark.skipif(bool(missing()), reason=missing())


@pytest.fixture
def open_one(tmp_path: Path) -> Iterator[registries.Registry]:
    with registries.running(tmp_path) as it:
        yield it


def platforms(reference: str) -> list[str] | None:
    image = image_registry.parse(reference)
    assert image
    return image_registry.platforms(image)


@needs_go
def test_an_image_tells_its_processors(open_one: registries.Registry) -> None:
    both = open_one.push("team/resnet", "1", "amd64", "arm64")
    assert platforms(both) == ["linux/amd64", "linux/arm64"]
    alone = open_one.push("team/resnet", "2", "amd64", listed=False)
    assert platforms(alone) == ["linux/amd64"]
    assert platforms(f"{open_one.host}/team/resnet:3") is None
    assert platforms(f"{open_one.host}/team/other:1") is None
    assert platforms(f"{open_one.host}/team/resnet@sha256:{'0' * 64}") is None


@needs_go
def test_a_token_that_anybody_gets_is_fetched(tmp_path: Path) -> None:
    """Docker Hub and Artifact Registry ask for a token; here the realm is a page that issues one."""
    paths: list[str] = []

    class Realm(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            body = json.dumps({"token": "anybody"}).encode()
            self.send_response(200)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Realm) as realm:
        threading.Thread(target=realm.serve_forever, daemon=True).start()
        with registries.running(tmp_path, f"http://127.0.0.1:{realm.server_port}/token") as closed:
            image = closed.push("team/resnet", "1", "amd64")
            assert platforms(image) == ["linux/amd64"]
        realm.shutdown()
    assert paths
    assert paths[0].startswith("/token?service=tests&scope=repository%3Ateam%2Fresnet%3Apull")


@needs_go
def test_one_that_wants_credentials_or_is_away_is_said_to(tmp_path: Path) -> None:
    with registries.running(tmp_path, "ftp://nowhere") as closed:
        image = closed.push("team/resnet", "1", "amd64")
        with pytest.raises(image_registry.Closed, match=r" asks for credentials to show team/resnet$"):
            platforms(image)
    with pytest.raises(image_registry.Closed, match=r"^127.0.0.1:\d+ does not answer: .*refused"):
        platforms(image)


@pytest.mark.parametrize(
    ("reference", "url", "version"),
    [
        ("images.example.com/p/r/resnet:1", "https://images.example.com/v2/p/r/resnet", "1"),
        ("images.example.com/team/resnet", "https://images.example.com/v2/team/resnet", "latest"),
        ("localhost:5000/resnet@sha256:ab", "http://localhost:5000/v2/resnet", "sha256:ab"),
        ("localhost:5000/resnet:1@sha256:ab", "http://localhost:5000/v2/resnet", "sha256:ab"),
        ("docker.io/python:3.11", f"https://{image_registry.HUB_SERVER}/v2/library/python", "3.11"),
        ("resnet:1", "", ""),
        ("team/resnet:1", "", ""),
    ],
)
def test_where_an_image_is_asked_for(reference: str, url: str, version: str) -> None:
    image = image_registry.parse(reference)
    assert ((image.url, image.version) if image else ("", "")) == (url, version)
