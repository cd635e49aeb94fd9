"""What a failing file system or bucket means for the run: never again, or in a while."""

import errno

import pytest
import requests
from gcsfs.retry import HttpError
from google.api_core import exceptions as google

from trainer.errors import RunDirectoryError, StorageError
from trainer.rundir.files import writing_to


@pytest.mark.parametrize(
    "error",
    [
        google.ServiceUnavailable("busy"),
        google.TooManyRequests("slow down"),
        google.RetryError("timeout of 120 s exceeded", google.ServiceUnavailable("busy")),
        HttpError({"code": 503, "message": "busy"}),
        requests.exceptions.ConnectionError("Connection refused"),
        ConnectionRefusedError(errno.ECONNREFUSED, "Connection refused"),
        OSError(errno.ESTALE, "Stale file handle"),
        TimeoutError(),
    ],
    ids=repr,
)
def test_a_store_that_is_busy_or_out_of_reach_may_be_tried_again(error):
    with (
        pytest.raises(StorageError, match=r"^run directory gs://b/run does not answer: ") as raised,
        writing_to("gs://b/run"),
    ):
        raise error
    assert raised.value.exit_code == 43


@pytest.mark.parametrize(
    "error",
    [
        google.Forbidden("no objectAdmin"),
        google.NotFound("no such bucket"),
        HttpError({"code": 400, "message": "Bad Request"}),
        OSError("Forbidden: o/b/run"),
        FileNotFoundError("b/run"),
        PermissionError(errno.EACCES, "Permission denied"),
        OSError(errno.EROFS, "Read-only file system"),
    ],
    ids=repr,
)
def test_a_wrong_name_or_a_missing_right_ends_the_run(error):
    with (
        pytest.raises(RunDirectoryError, match=r"^run directory gs://b/run cannot be written: ") as raised,
        writing_to("gs://b/run"),
    ):
        raise error
    assert raised.value.exit_code == 44
    absent = isinstance(error, (google.NotFound, FileNotFoundError))
    assert raised.value.hint.startswith("gcloud storage buckets create gs://b, " if absent else "use another")
