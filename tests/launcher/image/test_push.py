"""A push that fails leaves the tag as it was, and says which credential was tried and where it is from."""

import base64
import ssl
import subprocess
import threading
import time
from pathlib import Path
from typing import Any

import faulty_registry
import pytest
from faulty_registry import ANONYMOUS, FaultyRegistry, Stages, break_off, image, reply, serving

from launcher.check import image_registry
from launcher.errors import ActionError, printable
from launcher.image import exchange
from launcher.image.cache import Cache, open_cache
from launcher.image.credentials import Credential
from launcher.image.exchange import Missing, Refused
from launcher.image.push import Sent, push
from launcher.image.registry import Registry

LOGIN = Credential(origin="user me of /home/a/.docker/config.json, auths", user="me", password="secret")
LARGE = b"large" * 200_000


@pytest.fixture(autouse=True)
def quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "PAUSE_SECONDS", 0.01)


@pytest.fixture
def cache(tmp_path: Path) -> Cache:
    return open_cache(tmp_path / "cache")


def opened(server: FaultyRegistry, credential: Credential = ANONYMOUS) -> Registry:
    parts = image_registry.parse(f"{server.host}/team/resnet:1")
    assert parts
    return Registry(parts, credential, ("repository:team/resnet:pull,push",))


def pushed(server: FaultyRegistry, cache: Cache, credential: Credential = ANONYMOUS) -> Sent:
    registry = opened(server, credential)
    whole, blobs = image(registry, b"small", LARGE)
    for digest, content in blobs.items():
        cache.keep(digest, iter([content]))
    return push(whole, registry, cache, Stages())


def test_the_manifest_comes_last(cache: Cache) -> None:
    with serving() as server:
        sent = pushed(server, cache)
    assert server.asked[-1] == ("PUT", "/v2/team/resnet/manifests/1")
    assert [method for method, _ in server.asked].count("PUT") == 4
    assert sent.uploaded == ("part 0", "part 1")
    assert set(server.manifests) == {"1"}


@pytest.mark.parametrize("number", [1, 2, 3])
def test_a_push_that_breaks_off_leaves_the_tag(cache: Cache, number: int) -> None:
    """The connection breaks at the first, second or third blob, each time it is tried."""
    puts: list[str] = []

    def fault(page: Any) -> bool:
        if page.command == "PUT" and "/uploads/" in page.path and page.path not in puts:
            puts.append(page.path)
        broken = page.command == "PUT" and page.path in puts[number - 1 :]
        return break_off(page) if broken else False

    with (
        serving(fault) as server,
        pytest.raises(ActionError, match=rf"^{server.host} does not answer: "),
    ):
        pushed(server, cache)
    assert server.manifests == {}
    assert len(server.blobs) == number - 1


def test_a_connection_that_breaks_once_is_tried_again(cache: Cache) -> None:
    broken: list[str] = []

    def fault(page: Any) -> bool:
        if page.command == "PUT" and page.path not in broken and len(broken) < 3:
            broken.append(page.path)
            return break_off(page)
        return False

    with serving(fault) as server:
        pushed(server, cache)
    assert set(server.manifests) == {"1"}
    assert len(broken) == 3


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_busy_registry_is_tried_again(cache: Cache, status: int) -> None:
    refused: list[str] = []

    def fault(page: Any) -> bool:
        if len(refused) < 2:
            refused.append(page.path)
            return reply(page, status)
        return False

    with serving(fault) as server:
        pushed(server, cache)
    assert set(server.manifests) == {"1"}


@pytest.mark.parametrize(
    ("status", "body", "credential", "message"),
    [
        (
            403,
            {"errors": [{"code": "DENIED", "message": "no artifacts.write"}]},
            LOGIN,
            "refuses to push to team/resnet (status 403: DENIED, no artifacts.write), tried with user me of "
            "/home/a/.docker/config.json, auths",
        ),
        (401, b"<html>", LOGIN, "(status 401), tried with user me of /home/a/.docker/config.json, auths"),
        (
            401,
            {"errors": 5},
            ANONYMOUS,
            "tried with no credentials: /home/a/.docker/config.json has none for it",
        ),
        (403, {"errors": [{"message": "\x1b[2J\n"}]}, ANONYMOUS, r"(status 403: \x1b[2J), tried with "),
    ],
)
def test_a_refusal_names_the_credential(
    cache: Cache, status: int, body: Any, credential: Credential, message: str
) -> None:
    challenge = {"WWW_Authenticate": 'Basic realm="r"'}
    with serving(lambda page: reply(page, status, body, **challenge)) as server:
        with pytest.raises(Refused) as caught:
            opened(server, credential).require_push()
        assert message in printable(str(caught.value))
        assert "secret" not in str(caught.value)
        assert caught.value.hint == f"docker login {server.host}"


