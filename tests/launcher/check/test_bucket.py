"""The access to a bucket, asked of a small HTTP server that replies as Cloud Storage does."""

import http.server
import json
import threading
import urllib.parse
from typing import ClassVar

import pytest

from launcher.check import bucket

ALL = {*bucket.NEEDED}
OBJECTS = ["imagenet/train/0.tar", "imagenet-v2/0.tar", "one.tar"]


class Answers(http.server.BaseHTTPRequestHandler):
    """Two calls of the JSON API: a bucket, and its testIamPermissions. `granted` by bucket name."""

    granted: ClassVar[dict[str, set[str]]] = {}

    def do_GET(self):
        path, _, query = self.path.partition("?")
        name, _, action = path.removeprefix("/storage/v1/b/").partition("/")
        if name not in self.granted:
            return self.answer(404, {"error": {"code": 404, "message": "not found"}})
        if action == "o":
            prefix = urllib.parse.parse_qs(query).get("prefix", [""])[0]
            names = [entry for entry in OBJECTS if entry.startswith(prefix)]
            return self.answer(200, {"items": [{"name": entry, "bucket": name} for entry in names[:1]]})
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


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize(
    "address", ["gs://all", "gs://all/", "gs://all/imagenet", "gs://all/imagenet/", "gs://all/one.tar"]
)
def test_data_that_are_there(address):
    assert bucket.find(address) is None


@pytest.mark.usefixtures("server")
@pytest.mark.parametrize("address", ["gs://all/mnist", "gs://all/imagenet-v2/val", "gs://nowhere/imagenet"])
def test_data_that_are_not_there(address):
    problem = bucket.find(address)
    assert problem is not None
    assert problem.problem.startswith("gs://")
    assert problem.problem.endswith("does not exist")
    assert "--data" in problem.hint
    assert not problem.unknown


def test_data_in_a_bucket_that_does_not_answer_are_not_said_to_be_missing(monkeypatch):
    monkeypatch.setenv("STORAGE_EMULATOR_HOST", "http://127.0.0.1:1")
    problem = bucket.find("gs://all/imagenet")
    assert problem is not None
    assert problem.unknown
