"""The bucket emulator: running, stopped, refusing and restarted with its objects."""

import urllib.error
import urllib.request

import pytest
from testcluster import Cluster

OPENER = urllib.request.build_opener(urllib.request.ProxyHandler({}))


def put(url: str, bucket: str, name: str, text: str) -> None:
    address = f"{url}/upload/storage/v1/b/{bucket}/o?uploadType=media&name={name}"
    OPENER.open(urllib.request.Request(address, data=text.encode()), timeout=10).close()


def get(url: str, bucket: str, name: str) -> str:
    with OPENER.open(f"{url}/storage/v1/b/{bucket}/o/{name}?alt=media", timeout=10) as reply:
        return reply.read().decode()


def test_objects_outlive_a_stop(control_plane: Cluster) -> None:
    bucket = control_plane.bucket
    assert bucket.create("kept") == "gs://kept"
    put(bucket.url, "kept", "a.txt", "still here")
    bucket.stop()
    try:
        with pytest.raises(urllib.error.URLError, match="refused"):
            get(bucket.url, "kept", "a.txt")
    finally:
        bucket.start()
    assert get(bucket.url, "kept", "a.txt") == "still here"


def test_a_refusing_bucket_answers_503_to_reads_and_writes(control_plane: Cluster) -> None:
    bucket = control_plane.bucket
    bucket.create("busy")
    bucket.refuse()
    try:
        for call in (
            lambda: get(bucket.url, "busy", "a"),
            lambda: put(bucket.url, "busy", "a", "x" * 100_000),
        ):
            with pytest.raises(urllib.error.HTTPError) as caught:
                call()
            caught.value.close()
            assert caught.value.code == 503
    finally:
        bucket.start()
    put(bucket.url, "busy", "a", "works again")
    assert get(bucket.url, "busy", "a") == "works again"