def test_a_token_is_fetched_with_the_login_and_stays_with_its_host(cache: Cache) -> None:
    queries: list[tuple[str, str | None]] = []

    def fault(page: Any) -> bool:
        if page.path.startswith("/token"):
            queries.append((page.path, page.headers.get("Authorization")))
            return reply(page, 200, {"token": "t0ken"})
        if page.headers.get("Authorization") == "Bearer t0ken":
            return False
        realm = f'Bearer realm="http://{page.headers["Host"]}/token",service="s"'
        return reply(page, 401, WWW_Authenticate=realm)

    with serving(fault) as server:
        pushed(server, cache, LOGIN)
    path, authorization = queries[0]
    assert path == "/token?service=s&scope=repository%3Ateam%2Fresnet%3Apull%2Cpush"
    assert authorization == f"Basic {base64.b64encode(b'me:secret').decode()}"
    assert set(server.manifests) == {"1"}


def test_a_token_that_expires_during_the_push_is_renewed(cache: Cache) -> None:
    valid, expired = ["1"], []

    def fault(page: Any) -> bool:
        if page.path.startswith("/token"):
            return reply(page, 200, {"token": valid[0]})
        if page.headers.get("Authorization") != f"Bearer {valid[0]}":
            return reply(page, 401, WWW_Authenticate=f'Bearer realm="http://{page.headers["Host"]}/token"')
        if page.command == "POST" and not expired:
            expired.append(page.path)
            valid[0] += "1"  # until the upload itself
        return False

    with serving(fault) as server:
        pushed(server, cache, LOGIN)
    assert set(server.manifests) == {"1"}


@pytest.mark.parametrize(
    "location", ["", "file:///etc/passwd", "http://10.0.0.1/x", "//example.com/x", "http://[b"]
)
def test_an_upload_elsewhere_is_not_begun(location: str) -> None:
    with serving(lambda page: reply(page, 202, Location=location)) as server:
        with pytest.raises(ActionError, match="does not reply as a registry does: it sent an upload to"):
            opened(server)._begin()
        assert len(server.asked) == 1


@pytest.mark.parametrize(
    "body", [b"", b"[]", b"5", b"\xff\xfe", b"[" * 100_000, b"<html>sign in</html>", b'{"a": ' * 1000]
)
def test_what_is_no_manifest_is_one_line(body: bytes) -> None:
    with serving(lambda page: reply(page, 200, body)) as server:
        with pytest.raises(ActionError) as caught:
            opened(server).manifest("1")
        assert str(caught.value).isprintable()
        assert str(caught.value).startswith(f"{server.host} does not reply as a registry does")


def test_a_manifest_with_other_bytes_than_its_digest_is_refused() -> None:
    with (
        serving(lambda page: reply(page, 200, {})) as server,
        pytest.raises(ActionError, match="a manifest whose digest is not sha256:00"),
    ):
        opened(server).manifest("sha256:" + "0" * 64)


def test_a_manifest_without_end_is_given_up() -> None:
    with (
        serving(lambda page: reply(page, 200, b" " * (5 << 20))) as server,
        pytest.raises(ActionError, match="it sent more than 4 MiB"),
    ):
        opened(server).manifest("1")


