"""What a registry may send: redirects, realms, answers of any shape and pace. A real one: tests/cluster."""

import http.server
import json
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest

from launcher.check import image_registry

MANIFEST = {"config": {"digest": f"sha256:{'a' * 64}"}}
CONFIG = {"os": "linux", "architecture": "amd64"}


@contextmanager
def serving(answer: Callable[[Any], None]) -> Iterator[tuple[str, list[Any]]]:
    """Serve on 127.0.0.1; yield (host:port, [(path, Authorization) of each request])."""
    asked: list[Any] = []

    class Page(http.server.BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            asked.append((self.path, self.headers.get("Authorization")))
            answer(self)

        def log_message(self, format: str, *args: object) -> None:
            pass

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Page) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"127.0.0.1:{server.server_port}", asked
        server.shutdown()


def reply(page: Any, status: int, body: Any = None, **headers: str) -> None:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    page.send_response(status)
    for key, value in headers.items():
        page.send_header(key.replace("_", "-"), value)
    page.send_header("Content-Length", str(len(data)))
    page.end_headers()
    page.wfile.write(data)


def platforms(host: str) -> list[str] | None:
    image = image_registry.parse(f"{host}/team/resnet:1")
    assert image
    return image_registry.platforms(image)


def test_a_token_stays_with_the_host_that_asked_for_it() -> None:
    """The blob of a config lies on another host, as behind many registries."""
    with serving(lambda page: reply(page, 200, CONFIG)) as (elsewhere, received):

        def answer(page: Any) -> None:
            if page.path.startswith("/token"):
                reply(page, 200, {"token": "secret"})
            elif not page.headers.get("Authorization"):
                realm = f'Bearer realm="http://{host}/token",service="s"'
                reply(page, 401, {}, WWW_Authenticate=realm)
            elif "/blobs/" in page.path:
                reply(page, 307, {}, Location=f"http://{elsewhere}/blob")
            else:
                reply(page, 200, MANIFEST)

        with serving(answer) as (host, asked):
            assert platforms(host) == ["linux/amd64"]
    assert received == [("/blob", None)]
    assert ("/v2/team/resnet/manifests/1", "Bearer secret") in asked


@pytest.mark.parametrize(
    "realm",
    [
        "http://localhost.example.com/token",
        "http://127.0.0.1.example.com/token",
        "http://10.0.0.1/token",
        "http://user@127.0.0.1/token",
        "file:///etc/passwd",
        "https://",
        "http://[broken",
        "",
    ],
)
def test_a_realm_elsewhere_is_not_asked(realm: str) -> None:
    challenge = f'Bearer realm="{realm}",service="s"'
    with (
        serving(lambda page: reply(page, 401, {}, WWW_Authenticate=challenge)) as (host, _),
        pytest.raises(image_registry.Closed, match="asks for credentials to show team/resnet"),
    ):
        platforms(host)


def test_a_registry_elsewhere_cannot_send_us_to_this_machine() -> None:
    assert not image_registry.is_allowed("http://127.0.0.1:80/x", "https://registry.example.com/v2/r")
    assert not image_registry.is_allowed("http://localhost/x", "https://registry.example.com/v2/r")
    assert image_registry.is_allowed("https://auth.example.com/token", "https://registry.example.com/v2/r")


@pytest.mark.parametrize(
    "place", ["file:///etc/passwd", "http://10.0.0.1/x", "ftp://127.0.0.1/x", "//example.com/x"]
)
def test_a_redirect_elsewhere_is_not_followed(place: str) -> None:
    with (
        serving(lambda page: reply(page, 302, {}, Location=place)) as (host, _),
        pytest.raises(image_registry.Closed),
    ):
        platforms(host)


@pytest.mark.parametrize(
    "body",
    [
        [],
        {},
        "text",
        None,
        {"manifests": None},
        {"manifests": {"a": 1}, "config": []},
        {"config": {"digest": 5}},
        {"config": {"digest": "../../x"}},
        {"config": "sha256:x"},
        b"",
        b"\xff\xfe",
        b"[" * 100_000,
        b"<html>sign in</html>",
    ],
)
def test_what_is_no_manifest_is_an_error(body: Any) -> None:
    with serving(lambda page: reply(page, 200, body)) as (host, _), pytest.raises(image_registry.Closed):
        platforms(host)


@pytest.mark.parametrize(
    ("entries", "names"),
    [
        (
            [{"platform": {"os": "linux", "architecture": "arm64"}}, 5, None, {"platform": []}],
            ["linux/arm64"],
        ),
        ([{"platform": {"os": 1, "architecture": "amd64"}}], []),
        ([{"platform": {"os": "linux", "architecture": "\x1b[2Jamd64"}}], []),
    ],
)
def test_entries_of_an_index_that_are_odd_are_passed_over(entries: Any, names: list[str]) -> None:
    with serving(lambda page: reply(page, 200, {"manifests": entries})) as (host, _):
        assert platforms(host) == names


@pytest.mark.parametrize("part", [b"HTTP/1.1 200 OK\r\nX: ", b"HTTP/1.1 200 OK\r\n\r\n{", b""])
def test_a_registry_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch, part: bytes) -> None:
    """A byte now and then, in the header or in the body: no timeout of a socket notices."""
    monkeypatch.setattr(image_registry, "TOTAL_SECONDS", 0.5)

    def drip(page: Any) -> None:
        page.wfile.write(part)
        for _ in range(200):
            page.wfile.write(b" ")
            page.wfile.flush()
            time.sleep(0.1)

    begun = time.monotonic()
    with serving(drip) as (host, _), pytest.raises(image_registry.Closed, match="has not replied in full"):
        platforms(host)
    assert time.monotonic() - begun < 15
