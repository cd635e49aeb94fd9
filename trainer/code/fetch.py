"""The bytes of an archive of code, from a file or from a bucket."""

from pathlib import Path

from trainer.errors import ConfigError, StorageError, TrainError, first_line, is_permanent

SECONDS = 60  # longest wait for one reply of the bucket; its client asks again for two minutes


def fetch(source: str) -> bytes:
    """Return the content of a path or of gs://BUCKET/NAME.

    Raises:
      ConfigError: there is no such archive, or it may not be read.
      StorageError: the bucket does not answer.
    """
    try:
        return _from_bucket(source) if source.startswith("gs://") else Path(source).read_bytes()
    except Exception as error:  # the bucket's client raises classes of its own
        raise _failure(source, error) from error


def _from_bucket(source: str) -> bytes:
    from google.cloud import storage

    bucket, _, name = source.removeprefix("gs://").partition("/")
    return storage.Client(project="-").bucket(bucket).blob(name).download_as_bytes(timeout=SECONDS)


def _failure(source: str, error: Exception) -> TrainError:
    reason = getattr(error, "strerror", None) or first_line(error)
    if not is_permanent(error):
        return StorageError(f"code: {source} does not answer: {reason}")
    if getattr(error, "code", None) == 404 or isinstance(error, FileNotFoundError):
        hint = "submit the run again; --code puts the archive there"
        return ConfigError(f"code: {source} must exist, got no such archive", hint)
    hint = "the pod's service account needs roles/storage.objectViewer on the bucket"
    return ConfigError(f"code: {source} cannot be read: {reason}", hint)