def test_a_registry_that_drips_is_given_up(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(exchange, "DOCUMENT_SECONDS", 0.5)

    def drip(page: Any) -> bool:
        page.wfile.write(b"HTTP/1.1 200 OK\r\nX: ")
        for _ in range(200):
            page.wfile.write(b" ")
            page.wfile.flush()
            time.sleep(0.1)
        return True

    begun = time.monotonic()
    with (
        serving(drip) as server,
        pytest.raises(ActionError, match="has not replied in full after"),
    ):
        opened(server).manifest("1")
    assert time.monotonic() - begun < 15


@pytest.mark.parametrize("status", [200, 204, 301, 302, 400, 418, 507])
def test_any_other_status_is_one_line(status: int) -> None:
    with (
        serving(lambda page: reply(page, status, Location="/x")) as server,
        pytest.raises(ActionError, match=rf"replies with status {status} for team/resnet"),
    ):
        opened(server).require_push()


def test_a_repository_that_does_not_exist(cache: Cache) -> None:
    body = {"errors": [{"code": "NAME_UNKNOWN", "message": "no such repository"}]}
    with (
        serving(lambda page: reply(page, 404, body)) as server,
        pytest.raises(Missing, match="has no repository team/resnet to push to: NAME_UNKNOWN"),
    ):
        opened(server).require_push()


def test_another_digest_than_that_of_the_manifest_is_an_error(cache: Cache) -> None:
    def fault(page: Any) -> bool:
        wrong = page.command == "PUT" and "/manifests/" in page.path
        return reply(page, 201, Docker_Content_Digest="sha256:" + "1" * 64) if wrong else False

    with (
        serving(fault) as server,
        pytest.raises(ActionError, match="another digest than that"),
    ):
        pushed(server, cache)


@pytest.mark.parametrize("status", [202, 400, 403, 404, 500])
def test_a_layer_that_cannot_be_mounted_is_not(status: int) -> None:
    with serving(lambda page: reply(page, status)) as server:
        assert opened(server).mount("sha256:" + "0" * 64, "library/python") is False


def test_a_certificate_that_nobody_trusts(tmp_path: Path) -> None:
    key, certificate = tmp_path / "key", tmp_path / "certificate"
    subject = ["-subj", "/CN=registry.example", "-days", "1", "-nodes", "-newkey", "rsa:2048"]
    command = ["openssl", "req", "-x509", *subject, "-keyout", str(key), "-out", str(certificate)]
    if subprocess.run(command, capture_output=True).returncode:
        pytest.skip("makes a certificate with openssl, which is not installed")
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(certificate, key)
    with serving() as server:
        port = server.host.split(":")[1]

        class Secure(faulty_registry.http.server.HTTPServer):
            pass

        with Secure(("127.0.0.1", 0), faulty_registry.http.server.BaseHTTPRequestHandler) as secure:
            secure.socket = context.wrap_socket(secure.socket, server_side=True)
            threading.Thread(target=secure.serve_forever, args=(0.02,), daemon=True).start()
            for name in (f"127.1:{secure.server_port}", f"127.1:{port}"):  # a name that is not this machine's
                parts = image_registry.parse(f"{name}/team/resnet:1")
                assert parts
                with pytest.raises(ActionError, match=r"shows no certificate to trust: ") as caught:
                    Registry(parts, ANONYMOUS, ()).require_push()
                assert caught.value.hint.startswith("SSL_CERT_FILE names a file")
            secure.shutdown()


def test_a_registry_that_is_away() -> None:
    with serving() as server:
        registry = opened(server)
    with pytest.raises(ActionError, match=r"does not answer: .*refused"):
        registry.require_push()


@pytest.mark.parametrize(
    "place",
    ["file:///etc/passwd", "http://10.0.0.1/x", "ftp://127.0.0.1/x", "//example.com/x", ""],
)
def test_a_redirect_elsewhere_is_not_followed(place: str) -> None:
    with (
        serving(lambda page: reply(page, 307, Location=place)) as server,
        pytest.raises(
            ActionError, match=r"does not reply as a registry does: it sent (a|more than 5) redirect"
        ),
    ):
        opened(server).manifest("1")


def test_a_blob_on_another_host_is_read_without_the_token() -> None:
    received: list[str | None] = []

    def elsewhere(page: Any) -> bool:
        received.append(page.headers.get("Authorization"))
        return reply(page, 200, b"content")

    with serving(elsewhere) as storage:

        def fault(page: Any) -> bool:
            if not page.headers.get("Authorization"):
                return reply(page, 401, WWW_Authenticate='Basic realm="r"')
            return reply(page, 307, Location=f"http://{storage.host}/blob")

        with serving(fault) as server:
            assert b"".join(opened(server, LOGIN).blob("sha256:" + "0" * 64)) == b"content"
    assert received == [None]
