"""Place: a folder of files on a disk or in a bucket; it knows nothing of what the files mean."""

import contextlib
import errno
import functools
import os
import shutil
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from trainer.data.listing import Listing, local_files, read_file, without
from trainer.data.names import plain_name
from trainer.errors import DataError, StorageError, TrainError, is_full, is_permanent

ACCESS = "it must exist, and this user needs permission to use it"
ABSENT = "gcloud storage buckets list shows the buckets; --data names one that exists"
CONNECTIONS = 64  # concurrent requests to a bucket: each waits tens of milliseconds for its answer
GRANT = "the pod's service account needs roles/storage.objectViewer on the bucket (objectAdmin to write)"


@dataclass(frozen=True)
class Place:
    """A folder: a local path or ``gs://bucket/prefix``.

    Names of files are relative to it, with ``/`` between parts. Methods raise DataError where a name or a
    permission is wrong, and StorageError where trying again may help.
    """

    path: str

    @property
    def remote(self) -> bool:
        """Whether it lies in a bucket."""
        return self.path.startswith("gs://")

    def local(self, name: str = "") -> Path:
        """The path of a file of a local folder, or of the folder itself."""
        return Path(self.path, plain_name(name, self.path) if name else "")

    def address(self, name: str) -> str:
        """The full path or gs:// address of a file, or of the folder itself where the name is empty."""
        return f"{self.path.rstrip('/')}/{name}" if name else self.path

    def files(self, subfolder: str = "", skip: Callable[[str], bool] = lambda part: False) -> Listing:
        """Every file below a subfolder, at any depth.

        Args:
          skip: whether files and folders of a name, without its path, are left out.
        """
        with self._storage_errors(subfolder):
            if not self.remote:
                return local_files(self.path, subfolder, skip, storage_errors)
            return without(self._objects(subfolder), skip)

    def top_level(self) -> tuple[list[str], dict[str, int]]:
        """Subfolders and files (name -> bytes) directly in it; both empty where it does not exist."""
        with self._storage_errors():
            if not self.remote:
                entries = sorted(os.scandir(self.path), key=lambda e: e.name) if self.local().is_dir() else []
                folders = [e.name for e in entries if e.is_dir()]
                return folders, {e.name: e.stat().st_size for e in entries if e.is_file()}
            prefixes, objects = self._list(self._key(""), delimiter="/")
            files = {name.rsplit("/", 1)[-1]: size for name, size in objects.items()}
            files.pop("", None)
            return sorted(prefix.rstrip("/").rsplit("/", 1)[-1] for prefix in prefixes), files

    def read(self, name: str) -> bytes:
        """The content of a file."""
        with self._storage_errors(name):
            return self.blob(name).download_as_bytes() if self.remote else read_file(self.local(name))

    def read_if_exists(self, name: str) -> bytes | None:
        """The content of a file; None where it does not exist."""
        return self.read(name) if self.exists(name) else None

    def exists(self, name: str) -> bool:
        """Whether there is a file of this name."""
        with self._storage_errors(name):
            return self.blob(name).exists() if self.remote else self.local(name).is_file()

    def put(self, name: str, file: Path) -> None:
        """Move a finished local file into the folder; readers see the whole file or none."""
        with self._storage_errors(name):
            if self.remote:
                self.blob(name).upload_from_filename(str(file), checksum="crc32c")
                file.unlink()
                return
            target = self.local(name)
            target.parent.mkdir(parents=True, exist_ok=True)
            temporary = target.with_name(f".{target.name}.new")  # a rename is atomic only within one disk
            _move(file, temporary)
            temporary.replace(target)

    def delete(self, name: str) -> None:
        """Delete a file."""
        with self._storage_errors(name):
            if self.remote:
                self.blob(name).delete()
            else:
                self.local(name).unlink()

    def blob(self, name: str) -> Any:
        """The bucket client's object for a file."""
        key = self._key(name)
        return self._bucket.blob(key)

    @contextlib.contextmanager
    def _storage_errors(self, name: str = "") -> Iterator[None]:
        with storage_errors(self.address(name) if name else self.path):
            yield

    @functools.cached_property
    def _bucket(self) -> Any:
        from google.cloud import storage
        from requests.adapters import HTTPAdapter

        bucket = self.path.removeprefix("gs://").partition("/")[0]
        with self._storage_errors():
            client = storage.Client()
            adapter = HTTPAdapter(pool_connections=CONNECTIONS, pool_maxsize=CONNECTIONS)
            client._http.mount("https://", adapter)  # by default, connections beyond ten are closed after use
            client._http.mount("http://", adapter)
            return client.bucket(bucket)

    def _key(self, name: str) -> str:
        name = plain_name(name, self.path) if name else ""
        prefix = self.path.removeprefix("gs://").partition("/")[2].strip("/")
        return f"{prefix}/{name}" if prefix else name

    def _objects(self, subfolder: str) -> dict[str, int]:
        """Every file below a subfolder of a bucket: name -> bytes.

        Folders are listed concurrently, as the pages of one folder (1,000 objects each) come one by one.
        """
        start = self._key(subfolder) + "/" if subfolder else self._key("")
        folders, objects = self._list(start, delimiter="/")
        with ThreadPoolExecutor(CONNECTIONS) as pool:
            for _, deeper in pool.map(self._list, folders):
                objects |= deeper
        root = self._key("")
        return {name.removeprefix(root): size for name, size in objects.items() if not name.endswith("/")}

    def _list(self, prefix: str, delimiter: str | None = None) -> tuple[list[str], dict[str, int]]:
        """Prefixes up to the next delimiter, and objects: name -> bytes."""
        fields = "items(name,size),prefixes,nextPageToken"
        pages = self._bucket.list_blobs(prefix=prefix, delimiter=delimiter, fields=fields)
        objects = {blob.name: int(blob.size or 0) for blob in pages}
        return sorted(pages.prefixes), objects


