"""The access to a bucket, asked of a small HTTP server that replies as Cloud Storage does."""

import http.server
import json
import threading
from typing import ClassVar

import pytest

from launcher.check import bucket

ALL = {*bucket.NEEDED}


class Answers(http.server.BaseHTTPRequestHandler):
    """Two calls of the JSON API: a bucket, and its testIamPermissions. `granted` by bucket name."""

    granted: ClassVar[dict[str, set[str]]] = {}

    def do_GET(self):
        path, _, query = self.path.partition("?")
        name, _, action = path.removeprefix("/storage/v1/b/").partition("/")
        if name not in self.granted:
            return self.answer(404, {"error": {"code": 404, "message": "not found"}})
        if action == "iam/testPermissions":
            asked = {item.removeprefix("permissions=") for item in query.split("&")}
            return self.answer(200, {"permissions": sorted(asked & self.granted[name])})
        return self.answer(200, {"name": name, "location": "US-CENTRAL2"})

    def answer(self, status, body):
        data = json.dumps(body).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(data)))
        self.end_headers()
        self.wfile.write(data)

    def log_message(self, format, *args):
        pass


@pytest.fixture
def server(monkeypatch):
    Answers.granted = {"all": ALL, "admin": ALL - {"storage.buckets.get"}, "none": set()}
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Answers) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        monkeypatch.setenv("STORAGE_EMULATOR_HOST", f"http://127.0.0.1:{server.server_address[1]}")
        yield
        server.shutdown()


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    ("name", "missing", "location"),
    [
        ("all", (), "US-CENTRAL2"),
        ("admin", ("storage.buckets.get",), ""),  # roles/storage.objectAdmin alone
        ("none", bucket.NEEDED, ""),
    ],
)
def test_what_is_missing_is_named(name, missing, location):
    assert bucket.look(name) == bucket.Bucket(name=name, missing=missing, location=location)


@pytest.mark.usefixtures("server")
def test_a_bucket_that_is_not_there():
    access = bucket.look("nowhere")
    assert (access.problem, access.unknown) == ("gs://nowhere does not exist", False)


def test_nobody_answers(monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    access = bucket.look("all")
    assert access.unknown
    assert access.problem.startswith("gs://all does not answer: ")
