"""One run directory on a bucket, one job at a time: the lease on a real object store."""

import time

import pytest
from testcluster import Cluster

from trainer.errors import RunDirectoryError
from trainer.rundir.lease import BucketLease

SHORT = {"renew_seconds": 0.4, "watch_seconds": 1.6}


@pytest.fixture
def path(control_plane: Cluster, monkeypatch: pytest.MonkeyPatch, request: pytest.FixtureRequest) -> str:
    for name, value in control_plane.bucket.environment().items():
        monkeypatch.setenv(name, value)
    control_plane.bucket.create("leases")
    return f"gs://leases/{request.node.name}"


def test_a_second_job_is_refused_while_the_first_lives(path: str) -> None:
    first = BucketLease(path, "first", **SHORT)
    time.sleep(1)  # renewed twice
    with pytest.raises(RunDirectoryError, match="is in use by job 'first'"):
        BucketLease(path, "second", **SHORT)
    first.release()
    BucketLease(path, "second", **SHORT).release()


def test_a_restart_of_the_same_job_takes_it_at_once(path: str) -> None:
    killed = BucketLease(path, "job", renew_seconds=60)
    begun = time.monotonic()
    again = BucketLease(path, "job", renew_seconds=0.4, watch_seconds=60)
    assert time.monotonic() - begun < 30  # a restart does not wait to see its own lease renewed
    again.release()
    assert killed


def test_a_silent_job_is_replaced_and_does_not_take_it_back(path: str) -> None:
    silent = BucketLease(path, "silent", renew_seconds=5)
    heir = BucketLease(path, "heir", **SHORT)
    time.sleep(5)  # the silent one tries to renew meanwhile and must fail
    with pytest.raises(RunDirectoryError, match="is in use by job 'heir'"):
        BucketLease(path, "third", **SHORT)
    heir.release()
    assert silent