@contextlib.contextmanager
def storage_errors(address: str) -> Iterator[None]:
    """Convert the errors of the file system and of the bucket's client, naming the address.

    Raises:
      DataError: the name or a permission is wrong.
      StorageError: the storage did not answer; it may later.
    """
    try:
        yield
    except TrainError:
        raise
    except MemoryError as error:
        raise DataError(f"data: {address} needs more memory than this host has") from error
    except Exception as error:  # each client raises classes of its own
        raise failure(address, error) from error


def failure(address: str, error: Exception) -> DataError | StorageError:
    """Return the error for a file that cannot be used, which names its address and the system's reason."""
    if is_full(error):
        hint = "free space or raise the quota there, or choose a folder on another disk"
        return StorageError(f"data: cannot write {address}: {_reason(error)}", hint)
    if is_permanent(error):
        hint = ABSENT if _is_absent(error) else GRANT
        hint = hint if address.startswith("gs://") else ACCESS
        return DataError(f"data: cannot use {address}: {_reason(error)}", hint)
    return StorageError(f"data: {address} does not answer: {_reason(error)}")


def _is_absent(error: Exception) -> bool:
    """Return whether a bucket's client says that there is no such object or bucket."""
    return getattr(error, "code", None) == 404 or isinstance(error, FileNotFoundError)


def _reason(error: Exception) -> str:
    """The reason of an error, on one line."""
    if isinstance(error, OSError) and error.strerror:
        return error.strerror
    return f"{type(error).__name__}: {' '.join(str(error).split())[:300]}"


def _move(file: Path, target: Path) -> None:
    """Move a file, also to another disk; a link that someone put in its place is replaced, never followed."""
    try:
        os.replace(file, target)
    except OSError as error:
        if error.errno != errno.EXDEV:
            raise
        target.unlink(missing_ok=True)
        with file.open("rb") as source, target.open("xb") as copy:
            shutil.copyfileobj(source, copy)
        file.unlink()
